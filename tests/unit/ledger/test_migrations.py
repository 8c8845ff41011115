"""Running all migrations gives the tables that a new ledger gets at once."""

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text
from tests.ledger_house import House

from unicom_coupon_sdk.errors import LedgerError
from unicom_coupon_sdk.ledger import open_engine, prepare, schema
from unicom_coupon_sdk.ledger.preparation import migrations_folder, revision, upgrade


def scripts():
    config = Config()
    config.set_main_option("script_location", str(migrations_folder()))
    return ScriptDirectory.from_config(config)


@pytest.fixture
def migrated(tmp_path):
    engine = open_engine(f"sqlite:///{tmp_path / 'migrated.db'}")
    with engine.begin() as connection:
        upgrade(connection)
    yield engine
    engine.dispose()


def shape(engine):
    with engine.begin() as connection:
        rows = connection.execute(text("SELECT type, name, tbl_name, sql FROM sqlite_master")).all()
    return {
        (kind, name, table): " ".join((sql or "").replace('"', "").split())
        for kind, name, table, sql in rows
        if table != schema.VERSION_TABLE and not name.startswith("sqlite_")
    }


def test_the_history_is_that_of_the_scripts():
    assert tuple(script.revision for script in reversed(list(scripts().walk_revisions()))) == schema.HISTORY
    assert scripts().get_current_head() == schema.REVISION


def test_a_migrated_ledger_has_the_same_tables_indexes_and_triggers_as_a_new_one(migrated, file_house):
    old, new = shape(migrated), shape(file_house.engine)
    assert old.keys() == new.keys()
    for name in (name for name in new if name[0] != "table"):
        assert old[name] == new[name]


def test_alembic_finds_no_difference_between_the_migrations_and_the_tables(migrated):
    with migrated.begin() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": schema.VERSION_TABLE})
        assert compare_metadata(context, schema.metadata) == []


def test_a_migrated_ledger_works_and_needs_no_more_preparing(migrated):
    with migrated.begin() as connection:
        assert revision(connection) == schema.REVISION
    prepare(migrated)
    house = House(migrated)
    house.reverse(house.redeem(house.bound()))
    assert house.audit() == ()


def test_a_ledger_of_an_older_version_is_brought_up_to_date(tmp_path, monkeypatch):
    """Preparing runs the migrations that a known older version lacks, and keeps what is in it."""
    engine = open_engine(f"sqlite:///{tmp_path / 'old.db'}")
    prepare(engine)
    coupon = House(engine).bound()
    monkeypatch.setattr(schema, "HISTORY", ("0000", *schema.HISTORY))
    with engine.begin() as connection:
        connection.execute(text("UPDATE ledger_version SET version_num = '0000'"))
    called = []
    monkeypatch.setattr("unicom_coupon_sdk.ledger.preparation.upgrade", called.append)
    prepare(engine)
    assert len(called) == 1
    assert House(engine).state(coupon) == "available"
    engine.dispose()


def test_a_failed_migration_leaves_nothing_behind(tmp_path, monkeypatch):
    engine = open_engine(f"sqlite:///{tmp_path / 'broken.db'}")

    def fail(*_):
        raise LedgerError("ledger.failed")

    monkeypatch.setattr("unicom_coupon_sdk.ledger.append_only.guard", fail)
    with pytest.raises(LedgerError):
        prepare(engine)
    monkeypatch.undo()
    prepare(engine)
    assert House(engine).bound().state.value == "available"
    engine.dispose()
