"""Reading answers: every way of ending one, however it is cut into pieces, and every way of being none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unicom_coupon_sdk.platform.wire import HttpRequest
from unicom_coupon_sdk.runtime.exchange import LARGEST_HEAD, BadAnswer, Exchange

WHOLE = {
    "length": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-A:  1 \r\n\r\nhello",
    "no content": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    "no reason": b"HTTP/1.1 200\r\nContent-Length: 5\r\n\r\nhello",
    "status without content": b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n",
    "not modified": b"HTTP/1.1 304 Not Modified\r\n\r\n",
    "chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n3\r\nhel\r\n02;x=y\r\nlo\r\n0\r\n\r\n",
    "chunks with trailers": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-T: 1\r\n\r\n",
    "after others": b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
}


def sent(*, largest=1000, method="POST"):
    return Exchange(HttpRequest(method, "https://a.test/x", (), b"y"), (("Host", "a.test"),), largest=largest)


def read(data, **more):
    reader = sent(**more)
    assert reader.feed(data)
    return reader


@pytest.mark.parametrize("kind", WHOLE)
def test_an_answer_is_whole_at_its_last_byte_and_not_before(kind):
    reader, data = sent(), WHOLE[kind]
    assert [reader.feed(data[at : at + 1]) for at in range(len(data))] == [False] * (len(data) - 1) + [True]
    assert reader.content == (b"hello" if b"hel" in data else b"")
    assert reader.keeps_line


@given(cuts=st.lists(st.integers(0, 200), max_size=8), kind=st.sampled_from(sorted(WHOLE)))
def test_it_does_not_matter_how_an_answer_is_cut(cuts, kind):
    data, reader = WHOLE[kind], sent()
    ends = [*sorted({cut for cut in cuts if cut < len(data)} - {0}), len(data)]
    told = [reader.feed(data[begin:end]) for begin, end in zip([0, *ends], ends, strict=False)]
    assert told[-1]
    assert (reader.status, reader.content, reader.headers) == (
        read(data).status,
        read(data).content,
        read(data).headers,
    )


def test_headers_keep_order_case_and_repetition():
    reader = read(b"HTTP/1.1 200 OK\r\nx-B: 1\r\nX-a:\t2\t\r\nX-B:\r\nContent-Length: 0\r\n\r\n")
    assert reader.headers == (("x-B", "1"), ("X-a", "2"), ("X-B", ""), ("Content-Length", "0"))


def test_an_answer_to_head_has_no_content():
    for framing in (b"Content-Length: 500000", b"Transfer-Encoding: chunked", b"X-A: 1"):
        assert read(b"HTTP/1.1 200 OK\r\n" + framing + b"\r\n\r\n", method="HEAD").content == b""


def test_an_answer_without_length_goes_to_the_end_and_ends_the_line():
    reader = sent()
    assert not reader.feed(b"HTTP/1.1 200 OK\r\n\r\nhel")
    assert not reader.feed(b"lo")
    assert reader.feed(b"")
    assert (reader.content, reader.keeps_line) == (b"hello", False)


@pytest.mark.parametrize("kind", ["length", "chunks", "chunks with trailers", "after others", "no content"])
def test_an_end_in_the_middle_is_not_the_end_of_the_answer(kind):
    for at in range(1, len(WHOLE[kind])):
        reader = sent()
        assert not reader.feed(WHOLE[kind][:at])
        with pytest.raises(BadAnswer) as failure:
            reader.feed(b"")
        assert failure.value.reason == "closed"


@pytest.mark.parametrize(
    ("head", "keeps"),
    [
        (b"HTTP/1.1 200 OK\r\n", True),
        (b"HTTP/1.1 200 OK\r\nConnection: keep-alive\r\n", True),
        (b"HTTP/1.1 200 OK\r\nConnection: Close\r\n", False),
        (b"HTTP/1.1 200 OK\r\nConnection: x, close\r\n", False),
        (b"HTTP/1.1 200 OK\r\nConnection: x\r\nconnection: close\r\n", False),
        (b"HTTP/1.0 200 OK\r\n", False),
        (b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n", False),
    ],
)
def test_a_line_is_kept_only_if_both_may_think_so(head, keeps):
    assert read(head + b"Content-Length: 0\r\n\r\n").keeps_line is keeps


def test_bytes_that_nobody_asked_for_end_the_line():
    for data in (WHOLE["length"], WHOLE["chunks"], WHOLE["no content"]):
        assert not read(data + b"HTTP/1.1 200 OK\r\n").keeps_line


@pytest.mark.parametrize(
    "data",
    [
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"HTTP/2 200 OK\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\n\r\n",
        b"HTTP/1.1  200 OK\r\n\r\n",
        b"HTTP/1.1 099 Odd\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
        b"\r\nHTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX-A: 1\nX-B: 2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX-A: 1\rX-B: 2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX-A: 1\0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX-A: 1\r\n folded\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX-A : 1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n: 1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5, 6\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0x5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: ²\r\n\r\n".encode("latin-1"),
        b"HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1" * 21 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n",
    ],
)
def test_what_could_be_read_in_two_ways_is_refused(data):
    with pytest.raises(BadAnswer) as refusal:
        sent().feed(data)
    assert refusal.value.reason == "malformed"


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 999999999999999999\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n3\r\ndef",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffff\r\nabcdef",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"0" * (LARGEST_HEAD + 1),
        b"HTTP/1.1 200 OK\r\n\r\n123456",
        b"HTTP/1.1 200 OK\r\nX-A: " + b"x" * LARGEST_HEAD,
        b"HTTP/1.1 200 OK\r\nX-A: " + b"x" * LARGEST_HEAD + b"\r\n\r\n",
    ],
)
def test_what_is_too_large_is_refused_before_all_of_it_is_read(data):
    with pytest.raises(BadAnswer) as refusal:
        sent(largest=5).feed(data)
    assert refusal.value.reason == "too_large"


@given(st.binary(max_size=300))
def test_no_bytes_whatever_break_the_reader(data):
    for begin in (b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"):
        reader = sent(largest=100)
        try:
            reader.feed(begin + data)
        except BadAnswer:
            continue
        assert len(reader.content) <= 100
