"""pyiso8583, which shares nothing with ours but the wire: as a terminal against our hosts, as a host for our client.

The MAC, the key unwrapping and the coupon block are written out here again, from the sheet, over plain ``cryptography``.
"""

from __future__ import annotations

import socket
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher, modes
from tests.unit.unionpay_pos.host_bench import HostBench, settings
from tests.unit.unionpay_pos.test_unionpay_peers import peer_spec

from unicom_coupon_adapters.unionpay_pos.emulator import UnionPayPosEmulator
from unicom_coupon_adapters.unionpay_pos.transactions import Wish
from unicom_coupon_sdk.client import CouponClient
from unicom_coupon_sdk.sandbox import SandboxServer

pytestmark = pytest.mark.clients
iso8583 = pytest.importorskip("iso8583")

HEAD = bytes.fromhex("6000030000603100310100")
SPEC = peer_spec()


def ecb(key: bytes, data: bytes, *, decrypt: bool = False) -> bytes:
    whole = key * 3 if len(key) == 8 else key + key[:8]
    cipher = Cipher(TripleDES(whole), modes.ECB())
    worker = cipher.decryptor() if decrypt else cipher.encryptor()
    return worker.update(data) + worker.finalize()


def mac_of(key: bytes, body: bytes) -> bytes:
    body += bytes(-len(body) % 8)
    mixed = 0
    for at in range(0, len(body), 8):
        mixed ^= int.from_bytes(body[at : at + 8], "big")
    text = f"{mixed:016X}".encode()
    half = int.from_bytes(ecb(key, text[:8]), "big") ^ int.from_bytes(text[8:], "big")
    return ecb(key, half.to_bytes(8, "big")).hex().upper().encode()[:8]


def block(**tags: str) -> str:
    data = b"".join(
        bytes([int(name[1:], 16), len(value.encode("gbk"))]) + value.encode("gbk") for name, value in tags.items()
    )
    return (b"VA" + f"{len(data):03d}".encode() + data).hex().upper()


def tags_of(field62: str) -> dict[int, bytes]:
    data, found, at = bytes.fromhex(field62)[5:], {}, 0
    while at < len(data):
        found[data[at]] = data[at + 2 : at + 2 + data[at + 1]]
        at += 2 + data[at + 1]
    return found


def encoded(fields: dict[str, str], key: bytes | None) -> bytes:
    fields = dict(fields)
    if key is not None:
        fields["64"] = "0" * 16
    body, _ = iso8583.encode(fields, SPEC)
    body = bytes(body)
    return body if key is None else body[:-8] + mac_of(key, body[:-8])


def read_frame(peer: socket.socket) -> bytes:
    stream = b""
    while len(stream) < 2 or len(stream) < 2 + int.from_bytes(stream[:2], "big"):
        chunk = peer.recv(4096)
        if not chunk:
            raise ConnectionError
        stream += chunk
    return stream[2:]


class PeerTerminal:
    """A terminal made of pyiso8583 and a socket."""

    def __init__(self, port: int, tmk: bytes, number: str = "10000001") -> None:
        self.port, self.tmk, self.number, self.trace, self.batch = port, tmk, number, 0, "000001"
        self.key = b""

    def call(self, mti: str, *, sealed: bool = True, **fields: str) -> dict[str, str]:
        self.trace += "f11" not in fields
        message = {"t": mti, "p": "", "11": f"{self.trace:06d}", "41": self.number, "42": "999290054110001"}
        message |= {name[1:]: value for name, value in fields.items()}
        body = encoded(message, self.key if sealed else None)
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as peer:
            content = HEAD + body
            peer.sendall(len(content).to_bytes(2, "big") + content)
            answer = read_frame(peer)
        assert answer[:5].hex() == "6000000003"
        if sealed:
            assert mac_of(self.key, answer[11:-8]) == answer[-8:]
        decoded, _ = iso8583.decode(answer[11:], SPEC)
        return dict(decoded)

    def sign_on(self) -> None:
        serial = b"Sequence No12312500000001".hex().upper()
        answer = self.call("0800", sealed=False, f60="00000001004", f62=serial, f63="01 ")
        assert answer["39"] == "00"
        keys = bytes.fromhex(answer["62"])
        self.batch = answer["60"][2:8]
        wrapped, check = keys[20:28], keys[36:40]
        self.key = ecb(self.tmk, wrapped, decrypt=True)
        assert ecb(self.key, bytes(8))[:4] == check

    def coupon(self, mti: str, proc: str, kind: str, *, code: str, **fields: str) -> dict[str, str]:
        tags = {name: value for name, value in fields.items() if name.startswith("x")}
        more = {name: value for name, value in fields.items() if name.startswith("f")}
        return self.call(
            mti,
            f3=proc,
            f22="032",
            f25="63",
            f49="156",
            f60=f"{kind}{self.batch}000500",
            f62=block(x01=code, **tags),
            **more,
        )


def drive(terminal: PeerTerminal, code: str) -> None:
    """Sign-on, enquiry, redemption, reversal, void, settlement (the sheet's acceptance list)."""
    fen, total = f"{2_000:012d}", f"{10_000:012d}"
    terminal.sign_on()
    asked = terminal.coupon("0200", "310000", "03", code=code)
    assert (asked["39"], tags_of(asked["62"])[0x82]) == ("00", b"00")
    first = terminal.coupon("0200", "000000", "22", code=code, f4=fen, x04=total)
    assert (first["t"], first["39"]) == ("0210", "00")
    trace = f"{terminal.trace:06d}"
    wish = f"{terminal.number}{terminal.batch}{trace}"
    back = terminal.coupon("0400", "000000", "22", code=code, f4=fen, f11=trace, f39="98", x03=wish)
    assert (back["t"], back["39"]) == ("0410", "00")
    late = terminal.coupon("0200", "000000", "22", code=code, f4=fen, f11=trace, x04=total)
    assert late["39"] == "94"


@pytest.mark.parametrize("what", ["emulator", "host"])
def test_a_foreign_terminal_lives_through_its_day(what: str, tmp_path: Path) -> None:
    fen, total = f"{2_000:012d}", f"{10_000:012d}"
    if what == "emulator":
        with SandboxServer(emulators={"unionpay_pos": UnionPayPosEmulator}) as server:
            told = server.credentials["unionpay_pos"]
            codes = [one["code"] for one in server.control.issue_coupons("unionpay_pos", face_fen=2_000, count=2)]
            terminal = PeerTerminal(told["port"], bytes.fromhex(told["tmk_hex"]))
            live(terminal, codes, fen=fen, total=total)
            view = server.control.coupon("unionpay_pos", codes[1])
            assert view is not None
            assert view["state"] == "USABLE"
        return
    with HostBench(tmp_path) as bench:
        codes = [coupon.code.reveal() for coupon in bench.coupons(2)]
        terminal = PeerTerminal(bench.port, bytes.fromhex((tmp_path / "10000001.tmk").read_text()))
        live(terminal, codes, fen=fen, total=total)
        bench.run(bench.host.run_cancels())
        assert [bench.state(code) for code in codes] == ["available", "available"]


def live(terminal: PeerTerminal, codes: list[str], *, fen: str, total: str) -> None:
    drive(terminal, codes[0])
    done = terminal.coupon("0200", "000000", "22", code=codes[1], f4=fen, x04=total)
    assert done["39"] == "00"
    original = f"{terminal.batch}{terminal.trace:06d}"
    number = tags_of(done["62"])[0x81].decode()
    voided = terminal.coupon("0200", "200000", "23", code=codes[1], f4=fen, f37=done["37"], f61=original, x09=number)
    assert voided["39"] == "00"
    totals = f"{2_000:012d}001{2_000:012d}0010" + "0" * 31
    settled = terminal.call("0500", sealed=False, f48=totals, f49="156", f60=f"00{terminal.batch}201", f63="01 ")
    assert "39" not in settled
    assert (settled["48"][30], settled["48"][61]) == ("1", "1")


class PeerHost:
    """A host made of pyiso8583: it approves every redemption, and tells outcomes."""

    def __init__(self, tmk: bytes) -> None:
        self.tmk, self.mak = tmk, bytes.fromhex("4F6D20C8B36E9D01")
        self.seen: list[dict[str, Any]] = []
        self.server = socket.create_server(("127.0.0.1", 0))
        self.port = self.server.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                peer, _ = self.server.accept()
            except OSError:
                return
            with peer:
                content = read_frame(peer)
                answer = HEAD[:1] + content[3:5] + content[1:3] + content[5:11] + self.answer(content[11:])
                peer.sendall(len(answer).to_bytes(2, "big") + answer)

    def answer(self, body: bytes) -> bytes:
        asked = dict(iso8583.decode(body, SPEC)[0])
        self.seen.append(asked)
        fields = {name: asked[name] for name in ("3", "4", "11", "25", "41", "42", "49", "60") if name in asked}
        fields |= {"t": f"{int(asked['t']) + 10:04d}", "p": "", "12": "101500", "13": "0318", "32": "00012900"}
        fields |= {"37": f"{len(self.seen):012d}", "39": "00"}
        if asked["t"] == "0800":
            pik, tdk = bytes(range(16)), bytes(range(16, 32))
            parts = [ecb(self.tmk, pik), ecb(pik, bytes(8))[:4]]
            parts += [ecb(self.tmk, self.mak), bytes(8), ecb(self.mak, bytes(8))[:4]]
            parts += [ecb(self.tmk, tdk), ecb(tdk, bytes(8))[:4]]
            return encoded({**fields, "62": b"".join(parts).hex().upper()}, None)
        assert mac_of(self.mak, body[:-8]) == body[-8:]
        code = tags_of(asked["62"])[1].decode()
        told = block(x01=code, x81="CU1", x82="01", x8A="00")
        return encoded({**fields, "38": "A00001", "62": told}, self.mak)


def test_a_foreign_host_understands_our_client(tmp_path: Path) -> None:
    made = settings(tmp_path, role="terminal")
    host = PeerHost(bytes.fromhex((tmp_path / "10000001.tmk").read_text()))
    with CouponClient(settings(tmp_path, role="terminal", port=host.port, ledger="till.db")) as till:
        assert made.platforms.keys() == {"unionpay_pos"}
        lane = till.setting.adapter("unionpay_pos").terminal(None)  # type: ignore[attr-defined]
        deadline = till.clock.now() + timedelta(minutes=5)
        outcome = till.run(lane.carry_out(Wish("OP1", "redeem", "UC202603180000001", 5_000, deadline)))
        assert (outcome.effected.value, outcome.refs["unicom_no"]) == ("done", "CU1")
        assert [asked["t"] for asked in host.seen] == ["0800", "0200"]
        assert tags_of(host.seen[1]["62"])[3] == b"OP1"
    host.server.close()
