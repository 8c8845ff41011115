"""Recorded exchanges: numbered, bounded, whole after a crash."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from pathlib import Path

import pytest

from unicom_coupon_sdk.sandbox.recorder import Exchange, Recorder


def exchange(text: str = "x", platform: str = "p", size: int = 0) -> Exchange:
    at = datetime(2026, 5, 20, tzinfo=UTC)
    headers = (("B", "1"), ("a", "2"))
    return Exchange(at, platform, f"GET /{text} HTTP/1.1", headers, b"\x00\xff" * size, 200, headers, text.encode())


def lines(recorder: Recorder, **query: object) -> list[str]:
    return [entry["request_line"].split("/")[1].split()[0] for entry in recorder.exchanges(**query)]  # type: ignore[arg-type]


@pytest.mark.parametrize("on_disk", [False, True])
def test_exchanges_come_back_whole_by_platform_and_number(tmp_path: Path, *, on_disk: bool) -> None:
    recorder = Recorder(tmp_path if on_disk else None)
    assert [
        recorder.record(exchange("a", size=3)),
        recorder.record(exchange("b", "q")),
        recorder.record(exchange("c")),
    ] == [1, 2, 3]
    (first, third) = recorder.exchanges(platform="p")
    assert base64.b64decode(first["body_b64"]) == b"\x00\xff" * 3
    assert first["headers"] == first["answer_headers"] == [["B", "1"], ["a", "2"]]
    assert (third["seq"], base64.b64decode(third["answer_b64"])) == (3, b"c")
    assert lines(recorder, since=1) == ["b", "c"]
    recorder.close()


def test_disk_use_is_bounded_and_the_newest_stay(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, segment_bytes=2000, segments=3)
    for number in range(100):
        recorder.record(exchange(str(number), size=200))
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 3 * 2000
    kept = lines(recorder)
    assert kept == [str(number) for number in range(100 - len(kept), 100)]
    assert 0 < len(kept) < 16
    recorder.close()


def test_an_exchange_larger_than_a_segment_is_kept(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, segment_bytes=100, segments=2)
    recorder.record(exchange("a", size=500))
    recorder.record(exchange("b", size=500))
    assert lines(recorder) == ["a", "b"]
    recorder.close()


def test_numbers_go_on_after_reopening_and_nothing_is_lost(tmp_path: Path) -> None:
    for start in (1, 3, 5):
        recorder = Recorder(tmp_path, segments=2)
        assert recorder.record(exchange(str(start))) == start
        assert recorder.record(exchange(str(start + 1))) == start + 1
        recorder.close()
    recorder = Recorder(tmp_path)
    assert lines(recorder) == ["1", "2", "3", "4", "5", "6"]
    recorder.close()


def test_an_exchange_without_an_answer_has_no_status(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path)
    recorder.record(exchange("a")._replace(status=None, answer_headers=(), answer=b""))
    (shown,) = recorder.exchanges()
    assert (shown["status"], shown["answer_headers"], shown["answer_b64"]) == (None, [], "")
    recorder.close()


def test_a_line_break_in_a_header_is_not_recorded_as_two(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path)
    with pytest.raises(ValueError, match="line break"):
        recorder.record(exchange("a")._replace(answer_headers=(("a", "b\nc"),)))
    assert recorder.exchanges() == []
    recorder.close()


@pytest.mark.parametrize("cut", [1, 5, 40])
def test_a_torn_last_record_is_dropped_and_overwritten(tmp_path: Path, cut: int) -> None:
    recorder = Recorder(tmp_path)
    recorder.record(exchange("a"))
    recorder.record(exchange("b"))
    recorder.close()
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:-cut])
    again = Recorder(tmp_path)
    assert lines(again) == ["a"]
    assert again.record(exchange("c")) == 2
    assert lines(again) == ["a", "c"]
    again.close()


@pytest.mark.parametrize("on_disk", [False, True])
def test_cleared_exchanges_are_gone_but_their_numbers_are_not_given_again(tmp_path: Path, *, on_disk: bool) -> None:
    recorder = Recorder(tmp_path if on_disk else None)
    recorder.record(exchange("a"))
    recorder.clear()
    assert recorder.exchanges() == []
    if on_disk:
        recorder.close()
        recorder = Recorder(tmp_path)
    assert recorder.record(exchange("b")) == 2
    recorder.close()
