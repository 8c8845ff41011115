"""Preparing a database: a new one gets the tables, an old one is brought up to date, any other is refused."""

from __future__ import annotations

import sqlite3
from functools import cache
from pathlib import Path
from typing import Any

from sqlalchemy import Column, Connection, Engine, MetaData, String, Table, event, insert, inspect, select, text, update

from unicom_coupon_sdk.errors import LedgerError
from unicom_coupon_sdk.ledger import append_only, schema
from unicom_coupon_sdk.ledger.engine import is_in_memory, open_engine

_VERSION = Table(schema.VERSION_TABLE, MetaData(), Column("version_num", String(32), primary_key=True, nullable=False))
_LOCK = 0x756E69636F75706F  # "unicoupo": one preparation at a time on a shared PostgreSQL


def prepare(engine: Engine) -> None:
    """The database of ``engine``, ready. Safe to call from many processes at once, and again.

    Raises ``LedgerError``: ``ledger.newer`` (written by a later version of this package), ``ledger.not_a_ledger``,
    ``ledger.read_only``, ``ledger.cannot_open``, ``ledger.busy``.
    """
    if is_in_memory(engine):
        _prepare_memory(engine)
        return
    with engine.begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        found = revision(connection)
        if found == schema.REVISION:
            # A write that changes nothing: a ledger that cannot be written is found now, not at the first redemption.
            connection.execute(update(_VERSION).values(version_num=found))
            return
        if found is None:
            _create(connection)
        elif found in schema.HISTORY:
            upgrade(connection)
        else:
            raise LedgerError("ledger.newer", found=found, known=schema.REVISION)


def revision(connection: Connection) -> str | None:
    """The migration that a database stands at; ``None`` when it has none."""
    if not inspect(connection).has_table(schema.VERSION_TABLE):
        return None
    return connection.execute(select(_VERSION.c.version_num)).scalar()


def upgrade(connection: Connection) -> None:
    """Run the migrations that the database lacks, in the connection's transaction."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(migrations_folder()).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def migrations_folder() -> Path:
    """Where the migrations are."""
    return Path(__file__).parent / "migrations"


def _prepare_memory(engine: Engine) -> None:
    """A ledger in memory is a copy of one that was made before: many times faster than making its tables."""
    with engine.connect() as connection:
        driver: Any = connection.connection.dbapi_connection
        if driver.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0:
            driver.deserialize(_empty_image())


def _create(connection: Connection) -> None:
    """All tables as they are now, marked with the newest migration: what running all migrations would give."""
    names = set(inspect(connection).get_table_names())
    foreign = names if connection.dialect.name == "sqlite" else names & set(schema.metadata.tables)
    if foreign:
        raise LedgerError("ledger.not_a_ledger", reason="tables")
    schema.metadata.create_all(connection, checkfirst=False)
    append_only.guard(connection)
    _VERSION.create(connection, checkfirst=False)
    connection.execute(insert(_VERSION).values(version_num=schema.REVISION))


def memory_engine(image: bytes | None = None) -> Engine:
    """A ledger in memory, ready in a few milliseconds; empty, or as ``image_of`` another gave it.

    For tests and simulations: one connection, nothing durable, gone with the engine.
    """
    content = image if image is not None else _empty_image()
    engine = open_engine("sqlite://")

    def load(connection: sqlite3.Connection, _record: Any) -> None:
        connection.deserialize(content)
        connection.execute("PRAGMA foreign_keys = ON")

    event.listen(engine, "connect", load)
    return engine


def image_of(engine: Engine) -> bytes:
    """A copy of the whole in-memory ledger, for ``memory_engine``."""
    with engine.connect() as connection:
        driver: Any = connection.connection.dbapi_connection
        found: bytes = driver.serialize()
    return found


@cache
def _empty_image() -> bytes:
    engine = open_engine("sqlite://")
    try:
        with engine.begin() as connection:
            _create(connection)
        return image_of(engine)
    finally:
        engine.dispose()
