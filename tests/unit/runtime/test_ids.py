"""Ids."""

import os
import re
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta

from unicom_coupon_sdk.runtime.ids import Ulids

NOW = datetime(2026, 5, 20, 5, 29, 35, 123_000, tzinfo=UTC)
ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def number(ulid):
    value = 0
    for letter in ulid:
        value = value * 32 + ALPHABET.index(letter)
    return value


def test_an_id_is_26_letters_of_crockfords_base_32():
    assert re.fullmatch(r"[0-7][0-9A-HJKMNP-TV-Z]{25}", Ulids().new(NOW))


def test_an_id_begins_with_the_time_in_milliseconds():
    assert number(Ulids().new(NOW)) >> 80 == round(NOW.timestamp() * 1000)


def test_an_id_spells_its_number_as_the_specification_does():
    ids = Ulids(entropy=lambda count: b"\xff" * count)
    at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=1469918176385)  # the specification's example
    assert ids.new(at) == "01ARYZ6S41" + "FZZZZZZZZZZZZZZZ"


def test_ids_of_one_millisecond_are_in_order():
    ids = Ulids()
    many = [ids.new(NOW) for _ in range(2000)]
    assert many == sorted(set(many))


def test_ids_stay_in_order_when_the_clock_is_set_back():
    ids = Ulids()
    assert ids.new(NOW) < ids.new(NOW - timedelta(days=1)) < ids.new(NOW + timedelta(milliseconds=1))


def test_the_next_id_is_not_the_last_one_plus_one():
    ids = Ulids()
    steps = {number(ids.new(NOW)) - number(before) for before in [ids.new(NOW) for _ in range(1)]}
    steps |= {-(number(ids.new(NOW)) - number(ids.new(NOW))) for _ in range(50)}
    assert min(steps) > 1 << 32
    assert len(steps) == 51


def test_ids_go_on_in_the_next_millisecond_when_one_is_used_up():
    ids = Ulids(entropy=lambda count: b"\xff" * count)
    many = [ids.new(NOW) for _ in range(70_000)]
    assert many == sorted(set(many))
    assert number(many[-1]) >> 80 > number(many[0]) >> 80


def test_threads_never_get_the_same_id():
    ids, seen = Ulids(), []
    threads = [threading.Thread(target=lambda: seen.extend(ids.new(NOW) for _ in range(500))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(seen)) == 2000


def test_a_child_process_draws_other_ids_than_its_parent():
    script = (
        "import os\n"
        "from datetime import UTC, datetime\n"
        "from unicom_coupon_sdk.runtime.ids import Ulids\n"
        "ids, now = Ulids(entropy=os.urandom), datetime(2026, 5, 20, tzinfo=UTC)\n"
        "ids.new(now)\n"
        "child = os.fork()\n"
        "os.write(1, ids.new(now).encode() + b' ')\n"
        "child and os.waitpid(child, 0)\n"
    )
    if hasattr(os, "fork"):
        told = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True, timeout=60)
        first, second = told.stdout.split()
        assert abs(number(first) - number(second)) > 1 << 66
