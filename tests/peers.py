"""Peers on loopback that follow a script, for tests of transports: they answer, fall silent, or drop the line."""

from __future__ import annotations

import datetime as dt
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from unicom_coupon_sdk.platform.effects import HttpCall
from unicom_coupon_sdk.platform.wire import Headers, HttpRequest, TransportRules

Script = Callable[["Line"], None]


class Line:
    """One accepted connection, from the peer's side."""

    def __init__(self, peer: Peer, connection: socket.socket) -> None:
        self.peer = peer
        self.connection = connection
        self._buffer = b""

    def request(self) -> bytes:
        """The next whole HTTP request; raises ``EOFError`` when the client has gone."""
        head_end = self._until(b"\r\n\r\n") + 4
        length = next(
            (
                int(line.split(b":")[1])
                for line in self._buffer[:head_end].split(b"\r\n")
                if line.lower().startswith(b"content-length:")
            ),
            0,
        )
        while len(self._buffer) < head_end + length:
            self._more()
        request, self._buffer = self._buffer[: head_end + length], self._buffer[head_end + length :]
        self.peer.requests.append(request)
        return request

    def frame(self) -> bytes:
        """The next whole frame."""
        while len(self._buffer) < 2 or len(self._buffer) < 2 + int.from_bytes(self._buffer[:2], "big"):
            self._more()
        end = 2 + int.from_bytes(self._buffer[:2], "big")
        frame, self._buffer = self._buffer[2:end], self._buffer[end:]
        self.peer.requests.append(frame)
        return frame

    def send(self, data: bytes) -> None:
        self.connection.sendall(data)

    def wait_for_end(self) -> None:
        """Until the client closes the line, or the test is over."""
        with suppress(OSError):
            while self.connection.recv(65536):
                pass
        self.peer.ended.set()

    def _until(self, mark: bytes) -> int:
        while (at := self._buffer.find(mark)) < 0:
            self._more()
        return at

    def _more(self) -> None:
        chunk = self.connection.recv(65536)
        if not chunk:
            raise EOFError
        self._buffer += chunk


class Peer:
    """A listening peer; each connection is served by the script, in its own thread."""

    def __init__(self, script: Script, *, tls: ssl.SSLContext | None = None) -> None:
        self.requests: list[bytes] = []
        self.connections = 0
        self.ended = threading.Event()
        self.stopping = threading.Event()
        self._script = script
        self._tls = tls
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._open: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            if self.stopping.is_set():
                connection.close()
                return
            self.connections += 1
            thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        with suppress(OSError, EOFError):
            if self._tls is not None:
                connection = self._tls.wrap_socket(connection, server_side=True)
            self._open.append(connection)
            self._script(Line(self, connection))
        connection.close()

    def close(self) -> None:
        self.stopping.set()
        with suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port), timeout=5).close()  # wakes the accepting thread
        self._listener.close()
        for connection in self._open:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(timeout=10)


@contextmanager
def peer(script: Script, *, tls: ssl.SSLContext | None = None) -> Iterator[Peer]:
    """A peer for the length of the block."""
    it = Peer(script, tls=tls)
    try:
        yield it
    finally:
        it.close()


def answering(answer: bytes) -> Script:
    """Answer every request with ``answer`` on a line that is kept."""

    def script(line: Line) -> None:
        while True:
            line.request()
            line.send(answer)

    return script


def ok(content: bytes = b'{"ok":true}', *, headers: bytes = b"") -> bytes:
    """A whole answer."""
    return b"HTTP/1.1 200 OK\r\n" + headers + b"Content-Length: %d\r\n\r\n" % len(content) + content


def call_to(
    port: int,
    *,
    method: str = "POST",
    target: str = "/v3/pay?x=1",
    headers: Headers = (),
    content: bytes = b"",
    scheme: str = "http",
    host: str = "127.0.0.1",
    timeout_s: float = 5.0,
    connect_timeout_s: float = 5.0,
    largest_answer: int = 1 << 20,
) -> HttpCall:
    """A call to a peer."""
    return HttpCall(
        request=HttpRequest(method, f"{scheme}://{host}:{port}{target}", headers, content),
        rules=TransportRules(
            allowed_hosts=frozenset({host}),
            connect_timeout_s=connect_timeout_s,
            read_timeout_s=timeout_s,
            largest_answer=largest_answer,
        ),
    )


def unused_port() -> int:
    """A port where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def self_signed(folder: Path, *, address: str = "127.0.0.1") -> tuple[Path, ssl.SSLContext]:
    """A throw-away certificate for ``address``: its file, and a server's context with it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a test")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address(address))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / "peer.pem"
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(pem)
    both = folder / "peer-key.pem"
    both.write_bytes(secret + pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(both)
    return path, context
