"""Bill files on disk: unpacked within bounds, digested, and split into rows and what stands around them.

What a platform sends is not trusted to be small, whole, or an archive at all. Nothing here holds a file in memory; a
member's name never becomes a path; each file is written beside its place and moved there when it is whole. All of it
belongs inside ``Local``.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import zipfile
import zlib
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final, NoReturn

from cryptography.hazmat.primitives.hashes import SM3, Hash

from unicom_coupon_sdk.domain.bill import BillKind
from unicom_coupon_sdk.errors import ValidationError
from unicom_coupon_sdk.platform.bill import BillLayout, Delimited

LARGEST: Final = 4 * 1024**3
"""Bytes of an unpacked file. A small archive may claim to be endless."""

_CHUNK: Final = 1024 * 1024
_HEAD: Final = 64 * 1024
_MEMBERS: Final = 64


@dataclass(frozen=True, slots=True)
class Split:
    """A bill file taken apart: the lines before the header, the header, how many bytes of rows, the lines behind them.

    Lines are as received, without their line ends. The rows themselves are in the file that was asked for;
    ``rows_end`` is where they end in the source.
    """

    head: tuple[bytes, ...]
    header: bytes
    rows_size: int
    rows_end: int
    tail: tuple[bytes, ...]


def refuse(reason: str, *, platform: str, field: str, **details: object) -> NoReturn:
    """Raise the error of a bill that cannot be read: ``bill.<reason>``."""
    error = ValidationError(f"bill.{reason}", field=field, platform=platform)
    error.details.update(details)
    raise error from None


def digest(path: Path, *, algorithm: str = "sha256", size: int | None = None) -> str:
    """The digest of a file, or of its first ``size`` bytes, in lower-case hex.

    ``algorithm`` is one of hashlib's or ``sm3``.
    """
    with path.open("rb") as file:
        chunks = _chunks(file, path.stat().st_size if size is None else size)
        if algorithm == "sm3":
            hashing = Hash(SM3())
            for chunk in chunks:
                hashing.update(chunk)
            return hashing.finalize().hex()
        hashed = hashlib.new(algorithm, usedforsecurity=False)
        for chunk in chunks:
            hashed.update(chunk)
        return hashed.hexdigest()


@contextmanager
def whole(path: Path) -> Iterator[IO[bytes]]:
    """A new file, for its owner alone, that is at ``path`` only once the block has ended well."""
    part = path.with_name(f"{path.name}.part")
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            yield file
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def gunzip(source: Path, target: Path, *, platform: str, largest: int = LARGEST) -> None:
    """``source`` unpacked to ``target``. Raises ``ValidationError`` ``bill.packed`` or ``bill.too_large``."""
    try:
        with gzip.open(source, "rb") as packed, whole(target) as file:
            _pour(packed.read, file, largest=largest, platform=platform)
    except (OSError, EOFError, zlib.error):
        refuse("packed", platform=platform, field=source.name)


def unzip(source: Path, folder: Path, *, platform: str, largest: int = LARGEST, names: str = "gbk") -> dict[str, Path]:
    """The files of an archive by the names in it, unpacked into ``folder`` under names of ours.

    ``names`` is the encoding of member names that do not say they are UTF-8; ``largest`` holds for all together.
    Raises ``ValidationError`` ``bill.packed`` or ``bill.too_large``.
    """
    found: dict[str, Path] = {}
    try:
        with zipfile.ZipFile(source, metadata_encoding=names) as archive:
            entries = [entry for entry in archive.infolist() if not entry.is_dir()]
            if len(entries) > _MEMBERS:
                refuse("too_large", platform=platform, field=source.name, largest=_MEMBERS)
            left = largest
            for number, entry in enumerate(entries):
                target = folder / f"{source.stem}.{number}"
                with archive.open(entry) as packed, whole(target) as file:
                    left -= _pour(packed.read, file, largest=left, platform=platform)
                found[entry.filename] = target
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, OSError, EOFError, UnicodeDecodeError):
        refuse("packed", platform=platform, field=source.name)
    return found


def member(found: Mapping[str, Path], name: str, *, platform: str) -> Path:
    """The file called ``name`` in an unpacked archive. Raises ``ValidationError`` ``bill.member_missing``."""
    if name not in found:
        refuse("member_missing", platform=platform, field=name)
    return found[name]


def _pour(read: Callable[[int], bytes], target: IO[bytes], *, largest: int, platform: str) -> int:
    size = 0
    while chunk := read(_CHUNK):
        size += len(chunk)
        if size > largest:
            refuse("too_large", platform=platform, field="bill", largest=largest)
        target.write(chunk)
    return size


def split(
    source: Path,
    rows: Path,
    *,
    platform: str,
    is_header: Callable[[bytes], bool],
    is_tail: Callable[[bytes], bool] | None,
) -> Split:
    """The data lines of ``source`` in ``rows``, byte for byte, and what stands around them.

    ``is_header`` tells the line of column names, which must be in the first 64 KiB; the line end and a byte order mark
    are not given to it. The first line of the last 64 KiB for which ``is_tail`` holds begins what follows the rows;
    ``None`` means that nothing does. Raises ``ValidationError``: ``bill.no_header``; ``bill.cut_short`` when the tail
    is missing, or the last line has no end.
    """
    with source.open("rb") as file:
        head, header = _head(file, is_header=is_header, platform=platform, name=source.name)
        begins = file.tell()
        ends = os.fstat(file.fileno()).st_size
        tail: tuple[bytes, ...] = ()
        if is_tail is not None:
            ends, tail = _tail(file, begins, ends, is_tail=is_tail, platform=platform, name=source.name)
        elif ends > begins:
            file.seek(ends - 1)
            if file.read(1) != b"\n":
                refuse("cut_short", platform=platform, field=source.name)
        file.seek(begins)
        with whole(rows) as target:
            _copy(file, target, ends - begins)
    return Split(head=head, header=header, rows_size=ends - begins, rows_end=ends, tail=tail)


def columns_of(header: bytes, layout: BillLayout, *, platform: str, bill: BillKind) -> tuple[str, ...]:
    """The names in a header line of separated values, stripped as the cells below them are; no name has a separator.

    Raises ``ValidationError``: ``bill.no_header`` for what is no text in the layout's encoding, and
    ``bill.column_missing`` with the name of the first column that the layout needs and the file has not.
    """
    assert isinstance(layout.form, Delimited)
    form = layout.form
    try:
        cells = header.decode(layout.encoding).split(form.separator)
    except UnicodeDecodeError:
        refuse("no_header", platform=platform, field=layout.name)
    names = tuple(cell.strip(form.strip + form.quote) for cell in cells)
    require(layout.needed, names, platform=platform, bill=bill)
    return names


def require(needed: Iterable[str], names: Container[str], *, platform: str, bill: BillKind) -> None:
    """Raises ``ValidationError`` ``bill.column_missing`` for the first of ``needed`` that is not among ``names``."""
    for name in needed:
        if name not in names:
            refuse("column_missing", platform=platform, field=name, bill=bill.value)


def _head(
    file: IO[bytes], *, is_header: Callable[[bytes], bool], platform: str, name: str
) -> tuple[tuple[bytes, ...], bytes]:
    head: list[bytes] = []
    while file.tell() < _HEAD:
        line = file.readline(_HEAD)
        if not line.endswith(b"\n"):
            break
        plain = line.rstrip(b"\r\n").removeprefix(b"\xef\xbb\xbf" if not head else b"")
        if is_header(plain):
            return tuple(head), plain
        head.append(plain)
    refuse("no_header", platform=platform, field=name)


def _tail(
    file: IO[bytes], begins: int, size: int, *, is_tail: Callable[[bytes], bool], platform: str, name: str
) -> tuple[int, tuple[bytes, ...]]:
    start = max(begins, size - _HEAD)
    file.seek(start)
    block = file.read()
    at = 0 if start == begins else block.find(b"\n") + 1
    while at < len(block):
        end = block.find(b"\n", at)
        line = block[at : end if end >= 0 else len(block)].rstrip(b"\r")
        if is_tail(line):
            return start + at, tuple(one.rstrip(b"\r") for one in block[at:].rstrip(b"\r\n").split(b"\n"))
        if end < 0:
            break
        at = end + 1
    refuse("cut_short", platform=platform, field=name)


def _copy(source: IO[bytes], target: IO[bytes], size: int) -> None:
    for chunk in _chunks(source, size):
        target.write(chunk)


def _chunks(source: IO[bytes], size: int) -> Iterator[bytes]:
    """The next ``size`` bytes of ``source``, or as many as there are."""
    while size > 0 and (chunk := source.read(min(size, _CHUNK))):
        size -= len(chunk)
        yield chunk


def forget(folder: Path) -> None:
    """Remove ``folder`` and what is in it, so that a bill that failed leaves nothing behind."""
    shutil.rmtree(folder, ignore_errors=True)
