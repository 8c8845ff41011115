"""Electronic receipts: what is on a slip, uploaded once for each transaction, at the emulator and at our own host."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.unit.unionpay_pos.bench import ORDER, RawTerminal, code_of
from tests.unit.unionpay_pos.host_bench import MERCHANT, NUMBERS, HostBench, settings
from tests.unit.unionpay_pos.samples import VECTORS
from tests.unit.unionpay_pos.till import PLATFORM, Till

from unicom_coupon_adapters.unionpay_pos import messages
from unicom_coupon_adapters.unionpay_pos.codec import pack, pack_unsealed
from unicom_coupon_adapters.unionpay_pos.compliance import checked
from unicom_coupon_adapters.unionpay_pos.frame_errors import FrameError
from unicom_coupon_adapters.unionpay_pos.hosting import book
from unicom_coupon_adapters.unionpay_pos.iso_message import Message
from unicom_coupon_adapters.unionpay_pos.mac import MacKey
from unicom_coupon_adapters.unionpay_pos.receipts import MOST_IMAGE, Slip
from unicom_coupon_adapters.unionpay_pos.tlv import parse_signature_tags
from unicom_coupon_adapters.unionpay_pos.transactions import Wish
from unicom_coupon_sdk.client import CouponClient
from unicom_coupon_sdk.domain.redemption import Redemption
from unicom_coupon_sdk.errors import ComplianceError, PlatformRefused, PlatformUnknown
from unicom_coupon_sdk.sandbox import Sandbox

SLIP = Slip(merchant_name="测试商户一", image=b"\x00\x01JBIG")
TAGS = SLIP.tags(at="20260318101530", authorization="U00031")


@pytest.fixture
def till() -> Iterator[Till]:
    with Sandbox(platforms=[PLATFORM]) as sandbox:
        made = Till(sandbox)
        yield made
        made.client.close()


def send(till: Till, redemption: Redemption, slip: Slip = SLIP) -> None:
    adapter: Any = till.client.setting.adapter(PLATFORM)
    till.client.run(adapter.send_receipt(redemption.redemption_id, slip))


def receipts(till: Till) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = till.sandbox.control.deliver(PLATFORM, action="receipts")["receipts"]
    return found


def test_a_slips_parts_are_written_like_the_vectors() -> None:
    vector = parse_signature_tags(bytes.fromhex(VECTORS["TLV-03"]["field55"]))
    slip = Slip(merchant_name=vector["FF00"].decode("gbk"), image=b"i", operator=vector["FF02"].decode())
    ours = parse_signature_tags(slip.tags(at="20260318101530", authorization=None))
    assert {tag: ours[tag] for tag in ("FF00", "FF02", "FF06")} == {
        tag: vector[tag] for tag in ("FF00", "FF02", "FF06")
    }
    assert ours["FF01"].decode("gbk") == "卡券核销"


@pytest.mark.parametrize(
    ("changes", "at", "fault"),
    [
        ({"image": b""}, "20260318101530", "length"),
        ({"image": bytes(MOST_IMAGE + 1)}, "20260318101530", "length"),
        ({"merchant_name": ""}, "20260318101530", "length"),
        ({"merchant_name": "\U0001f600"}, "20260318101530", "text"),
        ({}, "2026031810153", "digit"),
    ],
)
def test_a_slip_that_cannot_be_sent_is_refused(changes: dict[str, Any], at: str, fault: str) -> None:
    slip = Slip(**{"merchant_name": "店", "image": b"i", **changes})
    with pytest.raises(FrameError) as refused:
        slip.tags(at=at, authorization=None)
    assert refused.value.code == f"unionpay_pos.frame_{fault}"


def test_field_55_may_be_sent_with_a_slips_parts_and_with_nothing_else() -> None:
    chip = Message("0820", {55: bytes.fromhex("9F2608") + bytes(8)})
    for message in (chip, Message("0820", {55: bytes.fromhex("FF050406280628")}), Message("0200", {55: TAGS})):
        with pytest.raises((ComplianceError, FrameError)):
            checked(message)
    assert checked(Message("0820", {55: TAGS})).fields[55] == TAGS


def test_a_receipt_is_uploaded_under_its_transaction_and_with_a_mac(till: Till) -> None:
    redemption = till.redeem(till.coupon())
    send(till, redemption)
    [found] = receipts(till)
    [done] = till.sandbox.control.deliver(PLATFORM, action="transactions")["transactions"]
    assert found["key"] == done["key"]
    assert found["tags"]["FF07"] == done["authorization"].encode().hex().upper()
    assert found["image_bytes"] == len(SLIP.image)
    assert till.sent()[-1] == "0820"


def test_a_receipt_is_sent_once(till: Till) -> None:
    redemption = till.redeem(till.coupon())
    send(till, redemption)
    send(till, redemption)
    assert till.sent().count("0820") == 1


@pytest.mark.parametrize("lost", ["drop_before", "drop_after"])
def test_a_receipt_without_an_answer_may_be_sent_again(till: Till, lost: str) -> None:
    redemption = till.redeem(till.coupon())
    till.fault(lost, "0820")
    with pytest.raises(PlatformUnknown):
        send(till, redemption)
    send(till, redemption)
    assert len(receipts(till)) == 1
    assert till.sent_bodies()[-1] == till.sent_bodies()[-2]


def test_a_receipt_that_the_host_has_had_before_is_delivered(till: Till) -> None:
    redemption = till.redeem(till.coupon())
    till.fault("error", "0820", code="94")
    send(till, redemption)
    send(till, redemption)
    assert till.sent().count("0820") == 1


def test_what_was_not_done_has_no_receipt(till: Till) -> None:
    till.fault("drop_after")
    redemption = till.redeem(till.coupon())
    with pytest.raises(PlatformRefused, match="original_unnamed"):
        send(till, redemption)
    assert receipts(till) == []


def test_no_image_is_kept_in_the_notes(till: Till) -> None:
    from sqlalchemy import text

    send(till, till.redeem(till.coupon()))
    written = till.client.read(lambda connection: str(connection.execute(text("SELECT value FROM note")).all()))
    assert SLIP.image.hex() not in written


# --- at our own host ---


def redeemed(bench: HostBench) -> tuple[RawTerminal, messages.Redeemed, str]:
    terminal = bench.terminal()
    request = terminal.redeem(bench.code())
    answer = terminal.call(request)
    assert answer is not None
    return terminal, terminal.redeemed(request, answer), answer.text(15)


def test_the_host_keeps_a_receipt_once(tmp_path: Path) -> None:
    with HostBench(tmp_path) as bench:
        terminal, original, clearing = redeemed(bench)

        def told(**changes: Any) -> str:
            parts = {"original": original, "clearing": clearing, "tags": TAGS, "image": SLIP.image, **changes}
            return code_of(terminal.call(messages.receipt(terminal.card, **parts)))

        assert [told(), told(), told(image=b"another")] == ["00", "00", "94"]
        missing = messages.Redeemed(
            sequence=messages.Sequence(trace=999, batch=1), amount_fen=2_000, reference=original.reference
        )
        assert told(original=missing) == "25"
        assert told(tags=b"\xff") == "30"


def test_the_host_takes_no_receipt_for_another_amount_or_reference(tmp_path: Path) -> None:
    with HostBench(tmp_path) as bench:
        terminal, original, clearing = redeemed(bench)
        genuine = messages.receipt(terminal.card, original=original, clearing=clearing, tags=TAGS, image=b"i")
        for number, value, code in ((4, f"{1:012d}", "64"), (37, "000000000000", "25")):
            assert code_of(terminal.call(Message("0820", {**genuine.fields, number: value}))) == code


def test_the_host_takes_no_receipt_without_its_mac(tmp_path: Path) -> None:
    with HostBench(tmp_path) as bench:
        terminal, original, clearing = redeemed(bench)
        genuine = messages.receipt(terminal.card, original=original, clearing=clearing, tags=TAGS, image=b"i")
        for body in (pack(genuine), MacKey(bytes(range(8))).seal(pack_unsealed(genuine))):
            assert code_of(terminal.raw(body)) == "A0"
        assert code_of(terminal.call(genuine)) == "00"


def test_our_own_client_uploads_to_our_own_host(tmp_path: Path) -> None:
    with (
        HostBench(tmp_path) as bench,
        CouponClient(settings(tmp_path, role="terminal", port=bench.port, ledger="till.db")) as till,
    ):
        adapter: Any = till.setting.adapter(PLATFORM)
        deadline = bench.client.clock.now().replace(year=2999)
        wish = Wish("OP1", "redeem", bench.code(), 2_000, deadline, about=ORDER)
        trace = till.run(adapter.terminal(NUMBERS[0]).carry_out(wish)).refs["trace"]
        till.run(adapter.send_receipt("OP1", SLIP))
        name = f"host/receipt/{MERCHANT}|{NUMBERS[0]}|000001|{trace}"
        kept = bench.run(bench.client.run(book.written(lambda notes: notes.get(name))))
        assert kept is not None
        assert kept["image"] == hashlib.sha256(SLIP.image).hexdigest()
