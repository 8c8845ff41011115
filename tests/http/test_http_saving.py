"""An answer that goes to disk: whole or not at all, within its limit, and for its owner alone."""

from __future__ import annotations

import gzip
import stat
import zlib
from dataclasses import replace

import pytest
from tests.peers import answering, call_to, ok, peer

from unicom_coupon_sdk.errors import ConfigurationError, PlatformUnknown
from unicom_coupon_sdk.runtime.transport import LARGEST_HELD

BILL = b"`2026-05-20,`1.00\r\n" * 20_000


def saving(call, path):
    return replace(call, save_to=path)


def test_the_body_is_in_the_file_and_nowhere_else(send, tmp_path):
    path = tmp_path / "bill"
    with peer(answering(ok(BILL, headers=b"X-Kind: bill\r\n"))) as server:
        answer = send(saving(call_to(server.port), path))
    assert (answer.status, answer.content, answer.header("x-kind")) == (200, b"", "bill")
    assert path.read_bytes() == BILL
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize(("coding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_a_transport_coding_is_undone_on_the_way(send, tmp_path, coding, pack):
    packed = ok(pack(BILL), headers=b"Content-Encoding: %s\r\n" % coding.encode())
    with peer(answering(packed)) as server:
        send(saving(call_to(server.port), tmp_path / "bill"))
    assert (tmp_path / "bill").read_bytes() == BILL


def test_a_refusal_comes_back_as_usual(send, tmp_path):
    refusal = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 2\r\n\r\n{}"
    with peer(answering(refusal)) as server:
        answer = send(saving(call_to(server.port), tmp_path / "bill"))
    assert (answer.status, answer.content, list(tmp_path.iterdir())) == (400, b"{}", [])


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        pytest.param(ok(BILL), "too_large", id="told too large"),
        pytest.param(b"HTTP/1.1 200 OK\r\n\r\n" + BILL, "too_large", id="grown too large"),
        pytest.param(ok(gzip.compress(BILL), headers=b"Content-Encoding: gzip\r\n"), "too_large", id="unpacked"),
        pytest.param(
            ok(gzip.compress(BILL[:900])[:-4], headers=b"Content-Encoding: gzip\r\n"), "coding", id="cut inside"
        ),
        pytest.param(ok(b"plain", headers=b"Content-Encoding: gzip\r\n"), "coding", id="not packed"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", "closed", id="cut"),
    ],
)
def test_what_does_not_come_whole_leaves_no_file(send, tmp_path, answer, reason):
    def script(line):
        line.request()
        line.send(answer)

    with peer(script) as server, pytest.raises(PlatformUnknown) as failure:
        send(saving(call_to(server.port, largest_answer=1_000), tmp_path / "bill"))
    assert failure.value.details["reason"] == reason
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("length", [b"Content-Length: %d\r\n" % (LARGEST_HELD + 1), b""], ids=["told", "grown"])
def test_what_answers_instead_of_the_file_is_not_taken_into_memory_without_end(send, tmp_path, length):
    def script(line):
        line.request()
        line.send(b"HTTP/1.1 500 Internal Server Error\r\n" + length + b"\r\n" + bytes(LARGEST_HELD + 1))

    with peer(script) as server, pytest.raises(PlatformUnknown) as failure:
        send(saving(call_to(server.port, largest_answer=4 * LARGEST_HELD), tmp_path / "bill"))
    assert failure.value.details["reason"] == "too_large"


def test_an_older_file_is_replaced_only_by_a_whole_one(send, tmp_path):
    path = tmp_path / "bill"
    path.write_bytes(b"older")
    with peer(lambda line: (line.request(), line.send(ok(BILL)[:-1]))) as server, pytest.raises(PlatformUnknown):
        send(saving(call_to(server.port), path))
    assert path.read_bytes() == b"older"


def test_a_folder_that_is_not_there_is_said(send, tmp_path):
    with peer(answering(ok(BILL))) as server, pytest.raises(ConfigurationError, match=r"runtime\.cannot_save"):
        send(saving(call_to(server.port), tmp_path / "gone" / "bill"))
