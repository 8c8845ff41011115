"""jPOS, the ISO 8583 framework of the Java world: it reads our dumps, is a terminal at our hosts, a host to our client.

``JposPeer.java`` is jPOS from Maven Central with the sheet's field table; its channels, its server and its packers are
its own, and the MAC is written out there again. Skipped where there is no JDK, no Maven, or no way to Maven Central.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("iso8583")  # the peer that the next module brings
from tests.clients.test_unionpay_iso8583 import PeerTerminal, block, live, tags_of
from tests.unit.unionpay_pos.host_bench import HostBench, settings
from tests.unit.unionpay_pos.samples import MESSAGES, body_of

from unicom_coupon_adapters.unionpay_pos.codec import unpack
from unicom_coupon_adapters.unionpay_pos.emulator import UnionPayPosEmulator
from unicom_coupon_adapters.unionpay_pos.fields import FIELDS, Content
from unicom_coupon_adapters.unionpay_pos.iso_message import FieldValue
from unicom_coupon_adapters.unionpay_pos.subfields import Balance, Totals, pack_totals
from unicom_coupon_adapters.unionpay_pos.transactions import Wish
from unicom_coupon_sdk.client import CouponClient
from unicom_coupon_sdk.sandbox import SandboxServer

pytestmark = pytest.mark.clients

HERE = Path(__file__).parent
VERSION = "jpos-2.1.10"
TEXTS = {37, 38, 39, 41, 42, 44, 49, 54, 63}
"""Fields that the peer shows as the bytes of their texts."""


@pytest.fixture(scope="session")
def java(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., list[str]]:
    """The command of the peer."""
    mvn, javac = shutil.which("mvn"), shutil.which("javac")
    if mvn is None or javac is None:
        pytest.skip("maven or a JDK is not installed")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "unicom-coupon-clients" / VERSION
    if not (cache / f"{VERSION}.jar").is_file():
        copy = ["dependency:copy-dependencies", f"-DoutputDirectory={cache}"]
        try:
            done = subprocess.run(
                [mvn, "-q", "-B", "-f", str(HERE / "jpos.xml"), *copy], capture_output=True, timeout=120, check=False
            )
        except subprocess.TimeoutExpired:
            pytest.skip("maven did not fetch jPOS in time")
        if done.returncode != 0:
            pytest.skip(f"maven could not fetch jPOS: exit {done.returncode}")
    classes = tmp_path_factory.mktemp("jpos")
    command = [javac, "-nowarn", "-d", str(classes), "-cp", f"{cache}/*", str(HERE / "JposPeer.java")]
    subprocess.run(command, capture_output=True, timeout=120, check=True)
    return lambda *words: ["java", "-cp", f"{classes}{os.pathsep}{cache}/*", "JposPeer", *words]


@contextmanager
def running(command: list[str]) -> Iterator[subprocess.Popen[str]]:
    """The peer, until the block ends."""
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def asked(process: subprocess.Popen[str], line: str) -> str:
    assert process.stdin is not None
    assert process.stdout is not None
    print(line, file=process.stdin, flush=True)
    return process.stdout.readline().strip()


def shown(number: int, value: FieldValue) -> str:
    """A field as the peer shows it."""
    if isinstance(value, bytes):
        return value.hex().upper()
    return value.encode("gbk").hex().upper() if number in TEXTS else value


def test_jpos_reads_every_dump_as_we_do_and_packs_it_to_the_same_bytes(java: Callable[..., list[str]]) -> None:
    bodies = [body_of(vector) for vector in MESSAGES]
    done = subprocess.run(
        java("repack"),
        input="".join(f"{body.hex()}\n" for body in bodies),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    for body, line in zip(bodies, done.stdout.splitlines(), strict=True):
        mti, *fields, packed = line.split(" ")
        ours = unpack(body)
        assert mti == ours.mti
        assert dict(field.split("=") for field in fields) == {
            str(number): shown(number, value) for number, value in sorted(ours.fields.items())
        }
        assert bytes.fromhex(packed) == body
    assert len(bodies) >= 34


def test_the_peers_field_table_knows_our_texts() -> None:
    assert {number for number, row in FIELDS.items() if row.shape.content in {Content.ASCII, Content.GBK}} == TEXTS


# --- jPOS as a terminal ---


class JposTerminal(PeerTerminal):
    """The terminal of ``JposPeer``: its NACChannel speaks to our host, and it checks every MAC and check value."""

    def __init__(self, process: subprocess.Popen[str], port: int, tmk: bytes) -> None:
        super().__init__(port, tmk)
        self.process = process

    def call(self, mti: str, *, sealed: bool = True, **fields: str) -> dict[str, str]:
        self.trace += "f11" not in fields
        told = {11: f"{self.trace:06d}", 41: self.number, 42: "999290054110001"}
        told |= {int(name[1:]): value for name, value in fields.items()}
        words = [f"{number}={value.encode().hex() if number in TEXTS else value}" for number, value in told.items()]
        line = asked(self.process, " ".join([mti, str(int(sealed)), *words]))
        assert line, "the peer has found the answer wrong"
        answer, *rest = line.split(" ")
        found = {name: value for name, _, value in (word.partition("=") for word in rest)}
        assert found.pop("head")[:10] == "6000000003"
        texts = {name: bytes.fromhex(value).decode("gbk") for name, value in found.items() if int(name) in TEXTS}
        return {"t": answer, **found, **texts}

    def sign_on(self) -> None:
        serial = b"Sequence No12312500000001".hex().upper()
        answer = self.call("0800", sealed=False, f60="00000001004", f62=serial, f63="01 ")
        assert answer["39"] == "00"
        self.batch = answer["60"][2:8]


@pytest.mark.parametrize("what", ["emulator", "host"])
def test_a_jpos_terminal_lives_through_its_day(what: str, java: Callable[..., list[str]], tmp_path: Path) -> None:
    fen, total = f"{2_000:012d}", f"{10_000:012d}"
    if what == "emulator":
        with SandboxServer(emulators={"unionpay_pos": UnionPayPosEmulator}) as server:
            told = server.credentials["unionpay_pos"]
            codes = [one["code"] for one in server.control.issue_coupons("unionpay_pos", face_fen=2_000, count=2)]
            with running(java("terminal", str(told["port"]), told["tmk_hex"])) as process:
                terminal = JposTerminal(process, told["port"], b"")
                live(terminal, codes, fen=fen, total=total)
                end(terminal)
        return
    with HostBench(tmp_path) as bench:
        codes = [coupon.code.reveal() for coupon in bench.coupons(2)]
        with running(java("terminal", str(bench.port), (tmp_path / "10000001.tmk").read_text())) as process:
            terminal = JposTerminal(process, bench.port, b"")
            live(terminal, codes, fen=fen, total=total)
            end(terminal)
        bench.run(bench.host.run_cancels())
        assert [bench.state(code) for code in codes] == ["available", "available"]


def end(terminal: PeerTerminal) -> None:
    """After the totals: the end of the upload, the sign-off, and the batch after it."""
    ended = terminal.call("0320", sealed=False, f48="0000", f60=f"00{terminal.batch}207")
    assert ended["39"] == "00"
    signed_off = terminal.call("0820", sealed=False, f60=f"00{terminal.batch}002")
    assert (signed_off["t"], signed_off["39"]) == ("0830", "00")
    terminal.sign_on()
    assert terminal.batch == "000002"


# --- jPOS as a host ---


@contextmanager
def jpos_host(java: Callable[..., list[str]], directory: Path) -> Iterator[tuple[subprocess.Popen[str], CouponClient]]:
    """The peer's ISOServer and a client of ours that is its terminal."""
    settings(directory, role="terminal")  # makes the keys
    with running(java("host", (directory / "10000001.tmk").read_text())) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        with CouponClient(settings(directory, role="terminal", port=port, ledger="till.db")) as till:
            yield process, till


def heard(process: subprocess.Popen[str]) -> dict[str, str]:
    """The next message that the host has had."""
    assert process.stdout is not None
    mti, *fields = process.stdout.readline().split()
    return {"t": mti, **dict(word.split("=") for word in fields)}


def wished(process: subprocess.Popen[str], **answers: str) -> None:
    for name, value in answers.items():
        mti, number = name[1:].split("_")
        assert asked(process, f"{mti}/{number}={value}") == "set"


def test_a_jpos_host_understands_our_client(java: Callable[..., list[str]], tmp_path: Path) -> None:
    """A redemption, and a settlement that does not agree; the host's header comes back with its address unswapped."""
    code = "UC202603180000001"
    with jpos_host(java, tmp_path) as (process, till):
        adapter: Any = till.setting.adapter("unionpay_pos")
        deadline = till.clock.now() + timedelta(minutes=5)
        wished(process, m0200_62=block(x01=code, x81="CU1", x82="01"), m0200_38="413030303031")
        done = till.run(adapter.terminal(None).carry_out(Wish("OP1", "redeem", code, 5_000, deadline)))
        assert (done.effected.value, done.refs["unicom_no"], done.refs["authorization"]) == ("done", "CU1", "A00001")
        assert heard(process)["t"] == "0800"
        redeemed = heard(process)
        assert (redeemed["t"], redeemed["4"], tags_of(redeemed["62"])[3]) == ("0200", "000000005000", b"OP1")
        uneven = Totals(balance=Balance.UNBALANCED), Totals(balance=Balance.BALANCED)
        wished(process, m0500_48=pack_totals(*uneven))
        settled = till.run(adapter.settle())
        assert (settled.is_balanced, settled.delivered) == (False, 1)
        sent = [heard(process) for _ in range(4)]
        assert [one["t"] for one in sent] == ["0500", "0320", "0320", "0820"]
        assert sent[0]["48"] == pack_totals(Totals(debit_fen=5_000, debits=1), Totals())
        assert sent[1]["48"] == f"0100{redeemed['11']}{'0' * 20}000000005000"
        assert (sent[2]["48"], sent[2]["60"][-3:]) == ("0001", "202")
