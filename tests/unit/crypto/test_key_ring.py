"""Keys side by side: dates, serials, snapshots."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import pytest

from unicom_coupon_sdk.crypto.keyring import KeyRing
from unicom_coupon_sdk.errors import ForgedMessage, ValidationError

NOW = datetime(2026, 5, 20, 12, tzinfo=UTC)
DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)
OLD, NEW = "5157F09EFDC096DE15EBE81A47057A7232F1B8E1", "PUB_KEY_ID_0114232134912410000000000000"


@pytest.fixture
def ring() -> KeyRing[str]:
    ring: KeyRing[str] = KeyRing()
    ring.add(OLD, "old", NOW - 300 * DAY, NOW + DAY)
    ring.add(NEW, "new", NOW - DAY)
    return ring


def test_both_keys_are_found_while_both_are_valid(ring: KeyRing[str]) -> None:
    assert ring.find(OLD, NOW) == "old"
    assert ring.find(NEW, NOW) == "new"
    assert ring.serials() == (OLD, NEW)
    assert len(ring) == 2


@pytest.mark.parametrize(
    ("at", "found"),
    [
        (NOW - 300 * DAY - SECOND, False),
        (NOW - 300 * DAY, True),
        (NOW + DAY, True),
        (NOW + DAY + SECOND, False),
    ],
)
def test_the_first_and_the_last_moment_belong_to_a_key(ring: KeyRing[str], at: datetime, *, found: bool) -> None:
    if found:
        assert ring.find(OLD, at) == "old"
    else:
        with pytest.raises(ForgedMessage) as caught:
            ring.find(OLD, at)
        assert caught.value.code == "message.key_not_in_force"


def test_an_unknown_serial_is_a_typed_error_that_does_not_repeat_it(ring: KeyRing[str]) -> None:
    with pytest.raises(ForgedMessage) as caught:
        ring.find("<script>", NOW)
    assert caught.value.code == "message.unknown_key"
    assert "script" not in f"{caught.value!r}{caught.value.details}"


@pytest.mark.parametrize("written", [OLD.lower(), f" {OLD} ", "00" + OLD])
def test_a_serial_is_found_however_it_is_written(ring: KeyRing[str], written: str) -> None:
    assert ring.find(written, NOW) == "old"
    assert ring.knows(written)


def test_a_serial_printed_without_its_leading_zero_is_found() -> None:
    ring: KeyRing[int] = KeyRing()
    ring.add("0DEA10EF55877E3CF6C33255C2E7DEFFF7E427EC", 1)
    assert ring.find("dea10ef55877e3cf6c33255c2e7defff7e427ec", NOW) == 1


def test_short_key_ids_keep_their_zeros() -> None:
    ring: KeyRing[int] = KeyRing()
    ring.add("01", 1)
    ring.add("1", 2)
    assert (ring.find("01", NOW), ring.find("1", NOW)) == (1, 2)


def test_a_key_added_again_takes_the_place_of_the_first(ring: KeyRing[str]) -> None:
    ring.add(OLD.lower(), "renewed")
    assert ring.find(OLD, NOW + 999 * DAY) == "renewed"
    assert len(ring) == 2


def test_the_newest_valid_key_is_the_one_to_encrypt_with(ring: KeyRing[str]) -> None:
    assert ring.newest(NOW).verifier == "new"
    assert ring.newest(NOW - 2 * DAY).verifier == "old"
    with pytest.raises(ForgedMessage):
        ring.newest(NOW - 999 * DAY)


def test_of_keys_without_a_beginning_the_last_added_is_the_newest() -> None:
    ring: KeyRing[int] = KeyRing()
    ring.add("a", 1)
    ring.add("b", 2)
    assert ring.newest(NOW).verifier == 2


def test_expired_keys_are_dropped_and_counted(ring: KeyRing[str]) -> None:
    assert ring.drop_expired(NOW) == 0
    assert ring.drop_expired(NOW + 2 * DAY) == 1
    assert ring.serials() == (NEW,)


def test_a_dropped_key_is_unknown_and_dropping_it_again_is_no_error(ring: KeyRing[str]) -> None:
    ring.drop(OLD.lower())
    ring.drop(OLD)
    assert not ring.knows(OLD)


@pytest.mark.parametrize("which", ["not_before", "not_after"])
def test_a_date_without_a_zone_is_refused(which: str) -> None:
    with pytest.raises(ValidationError) as caught:
        KeyRing[int]().add("a", 1, **{which: datetime(2026, 1, 1)})  # noqa: DTZ001
    assert (caught.value.code, caught.value.field) == ("time.naive", which)


def test_an_empty_serial_is_refused() -> None:
    with pytest.raises(ValidationError):
        KeyRing[int]().add("  ", 1)


def test_no_addition_is_lost_between_writers_and_readers_see_whole_states() -> None:
    ring: KeyRing[int] = KeyRing()
    wrong: list[object] = []

    def write(start: int) -> None:
        for number in range(start, start + 100):
            ring.add(f"key {number}", number)

    def read() -> None:
        for _ in range(300):
            serials = ring.serials()
            wrong.extend(serial for serial in serials if ring.find(serial, NOW) != int(serial.removeprefix("key ")))

    threads = [threading.Thread(target=write, args=(start,)) for start in (0, 100)]
    threads.append(threading.Thread(target=read))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ring) == 200
    assert wrong == []
