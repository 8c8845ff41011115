"""A reading as SQL: the rows of a part of a bill, as the plain reader would read them.

Most values have two expressions: one for the form in which they nearly always stand, proved by writing the value back
and finding the same text, and the exact rule for all else, which costs ten times as much. A row that cannot be read has
no state; which one it is and why is then for the plain reader to say.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from unicom_coupon_sdk.clearing.parts import ABSENT, BETWEEN, Part
from unicom_coupon_sdk.clearing.reading import AMOUNT, LONGEST_LINE, NUMBER, Moment, Reading, RuleReading, blanks
from unicom_coupon_sdk.domain.bill import RowKind, RowState
from unicom_coupon_sdk.platform.bill import Delimited, Unit

_USUAL: Final = {Unit.YUAN: "DECIMAL(12, 2)", Unit.FEN: "DECIMAL(12, 0)"}
"""Types that are written as amounts usually are."""


def quoted(text: str) -> str:
    """``text`` as a literal of SQL."""
    return "'" + text.replace("'", "''") + "'"


def listing(words: Iterable[str]) -> str:
    """Words as a list of SQL, in order; one that no word is in, if there are none."""
    return "(" + (", ".join(quoted(word) for word in sorted(words)) or "NULL") + ")"


def number_macro(strip: str) -> str:
    """A statement that makes ``number_of``: the number in a cell, or NULL."""
    text = _without("x", strip)
    value = f"CASE WHEN regexp_full_match({text}, {quoted(NUMBER)}) THEN {text} END"
    return f"CREATE OR REPLACE TEMP MACRO number_of(x) AS {value}"


def select_rows(reading: Reading, part: Part) -> str:
    """A query for the rows in ``part`` in their order; the parameter ``file`` is its path.

    Its columns: kind, state, number, platform_no, amount, fee, net, settles_on, rule, told_at. The platform's number
    and the time are as they stand in the file, and of a row of the kind OTHER nothing but the kind means anything.
    """
    sql = _RowSql(reading, part)
    return f"""
        SELECT
            {sql.by_rule(lambda rule: quoted(rule.rule.kind), otherwise=quoted(RowKind.OTHER))}::row_kind AS kind,
            CASE WHEN is_uneven THEN NULL WHEN rule IS NULL THEN {quoted(RowState.DONE)}
                 WHEN amount IS NULL OR {sql.is_unread("fee", lambda rule: rule.fee)}
                   OR {sql.is_unread("net", lambda rule: rule.net)}
                   OR {sql.is_unread("settles_on", lambda rule: rule.settles_on)} THEN NULL
                 ELSE state END::row_state AS state,
            number, platform_no, amount, fee, net, settles_on, rule, told_at
        FROM (
            SELECT *,
                {sql.by_rule(sql.state)} AS state,
                {sql.by_rule(lambda rule: sql.number(rule.number))}::VARCHAR AS number,
                {sql.by_rule(lambda rule: sql.cell(rule.platform_no))}::VARCHAR AS platform_no,
                {sql.by_rule(lambda rule: sql.amount(rule.amount, rule))}::BIGINT AS amount,
                {sql.by_rule(sql.fee)}::BIGINT AS fee,
                {sql.by_rule(lambda rule: sql.amount(rule.net, rule))}::BIGINT AS net,
                {sql.by_rule(sql.settles_on)}::DATE AS settles_on,
                {sql.by_rule(sql.told_at)}::VARCHAR AS told_at
            FROM (
                SELECT *, {sql.rule} AS rule
                FROM (SELECT {", ".join(["*", *sql.texts, *sql.usual])} FROM {sql.source})
            )
        )"""


def _without(text: str, strip: str) -> str:
    """As ``number_of`` strips a cell: blanks wherever they stand, which is quicker, and then both ends."""
    for blank in blanks(strip):
        text = f"replace({text}, {quoted(blank)}, '')"
    return text if blanks(strip) == strip else f"trim({text}, {quoted(strip)})"


class _RowSql:
    """The expressions of one reading over one part.

    ``rule`` is the place of the first rule that fits, or NULL. ``c<place>`` is a cell as it stands, ``t<place>`` one
    that is stripped, ``u<place>`` an amount read as it is usually written.
    """

    def __init__(self, reading: Reading, part: Part) -> None:
        self.reading, self.part = reading, part
        self.unit = reading.layout.unit
        cases = " ".join(f"WHEN {self._fits(rule)} THEN {at}" for at, rule in enumerate(reading.rules))
        self.rule = f"(CASE {cases} END)" if cases else "NULL::INTEGER"

    @property
    def source(self) -> str:
        """The cells of the part, or its lines."""
        form, count = self.reading.layout.form, len(self.reading.bill.columns)
        names = [f"c{at}" for at in range(count)]
        if isinstance(form, Delimited):
            # A cell is never NULL, so NULL tells where a row has none; behind the last there must be one.
            uneven = f"c{count - 1} IS NULL OR more IS NOT NULL"
            return f"(SELECT {uneven} AS is_uneven, {', '.join(names)} FROM {self._file(*names, 'more')})"
        uneven = f"length(line) <= {form.places[count - 1].start}"
        cells = [f"substr(line, {place.start + 1}, {place.stop - place.start})" for place in form.places[:count]]
        named = ", ".join(f"{cell} AS {name}" for cell, name in zip(cells, names, strict=True))
        return f"(SELECT {uneven} AS is_uneven, {named} FROM {self._file('line')} WHERE line IS NOT NULL)"

    def _file(self, *names: str) -> str:
        types = ", ".join(f"{name}: 'VARCHAR'" for name in names)
        return (
            f"read_csv($file, columns = {{{types}}}, delim = {quoted(self.part.separator)}, quote = '', escape = '',"
            f" header = false, auto_detect = false, compression = 'none', max_line_size = {LONGEST_LINE},"
            f" null_padding = true, nullstr = {quoted(ABSENT)})"
        )

    @property
    def texts(self) -> list[str]:
        """The cells that are compared as text: a word nearly always, alone or with one character to strip behind it."""
        words: dict[int, set[str]] = {}
        for rule in self.reading.rules:
            for at, some in rule.when:
                words.setdefault(at, set()).update(some)
            if rule.state is not None:
                words.setdefault(rule.state, set()).update(rule.states)
            if rule.settles_on is not None:
                words.setdefault(rule.settles_on, set())
        return [f"{self._text(at, sorted(some))} AS t{at}" for at, some in sorted(words.items())]

    @property
    def usual(self) -> list[str]:
        """The cells that are amounts, read as such where they may be."""
        if self.unit not in _USUAL:
            return []
        places = {at for rule in self.reading.rules for at in (rule.amount, rule.fee, rule.net) if at is not None}
        return [f"TRY_CAST({self.cell(at)} AS {_USUAL[self.unit]}) AS u{at}" for at in sorted(places)]

    def by_rule(self, expression: Callable[[RuleReading], str], *, otherwise: str | None = None) -> str:
        """``expression`` of the rule that fits; ``otherwise``, or anything, for a row that none fits."""
        places: dict[str, list[str]] = {}
        for at, rule in enumerate(self.reading.rules):
            places.setdefault(expression(rule), []).append(str(at))
        if otherwise is None and len(places) == 1:
            return f"({next(iter(places))})"
        cases = " ".join(f"WHEN rule IN ({', '.join(at)}) THEN {text}" for text, at in places.items())
        return f"(CASE {cases} ELSE {otherwise or 'NULL'} END)" if cases else f"({otherwise or 'NULL'})"

    def is_unread(self, value: str, place: Callable[[RuleReading], int | None]) -> str:
        """Whether something stands where ``value`` comes from, and it is NULL all the same."""

        def is_told(rule: RuleReading) -> str:
            at = place(rule)
            return "false" if at is None else f"{self._stripped(at)} <> ''"

        return f"(CASE WHEN {value} IS NULL THEN {self.by_rule(is_told, otherwise='false')} ELSE false END)"

    def state(self, rule: RuleReading) -> str:
        """By the words of the rule."""
        if rule.state is None:
            return quoted(RowState.DONE)
        cases = " ".join(f"WHEN {self._word(word)} THEN {quoted(state)}" for word, state in rule.states.items())
        return f"CASE t{rule.state} {cases} END" if cases else "NULL"

    def number(self, at: int | None) -> str:
        """Whatever stands in the cell, without what is stripped. What can be no number is sorted out later."""
        return "NULL" if at is None else _without(f"c{at}", self.reading.strip)

    def amount(self, at: int | None, rule: RuleReading) -> str:
        """In fen. A usual amount is proved by writing it back and finding the same text."""
        if at is None:
            return "NULL"
        exact = self._exact(at, rule.rule.sign)
        if self.unit not in _USUAL:
            return exact
        usual = f"(u{at} * {self._factor})::BIGINT"
        if "-" in self.reading.strip:  # then no sign counts as written
            usual = f"{rule.rule.sign} * abs({usual})"
        elif rule.rule.sign < 0:
            usual = f"-abs({usual})"
        return f"CASE WHEN u{at}::VARCHAR = c{at} THEN {usual} ELSE {exact} END"

    @property
    def _factor(self) -> int:
        return 100 if self.unit is Unit.YUAN else 1

    def _exact(self, at: int, sign: int) -> str:
        """Any amount that may be written: checked by its pattern, with its sign put as a number has it."""
        text = f"regexp_extract({self._stripped(at)}, {quoted(f'^(?:{AMOUNT[self.unit]})$')})"
        if sign < 0:
            text = f"regexp_replace({text}, '^([0-9])', '-\\1')"
        for written, put in (("+", ""), ("C", ""), ("D", "-")):
            text = f"replace({text}, {quoted(written)}, {quoted(put)})"
        return f"(TRY_CAST({text} AS DECIMAL(18, 2)) * {self._factor})::BIGINT"

    def fee(self, rule: RuleReading) -> str:
        """In fen, positive where the merchant pays it."""
        return f"{rule.rule.fee_sign} * {self.amount(rule.fee, rule)}"

    def told_at(self, rule: RuleReading) -> str:
        """The texts of the time, one behind the other."""
        return f" || {quoted(BETWEEN)} || ".join(f"c{at}" for at in rule.at) or "NULL"

    def cell(self, at: int | None) -> str:
        """A cell as it stands."""
        return "NULL" if at is None else f"c{at}"

    def settles_on(self, rule: RuleReading) -> str:
        """In Beijing."""
        return "NULL" if rule.settles_on is None else self._moment(f"t{rule.settles_on}", rule.settles_moment)

    def _fits(self, rule: RuleReading) -> str:
        tests = [f"t{at} IN ({', '.join(sorted(map(self._word, words)))})" for at, words in rule.when]
        return " AND ".join(tests) or "true"

    def _word(self, word: str) -> str:
        return quoted(self.part.word(word))

    def _text(self, at: int, words: Sequence[str]) -> str:
        ends = ("", *self.reading.strip)
        cases = [
            f"WHEN c{at} IN ({', '.join(quoted(self.part.word(word) + end) for end in ends)}) THEN {self._word(word)}"
            for word in words
        ]
        return f"CASE {' '.join(cases)} ELSE {self._stripped(at)} END" if cases else self._stripped(at)

    def _stripped(self, at: int) -> str:
        return f"trim(c{at}, {quoted(self.reading.strip)})"

    def _moment(self, text: str, moment: Moment) -> str:
        """The time that ``text`` says, put in the usual order. NULL for one that has another shape."""
        text = f"({text})"

        def part(name: str) -> str:
            begin, end = moment.parts.get(name, (0, 0))
            return f"substr({text}, {begin + 1}, {end - begin})" if end else "'00'"

        day = self.reading.bill.day
        month = f"TRY_CAST({part('m')} AS INT) - {day.month}"
        year = part("Y") if "Y" in moment.parts else f"({day.year} + ({month} < -6)::INT - ({month} > 6)::INT)::VARCHAR"
        usual = f"{year} || '-' || {part('m')} || '-' || {part('d')} || ' ' || "
        usual += " || ':' || ".join(map(part, "HMS"))
        if moment.format == "%Y-%m-%d %H:%M:%S":
            usual = text
        tests = [f"length({text}) = {moment.width}"]
        tests += [f"substr({text}, {at + 1}, 1) = {quoted(one)}" for at, one in moment.between]
        proof = f"TRY_CAST({usual} AS TIMESTAMP)::VARCHAR = {usual}"
        return f"CASE WHEN {' AND '.join([*tests, proof])} THEN TRY_CAST({usual} AS TIMESTAMP) END"
