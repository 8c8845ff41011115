"""A store of names for tests of transactions, opened as the ledger opens SQLite."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa

METADATA = sa.MetaData()
NAMES = sa.Table("names", METADATA, sa.Column("name", sa.String, primary_key=True))
PARENTS = sa.Table("parents", METADATA, sa.Column("id", sa.Integer, primary_key=True))
CHILDREN = sa.Table(
    "children",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("parent", sa.ForeignKey("parents.id", deferrable=True, initially="DEFERRED")),
)


def open_store(path: Path) -> sa.Engine:
    """An engine whose ``begin`` gives a write transaction."""
    engine = sa.create_engine(f"sqlite:///{path}", poolclass=sa.NullPool, connect_args={"timeout": 30})

    @sa.event.listens_for(engine, "connect")
    def _(connection, _record):
        connection.isolation_level = None
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA foreign_keys = ON")

    @sa.event.listens_for(engine, "begin")
    def _(connection):
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    METADATA.create_all(engine)
    return engine


def add(name):
    """A work that adds a name and returns it."""

    def work(connection):
        connection.execute(NAMES.insert().values(name=name))
        return name

    return work


def names(engine):
    """All names, sorted."""
    with engine.begin() as connection:
        return sorted(connection.scalars(sa.select(NAMES.c.name)))
