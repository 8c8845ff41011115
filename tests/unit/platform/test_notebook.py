"""Notes: what adapters remember, in the ledger's own transactions."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest
from sqlalchemy import Engine

from unicom_coupon_sdk.ledger import open_engine, prepare
from unicom_coupon_sdk.platform.effects import Flow
from unicom_coupon_sdk.platform.notebook import Notebook, noting
from unicom_coupon_sdk.runtime import BlockingRuntime


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    made = open_engine(f"sqlite:///{tmp_path / 'ledger.db'}")
    prepare(made)
    yield made
    made.dispose()


def test_a_note_is_what_was_last_written_and_each_platform_has_its_own(engine: Engine) -> None:
    with engine.begin() as connection:
        notes, others = Notebook(connection, platform="pos"), Notebook(connection, platform="bank")
        assert notes.get("a") is None
        notes.put("a", {"n": 1})
        notes.put("a", {"n": 2, "文": "字"})
        assert (notes.get("a"), others.get("a")) == ({"n": 2, "文": "字"}, None)
        notes.delete("a")
        notes.delete("a")
        assert notes.get("a") is None


def test_opening_twice_keeps_the_first(engine: Engine) -> None:
    with engine.begin() as connection:
        notes = Notebook(connection, platform="pos")
        assert notes.opened("a", first={"n": 1}) == {"n": 1}
        assert notes.opened("a", first={"n": 9}) == {"n": 1}


def test_what_fails_leaves_no_note(engine: Engine) -> None:
    def fail(notes: Notebook) -> None:
        notes.put("a", {"n": 1})
        raise LookupError

    def flow() -> Flow[None]:
        yield from noting("pos", fail)

    with BlockingRuntime(engine=engine) as runtime, pytest.raises(LookupError):
        runtime.run(flow())
    with engine.begin() as connection:
        assert Notebook(connection, platform="pos").get("a") is None


def test_many_at_once_count_without_a_gap(engine: Engine) -> None:
    def count(notes: Notebook) -> int:
        note = notes.opened("count", first={"last": 0})
        notes.put("count", {"last": note["last"] + 1})
        return int(note["last"]) + 1

    def flow() -> Flow[int]:
        return (yield from noting("pos", count))

    counted: list[int] = []
    with BlockingRuntime(engine=engine) as runtime:
        threads = [Thread(target=lambda: counted.extend(runtime.run(flow()) for _ in range(10))) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(counted) == list(range(1, 41))
