"""A small ledger of counters, on SQLite as the real one is: explicit BEGIN IMMEDIATE, a new connection a process."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from tests.stores import open_store


@pytest.fixture
def engine(tmp_path):
    engine = open_store(tmp_path / "store.db")
    yield engine
    engine.dispose()


@pytest.fixture
def commits(engine):
    """One entry for each commit."""
    seen = []
    sa.event.listen(engine, "commit", seen.append)
    return seen
