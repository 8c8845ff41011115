"""The rules of ``matching`` as SQL, in the order in which the columnar engine runs them.

``ours`` and ``theirs`` hold the two sides, earlier days first; ``rowid`` is the place in that order. ``expected`` and
``listed`` are what of them belongs to the bill at hand. ``met`` is the result: which places belong together, and in
what they differ. Everything is typed; the words of our enumerations are enumerations there, in the same order.
"""

from __future__ import annotations

from datetime import date
from enum import StrEnum
from typing import Final

from unicom_coupon_sdk.clearing.matching import ORDERS, SHARES
from unicom_coupon_sdk.clearing.row_sql import listing, quoted
from unicom_coupon_sdk.domain.bill import BillKind, RowKind, RowState
from unicom_coupon_sdk.domain.reconciliation import DiscrepancyClass, MatchedBy


def _enumeration(name: str, words: type[StrEnum]) -> str:
    return f"CREATE TYPE {name} AS ENUM ({', '.join(quoted(word) for word in words)})"


_SHARES: Final = listing(SHARES)

TYPES: Final = (
    _enumeration("bill_kind", BillKind),
    _enumeration("row_kind", RowKind),
    _enumeration("row_state", RowState),
    _enumeration("found_class", DiscrepancyClass),
)

OURS: Final = {
    "bill": "bill_kind",
    "kind": "row_kind",
    "number": "VARCHAR",
    "platform_no": "VARCHAR",
    "amount": "BIGINT",
    "fee": "BIGINT",
    "state": "row_state",
    "day": "DATE",
    "settles_on": "DATE",
    "operation_id": "VARCHAR",
}
"""The columns of a snapshot."""

THEIRS: Final = {
    "kind": "row_kind",
    "state": "row_state",
    "number": "VARCHAR",
    "platform_no": "VARCHAR",
    "amount": "BIGINT",
    "fee": "BIGINT",
    "net": "BIGINT",
    "settles_on": "DATE",
    "rule": "UTINYINT",
    "told_at": "VARCHAR",
    "day": "DATE",
    "line": "BIGINT",
}
"""The rows of a bill. Those of earlier days have no ``rule``; those of the day have no ``line``, it is their place."""

CARRIED: Final = {
    "bill": "bill_kind",
    "kind": "row_kind",
    "number": "VARCHAR",
    "platform_no": "VARCHAR",
    "amount": "BIGINT",
    "fee": "BIGINT",
    "net": "BIGINT",
    "state": "row_state",
    "told_at": "VARCHAR",
    "settles_on": "DATE",
    "day": "DATE",
    "line": "BIGINT",
}
"""The columns of rows that are carried."""


def table(name: str, columns: dict[str, str]) -> str:
    """Make an empty table."""
    return f"CREATE OR REPLACE TEMP TABLE {name} ({', '.join(f'{column} {kind}' for column, kind in columns.items())})"


def snapshot(columns: dict[str, str]) -> str:
    """The lines of a file of ours, whose path is the parameter ``file``."""
    types = ", ".join(f"{column}: '{kind}'" for column, kind in columns.items())
    return (
        f"read_csv($file, columns = {{{types}}}, delim = ',', quote = '', escape = '', header = true,"
        " auto_detect = false, compression = 'none')"
    )


TAKE_OURS: Final = f"INSERT INTO ours SELECT * FROM {snapshot(OURS)}"

PLACES: Final = "SELECT DISTINCT kind, bill FROM ours"

COUNT_THEIRS: Final = "SELECT count(*) FROM theirs"


def take_carried(bill: BillKind) -> str:
    """Rows of earlier days' bills of one kind, from the parameter ``file``."""
    columns = ", ".join(column for column in THEIRS if column in CARRIED)
    return f"INSERT INTO theirs ({columns}) SELECT {columns} FROM {snapshot(CARRIED)} WHERE bill = {quoted(bill)}"


def take_rows(query: str, day: date) -> str:
    """The rows that ``query`` reads, of the bill of ``day``."""
    return f"INSERT INTO theirs SELECT *, {quoted(day.isoformat())}::DATE, NULL FROM ({query})"


def views(bill: BillKind, kinds: frozenset[RowKind]) -> tuple[str, str]:
    """What belongs to the bill at hand."""
    return (
        f"""CREATE OR REPLACE TEMP VIEW expected AS SELECT rowid AS seq, * FROM ours
            WHERE kind IN {listing(kinds)} AND (bill IS NULL OR bill = {quoted(bill)})""",
        f"""CREATE OR REPLACE TEMP VIEW listed AS SELECT rowid AS place, * FROM theirs
            WHERE kind <> {quoted(RowKind.OTHER)}""",
    )


_MET: Final = """
    SELECT t.place, o.seq, t.kind, t.state, o.operation_id, t.amount, t.fee, t.net, t.settles_on,
        t.amount <> o.amount OR coalesce(t.fee <> o.fee, false) AS amount_differs,
        t.state <> o.state AS state_differs,
        t.day <> o.day AS day_differs"""

JOIN: Final = f"""CREATE OR REPLACE TEMP TABLE met AS {_MET}, false AS by_platform_no
    FROM listed t FULL OUTER JOIN expected o ON t.kind = o.kind AND t.number = o.number"""

IS_CROSSED: Final = """
    SELECT (SELECT count(place) FROM met) > (SELECT count(*) FROM listed)
        OR (SELECT count(seq) FROM met) > (SELECT count(*) FROM expected)"""
"""Whether some number stands more than once on a side, and so was joined with more than one."""

NOTHING_CROSSED: Final = "CREATE OR REPLACE TEMP TABLE crossed (place BIGINT, seq BIGINT)"

CROSSED: Final = (
    """CREATE OR REPLACE TEMP TABLE crossed AS
        SELECT place, seq FROM met WHERE place IS NOT NULL AND seq IS NOT NULL AND (
        place IN (SELECT place FROM met WHERE place IS NOT NULL GROUP BY place HAVING count(*) > 1)
        OR seq IN (SELECT seq FROM met WHERE seq IS NOT NULL GROUP BY seq HAVING count(*) > 1))""",
    "DELETE FROM met WHERE seq IS NOT NULL AND place IN (SELECT place FROM crossed)",
)

REST: Final = (
    """CREATE OR REPLACE TEMP TABLE rest_theirs AS
        SELECT place, kind, amount,
            number_of(number) AS number, number_of(platform_no) AS platform_no
        FROM listed JOIN (SELECT place FROM met WHERE seq IS NULL UNION SELECT place FROM crossed) USING (place)""",
    """CREATE OR REPLACE TEMP TABLE rest_ours AS
        SELECT seq, kind, amount, number, platform_no, state
        FROM expected JOIN (SELECT seq FROM met WHERE place IS NULL UNION SELECT seq FROM crossed) USING (seq)""",
    "DELETE FROM met WHERE place IS NULL OR seq IS NULL",
    "CREATE OR REPLACE TEMP TABLE late (place BIGINT, seq BIGINT, by_platform_no BOOLEAN)",
)


def _round(*keys: str, by_platform_no: bool) -> str:
    columns = ", ".join(("kind", *keys))
    told = " AND ".join(f"{key} IS NOT NULL" for key in keys)

    def side(table: str, spot: str) -> str:
        return f"""(SELECT {spot}, {columns}, row_number() OVER (PARTITION BY {columns} ORDER BY {spot}) AS nth
            FROM {table} ANTI JOIN late USING ({spot}) WHERE {told})"""

    return f"""INSERT INTO late SELECT place, seq, {by_platform_no}
        FROM {side("rest_theirs", "place")} JOIN {side("rest_ours", "seq")} USING ({columns}, nth)"""


ROUNDS: Final = (
    _round("number", "platform_no", by_platform_no=False),
    _round("number", "amount", by_platform_no=False),
    _round("number", by_platform_no=False),
    _round("platform_no", by_platform_no=True),
    f"INSERT INTO met {_MET}, by_platform_no FROM late JOIN listed t USING (place) JOIN expected o USING (seq)",
)


def _left(rest: str, spot: str, identity: str, more: str) -> str:
    """What the rounds have left, and whether it repeats what stands before it under the same name."""
    return f"""
        SELECT {spot}, kind, amount, number, platform_no, {more}
            identity IS NOT NULL AND row_number() OVER (PARTITION BY kind, identity ORDER BY {spot}) > 1 AS repeats
        FROM (SELECT *, {identity} AS identity FROM {rest}) QUALIFY {spot} NOT IN (SELECT {spot} FROM late)"""


def _known(number: str, test: str) -> str:
    """Rows left over whose name is that of an entry, and the first of those."""
    return f"""
        SELECT l.place, min(o.seq) AS seq FROM left_theirs l
        JOIN expected o ON l.kind = o.kind AND l.{number} = o.{number}
            AND (l.kind NOT IN {_SHARES} OR l.amount = o.amount)
        WHERE {test} GROUP BY l.place"""


_ROW_IDENTITY: Final = f"""
    CASE WHEN number IS NULL THEN 'p' || platform_no ELSE 'n' || number END
        || CASE WHEN kind IN {_SHARES} THEN ' ' || amount ELSE '' END"""
_ENTRY_IDENTITY: Final = f"CASE WHEN kind IN {_SHARES} THEN number || ' ' || platform_no ELSE number END"

LEFT: Final = (
    f"CREATE OR REPLACE TEMP TABLE left_theirs AS {_left('rest_theirs', 'place', _ROW_IDENTITY, '')}",
    f"CREATE OR REPLACE TEMP TABLE left_ours AS {_left('rest_ours', 'seq', _ENTRY_IDENTITY, 'state,')}",
    f"""CREATE OR REPLACE TEMP TABLE known AS
        {_known("number", "l.number IS NOT NULL")} UNION ALL {_known("platform_no", "l.number IS NULL")}""",
)


def differing(lists: frozenset[RowKind]) -> str:
    """All that is to be said, by places. ``lists`` are the kinds of rows that are ours alone."""
    of = DiscrepancyClass
    return f"""CREATE OR REPLACE TEMP TABLE differing AS SELECT found::found_class AS found, place, seq FROM (
        SELECT CASE WHEN kind IN {_SHARES} THEN {quoted(of.SHARING_DIFFERS)} ELSE {quoted(of.AMOUNT_DIFFERS)} END
            AS found, place, seq FROM met WHERE amount_differs
        UNION ALL SELECT {quoted(of.STATE_DIFFERS)}, place, seq FROM met WHERE state_differs
        UNION ALL SELECT {quoted(of.DATE_DIFFERS)}, place, seq FROM met WHERE day_differs
        UNION ALL SELECT {quoted(of.DUPLICATE)}, place, seq FROM known
        UNION ALL
            SELECT CASE WHEN repeats THEN {quoted(of.DUPLICATE)} ELSE {quoted(of.MISSING_HERE)} END, place, NULL
            FROM left_theirs ANTI JOIN known USING (place) WHERE kind IN {listing(lists)}
        UNION ALL
            SELECT CASE WHEN repeats THEN {quoted(of.DUPLICATE)} ELSE {quoted(of.MISSING_THERE)} END, NULL, seq
            FROM left_ours WHERE state <> {quoted(RowState.FAILED)})"""


DIFFERENCES: Final = """
    SELECT found, seq IS NOT NULL, o.bill, o.kind, o.number, o.platform_no, o.amount, o.fee, o.state, o.day,
        o.settles_on, o.operation_id, place IS NOT NULL, t.kind, t.state,
        number_of(t.number) AS their_number, number_of(t.platform_no),
        t.amount, t.fee, t.net, t.settles_on, t.rule, t.told_at, t.day, coalesce(t.line, place - $carried + 1)
    FROM differing LEFT JOIN expected o USING (seq) LEFT JOIN listed t USING (place)
    ORDER BY found, coalesce(o.kind, t.kind), coalesce(o.number, their_number, ''), coalesce(place, -1),
        coalesce(seq, -1)
"""

UNREAD: Final = "SELECT count(*) FROM theirs WHERE state IS NULL"

TOTALS: Final = """
    SELECT kind, count(*), coalesce(sum(amount) FILTER (rule IS NOT NULL), 0),
        coalesce(sum(fee) FILTER (rule IS NOT NULL), 0)
    FROM theirs WHERE rowid >= $carried GROUP BY kind ORDER BY kind"""

AGREED: Final = """
    SELECT kind, count(*), sum(amount) FROM met WHERE NOT amount_differs AND NOT state_differs
    GROUP BY kind ORDER BY kind"""


def pairs(bill: BillKind) -> str:
    """Write what agrees to the parameter ``file``."""
    return f"""COPY (
        SELECT operation_id, {quoted(bill)}, kind, state,
            CASE WHEN kind IN {listing(ORDERS)} THEN {quoted(MatchedBy.TRADE_BILL)}
                WHEN by_platform_no THEN {quoted(MatchedBy.PLATFORM_NO)} ELSE {quoted(MatchedBy.NUMBER)} END,
            fee, net, settles_on
        FROM met WHERE NOT amount_differs AND NOT state_differs ORDER BY place
    ) TO $file (FORMAT csv, HEADER false)"""
