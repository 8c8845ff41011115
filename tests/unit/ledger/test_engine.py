import os
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from sqlalchemy import text
from tests.ledger_house import House, template

from unicom_coupon_sdk.errors import ConfigurationError, Effected, LedgerError
from unicom_coupon_sdk.ledger import image_of, memory_engine, open_engine, prepare, reading
from unicom_coupon_sdk.ledger.failures import ledger_error


def opened(path, **how):
    engine = open_engine(f"sqlite:///{path}", **how)
    prepare(engine)
    return engine


def pragma(engine, name):
    with engine.connect() as connection:
        return connection.exec_driver_sql(f"PRAGMA {name}").scalar()


def test_a_file_is_opened_so_that_what_is_written_stays(file_house):
    found = {name: pragma(file_house.engine, name) for name in ("journal_mode", "synchronous", "foreign_keys")}
    assert found == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}
    assert pragma(file_house.engine, "busy_timeout") == 30_000


def test_a_ledger_in_memory_keeps_its_keys_as_well(engine):
    if engine.dialect.name == "sqlite":
        assert pragma(engine, "foreign_keys") == 1


def test_preparing_again_changes_nothing(file_house):
    coupon = file_house.bound()
    prepare(file_house.engine)
    assert file_house.state(coupon) == "available"


def test_a_transaction_has_the_write_lock_from_its_begin(tmp_path):
    engine = opened(tmp_path / "ledger.db", busy_timeout_s=0.01)
    with engine.begin():
        with pytest.raises(LedgerError, match=r"ledger\.busy") as caught, engine.begin():
            pass
        assert (caught.value.retryable, caught.value.outcome) == (True, Effected.NOT_DONE)
    engine.dispose()


def test_reading_waits_for_no_writer_and_sees_one_state(tmp_path):
    engine = opened(tmp_path / "ledger.db", busy_timeout_s=0.01)
    house = House(engine)
    coupon = house.bound()
    with reading(engine) as connection:
        before = house.ledger.coupon(coupon.coupon_id)(connection)
        house.hold(coupon)
        assert house.ledger.coupon(coupon.coupon_id)(connection) == before
    with reading(engine) as connection:
        assert house.ledger.coupon(coupon.coupon_id)(connection).state.value == "held"
    engine.dispose()


def test_nothing_is_written_outside_a_transaction(house):
    with reading(house.engine) as connection, pytest.raises(LedgerError, match=r"ledger\.no_transaction"):
        house.ledger.issue(house.wish())(connection)
    with house.engine.connect() as connection, pytest.raises(LedgerError, match=r"ledger\.no_transaction"):
        house.ledger.issue(house.wish())(connection)
    assert house.run(house.ledger.statistics())["event.all"] == 0


@pytest.mark.parametrize("url", ["", "nonsense", "mysql://host/name", "/var/ledger.db"])
def test_an_address_that_is_no_ledger_is_refused(url):
    with pytest.raises(ConfigurationError, match=r"ledger\.url"):
        open_engine(url)


def test_an_address_with_a_password_is_not_in_the_error():
    with pytest.raises(ConfigurationError) as caught:
        open_engine("mysql://root:canary-1234@host/name")
    assert "canary" not in repr(caught.value)


def test_a_missing_directory_is_named(tmp_path):
    with pytest.raises(ConfigurationError, match=r"ledger\.no_directory"):
        open_engine(f"sqlite:///{tmp_path / 'none' / 'ledger.db'}")


def test_a_directory_is_no_file(tmp_path):
    with pytest.raises(ConfigurationError, match=r"ledger\.is_directory"):
        open_engine(f"sqlite:///{tmp_path}")


def test_a_file_that_is_no_database_is_left_alone(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("Not a database at all, but somebody's notes. " * 40)
    before = path.read_bytes()
    with pytest.raises(LedgerError, match=r"ledger\.not_a_ledger"):
        opened(path)
    assert path.read_bytes() == before


def test_a_database_of_somebody_else_is_left_alone(tmp_path):
    path = tmp_path / "other.db"
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE songs (title TEXT)")
    other.close()
    with pytest.raises(LedgerError, match=r"ledger\.not_a_ledger"):
        opened(path)
    with sqlite3.connect(path) as other:
        assert other.execute("SELECT name FROM sqlite_master").fetchall() == [("songs",)]
    other.close()


def test_a_ledger_of_a_newer_version_is_left_alone(file_house, tmp_path):
    with file_house.engine.begin() as connection:
        connection.execute(text("UPDATE ledger_version SET version_num = '9999'"))
    with pytest.raises(LedgerError, match=r"ledger\.newer") as caught:
        prepare(file_house.engine)
    assert caught.value.details["found"] == "9999"


def test_a_ledger_that_cannot_be_written_says_so(file_house, tmp_path):
    file_house.bound()
    file_house.engine.dispose()
    engine = open_engine(f"sqlite:///file:{tmp_path / 'ledger.db'}?mode=ro&uri=true")
    with pytest.raises(LedgerError, match=r"ledger\.read_only"):
        prepare(engine)
    engine.dispose()


def test_a_damaged_file_says_so(tmp_path):
    path = tmp_path / "ledger.db"
    engine = opened(path)
    House(engine).listed(200)
    with engine.begin() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
    engine.dispose()
    content = bytearray(path.read_bytes())
    for page in range(2, pages):
        content[page * 4096 : page * 4096 + 64] = b"\xff" * 64
    path.write_bytes(content)
    engine = open_engine(f"sqlite:///{path}")
    with pytest.raises(LedgerError, match=r"ledger\.corrupt"):
        House(engine).audit()
    engine.dispose()


def test_a_full_disk_says_so_and_keeps_what_was_written(tmp_path):
    engine = opened(tmp_path / "ledger.db")
    house = House(engine)
    coupon = house.bound()
    with engine.connect() as connection:  # the pool has this one connection, and hands it out again
        connection.connection.dbapi_connection.execute("PRAGMA max_page_count = 1")
    with pytest.raises(LedgerError, match=r"ledger\.full"):
        house.issue(500, key="many", seed=3)
    assert house.state(coupon) == "available"
    assert house.audit() == ()
    engine.dispose()


def test_an_error_keeps_the_drivers_name_and_none_of_its_words():
    error = sqlite3.IntegrityError("canary: a value of the row")
    error.sqlite_errorcode, error.sqlite_errorname = 2067, "SQLITE_CONSTRAINT_UNIQUE"
    found = ledger_error(error)
    assert (found.code, found.details) == ("ledger.constraint", {"reason": "SQLITE_CONSTRAINT_UNIQUE"})
    assert "canary" not in repr(found)


@pytest.mark.parametrize(
    ("state", "code", "retryable"),
    [
        ("40001", "ledger.moved", True),
        ("40P01", "ledger.moved", True),
        ("23505", "ledger.constraint", False),
        ("08006", "ledger.cannot_open", False),
        ("57P01", "ledger.cannot_open", False),
        ("53100", "ledger.full", False),
        ("25006", "ledger.read_only", False),
        ("XX000", "ledger.failed", False),
    ],
)
def test_postgresqls_states_have_our_codes(state, code, retryable):
    class DatabaseError(Exception):
        sqlstate = state

    found = ledger_error(DatabaseError("canary"))
    assert (found.code, found.retryable) == (code, retryable)


def test_a_commit_that_the_disk_failed_is_not_known(file_house):
    class Failing:
        def __call__(self, _dbapi_connection):
            error = sqlite3.OperationalError("disk I/O error")
            error.sqlite_errorcode, error.sqlite_errorname = sqlite3.SQLITE_IOERR, "SQLITE_IOERR_FSYNC"
            raise error

    coupon = file_house.bound()
    file_house.engine.dialect.do_commit = Failing()
    with pytest.raises(LedgerError, match=r"ledger\.commit_unknown") as caught:
        file_house.hold(coupon)
    del file_house.engine.dialect.do_commit
    assert caught.value.outcome is Effected.UNKNOWN
    assert file_house.audit() == ()


def test_a_ledger_in_memory_is_ready_in_milliseconds():
    memory_engine().dispose()
    times = []
    for _ in range(5):
        begun = time.perf_counter()
        engine = memory_engine()
        with engine.begin() as connection:
            connection.exec_driver_sql("SELECT count(*) FROM coupon")
        times.append(time.perf_counter() - begun)
        engine.dispose()
    assert min(times) < 0.005


def test_two_ledgers_in_memory_have_nothing_in_common(house):
    other = memory_engine()
    house.bound()
    assert House(other).run(house.ledger.statistics()).get("coupon.available") is None
    other.dispose()


def test_a_ledger_in_memory_can_be_copied_with_all_that_is_in_it():
    first = memory_engine()
    house = House(first)
    coupon = house.bound()
    copy = House(memory_engine(image_of(first)))
    house.hold(coupon)
    assert (house.state(coupon), copy.state(coupon), copy.audit()) == ("held", "available", ())
    first.dispose()
    copy.engine.dispose()


def test_preparing_an_empty_ledger_in_memory_gives_the_same_tables():
    engine = open_engine("sqlite://")
    prepare(engine)
    prepare(engine)
    assert House(engine).bound().state.value == "available"
    engine.dispose()


def test_threads_share_a_ledger(file_house):
    coupons = [file_house.bound() for _ in range(8)]
    threads = [
        threading.Thread(target=file_house.redeem, args=(coupon,), kwargs={"key": f"order-{number}"})
        for number, coupon in enumerate(coupons)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {file_house.state(coupon) for coupon in coupons} == {"redeemed"}
    assert file_house.audit() == ()


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded")
def test_a_child_uses_a_connection_of_its_own(file_house):
    coupon = file_house.bound()
    with file_house.engine.connect() as connection:
        parent = id(connection.connection.dbapi_connection)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            with file_house.engine.connect() as connection:
                shared = id(connection.connection.dbapi_connection) == parent
            file_house.hold(coupon)
            status = 2 if shared else 0
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert file_house.state(coupon) == "held"


def test_importing_the_ledger_does_not_import_alembic():
    script = "import sys, unicom_coupon_sdk.ledger as l; e = l.memory_engine(); sys.exit('alembic' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_postgresql_without_its_driver_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(ConfigurationError, match=r"ledger\.driver") as caught:
        open_engine("postgresql://somebody:canary@localhost/name")
    assert "canary" not in repr(caught.value)


def test_only_the_engine_speaks_one_databases_language():
    folder = Path(sys.modules["unicom_coupon_sdk.ledger"].__file__).parent
    for path in folder.glob("*.py"):
        if path.name not in ("engine.py", "preparation.py", "append_only.py"):
            assert "PRAGMA" not in path.read_text()
            assert "sqlite_master" not in path.read_text()


def test_templates_come_back_equal_whatever_their_benefit(house):
    from unicom_coupon_sdk.domain.coupon import Cash, Exchange, PercentOff, PhoneCredit

    for number, benefit in enumerate(
        (
            Cash(cash_fen=1),
            Exchange(item="一杯咖啡", worth_fen=9, price_fen=1),
            PercentOff(basis_points=1200, max_off_fen=500),
            PhoneCredit(credit_fen=3000),
        )
    ):
        made = template(template_id=f"T{number}", benefit=benefit, name="买一送一")
        house.run(house.ledger.add_template(made, now=house.now))
        assert house.run(house.ledger.template(f"T{number}")) == made
