"""Every statement of the ledger can be written for both databases, and says the same in both."""

import importlib
import pkgutil
import re
from typing import NamedTuple

import pytest
from sqlalchemy import bindparam, select
from sqlalchemy.dialects.postgresql import psycopg
from sqlalchemy.dialects.sqlite import pysqlite

from unicom_coupon_sdk import ledger
from unicom_coupon_sdk.errors import LedgerError
from unicom_coupon_sdk.ledger import schema
from unicom_coupon_sdk.ledger.statement import Query, _Statement


class _Speaking:
    """What a statement asks of a connection before it runs."""

    def __init__(self, dialect):
        self.dialect = dialect


def statements():
    for module in pkgutil.iter_modules(ledger.__path__):
        if module.name == "migrations":
            continue
        loaded = importlib.import_module(f"{ledger.__name__}.{module.name}")
        for name, found in vars(loaded).items():
            if isinstance(found, _Statement):
                yield pytest.param(found, id=f"{module.name}.{name}")


ALL = list(statements())


def written(statement, dialect):
    return statement._compile(_Speaking(dialect)).text


@pytest.mark.parametrize("statement", ALL)
def test_a_statement_is_the_same_in_both_databases(statement):
    def plain(words):
        words = re.sub(r"%\(\w+\)s(::\w+)?|\?|NULL::\w+", "?", words)
        return " ".join(words.replace('"', "").split())

    lite = plain(written(statement, pysqlite.dialect())).replace(" LIMIT ? OFFSET ?", " LIMIT ?")
    full = plain(written(statement, psycopg.dialect()))
    full = full.replace(" FOR UPDATE OF coupon SKIP LOCKED", "")
    assert lite == re.sub(r" RETURNING \w+\.\w+$", "", full)


def test_there_are_statements_to_compare():
    assert len(ALL) > 50


def test_a_row_that_does_not_fit_its_statement_is_found_at_import():
    class Wrong(NamedTuple):
        state: str
        coupon_id: str

    with pytest.raises(TypeError, match="Wrong"):
        Query(select(schema.coupon.c.coupon_id, schema.coupon.c.state), Wrong)


def test_a_missing_value_is_an_error_and_not_a_null(house):
    class Id(NamedTuple):
        coupon_id: str

    query = Query(select(schema.coupon.c.coupon_id).where(schema.coupon.c.coupon_id == bindparam("which")), Id)
    with house.engine.begin() as connection, pytest.raises((KeyError, LedgerError)):
        query.one(connection, wich="C1")
