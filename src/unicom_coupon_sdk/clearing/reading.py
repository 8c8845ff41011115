"""A layout applied to one file: which cell is what, and how its text becomes a value.

Both readers work from this. They see a file as single bytes (latin-1) and never decode it: what is compared with a
layout's words is those words' own bytes, and all else that is read is ASCII. So a GBK file need not be transcoded, and
a character that is cut or not of its encoding spoils nothing beside it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final, NoReturn

from unicom_coupon_sdk.domain.bill import BillFile, RowState
from unicom_coupon_sdk.domain.times import BEIJING
from unicom_coupon_sdk.platform.bill import BillLayout, Delimited, FixedWidth, RowRule, Unit
from unicom_coupon_sdk.platform.bill_files import refuse

LONGEST_LINE: Final = 64 * 1024
"""Bytes of a line. A longer one is no row of any bill."""

NUMBER: Final = r"[0-9A-Za-z_.:/@*|+=-]{1,64}"
"""What can be a number of ours or of a platform's."""

AMOUNT: Final = {
    Unit.FEN: r"[+-]?[0-9]{1,12}",
    Unit.YUAN: r"[+-]?[0-9]{1,10}([.][0-9]{1,8})?",
    Unit.SIGNED_FEN: r"[CD]?[0-9]{1,12}",
}
"""How an amount is written. Both engines of regular expressions read these."""

_DIRECTIVES: Final = {"Y": 4, "m": 2, "d": 2, "H": 2, "M": 2, "S": 2}
_NUMBER: Final = re.compile(NUMBER)
_AMOUNT: Final = {unit: re.compile(pattern) for unit, pattern in AMOUNT.items()}


@dataclass(frozen=True, slots=True)
class Moment:
    """A ``strptime`` format whose parts all have a fixed place.

    ``parts`` maps a directive to where it begins and ends, ``between`` are the characters around them, by place.
    Without a year it is the one in which the time lies nearest to the bill's day.
    """

    format: str
    parts: Mapping[str, tuple[int, int]]
    between: tuple[tuple[int, str], ...]
    pattern: re.Pattern[str]
    width: int

    @classmethod
    def of(cls, text: str) -> Moment:
        """The moment that ``text`` describes. Raises ``ValueError`` for a format that no layout may have."""
        parts: dict[str, tuple[int, int]] = {}
        between: list[tuple[int, str]] = []
        pattern, width = "", 0
        for directive, plain in re.findall(r"%(.)|([^%])", text, re.DOTALL):
            if plain:
                between.append((width, plain))
                pattern += re.escape(plain)
                width += 1
                continue
            size = _DIRECTIVES.get(directive)
            if size is None or directive in parts:
                raise ValueError(text)
            parts[directive] = (width, width + size)
            pattern += f"[0-9]{{{size}}}"
            width += size
        if not text.isascii() or not {"m", "d"} <= parts.keys():
            raise ValueError(text)
        return cls(text, parts, tuple(between), re.compile(pattern), width)

    def read(self, text: str, *, near: date) -> datetime:
        """The time (naive) that ``text`` says. Raises ``ValueError``."""
        if self.pattern.fullmatch(text) is None:
            raise ValueError
        month, day, hour, minute, second = (self._part(text, name) for name in "mdHMS")
        year = self._part(text, "Y") if "Y" in self.parts else nearest_year(month, near=near)
        return datetime(year, month, day, hour, minute, second)  # noqa: DTZ001 - Beijing's, by the layout

    def _part(self, text: str, name: str) -> int:
        return int(text[slice(*self.parts[name])]) if name in self.parts else 0


def nearest_year(month: int, *, near: date) -> int:
    """The year in which ``month`` is nearest to ``near``: a bill of January may hold a row of December."""
    return near.year + (month - near.month < -6) - (month - near.month > 6)


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleReading:
    """A rule with the places of its cells, and its words as single bytes."""

    rule: RowRule
    when: tuple[tuple[int, frozenset[str]], ...]
    amount: int
    number: int | None
    platform_no: int | None
    original_no: int | None
    fee: int | None
    net: int | None
    state: int | None
    states: Mapping[str, RowState]
    at: tuple[int, ...]
    at_moment: Moment
    settles_on: int | None
    settles_moment: Moment

    def moment(self, text: str, *, near: date) -> datetime | None:
        """When the row's event was, by the text of its cells; ``None`` where that is no time."""
        try:
            return self.at_moment.read(text, near=near).replace(tzinfo=BEIJING)
        except ValueError:
            return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """How the rows of one bill read."""

    bill: BillFile
    layout: BillLayout
    rules: tuple[RuleReading, ...]
    cells: Callable[[str], list[str] | None]

    @classmethod
    def of(cls, bill: BillFile, layout: BillLayout) -> Reading:
        """The layout applied to the file's own columns.

        Raises ``ValidationError`` (``bill.column_missing``), which names the first column that is not there.
        """
        form = layout.form
        if isinstance(form, Delimited):
            cells = _delimited(form, len(bill.columns))
        else:
            cells = _fixed_width(form, len(bill.columns))
        return cls(
            bill=bill, layout=layout, rules=tuple(_rule(bill, layout, rule) for rule in layout.rules), cells=cells
        )

    @property
    def strip(self) -> str:
        """What is taken off both ends of a cell."""
        return self.layout.form.strip if isinstance(self.layout.form, Delimited) else " "

    def words(self) -> Iterator[str]:
        """Every word, as single bytes, that cells are compared with."""
        for rule in self.rules:
            yield from rule.states
            for _, values in rule.when:
                yield from values

    def refuse_row(self, *, line: int, column: str) -> NoReturn:
        """Raise the error of a row that cannot be read: ``bill.row``, by line and column, without what stands there."""
        refuse("row", platform=self.bill.platform, field=column, line=line, bill=self.bill.kind.value)


def fen_of(text: str, *, unit: Unit, sign: int) -> int:
    """The fen of a written amount; ``sign`` counts where it is written without one. Raises ``ValueError``.

    Digits beyond the second decimal are rounded half up, away from zero.
    """
    if _AMOUNT[unit].fullmatch(text) is None:
        raise ValueError
    digits = text.lstrip("+-CD")
    if len(digits) < len(text):
        sign = -1 if text[0] in "-D" else 1
    if unit is not Unit.YUAN:
        return sign * int(digits)
    whole, _, decimals = digits.partition(".")
    return sign * (int(whole) * 100 + int(decimals[:2].ljust(2, "0")) + (decimals[2:3] >= "5"))


def number_of(cell: str, *, strip: str) -> str | None:
    """The number in a cell, without the blanks among the characters of ``strip``; ``None`` where there is none."""
    text = cell.translate(dict.fromkeys(map(ord, blanks(strip)))).strip(strip)
    return text if _NUMBER.fullmatch(text) else None


def blanks(strip: str) -> str:
    """Those characters of ``strip`` that no number has, so that they may be left out wherever they stand."""
    return "".join(one for one in strip if _NUMBER.fullmatch(one) is None)


def _rule(bill: BillFile, layout: BillLayout, rule: RowRule) -> RuleReading:
    strip = layout.form.strip if isinstance(layout.form, Delimited) else " "

    def place(column: str) -> int:
        if column not in bill.columns:
            refuse("column_missing", platform=bill.platform, field=column, bill=bill.kind.value)
        return bill.columns.index(column)

    def maybe(column: str | None) -> int | None:
        return None if column is None else place(column)

    def word(text: str) -> str:
        return text.encode(layout.encoding).decode("latin-1").strip(strip)

    return RuleReading(
        rule=rule,
        when=tuple((place(column), frozenset(map(word, values))) for column, values in rule.when.items()),
        amount=place(rule.amount),
        number=maybe(rule.number),
        platform_no=maybe(rule.platform_no),
        original_no=maybe(rule.original_no),
        fee=maybe(rule.fee),
        net=maybe(rule.net),
        state=maybe(rule.state),
        states={word(text): state for text, state in rule.states.items()},
        at=tuple(map(place, rule.at)),
        at_moment=Moment.of(rule.at_format),
        settles_on=maybe(rule.settles_on),
        settles_moment=Moment.of(rule.settles_on_format),
    )


def _delimited(form: Delimited, count: int) -> Callable[[str], list[str] | None]:
    separator, strip, quote = form.separator, form.strip, form.quote
    doubled = quote * 2

    def unquoted(cell: str) -> str:
        cell = cell.strip(strip)
        if len(cell) > 1 and cell[0] == quote == cell[-1]:
            return cell[1:-1].replace(doubled, quote).strip(strip)
        return cell

    def cells(line: str) -> list[str] | None:
        found = line.split(separator)
        if quote and quote in line:
            found = _joined(found, separator=separator, strip=strip, quote=quote)
            found = [unquoted(cell) for cell in found]
        else:
            found = [cell.strip(strip) for cell in found]
        return found if len(found) == count else None

    return cells


def _joined(pieces: list[str], *, separator: str, strip: str, quote: str) -> list[str]:
    """Pieces of a line put together again where a separator stood between quotes.

    A cell is quoted when it begins with the quote; it ends at the first separator before which the quotes are even. One
    that never ends so is not quoted at all.
    """
    found: list[str] = []
    at = 0
    while at < len(pieces):
        end = at + 1
        if pieces[at].lstrip(strip).startswith(quote):
            quotes = pieces[at].count(quote)
            while quotes % 2 and end < len(pieces):
                quotes += pieces[end].count(quote)
                end += 1
            if quotes % 2:
                end = at + 1
        found.append(separator.join(pieces[at:end]))
        at = end
    return found


def _fixed_width(form: FixedWidth, count: int) -> Callable[[str], list[str] | None]:
    places = form.places[:count]
    least = places[-1].start

    def cells(line: str) -> list[str] | None:
        return [line[place].strip(" ") for place in places] if len(line) > least else None

    return cells
