"""Each test has a ledger of its own: in memory, or in the PostgreSQL that UNICOM_COUPON_TEST_POSTGRES names."""

from __future__ import annotations

import os

import pytest
from sqlalchemy import text
from tests.ledger_house import House

from unicom_coupon_sdk.ledger import memory_engine, open_engine, prepare


@pytest.fixture
def engine():
    address = os.environ.get("UNICOM_COUPON_TEST_POSTGRES")
    engine = open_engine(address) if address else memory_engine()
    if address:
        with engine.begin() as connection:
            connection.execute(text("DROP SCHEMA public CASCADE"))
            connection.execute(text("CREATE SCHEMA public"))
        prepare(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def house(engine):
    return House(engine)


@pytest.fixture
def shared_house(tmp_path, request):
    """A ledger that several processes can use."""
    if os.environ.get("UNICOM_COUPON_TEST_POSTGRES"):
        return request.getfixturevalue("house")
    return request.getfixturevalue("file_house")


@pytest.fixture
def file_house(tmp_path):
    engine = open_engine(f"sqlite:///{tmp_path / 'ledger.db'}")
    prepare(engine)
    yield House(engine)
    engine.dispose()
