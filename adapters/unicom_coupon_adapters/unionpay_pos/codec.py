"""Messages to bytes and back, at the speed of hand-written code.

The field table is turned into Python source, once for each set of fields that is in use (there are a few dozen): a
reader and a writer. Neither loops over fields or looks at the table again; every offset that can be a constant is one.

The generated code only knows the common shape of each field. Whenever anything is unusual it gives up without a
judgement, and ``walk`` reads or writes the message again, slowly, and either succeeds or raises the exact error. So
speed never decides what is legal.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, Generic, TypeAlias, TypeVar

from unicom_coupon_adapters.unionpay_pos.fields import FIELDS, MAC_FIELD, Content, Field
from unicom_coupon_adapters.unionpay_pos.frame_errors import refuse
from unicom_coupon_adapters.unionpay_pos.iso_message import FieldValue, Message
from unicom_coupon_adapters.unionpay_pos.walk import read_body, write_body

_Reader: TypeAlias = Callable[[bytes], Message | None]
_Writer: TypeAlias = Callable[[str, Mapping[int, FieldValue]], bytes | None]

LARGEST_BODY: Final = 8192
"""Bytes of the largest message that is read (sheet 1.1)."""

_K = TypeVar("_K")
_F = TypeVar("_F")


def unpack(body: bytes) -> Message:
    """The message in ``body``: the bytes from the message type to the last field.

    Every byte is accounted for. Raises ``FrameError`` (``unionpay_pos.frame_…``) with the field and the byte offset
    for anything else: unknown bits, bad digits, lengths, padding or characters, missing or surplus bytes.
    """
    if len(body) > LARGEST_BODY:
        refuse("long", field="body", offset=LARGEST_BODY, length=len(body), largest=LARGEST_BODY)
    bitmap = body[2:10]
    reader = _READERS.ready.get(bitmap)
    if reader is not None:
        try:
            found = reader(body)
        except (ValueError, KeyError, IndexError):
            found = None
        if found is not None:
            return found
    message = Message(*read_body(body))
    _READERS.saw(bitmap)
    return message


def pack(message: Message) -> bytes:
    """The bytes of ``message`` from its type to its last field. Fields may be given in any order.

    Raises ``FrameError`` that names the first field whose value does not fit.
    """
    fields = message.fields
    shape = tuple(fields)
    writer = _WRITERS.ready.get(shape)
    if writer is not None:
        try:
            packed = writer(message.mti, fields)
        except (ValueError, TypeError, AttributeError):
            packed = None
        if packed is not None:
            return packed
    body = write_body(message.mti, fields)
    _WRITERS.saw(shape)
    return body


def pack_unsealed(message: Message) -> bytes:
    """The bytes that a MAC is made over: ``message`` with bit 64 set, up to and without field 64 (sheet 6.2)."""
    return pack(Message(message.mti, {**message.fields, MAC_FIELD: bytes(8)}))[:-8]


class _Compiled(Generic[_K, _F]):
    """A function for each set of fields that has proved itself, and no more than ``most`` in all.

    Compiling costs a thousand times a reading, and the other side chooses the bitmap. So a set gets its function only
    after ``after`` good messages, and a process compiles ``most`` times in its life; ``walk`` does the rest.
    """

    def __init__(self, make: Callable[[_K], _F], *, most: int = 64, after: int = 3) -> None:
        self._make = make
        self._most = most
        self._after = after
        self._seen: dict[_K, int] = {}
        self.ready: dict[_K, _F] = {}

    def saw(self, key: _K) -> None:
        """A good message with this set of fields was read or written slowly."""
        if key in self.ready or len(self.ready) >= self._most:
            return
        if len(self._seen) >= 16 * self._most:
            self._seen.clear()
        count = self._seen[key] = self._seen.get(key, 0) + 1
        if count >= self._after:
            self.ready[key] = self._make(key)
            self._seen.pop(key, None)


# --- the readers ------------------------------------------------------------------------------------------------

_LENGTHS_1: Final = {f"{size:02d}": size for size in range(100)}
_LENGTHS_2: Final = {f"{size:04d}": size for size in range(1000)}


def _reader(bitmap: bytes) -> _Reader:
    bits = int.from_bytes(bitmap, "big")
    rows = [FIELDS[number] for number in range(1, 65) if bits >> (64 - number) & 1]
    reader: _Reader = _compiled(_reader_source(rows), "read")
    return reader


def _reader_source(rows: list[Field]) -> str:
    """A reader for exactly these fields.

    ``h`` is the body in hex and ``t`` in latin-1, so every field is a slice. Offsets are constants from the start or
    from the end of the last variable field (byte ``p``, hex digit ``q``). Neighbouring fixed fields share one check.
    """
    place = _Place()
    values: list[str] = []
    for row in rows:
        if row.is_fixed:
            values.append(f"{row.number}: {place.fixed(row)}")
        else:
            place.variable(row)
            values.append(f"{row.number}: f{row.number}")
    place.close_run()
    body = [
        "h = body.hex()",
        "t = body.decode('latin-1')",
        *place.lines,
        f"if len(body) != {place.byte(0)} or not h[:4].isdigit():",
        "    return None",
        *(line for check in place.checks for line in (f"if {check}:", "    return None")),
        f"return Message(h[:4], {{{', '.join(values)}}})",
    ]
    return "\n".join(["def read(body):", *(f"    {line}" for line in body)])


class _Place:
    """Where the generated reader stands, what it has to do on the way, and what it has to check at the end."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.checks: list[str] = []
        self._base = ""  # "" at the start, else the number of the last variable field
        self._at = 10
        self._run: tuple[Content, int] | None = None

    def byte(self, ahead: int) -> str:
        """The expression of the byte ``ahead`` of here."""
        return f"p{self._base} + {self._at + ahead}" if self._base else str(self._at + ahead)

    def nibble(self, ahead: int, *, of: int | None = None) -> str:
        """The expression of the hex digit ``ahead`` of here (or of byte ``of``)."""
        at = 2 * (self._at if of is None else of) + ahead
        return f"q{self._base} + {at}" if self._base else str(at)

    def fixed(self, row: Field) -> str:
        """The expression of a fixed field's value; its check joins its neighbours' where they are of one kind."""
        taken = row.size + row.size % 2 if row.shape.is_packed else row.size
        kind = row.shape.content
        if self._run is None or self._run[0] is not kind:
            self.close_run()
            self._run = (kind, self._at)
        if row.shape.is_packed:
            start, end = (1, taken) if row.shape.pad == "left" else (0, row.size)
            value = f"h[{self.nibble(start)}:{self.nibble(end)}]"
            if row.size % 2:
                self.checks.append(f"h[{self.nibble(0 if start else taken - 1)}] != '0'")
            self._at += taken // 2
            return value
        value = f"{'t' if kind is Content.ASCII else 'body'}[{self.byte(0)}:{self.byte(taken)}]"
        self._at += taken
        return value

    def close_run(self) -> None:
        """Write the check of the fixed fields since the run began."""
        if self._run is not None:
            kind, start = self._run
            if kind is Content.DIGITS:
                self.checks.append(f"not h[{self.nibble(0, of=start)}:{self.nibble(0)}].isdigit()")
            elif kind is Content.ASCII:
                span = f"t[{self.byte(start - self._at)}:{self.byte(0)}]"
                self.checks.append(f"not ((v := {span}).isprintable() and v.isascii())")
        self._run = None

    def variable(self, row: Field) -> None:
        """Take a variable field into ``f<number>`` and go on from its end."""
        self.close_run()
        number, width, name = row.number, row.shape.length_bytes, f"f{row.number}"
        start, first = self.byte(width), self.nibble(2 * width)
        self.lines.append(f"n{number} = lengths_{width}[h[{self.nibble(0)}:{first}]]")
        self.checks.append(f"n{number} > {row.size}")
        if row.shape.is_packed:
            upper = ".upper()" if row.shape.content is Content.NIBBLES else ""
            self.lines.append(f"{name} = h[{first}:{first} + n{number}]{upper}")
            self.checks.append(f"n{number} & 1 and h[{first} + n{number}] != '0'")
            if not upper:
                self.checks.append(f"not {name}.isdigit()")
            self.lines.append(f"p{number} = {start} + (n{number} + 1 >> 1)")
        else:
            self.lines.append(f"p{number} = {start} + n{number}")
            taken = f"[{start}:p{number}]"
            match row.shape.content:
                case Content.ASCII:
                    self.lines.append(f"{name} = t{taken}")
                    self.checks.append(f"not ({name}.isprintable() and {name}.isascii())")
                case Content.GBK:
                    self.lines.append(f"{name} = body{taken}.decode('gbk')")
                case _:
                    self.lines.append(f"{name} = body{taken}")
        self.lines.append(f"q{number} = p{number} + p{number}")
        self._base, self._at = str(number), 0


# --- the writers ------------------------------------------------------------------------------------------------


def _writer(numbers: tuple[int, ...]) -> _Writer:
    writer: _Writer = _compiled(_writer_source([FIELDS[number] for number in sorted(numbers)]), "write")
    return writer


def _writer_source(rows: list[Field]) -> str:
    """A writer for exactly these fields: values, then every check, then one join of as few pieces as possible."""
    bits = sum(1 << (64 - row.number) for row in rows)
    loads = [f"f{row.number} = f[{row.number}]" for row in rows]
    checks = ["len(mti) != 4"]
    digits, nibbles, printed = ["mti"], [], []
    for row in rows:
        name = f"f{row.number}"
        match row.shape.content:
            case Content.DIGITS:
                digits.append(name)
            case Content.NIBBLES:
                loads.append(f"{name} = {name}.replace('=', 'D')")
                nibbles.append(name)
            case Content.ASCII:
                printed.append(name)
            case Content.GBK:
                loads.append(f"{name} = {name}.encode('gbk')")
            case Content.BYTES:
                pass
        if row.is_fixed:
            checks.append(f"len({name}) != {row.size}")
        else:
            loads.append(f"n{row.number} = len({name})")
            checks.append(f"n{row.number} > {row.size}")
    loads.append(f"digits = {' + '.join(digits)}")
    checks.append("not digits.isdigit() or not digits.isascii()")
    checks.extend(f"{name}.strip('0123456789ABCDEF')" for name in nibbles)
    if printed:
        loads.append(f"printed = {' + '.join(printed)}")
        checks.append("not printed.isprintable()")
    body = [*loads, f"if {' or '.join(checks)}:", "    return None", f"return {_joined(rows, bits)}"]
    return "\n".join(["def write(mti, f):", *(f"    {line}" for line in body)])


def _joined(rows: list[Field], bits: int) -> str:
    """The expression of all bytes. Neighbours of one kind share a conversion: ``fromhex`` or ``encode``."""
    pieces: list[tuple[str, str]] = [("hex", f"{{mti}}{bits:016X}")]
    for row in rows:
        name = f"f{row.number}"
        if not row.is_fixed:
            pieces.append(("hex", f"{{text_{row.shape.length_bytes}[n{row.number}]}}"))
        match row.shape.content:
            case Content.DIGITS | Content.NIBBLES if row.is_fixed:
                fill = ("0" * (row.shape.pad == "left"), "0" * (row.shape.pad == "right"))
                pieces.append(("hex", f"{fill[0]}{{{name}}}{fill[1]}"))
            case Content.DIGITS | Content.NIBBLES:
                pieces.append(("hex", f"{{{name}}}{{pads[n{row.number} & 1]}}"))
            case Content.ASCII:
                pieces.append(("ascii", f"{{{name}}}"))
            case Content.GBK | Content.BYTES:
                pieces.append(("bytes", name))
    merged: list[tuple[str, str]] = []
    for kind, text in pieces:
        if merged and merged[-1][0] == kind and kind != "bytes":
            merged[-1] = (kind, merged[-1][1] + text)
        else:
            merged.append((kind, text))
    written = {"hex": "fromhex(f'{}')", "ascii": "f'{}'.encode('ascii')", "bytes": "{}"}
    return f"b''.join(({', '.join(written[kind].replace('{}', text) for kind, text in merged)},))"


def _compiled(source: str, name: str) -> Any:
    """The function ``name`` of ``source``, which is made from the field table alone and holds nothing from outside."""
    scope: dict[str, Any] = {
        "Message": Message,
        "fromhex": bytes.fromhex,
        "lengths_1": _LENGTHS_1,
        "lengths_2": _LENGTHS_2,
        "text_1": tuple(_LENGTHS_1),
        "text_2": tuple(_LENGTHS_2),
        "pads": ("", "0"),
    }
    exec(compile(source, f"<unionpay_pos {name}>", "exec"), scope)  # noqa: S102 - our own table, no input
    return scope[name]


_READERS: Final[_Compiled[bytes, _Reader]] = _Compiled(_reader)
_WRITERS: Final[_Compiled[tuple[int, ...], _Writer]] = _Compiled(_writer)
