"""A bill's rows in files that a columnar reader takes as they are.

Such a reader wants valid UTF-8, one kind of line end, and no doubt about quotes. A bill in UTF-8 without quotes is that
already. Any other is copied part by part with other bytes in it (see ``Spelling``), which costs a fraction of decoding
it. A part with quotes or odd line ends is taken apart here instead, line by line.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, groupby, islice
from pathlib import Path
from typing import Final

from unicom_coupon_sdk.clearing.reading import LONGEST_LINE, Reading
from unicom_coupon_sdk.platform.bill import Delimited

BETWEEN: Final = "\x1f"
"""Stands between cells that were taken apart here, and in no line."""

ABSENT: Final = "\x1e"
"""What no cell is: so a reader can tell one that is empty from one that is not there."""

_PART: Final = 64 * 1024 * 1024
_BLOCK: Final = 1024 * 1024
_CODES: Final = bytes(code for code in range(1, 0x1E) if code not in b"\t\n\v\f\r")
_KEPT: Final = b"\t\n\r" + bytes(range(0x1F, 0x7F))
_HIDDEN: Final = str.maketrans({BETWEEN: "\x7f", ABSENT: "\x7f", "\r": "\x7f"})
"""What may stand in no line that we write, and in no cell that is read."""


class UnreadableRowError(Exception):
    """A row has too few cells or too many. The plain reader says which."""


@dataclass(frozen=True, slots=True)
class Spelling:
    """Other bytes for a file, and how a layout's word (as single bytes) reads in them. What is ASCII stays as it is.

    Of all other bytes only those matter that stand in a word. Usually they are few, and each gets a control character
    of its own, while what is left becomes DEL: the file is ASCII then, and no longer than it was. Words of many
    different bytes are told apart by writing every byte as the character of that number.
    """

    rewrite: Callable[[bytes], bytes]
    word: Callable[[str], str]

    @classmethod
    def of(cls, words: Iterable[str]) -> Spelling:
        """A spelling in which none of ``words`` can be taken for another text."""
        high = sorted({one for word in words for one in word.encode("latin-1") if one > 0x7F})
        if len(high) > len(_CODES):
            return cls(lambda block: block.decode("latin-1").encode(), lambda word: word)
        table = bytearray(code if code in _KEPT else 0x7F for code in range(256))
        for code, one in zip(_CODES, high, strict=False):
            table[one] = code
        return cls(lambda block: block.translate(table), lambda word: word.encode("latin-1").translate(table).decode())


@dataclass(frozen=True, slots=True)
class Part:
    """Some rows of a bill in a file, with what stands between cells, and how a word (as single bytes) reads there."""

    path: Path
    separator: str
    word: Callable[[str], str]
    is_ours: bool


def direct(reading: Reading) -> Part | None:
    """The bill's own file, if it can be read as it is."""
    form, encoding, path = reading.layout.form, reading.layout.encoding, reading.bill.rows
    is_utf8 = encoding.lower().replace("-", "").replace("_", "") == "utf8"
    if not isinstance(form, Delimited) or not is_utf8:
        return None
    if path.stat().st_size == 0:
        return None
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        if content[:3] == b"\xef\xbb\xbf" or (form.quote and content.find(form.quote.encode()) >= 0):
            return None
        has_returns = content.find(b"\r") >= 0
    if has_returns and {_line_end(block, quote="") for block in _blocks(path)} != {b"\r\n"}:
        return None
    return Part(path, form.separator, lambda word: word.encode("latin-1").decode(encoding), is_ours=False)


def parts(reading: Reading, folder: Path, *, is_careful: bool) -> Iterator[Part]:
    """The bill in parts, in files of ``folder`` that are the caller's to remove, one made only when it is asked for.

    With ``is_careful`` every line is taken apart here. Raises ``UnreadableRowError``.
    """
    form = reading.layout.form
    quote, separator = (form.quote, form.separator) if isinstance(form, Delimited) else ("", BETWEEN)
    spelling = Spelling.of(reading.words())
    blocks = ((None if is_careful else _line_end(block, quote=quote), block) for block in _blocks(reading.bill.rows))
    for number, (end, same) in enumerate(_grouped(blocks)):
        path = folder / f"rows.{number}"
        with path.open("wb", buffering=0) as target:
            for block in same:
                target.write(spelling.rewrite(block if end else _taken_apart(reading, block)))
        yield Part(path, separator if end else BETWEEN, spelling.word, is_ours=True)


def _blocks(path: Path) -> Iterator[bytes]:
    """The file in blocks that end with a line."""
    with path.open("rb") as file:
        while block := file.read(_BLOCK) + file.readline(LONGEST_LINE):
            yield block


def _grouped(blocks: Iterator[tuple[bytes | None, bytes]]) -> Iterator[tuple[bytes | None, Iterator[bytes]]]:
    """Blocks of one kind of line end together, up to the size of a part. Each group is read before the next."""
    for end, same in groupby(blocks, key=lambda block: block[0]):
        while first := next(same, None):
            yield end, (block for _, block in chain([first], islice(same, _PART // _BLOCK - 1)))


def _line_end(chunk: bytes, *, quote: str) -> bytes | None:
    """How the lines of ``chunk`` end, when they all end so and nothing in them is quoted."""
    if quote and quote.encode() in chunk:
        return None
    if b"\r" not in chunk:
        return b"\n"
    ends = chunk.count(b"\r\n")
    return b"\r\n" if ends == chunk.count(b"\n") == chunk.count(b"\r") else None


def _taken_apart(reading: Reading, block: bytes) -> bytes:
    lines = (line.rstrip("\r") for line in block.decode("latin-1").split("\n"))
    return "".join(f"{_cells(reading, line)}\n" for line in lines if line).encode("latin-1")


def _cells(reading: Reading, line: str) -> str:
    if len(line) >= LONGEST_LINE:
        raise UnreadableRowError
    if not isinstance(reading.layout.form, Delimited):
        return line.translate(_HIDDEN)
    cells = reading.cells(line)
    if cells is None:
        raise UnreadableRowError
    return BETWEEN.join(cell.translate(_HIDDEN) for cell in cells)
