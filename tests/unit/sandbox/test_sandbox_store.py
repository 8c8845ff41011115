"""The document store: transactions, order, durability against kill -9, and who may open it."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from unicom_coupon_sdk.errors import ConfigurationError
from unicom_coupon_sdk.sandbox.store import DocumentStore


@pytest.fixture(params=["memory", "disk"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[DocumentStore]:
    opened = DocumentStore(None if request.param == "memory" else tmp_path / "state.sqlite")
    yield opened
    opened.close()


def reopened(store: DocumentStore, path: Path) -> DocumentStore:
    store.close()
    return DocumentStore(path)


def test_a_document_comes_back_as_a_copy(store: DocumentStore) -> None:
    store.put("a", "1", {"x": [1], "名": "券"})
    found = store.get("a", "1")
    assert found == {"x": [1], "名": "券"}
    found["x"].append(2)
    assert store.get("a", "1") == {"x": [1], "名": "券"}


def test_documents_are_listed_in_the_order_of_first_writing(store: DocumentStore) -> None:
    for key in ("b", "a", "c"):
        store.put("k", key, {"n": 1})
    store.put("k", "b", {"n": 2})
    store.delete("k", "a")
    store.put("k", "a", {"n": 3})
    assert [(key, document["n"]) for key, document in store.all("k")] == [("b", 2), ("c", 1), ("a", 3)]


def test_a_transaction_that_raises_leaves_everything_as_it_was(store: DocumentStore) -> None:
    for key in ("1", "2", "3"):
        store.put("k", key, {"n": key})
    before = store.all("k")

    def fail() -> None:
        with store.transaction():
            store.delete("k", "1")
            store.put("k", "1", {"n": "again"})
            store.put("k", "4", {"n": "4"})
            store.put("k", "2", {"n": "changed"})
            store.delete("k", "2")
            assert store.next_number("n") == 1
            assert [key for key, _ in store.all("k")] == ["3", "1", "4"]
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert store.all("k") == before
    assert store.next_number("n") == 1


def test_an_inner_transaction_belongs_to_the_outer(store: DocumentStore) -> None:
    def fail() -> None:
        with store.transaction():
            with store.transaction():
                store.put("k", "1", {})
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert store.get("k", "1") is None


def test_numbers_count_from_one_for_each_name(store: DocumentStore) -> None:
    assert [store.next_number("a"), store.next_number("a"), store.next_number("b")] == [1, 2, 1]


def test_clear_forgets_all_but_the_keys(store: DocumentStore) -> None:
    store.put("keys", "k", {"step": 1})
    store.put("coupon", "1", {})
    store.next_number("a")
    store.clear()
    assert store.get("keys", "k") == {"step": 1}
    assert store.all("coupon") == []
    assert store.next_number("a") == 1


def test_everything_is_there_after_reopening_in_the_same_order(tmp_path: Path) -> None:
    path = tmp_path / "state.sqlite"
    store = DocumentStore(path)
    with store.transaction():
        for key in ("b", "a", "c"):
            store.put("k", key, {"key": key})
        store.delete("k", "b")
        store.put("k", "b", {"key": "b2"})
        store.put("k", "a", {"key": "a2"})
    expected = store.all("k")
    store.next_number("n")
    again = reopened(store, path)
    try:
        assert again.all("k") == expected
        assert again.next_number("n") == 2
        again.put("k", "d", {})
        assert [key for key, _ in again.all("k")] == ["a", "c", "b", "d"]
    finally:
        again.close()


def test_a_commit_that_fails_is_undone_in_memory_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = DocumentStore(tmp_path / "state.sqlite")
    store.put("k", "1", {"n": 1})
    assert store._database is not None
    store._database.execute("PRAGMA query_only = ON")
    with pytest.raises(sqlite3.OperationalError):
        store.put("k", "1", {"n": 2})
    assert store.get("k", "1") == {"n": 1}
    store._database.execute("PRAGMA query_only = OFF")
    store.put("k", "1", {"n": 3})
    again = reopened(store, tmp_path / "state.sqlite")
    assert again.get("k", "1") == {"n": 3}
    again.close()


def test_what_is_gathered_is_read_at_once_and_durable_after_a_flush(tmp_path: Path) -> None:
    path = tmp_path / "state.sqlite"
    store = DocumentStore(path)
    with store.gathered():
        store.put("k", "1", {"n": 1})
    store.flush()
    with store.gathered():
        store.put("k", "2", {"n": 2})
    assert [key for key, _ in store.all("k")] == ["1", "2"]
    again = reopened(store, path)
    assert [key for key, _ in again.all("k")] == ["1"]
    again.close()


def test_a_gathered_block_that_raises_undoes_only_itself(store: DocumentStore) -> None:
    def fail() -> None:
        with store.gathered():
            store.put("k", "1", {"n": "wrong"})
            store.put("k", "2", {})
            raise RuntimeError

    with store.gathered():
        store.put("k", "1", {"n": 1})
    with pytest.raises(RuntimeError):
        fail()
    store.flush()
    assert store.all("k") == [("1", {"n": 1})]


def test_a_flush_that_fails_undoes_all_that_was_gathered(tmp_path: Path) -> None:
    store = DocumentStore(tmp_path / "state.sqlite")
    store.put("k", "1", {"n": 1})
    for number in (2, 3):
        with store.gathered():
            store.put("k", "1", {"n": number})
            store.put("k", f"new{number}", {})
    assert store._database is not None
    store._database.execute("PRAGMA query_only = ON")
    with pytest.raises(sqlite3.OperationalError):
        store.flush()
    store._database.execute("PRAGMA query_only = OFF")
    assert store.all("k") == [("1", {"n": 1})]
    store.flush()
    store.close()


def test_a_second_sandbox_on_the_same_folder_is_refused(tmp_path: Path) -> None:
    first = DocumentStore(tmp_path / "state.sqlite")
    with pytest.raises(ConfigurationError) as error:
        DocumentStore(tmp_path / "state.sqlite")
    assert error.value.code == "sandbox.directory_in_use"
    first.close()


def test_a_file_that_is_no_store_is_refused(tmp_path: Path) -> None:
    (tmp_path / "state.sqlite").write_bytes(b"not a database, but long enough to be looked at" * 100)
    with pytest.raises(ConfigurationError) as error:
        DocumentStore(tmp_path / "state.sqlite")
    assert error.value.code == "sandbox.state_unreadable"


def test_the_file_is_its_owners_alone(tmp_path: Path) -> None:
    store = DocumentStore(tmp_path / "state.sqlite")
    store.put("k", "1", {})
    assert {path.stat().st_mode & 0o077 for path in tmp_path.iterdir()} == {0}
    store.close()


WRITER = """
import sys
from collections.abc import Iterator
from pathlib import Path
from unicom_coupon_sdk.sandbox.store import DocumentStore
store = DocumentStore(Path(sys.argv[1]))
while True:
    with store.transaction():
        number = store.next_number("n")
        store.put("k", str(number), {"n": number})
    sys.stdout.write(f"{number}\\n")
    sys.stdout.flush()
"""


def test_kill_9_loses_nothing_that_was_said(tmp_path: Path) -> None:
    path = tmp_path / "state.sqlite"
    with subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        for _ in range(200):
            writer.stdout.readline()
        os.kill(writer.pid, signal.SIGKILL)
        said = 200 + len([line for line in writer.stdout.read().splitlines(keepends=True) if line.endswith("\n")])
    store = DocumentStore(path)
    kept = [document["n"] for _, document in store.all("k")]
    assert kept == list(range(1, len(kept) + 1))
    assert len(kept) >= said
    assert store.next_number("n") == len(kept) + 1
    store.close()
