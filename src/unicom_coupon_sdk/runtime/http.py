"""HTTP for flows: the only file that knows an HTTP library.

Blocking calls go through ``httpx.Client``. Asyncio calls go over connections of our own (``lines.py``), since
``httpx.AsyncClient``'s pool takes many times as long as the call; a client object of the caller's, ``httpx.Client``
or ``httpx.AsyncClient``, takes the place of either. Whatever is below, a call is sent at most once: there are no
redirects, no cookies, no proxies from the environment, and nothing re-sends on a broken keep-alive connection behind
the flow's back. (A client of the caller's that runs on aiohttp does re-send a GET so, never a POST; aiohttp offers no
way to ask it not to.)

A TLS context costs 18 ms to make, so one is shared by all; connections are kept for each process, and each event loop.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NoReturn, Self

from unicom_coupon_sdk.errors import ConfigurationError, ValidationError
from unicom_coupon_sdk.platform.effects import HttpCall
from unicom_coupon_sdk.platform.wire import Headers, HttpAnswer, TransportRules
from unicom_coupon_sdk.runtime import forks
from unicom_coupon_sdk.runtime.saved import SavedBody, save, saves
from unicom_coupon_sdk.runtime.transport import (
    WHOLE_ANSWER,
    AsyncTransport,
    BlockingTransport,
    complete_headers,
    largest_held,
    no_answer,
    not_reached,
    whole_answer,
)

if TYPE_CHECKING:
    import httpx

    from unicom_coupon_sdk.runtime.lines import Connections

__all__ = [
    "AsyncHttp",
    "AsyncTransport",
    "BlockingHttp",
    "BlockingTransport",
    "async_transport",
    "blocking_transport",
    "tls_context",
]

_IDLE_CONNECTIONS = 64


@lru_cache(maxsize=1)
def _shared_tls() -> ssl.SSLContext:
    import httpx

    context = httpx.create_ssl_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def tls_context(given: ssl.SSLContext | None = None) -> ssl.SSLContext:
    """``given``, or the context that this process shares: TLS 1.2 at least, peers verified.

    Trust comes from ``SSL_CERT_FILE`` or ``SSL_CERT_DIR`` if set, else from certifi's list. Raises
    ``ConfigurationError`` (``transport.tls_weak``) when ``given`` allows less.
    """
    if given is None:
        return _shared_tls()
    oldest_ok = given.minimum_version in {ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3}
    if not oldest_ok or given.verify_mode is not ssl.CERT_REQUIRED or not given.check_hostname:
        raise ConfigurationError("transport.tls_weak", field="tls")
    return given


class BlockingHttp:
    """Performs ``HttpCall`` by ``httpx.Client``. Thread-safe and fork-safe; connects at the first call.

    A ``client`` of the caller's own keeps its proxies, certificates and hooks, is not closed here, and must not
    follow the process over a fork. ``tls`` replaces the shared TLS context.
    """

    def __init__(self, client: httpx.Client | None = None, *, tls: ssl.SSLContext | None = None) -> None:
        self._given = client
        self._tls = None if tls is None else tls_context(tls)
        self._own: httpx.Client | None = None
        self._of_parents: list[httpx.Client] = []
        self._connecting = threading.Lock()
        self._closed = False
        forks.watch(self)

    def send(self, call: HttpCall) -> HttpAnswer:
        """Send once and hand back the whole answer; raises as ``HttpCall`` says."""
        import httpx

        headers = complete_headers(call)
        client = self._client()
        request = _httpx_request(call, headers, is_ours=self._given is None)
        give_up_at = time.monotonic() + _whole_s(call.rules)
        try:
            with _unlogged():
                response = client.send(request, stream=True, auth=None, follow_redirects=False)
            try:
                if response.is_stream_consumed:
                    return _read_before(response, call)
                with _Body(call, response) as body:
                    for chunk in response.iter_raw():
                        body.take(chunk)
                        if time.monotonic() > give_up_at:
                            raise no_answer("timeout", host=call.request.host)
                    return body.finish()
            finally:
                response.close()
        except (httpx.HTTPError, httpx.StreamError, OSError) as error:
            _raise_httpx(error, host=call.request.host)

    def close(self) -> None:
        """Close our own connections. A later call raises ``ConfigurationError`` (``transport.closed``)."""
        self._closed = True
        client, self._own = self._own, None
        if client is not None:
            client.close()

    def after_fork(self) -> None:
        """In a child: the parent's connections are kept untouched, so that nothing is sent on them, not even an end."""
        self._connecting = threading.Lock()
        if self._own is not None:
            self._of_parents.append(self._own)
            self._own = None

    def _client(self) -> httpx.Client:
        if self._closed:
            raise ConfigurationError("transport.closed")
        client = self._given or self._own
        if client is None:
            client = self._connected()
        if client.is_closed:
            raise ConfigurationError("transport.closed")
        return client

    def _connected(self) -> httpx.Client:
        import httpx

        from unicom_coupon_sdk.runtime.lines import IDLE_S, MOST_LINES

        with self._connecting:
            if self._own is None:
                self._own = httpx.Client(
                    verify=self._tls or tls_context(),
                    trust_env=False,
                    limits=httpx.Limits(
                        max_connections=MOST_LINES,
                        max_keepalive_connections=_IDLE_CONNECTIONS,
                        keepalive_expiry=IDLE_S,
                    ),
                )
            return self._own


class AsyncHttp:
    """Performs ``HttpCall`` on asyncio: over connections of our own, or by a ``client`` of the caller's.

    Usable from several event loops and after a fork: each loop has its own connections, made at its first call and
    closed when the loop shuts down or ``close`` is called on it. The caller's client is neither closed nor shared
    by us.
    """

    def __init__(self, client: httpx.AsyncClient | None = None, *, tls: ssl.SSLContext | None = None) -> None:
        self._given = client
        self._tls = None if tls is None else tls_context(tls)
        self._sessions: dict[asyncio.AbstractEventLoop, Connections] = {}
        self._of_parents: list[Connections] = []
        forks.watch(self)

    async def send(self, call: HttpCall) -> HttpAnswer:
        """Send once and hand back the whole answer; raises as ``HttpCall`` says.

        When cancelled, the connection is closed: the request may or may not have arrived.
        """
        headers = complete_headers(call)
        if self._given is not None:
            return await _by_httpx(self._given, call, headers)
        session = self._sessions.get(asyncio.get_running_loop()) or await self._connected()
        return await session.send(call, headers)

    async def close(self) -> None:
        """Close this event loop's connections; a later call makes new ones."""
        session = self._sessions.pop(asyncio.get_running_loop(), None)
        if session is not None:
            await session.close()

    def after_fork(self) -> None:
        """In a child: the parent's connections are kept untouched."""
        self._of_parents.extend(self._sessions.values())
        self._sessions = {}

    async def _connected(self) -> Connections:
        from unicom_coupon_sdk.runtime.lines import Connections

        loop = asyncio.get_running_loop()
        for other in [known for known in self._sessions if known.is_closed()]:
            del self._sessions[other]
        session = self._sessions[loop] = Connections(self._tls or tls_context())
        await session.open()
        return session


def blocking_transport(http: httpx.Client | BlockingTransport | None) -> BlockingTransport:
    """Our own for ``None``; one over ``http`` when that is an ``httpx.Client``; else ``http`` itself."""
    if _is_httpx(http, "AsyncClient"):
        raise ConfigurationError("transport.kind", field="http", expected="httpx.Client")
    if http is None or _is_httpx(http, "Client"):
        return BlockingHttp(http)  # type: ignore[arg-type]
    return http  # type: ignore[return-value]


def async_transport(http: httpx.AsyncClient | AsyncTransport | None) -> AsyncTransport:
    """Our own for ``None``; one over ``http`` when that is an ``httpx.AsyncClient``; else ``http`` itself."""
    if _is_httpx(http, "Client"):
        raise ConfigurationError("transport.kind", field="http", expected="httpx.AsyncClient")
    if http is None or _is_httpx(http, "AsyncClient"):
        return AsyncHttp(http)  # type: ignore[arg-type]
    return http  # type: ignore[return-value]


def _is_httpx(http: object, kind: str) -> bool:
    # Whoever has such a client has imported httpx; whoever has not need not wait for it now.
    httpx = sys.modules.get("httpx")
    return httpx is not None and isinstance(http, getattr(httpx, kind))


async def _by_httpx(client: httpx.AsyncClient, call: HttpCall, headers: Headers) -> HttpAnswer:
    import httpx

    if client.is_closed:
        raise ConfigurationError("transport.closed")
    request = _httpx_request(call, headers, is_ours=False)
    try:
        async with asyncio.timeout(_whole_s(call.rules)):
            with _unlogged():
                response = await client.send(request, stream=True, auth=None, follow_redirects=False)
            try:
                if response.is_stream_consumed:
                    return _read_before(response, call)
                with _Body(call, response) as body:
                    async for chunk in response.aiter_raw():
                        body.take(chunk)
                    return body.finish()
            finally:
                await response.aclose()
    except (httpx.HTTPError, httpx.StreamError, OSError) as error:
        _raise_httpx(error, host=call.request.host)
    except Exception as error:
        if _is_aiohttps(error):  # which httpx-aiohttp lets through for an answer that is not HTTP
            _raise_aiohttp(error, host=call.request.host)
        raise


def _httpx_request(call: HttpCall, headers: Headers, *, is_ours: bool) -> httpx.Request:
    import httpx

    rules, target = call.rules, call.request.target.encode("ascii")
    try:
        request = httpx.Request(
            call.request.method,
            call.request.url,
            headers=[(name.encode("ascii"), value.encode("ascii")) for name, value in headers],
            content=call.request.content,
            extensions={
                "timeout": {
                    "connect": rules.connect_timeout_s,
                    "read": rules.read_timeout_s,
                    "write": rules.read_timeout_s,
                    "pool": rules.connect_timeout_s + rules.read_timeout_s,
                }
            },
        )
    except httpx.InvalidURL:
        raise ValidationError("transport.malformed", field="url") from None
    if request.url.raw_path != target:
        # httpx spells some URLs anew. Its own transport can be told the exact target; another's cannot.
        if not is_ours:
            raise ValidationError("transport.malformed", field="url")
        request.extensions["target"] = target
    return request


def _read_before(response: httpx.Response, call: HttpCall) -> HttpAnswer:
    # A caller's hook, cache or mock has read the answer already, and undone its coding.
    answer = HttpAnswer(response.status_code, _as_text(response.headers.raw), response.content)
    return save(answer, call)


class _Body:
    """The body of an answer as it comes, bound for memory or for the call's file; within the call's limit."""

    def __init__(self, call: HttpCall, response: httpx.Response) -> None:
        self._call, self._response = call, response
        self._headers = _as_text(response.headers.raw)
        self._content = bytearray()
        self._size = 0
        self._largest = call.rules.largest_answer if saves(call, response.status_code) else largest_held(call)
        self._saved: SavedBody | None = None

    def take(self, chunk: bytes) -> None:
        """The next bytes as received."""
        self._size += len(chunk)
        if self._size > self._largest:
            raise no_answer("too_large", host=self._call.request.host)
        if self._saved is None:
            self._content += chunk
        else:
            self._saved.take(chunk)

    def finish(self) -> HttpAnswer:
        """The whole answer."""
        if self._saved is not None:
            return self._saved.finish()
        return whole_answer(self._response.status_code, self._headers, bytes(self._content), call=self._call)

    def __enter__(self) -> Self:
        told = self._response.headers.get("content-length")
        if told is not None and told.isdecimal() and int(told) > self._largest:
            raise no_answer("too_large", host=self._call.request.host)
        if saves(self._call, self._response.status_code):
            coding = self._response.headers.get("content-encoding")
            self._saved = SavedBody(self._call, self._response.status_code, self._headers, coding=coding)
        return self

    def __exit__(self, *_: object) -> None:
        if self._saved is not None:
            self._saved.drop()


def _raise_httpx(error: Exception, *, host: str) -> NoReturn:
    """The failure as ours. What httpx says of a failed connection holds; all else may have been sent."""
    import httpx

    cause = error.__cause__
    if cause is not None and _is_aiohttps(cause):
        # httpx-aiohttp calls every lost connection a connect time-out; only what is beneath tells them apart.
        _raise_aiohttp(cause, host=host)
    if isinstance(error, httpx.ConnectTimeout):
        raise not_reached("timeout", host=host) from None
    if isinstance(error, httpx.PoolTimeout):
        raise not_reached("pool", host=host) from None
    if isinstance(error, httpx.ConnectError):
        raise not_reached("tls" if _is_tls(error) else "connect", host=host) from None
    if isinstance(error, httpx.ProxyError | httpx.UnsupportedProtocol):
        raise not_reached("connect", host=host) from None
    is_late = isinstance(error, httpx.TimeoutException | TimeoutError)
    raise no_answer("timeout" if is_late else "closed", host=host) from None


def _raise_aiohttp(error: BaseException, *, host: str) -> NoReturn:
    import aiohttp

    if isinstance(error, aiohttp.InvalidURL):
        raise ValidationError("transport.malformed", field="url") from None
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        raise not_reached("timeout", host=host) from None
    if isinstance(error, aiohttp.ClientConnectorError):
        raise not_reached("tls" if _is_tls(error) else "connect", host=host) from None
    raise no_answer("timeout" if isinstance(error, TimeoutError) else "closed", host=host) from None


def _is_aiohttps(error: BaseException) -> bool:
    return type(error).__module__.partition(".")[0] == "aiohttp"


def _is_tls(error: BaseException | None) -> bool:
    seen = 0
    while error is not None and seen < 8:
        if isinstance(error, ssl.SSLError):
            return True
        error, seen = error.__cause__ or error.__context__, seen + 1
    return False


def _as_text(raw: Any) -> Headers:
    return tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in raw)


def _whole_s(rules: TransportRules) -> float:
    return 2 * rules.connect_timeout_s + WHOLE_ANSWER * rules.read_timeout_s


_is_unlogged: ContextVar[bool] = ContextVar("unicom_coupon_unlogged", default=False)


class _OurCalls(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        return not _is_unlogged.get()


@contextmanager
def _unlogged() -> Iterator[None]:
    # httpx logs each URL at INFO, and URLs carry coupon codes. Our calls are silent; the caller's other calls are not.
    _install_filter()
    token = _is_unlogged.set(True)
    try:
        yield
    finally:
        _is_unlogged.reset(token)


@lru_cache(maxsize=1)
def _install_filter() -> None:
    for name in ("httpx", "httpcore.connection", "httpcore.http11", "httpcore.http2", "httpcore.proxy"):
        logging.getLogger(name).addFilter(_OurCalls())
