"""The acquirer's file of a clearing day: fetched from the sandbox, from an inbox, and made by hand with each mistake."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.unit.unionpay_pos.bench import block
from tests.unit.unionpay_pos.host_bench import HostBench
from tests.unit.unionpay_pos.test_unionpay_adapter import PLATFORM, Till

from unicom_coupon_adapters.unionpay_pos import bill_layouts, messages
from unicom_coupon_adapters.unionpay_pos.adapter import UnionPayPosAdapter
from unicom_coupon_adapters.unionpay_pos.compliance import SHIM
from unicom_coupon_adapters.unionpay_pos.coupon_block import Tag
from unicom_coupon_adapters.unionpay_pos.profile import CUT_OFF, PROFILE
from unicom_coupon_adapters.unionpay_pos.settings import UnionPayPosSettings
from unicom_coupon_sdk.client import CouponClient
from unicom_coupon_sdk.crypto.providers import Keys
from unicom_coupon_sdk.domain.bill import BillFile, BillKind, BillNotReady, NoBill, RowKind, Total
from unicom_coupon_sdk.domain.redemption import ReverseRequest
from unicom_coupon_sdk.domain.sensitive import Secret
from unicom_coupon_sdk.domain.state import OperationState
from unicom_coupon_sdk.domain.times import BEIJING
from unicom_coupon_sdk.errors import (
    ConfigurationError,
    ForgedMessage,
    PlatformUnavailable,
    UnsupportedOperation,
    ValidationError,
)
from unicom_coupon_sdk.ledger.preparation import memory_engine
from unicom_coupon_sdk.platform.adapter import CheckState
from unicom_coupon_sdk.platform.bill import BillOrder
from unicom_coupon_sdk.platform.bill_files import LARGEST
from unicom_coupon_sdk.platform.effects import HttpCall
from unicom_coupon_sdk.platform.profile import Capability
from unicom_coupon_sdk.platform.wire import HttpAnswer, HttpRequest, TransportRules
from unicom_coupon_sdk.runtime.blocking import BlockingRuntime
from unicom_coupon_sdk.sandbox import Sandbox, SandboxServer
from unicom_coupon_sdk.sandbox.bills import BillDefect

DAY = date(2026, 5, 20)
NOON = datetime(2026, 5, 20, 4, tzinfo=UTC)
READY = datetime(2026, 5, 21, 2, tzinfo=UTC)
MERCHANT, OTHER = "999290054110001", "999290054110002"
HEADER = (
    "clearing_date,merchant,terminal,local_date,local_time,batch,trace,rrn,mti,proc,cond,type,coupon_masked,unicom_txn,"
    "amount_fen,fee_fen,net_fen,resp,status,orig_batch,orig_trace"
)


# --- what the sandbox's acquirer delivers ---


@pytest.fixture
def till() -> Iterator[Till]:
    with Sandbox(platforms=[PLATFORM], real=lambda: NOON) as sandbox:
        made = Till(sandbox)
        yield made
        made.client.close()


def fetched(client: CouponClient, folder: Path, day: date = DAY, kind: BillKind = BillKind.COUPON) -> Any:
    folder.mkdir(exist_ok=True)
    order = BillOrder(kind=kind, day=day, folder=folder)
    return client.run(client.setting.adapter(PLATFORM).fetch_bill(order))


def rows_of(bill: BillFile) -> list[dict[str, str]]:
    return list(csv.DictReader(bill.rows.read_text(encoding="utf-8").splitlines(), bill.columns))


def test_the_bill_says_what_happened_and_is_found_by_the_platforms_number(till: Till, tmp_path: Path) -> None:
    done, back = till.redeem(till.coupon()), till.redeem(till.coupon())
    reversal = till.client.reverse(ReverseRequest(idempotency_key="back", redemption_id=back.redemption_id))
    till.sandbox.control.set_clock(READY)
    bill = fetched(till.client, tmp_path)
    assert isinstance(bill, BillFile)
    assert bill.declared == {RowKind.REDEMPTION: Total(2, 4_000), RowKind.REVERSAL: Total(1, -2_000)}
    told = {row["rrn"]: (row["type"], row["status"], row["amount_fen"]) for row in rows_of(bill)}
    assert told == {
        done.platform_no: ("22", "SUCCESS", "2000"),
        back.platform_no: ("22", "VOIDED", "2000"),
        reversal.platform_no: ("23", "SUCCESS", "2000"),
    }
    assert set(tmp_path.iterdir()) == {bill.original, bill.rows}


def test_from_23_on_a_redemption_is_in_the_next_days_bill(till: Till, tmp_path: Path) -> None:
    cut = datetime.combine(DAY, CUT_OFF, tzinfo=BEIJING)
    till.sandbox.control.set_clock(cut - timedelta(seconds=1))
    before = till.redeem(till.coupon())
    till.sandbox.control.set_clock(cut)
    after = till.redeem(till.coupon())
    till.sandbox.control.set_clock(READY + timedelta(days=1))
    found = [
        [
            (row["rrn"], row["local_date"], row["clearing_date"])
            for row in rows_of(fetched(till.client, tmp_path / day.isoformat(), day))
        ]
        for day in (DAY, DAY + timedelta(days=1))
    ]
    assert found == [[(before.platform_no, "0520", "20260520")], [(after.platform_no, "0520", "20260521")]]


def test_what_was_reversed_is_told_and_adds_to_no_total(till: Till, tmp_path: Path) -> None:
    till.redeem(till.coupon())
    till.sandbox.control.add_fault(PLATFORM, "drop_after", match="0200")
    assert till.redeem(till.coupon()).state is OperationState.UNKNOWN
    till.redeem(till.coupon())  # the reversal that is owed goes first
    till.sandbox.control.set_clock(READY)
    bill = fetched(till.client, tmp_path)
    assert [row["status"] for row in rows_of(bill)] == ["SUCCESS", "REVERSED", "SUCCESS"]
    assert bill.original.read_text().splitlines()[-1].startswith("#TOTAL,3,4000,0,")
    assert bill.declared[RowKind.REDEMPTION] == Total(2, 4_000)


def test_a_bill_is_not_there_before_the_next_day(till: Till, tmp_path: Path) -> None:
    till.redeem(till.coupon())
    for now, ready_at in ((READY - timedelta(seconds=1), READY), (NOON, READY)):
        till.sandbox.control.set_clock(now)
        answer = fetched(till.client, tmp_path)
        assert answer == BillNotReady(platform=PLATFORM, kind=BillKind.COUPON, day=DAY, ready_at=ready_at)
        assert list(tmp_path.iterdir()) == []


def test_a_day_without_rows_has_no_bill(till: Till, tmp_path: Path) -> None:
    till.sandbox.control.set_clock(READY)
    assert fetched(till.client, tmp_path) == NoBill(platform=PLATFORM, kind=BillKind.COUPON, day=DAY)
    assert list(tmp_path.iterdir()) == []


def test_the_sandbox_offers_the_file_over_sockets_too(tmp_path: Path) -> None:
    with SandboxServer(platforms=[PLATFORM]) as server:
        client = CouponClient.from_config(server.settings_file)
        try:
            day = server.control.now().astimezone(BEIJING).date()
            assert isinstance(fetched(client, tmp_path, day), BillNotReady)
            server.control.advance(2 * 86_400)
            assert isinstance(fetched(client, tmp_path, day), NoBill)
        finally:
            client.close()


@pytest.mark.parametrize(("files_url", "is_named"), [("http://127.0.0.1:1", True), ("http://192.0.2.1:1", False)])
def test_settings_name_the_files_only_where_a_client_may_go(till: Till, files_url: str, *, is_named: bool) -> None:
    station = till.sandbox.world.stations[PLATFORM]
    station.frame.files_url = files_url
    with station.store.transaction():
        assert ("bill_url" in station.emulator.client_settings("tcp://127.0.0.1:8583")) is is_named


@pytest.mark.parametrize(
    "path", ["/", "/bills/UCP_999290054110002_20260520.csv", "/bills/UCP_999290054110001_20260231.csv"]
)
def test_the_sandbox_has_no_other_files(till: Till, path: str) -> None:
    till.sandbox.control.set_clock(READY)
    request = HttpRequest("GET", f"https://unionpay-pos.sandbox.invalid{path}", ())
    call = HttpCall(request, TransportRules(frozenset({request.host})))
    assert till.sandbox.transport().send(call).status == 404


def test_each_defect_is_in_the_file_and_told_by_its_number(till: Till, tmp_path: Path) -> None:
    for _ in range(6):
        till.redeem(till.coupon())
    for defect in (*BillDefect,):
        till.sandbox.control.add_fault(PLATFORM, "bill_defect", code=defect)
    till.sandbox.control.set_clock(READY + timedelta(days=1))
    bill = fetched(till.client, tmp_path / "first")
    rows = {row["rrn"]: row for row in rows_of(bill)}
    numbers = [row["rrn"] for row in rows_of(bill)]
    wrong = {one["class"]: one["number"] for one in till.sandbox.control.bill_defects(platform=PLATFORM)}
    assert set(wrong) == set(BillDefect) - {BillDefect.SHARING_DIFFERS, BillDefect.STATE_DIFFERS}
    assert rows[wrong["amount_differs"]]["amount_fen"] == "2001"
    assert numbers.count(wrong["duplicate"]) == 2
    assert wrong["missing_here"] in numbers
    assert not {wrong["missing_there"], wrong["date_differs"]} & set(numbers)
    assert bill.declared[RowKind.REDEMPTION].amount_fen == sum(int(row["amount_fen"]) for row in rows_of(bill)) + 1
    late = fetched(till.client, tmp_path / "second", DAY + timedelta(days=1))
    assert [row["rrn"] for row in rows_of(late)] == [wrong["date_differs"]]


# --- files made by hand ---


def row(rrn: str = "0520R1", *, day: str = "20260520", merchant: str = MERCHANT, **cells: str) -> str:
    told = dict.fromkeys(HEADER.split(","), "")
    told |= {
        "clearing_date": day,
        "merchant": merchant,
        "terminal": "10000001",
        "rrn": rrn,
        "mti": "0200",
        "cond": "63",
    }
    told |= {
        "type": "22",
        "coupon_masked": "UC12***789X",
        "unicom_txn": f"T{rrn}",
        "amount_fen": "2000",
        "fee_fen": "12",
    }
    told |= {"net_fen": "1988", "resp": "00", "status": "SUCCESS", **cells}
    return ",".join(told.values())


ROWS = (
    row("1"),
    row("2", status="VOIDED", amount_fen="300"),
    row("3", status="REVERSED", amount_fen="70"),
    row("4", type="23", amount_fen="300"),
    row("5", cond="00", amount_fen="11", coupon_masked=""),
)


def file(
    *rows: str, header: str = HEADER, total: str | None = None, digest: str | None = None, end: str = "\n"
) -> bytes:
    body = "".join(f"{line}{end}" for line in (header, *rows)).encode()
    told = total or f"{len(rows)},2311,300"
    return body + f"#TOTAL,{told},{digest or hashlib.sha256(body).hexdigest()}{end}".encode()


def adapter(**more: Any) -> UnionPayPosAdapter:
    terminals = {"10000001": {"serial": "N1", "tmk": Secret("0123456789ABCDEFFEDCBA9876543211")}}
    section = {"merchant_no": MERCHANT, "tls": False, "terminals": terminals, **more}
    return UnionPayPosAdapter(UnionPayPosSettings(**section), Keys.default())


class Portal:
    """Stands for an acquirer's portal: answers each request with what it has been given."""

    def __init__(self, *answers: HttpAnswer) -> None:
        self.answers = list(answers)
        self.calls: list[HttpCall] = []

    def send(self, call: HttpCall) -> HttpAnswer:
        self.calls.append(call)
        answer = self.answers.pop(0)
        if answer.status == 200:
            assert call.save_to is not None
            call.save_to.write_bytes(answer.content)
        return answer

    def close(self) -> None:
        pass


class Standing:
    """A clock that stands still."""

    def now(self) -> datetime:
        return READY + timedelta(hours=1)

    def sleep(self, seconds: float) -> None:
        raise AssertionError(seconds)


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    folder = tmp_path / "inbox"
    folder.mkdir()
    return folder


def taken(
    inbox: Path, content: bytes | None, *, merchant: str = MERCHANT, portal: Portal | None = None, **more: Any
) -> Any:
    """What the adapter makes of a file in the inbox, or of the portal's answers."""
    if content is not None:
        (inbox / f"UCP_{merchant}_20260520.csv").write_bytes(content)
    folder = inbox.parent / "bills"
    folder.mkdir()
    place: dict[str, Any] = {"bill_inbox": inbox} if portal is None else {}
    with BlockingRuntime(http=portal or Portal(), clock=Standing()) as runtime:
        return runtime.run(adapter(**place, **more).fetch_bill(BillOrder(kind=BillKind.COUPON, day=DAY, folder=folder)))


def test_a_file_in_the_inbox_is_copied_and_left_there(inbox: Path) -> None:
    bill = taken(inbox, file(*ROWS))
    assert isinstance(bill, BillFile)
    assert bill.rows.read_bytes() == "".join(f"{line}\n" for line in ROWS).encode()
    assert bill.original.read_bytes() == (inbox / "UCP_999290054110001_20260520.csv").read_bytes() == file(*ROWS)
    assert bill.sha256 == hashlib.sha256(file(*ROWS)).hexdigest()
    assert bill.layout == PROFILE.bills[0].layout.name


def test_totals_are_given_by_kind_and_without_what_is_not_ours(inbox: Path) -> None:
    assert taken(inbox, file(*ROWS)).declared == {
        RowKind.REDEMPTION: Total(2, 2_300),
        RowKind.REVERSAL: Total(1, -300),
    }


def test_a_file_that_is_not_there_yet_is_asked_for_again_in_half_an_hour(inbox: Path) -> None:
    answer = taken(inbox, None)
    assert isinstance(answer, BillNotReady)
    assert answer.ready_at == READY + timedelta(hours=1, minutes=30)


def test_a_file_with_windows_line_ends_empty_lines_and_new_columns_reads_alike(inbox: Path) -> None:
    rows = (*(f"{line},x" for line in ROWS), "")
    bill = taken(inbox, file(*rows, total="5,2311,300", header=f"{HEADER},note", end="\r\n"))
    assert (bill.columns[-1], bill.declared[RowKind.REDEMPTION]) == ("note", Total(2, 2_300))


def test_wrong_totals_are_declared_as_they_are(inbox: Path) -> None:
    assert taken(inbox, file(*ROWS, total="6,2312,300")).declared[RowKind.REDEMPTION] == Total(3, 2_301)


@pytest.mark.parametrize(
    ("content", "code", "field"),
    [
        (b"", "bill.no_header", "UCP_999290054110001_20260520.csv"),
        (b"<html>\n<body>\n#TOTAL,\n", "bill.column_missing", "cond"),
        (file(*ROWS)[:-120], "bill.cut_short", "UCP_999290054110001_20260520.csv"),
        (file(*ROWS)[:-10], "bill.summary", "#TOTAL"),
        (file(*ROWS) + b"x\n", "bill.summary", "#TOTAL"),
        (file(*ROWS, total="5,23.11,300"), "bill.summary", "#TOTAL"),
        (file(*ROWS, header=HEADER.replace(",rrn,", ",")), "bill.column_missing", "rrn"),
        (file(*ROWS, header=HEADER.replace("merchant", "mid")), "bill.column_missing", "merchant"),
        (file(row(day="20260521")), "bill.other", "clearing_date"),
        (file(row(merchant=OTHER)), "bill.other", "merchant"),
        (file("20260520,999290054110001"), "unionpay_pos.bill", "UCP_999290054110001_20260520"),
        (file(row(amount_fen="20.00")), "unionpay_pos.bill", "UCP_999290054110001_20260520"),
        (
            file(*ROWS, header=HEADER.replace("amount_fen", "金额")).decode().encode("gbk"),
            "bill.no_header",
            "ucp_terminal",
        ),
    ],
)
def test_a_file_that_is_wrong_is_named_and_leaves_nothing(inbox: Path, content: bytes, code: str, field: str) -> None:
    with pytest.raises(ValidationError) as refused:
        taken(inbox, content)
    assert (refused.value.code, refused.value.field) == (code, field)
    assert "{" not in str(refused.value)
    assert not (inbox.parent / "bills").exists()


@pytest.mark.parametrize("content", [file(*ROWS, digest="0" * 64), file(*ROWS).replace(b",2000,", b",2001,", 1)])
def test_a_file_with_another_digest_is_forged_and_leaves_nothing(inbox: Path, content: bytes) -> None:
    with pytest.raises(ForgedMessage, match=r"unionpay_pos\.bill_digest"):
        taken(inbox, content)
    assert not (inbox.parent / "bills").exists()


def test_a_row_that_is_wrong_is_named_by_its_line(inbox: Path) -> None:
    with pytest.raises(ValidationError) as refused:
        taken(inbox, file(row("1"), row("2", amount_fen="x")))
    assert refused.value.details["line"] == 2


def test_an_inbox_that_is_not_there_is_named(inbox: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"unionpay_pos\.bill_inbox") as refused:
        taken(inbox, None, bill_inbox=inbox / "gone", portal=Portal())
    assert refused.value.details["path"] == str(inbox / "gone")


TWO = {
    "terminals": {
        "10000001": {"serial": "N1", "tmk": Secret("0123456789ABCDEFFEDCBA9876543211")},
        "10000002": {"serial": "N2", "tmk": Secret("0123456789ABCDEFFEDCBA9876543212"), "merchant_no": OTHER},
    }
}


def test_the_files_of_several_merchants_are_one_bill(inbox: Path) -> None:
    second = file(row("9", merchant=OTHER), total="1,2000,0")
    (inbox / f"UCP_{OTHER}_20260520.csv").write_bytes(second)
    bill = taken(inbox, file(*ROWS), **TWO)
    assert [one["rrn"] for one in rows_of(bill)] == ["1", "2", "3", "4", "5", "9"]
    assert bill.original.read_bytes() == file(*ROWS) + second
    assert bill.declared[RowKind.REDEMPTION] == Total(3, 4_300)


def test_the_bill_waits_for_every_merchants_file(inbox: Path) -> None:
    assert isinstance(taken(inbox, file(*ROWS), **TWO), BillNotReady)
    assert list((inbox.parent / "bills").iterdir()) == []


def test_a_file_that_fails_takes_the_others_with_it(inbox: Path) -> None:
    (inbox / f"UCP_{OTHER}_20260520.csv").mkdir()
    with pytest.raises(ConfigurationError, match=r"unionpay_pos\.bill_inbox"):
        taken(inbox, file(*ROWS), **TWO)
    assert not (inbox.parent / "bills").exists()


def test_a_file_that_is_too_large_to_be_a_bill_is_not_copied(inbox: Path) -> None:
    with (inbox / f"UCP_{MERCHANT}_20260520.csv").open("wb") as sparse:
        sparse.truncate(LARGEST + 1)
    with pytest.raises(ValidationError, match=r"bill\.too_large"):
        taken(inbox, None)


# --- over HTTPS ---

URL = "https://portal.example/files/UCP_{merchant}_{day}.csv"


def test_the_portal_is_asked_with_the_token_and_for_the_day(inbox: Path) -> None:
    portal = Portal(HttpAnswer(200, (), file(*ROWS)))
    bill = taken(inbox, None, portal=portal, bill_url=URL, bill_token=Secret("t0ken"))
    (call,) = portal.calls
    assert call.request.url == "https://portal.example/files/UCP_999290054110001_20260520.csv"
    assert ("Authorization", "Bearer t0ken") in call.request.headers
    assert call.rules.allowed_hosts == {"portal.example"}
    assert isinstance(bill, BillFile)


def test_what_the_portal_has_not_yet_is_not_ready_and_what_it_refuses_is_told(inbox: Path) -> None:
    assert isinstance(taken(inbox, None, portal=Portal(HttpAnswer(404, ())), bill_url=URL), BillNotReady)
    (inbox.parent / "bills").rmdir()
    with pytest.raises(PlatformUnavailable, match=r"unionpay_pos\.bill_status"):
        taken(inbox, None, portal=Portal(HttpAnswer(401, ())), bill_url=URL)


@pytest.mark.parametrize(
    "url",
    [
        "http://portal.example/{merchant}_{day}.csv",
        "https://portal.example/{merchant}.csv",
        "https://{day}.example/{merchant}",
        "https://portal.example/{other}_{day}",
        "https://portal.example/{0}_{day}",
        "https://portal.example/{day",
        "ftp://portal.example/{day}",
        "/var/bills/{day}",
    ],
)
def test_a_template_that_is_no_address_of_bills_is_refused(url: str) -> None:
    with pytest.raises(ValidationError, match=r"unionpay_pos\.bill_url"):
        adapter(bill_url=url)


def test_one_address_for_two_merchants_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"unionpay_pos\.bill_url"):
        adapter(bill_url="https://portal.example/{day}.csv", **TWO)
    assert adapter(bill_url="https://portal.example/{day}.csv").settings.merchants == (MERCHANT,)


def test_two_places_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match=r"unionpay_pos\.bill_places"):
        adapter(bill_url=URL, bill_inbox=tmp_path)


def test_without_a_place_there_are_no_bills(tmp_path: Path) -> None:
    made = adapter()
    assert Capability.FETCH_BILL not in made.profile.capabilities
    with pytest.raises(UnsupportedOperation, match=r"bill\.not_offered"):
        made.fetch_bill(BillOrder(kind=BillKind.COUPON, day=DAY, folder=tmp_path))


# --- how rows read ---


def test_what_was_taken_back_stands_beside_what_took_it_back_and_what_was_reversed_does_not() -> None:
    told = {}
    for one in csv.DictReader([HEADER, *ROWS]):
        rules = bill_layouts.statement_of("terminal").rules
        told[one["rrn"]] = [
            rule.sign * int(one[rule.amount])
            for rule in rules
            if all(one[name] in values for name, values in rule.when.items())
        ]
    assert told == {"1": [2_000], "2": [300], "3": [], "4": [-300], "5": []}


def test_a_host_finds_rows_by_its_own_number_and_a_terminal_by_the_reference() -> None:
    for role, number in (("host", "unicom_txn"), ("terminal", None)):
        settings = adapter(role=role, bill_url=URL)
        for rule in settings.profile.bill(BillKind.COUPON).layout.rules:
            assert (rule.number, rule.platform_no) == (number, "rrn")


def test_the_columns_of_the_gateways_files_are_those_of_the_records() -> None:
    from unicom_coupon_adapters.unionpay_pos.acp import bill

    for layout, record in ((bill_layouts.ZM, bill.ZM), (bill_layouts.ZME, bill.ZME)):
        assert sum(layout.form.widths) + layout.form.gap * (len(layout.form.widths) - 1) == record.width
        assert set(layout.needed) <= {name for name, _ in record.columns}


# --- around it ---


@pytest.mark.parametrize(("mode", "state"), [(0o700, CheckState.OK), (0o777, CheckState.WARN), (None, CheckState.FAIL)])
def test_the_doctor_looks_at_the_inbox(tmp_path: Path, mode: int | None, state: CheckState) -> None:
    inbox = tmp_path / "inbox"
    if mode is not None:
        inbox.mkdir()
        inbox.chmod(mode)
    with BlockingRuntime(engine=memory_engine(), http=Portal(), clock=Standing()) as runtime:
        findings = runtime.run(adapter(role="host", bill_inbox=inbox).diagnose())
    assert {one.code: one.state for one in findings}["unionpay_pos.check_bills"] is state


def test_what_a_bill_brings_may_be_kept_and_a_code_or_phone_may_not() -> None:
    assert SHIM.kept(dict.fromkeys(HEADER.split(","), "x")).keys() == set(HEADER.split(","))
    assert SHIM.kept({"62.VA.01": "x", "62.VA.06": "x", "phone": "x", "2": "x"}) == {}


def test_the_number_that_a_host_tells_its_terminal_is_the_ledgers(tmp_path: Path) -> None:
    with HostBench(tmp_path) as bench:
        terminal, code = bench.terminal(), bench.code()
        request = terminal.redeem(code)
        original = terminal.redeemed(request, terminal.call(request))
        void = messages.void(terminal.card, sequence=terminal.next(), code=code, original=original)
        taken_back = block(terminal.call(void))[Tag.UNICOM_NO]
        redemption = bench.run(bench.client.query(original.unicom_no or ""))
        found = bench.run(bench.client.read(bench.client.setting.ledger.reversal(taken_back)))
    assert redemption.redemption_id == original.unicom_no
    assert found.reversal_id == taken_back
