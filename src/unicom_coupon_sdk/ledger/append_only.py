"""Tables that the database itself refuses to change: conclusions and the journal are added to, never edited.

A correction is a new record: a reversal, a second conclusion. Whoever has to repair a ledger by hand drops the trigger
first, and that is seen.
"""

from __future__ import annotations

from sqlalchemy import Connection, text

TABLES = ("conclusion", "entry", "posting")

_FUNCTION = """
CREATE OR REPLACE FUNCTION ledger_append_only() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'append only' USING ERRCODE = 'restrict_violation'; END $$
"""


def guard(connection: Connection, tables: tuple[str, ...] = TABLES) -> None:
    """From now on no row of ``tables`` can be updated or deleted."""
    if connection.dialect.name == "postgresql":
        connection.execute(text(_FUNCTION))
        for table in tables:
            connection.execute(
                text(
                    f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE ON {table} "
                    "FOR EACH ROW EXECUTE FUNCTION ledger_append_only()"
                )
            )
        return
    for table in tables:
        for change in ("UPDATE", "DELETE"):
            connection.execute(
                text(
                    f"CREATE TRIGGER {table}_no_{change.lower()} BEFORE {change} ON {table} "
                    "BEGIN SELECT RAISE(ABORT, 'append only'); END"
                )
            )
