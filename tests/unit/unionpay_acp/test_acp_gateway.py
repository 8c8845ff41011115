"""What an exchange with the gateway may mean: every fault, for a payment and for a question, and every code."""

import base64
import logging

import pytest
from tests.driving import Driver
from tests.unit.unionpay_acp.conftest import BACK, NOON, QUERY

from unicom_coupon_adapters.unionpay_pos.acp.codes import Meaning, error_of, meaning_of
from unicom_coupon_adapters.unionpay_pos.acp.credentials import AcpKeys
from unicom_coupon_adapters.unionpay_pos.acp.gateway import AcpGateway
from unicom_coupon_adapters.unionpay_pos.acp.payment import Instruction, PaymentState
from unicom_coupon_adapters.unionpay_pos.acp.payments import Payments
from unicom_coupon_adapters.unionpay_pos.acp.signing import KeyedDigest, SharedKey
from unicom_coupon_sdk.domain.sensitive import Secret
from unicom_coupon_sdk.errors import (
    ConfigurationError,
    CouponError,
    Effected,
    PlatformRefused,
    PlatformUnavailable,
    PlatformUnknown,
)
from unicom_coupon_sdk.platform.wire import HttpAnswer

LOST = {
    "drop_before": "platform.no_answer",
    "drop_after": "platform.no_answer",
    "half_body": "platform.no_answer",
    "bad_signature": "unionpay_pos.acp_signature",
    "wrong_serial": "unionpay_pos.acp_certificate_name",
    "stale_timestamp": "unionpay_pos.acp_answer_other",
}


@pytest.mark.parametrize(("kind", "code"), LOST.items())
def test_a_payment_whose_answer_was_lost_is_unknown_and_the_query_decides(counter, kind, code):
    coupon = counter.coupon()
    sale = counter.instruction()
    counter.fault(kind, match="01/06")
    with pytest.raises(PlatformUnknown) as lost:
        counter.scan(sale)
    assert (lost.value.code, lost.value.outcome) == (code, Effected.UNKNOWN)
    assert counter.sent() == [BACK]  # never a second time
    if kind == "drop_before":
        assert counter.run(counter.payments.query(sale)).state is PaymentState.ABSENT
        assert counter.state(coupon) == "USABLE"
    else:
        assert counter.run(counter.payments.outcome(sale)).state is PaymentState.DONE
        assert counter.state(coupon) == "USED"


@pytest.mark.parametrize("kind", [kind for kind in LOST if kind != "drop_before"])
@pytest.mark.parametrize("flow", ["undo", "refund"])
def test_money_given_back_without_a_trustworthy_answer_is_given_back_once(counter, kind, flow):
    _, payment = counter.paid(1_000)
    back = counter.instruction(1_000)
    counter.fault(kind, match={"undo": "31/00", "refund": "04/00"}[flow])
    with pytest.raises(PlatformUnknown):
        counter.run(getattr(counter.payments, flow)(back, original=payment))
    assert counter.run(counter.payments.outcome(back)).state is PaymentState.DONE
    with pytest.raises(PlatformUnknown) as again:  # the same instruction again is a duplicate, not a second refund
        counter.run(getattr(counter.payments, flow)(back, original=payment))
    assert again.value.platform_code == "12"


@pytest.mark.parametrize("kind", LOST)
def test_a_question_that_got_no_trustworthy_answer_is_asked_again(counter, kind):
    sale, _ = counter.paid()
    counter.fault(kind, match=QUERY, times=2)
    assert counter.run(counter.payments.query(sale)).state is PaymentState.DONE
    assert counter.sent() == [BACK, QUERY, QUERY, QUERY]


@pytest.mark.parametrize(("kind", "code"), LOST.items())
def test_a_question_that_never_gets_one_is_unavailable(counter, kind, code):
    sale, _ = counter.paid()
    counter.fault(kind, match="00/00", times=50)
    with pytest.raises(PlatformUnavailable) as lost:
        counter.run(counter.payments.query(sale))
    assert (lost.value.code, lost.value.outcome) == (code, Effected.NOT_DONE)
    with pytest.raises(PlatformUnknown, match=r"unionpay_pos\.acp_undecided"):
        counter.run(counter.payments.outcome(sale))


def test_an_answer_within_the_timeout_counts_and_a_later_one_is_lost(counter):
    counter.fault("delay", match="01/06", seconds=14)
    assert counter.paid()[1].state is PaymentState.DONE
    counter.fault("delay", match="01/06", seconds=15)
    sale = counter.instruction()
    with pytest.raises(PlatformUnknown, match=r"platform\.no_answer"):
        counter.scan(sale)
    assert counter.run(counter.payments.outcome(sale)).state is PaymentState.DONE


REFUSED = "01 10 11 13 14 30 31 32 33 34 35 36 38 39 40 41 45 60 61 62 63 64 65 66 67 68 69 70 71 72 73 76 77 78 79 80"
OPEN = "03 04 05 06 12 37 42 74 75 99 ZZ 0 00A5"


@pytest.mark.parametrize(
    ("code", "error"),
    [
        *((code, PlatformRefused) for code in REFUSED.split()),
        *((code, PlatformUnknown) for code in OPEN.split()),
        *((code, PlatformUnavailable) for code in ("02", "98")),
    ],
)
def test_each_code_of_a_payment_has_its_class(counter, code, error):
    counter.fault("error", match="01/06", code=code)
    with pytest.raises(error) as told:
        counter.scan(counter.instruction())
    assert (type(told.value), told.value.platform_code) == (error, code)
    assert told.value.diagnostics("zh").remedy != told.value.diagnostics("en").remedy


@pytest.mark.parametrize("code", OPEN.split())
def test_a_read_is_never_unknown(code):
    assert type(error_of(code, is_write=False)) is PlatformUnavailable
    assert type(error_of(code, is_write=True)) is PlatformUnknown


def test_success_is_a_short_list():
    every = {f"{number:02d}" for number in range(100)} | {"A6", "00A6", "", "a6", "A0", "0"}
    assert {code for code in every if meaning_of(code) is Meaning.DONE} == {"00", "A6", "00A6"}


@pytest.mark.parametrize("code", ["A6", "00A6"])
def test_a_success_with_a_defect_is_a_success(counter, code):
    counter.fault("error", match="01/06", code=code)
    assert counter.scan(counter.instruction()).state is PaymentState.DONE


def test_a_signing_certificate_outside_its_dates_sends_nothing(counter):
    counter.sandbox.control.set_clock("2037-01-01T00:00:00+08:00")
    with pytest.raises(ConfigurationError) as expired:
        counter.scan(counter.instruction())
    assert (expired.value.code, expired.value.field) == ("unionpay_pos.acp_expired", "acp.signing_cert")
    for language in ("zh", "en"):
        assert "2034-04-29" in expired.value.diagnostics(language).message
        assert ".pfx" in expired.value.diagnostics(language).remedy
    assert counter.sent() == []


# --- a peer that answers as a test says, signed with a shared key ---

SHARED = SharedKey("sdk-test-secure-key-0001", digest=KeyedDigest.SM3)
SALE = Instruction.at(NOON, order_id="ORDER0000001", amount_fen=12_800)


class Peer:
    """Echoes the request's names, with ``changes``; a value of ``None`` takes a field out."""

    def __init__(self, **changes):
        self.changes = changes
        self.status = 200

    def __call__(self, effect):
        from urllib.parse import parse_qsl

        asked = dict(parse_qsl(effect.request.content.decode(), strict_parsing=True))
        SHARED.verify(asked, now=NOON)
        assert "certId" not in asked
        names = ("merId", "orderId", "txnTime", "txnType", "txnSubType", "txnAmt", "bizType", "encoding")
        told = {name: asked[name] for name in names if name in asked} | {"respCode": "00", **self.changes}
        signed = SHARED.sign({name: value for name, value in told.items() if value is not None})
        return HttpAnswer(self.status, (), "&".join(f"{name}={value}" for name, value in signed.items()).encode())


def payments_with(counter):
    return Payments(AcpGateway(counter.acp.settings, AcpKeys(signer=SHARED, verifier=SHARED)))


def scan(counter, peer):
    flow = payments_with(counter).scan(SALE, qr_no=Secret("6250947000000014123"))
    return Driver(peer, now=NOON).run(flow)


def test_a_shared_key_signs_and_verifies_in_the_place_of_certificates(counter):
    payment = scan(counter, Peer(queryId="1" * 21))
    assert (payment.state, payment.query_id, payment.is_of(SALE)) == (PaymentState.DONE, "1" * 21, True)


@pytest.mark.parametrize(
    "changes",
    [
        {"merId": "777290058110049"},
        {"orderId": "ORDER0000002"},
        {"txnTime": "20260520120001"},
        {"txnAmt": "12801"},
        {"txnType": "04"},
        {"orderId": None},
        {"txnTime": None},
        {"merId": None},
    ],
)
def test_a_genuine_answer_to_something_else_is_no_answer(counter, changes):
    with pytest.raises(PlatformUnknown) as other:
        scan(counter, Peer(**changes))
    assert (other.value.code, other.value.details["reason"]) == ("unionpay_pos.acp_answer_other", next(iter(changes)))


def test_an_answer_that_tells_no_amount_is_about_the_amount_we_asked_for(counter):
    assert scan(counter, Peer(txnAmt=None)).amount_fen == 12_800


@pytest.mark.parametrize("changes", [{"signature": "00"}, {"respCode": None}])
def test_an_answer_without_a_code_or_a_right_signature_is_unknown(counter, changes):
    peer = Peer(**changes)
    if "signature" in changes:
        genuine = peer

        def peer(effect):
            answer = genuine(effect)
            return HttpAnswer(200, (), answer.content.replace(b"txnAmt=12800", b"txnAmt=12801"))

    with pytest.raises(PlatformUnknown):
        scan(counter, peer)


@pytest.mark.parametrize("status", [302, 404, 500, 502])
def test_another_http_status_settles_nothing(counter, status):
    peer = Peer()
    peer.status = status
    with pytest.raises(PlatformUnknown) as odd:
        scan(counter, peer)
    assert (odd.value.code, odd.value.details["status"]) == ("unionpay_pos.acp_http_status", status)


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"respCode=00&respCode=00", b"respCode={00", "respCode=成功".encode("gbk")]
)
def test_an_answer_that_cannot_be_read_settles_nothing(counter, body):
    with pytest.raises(PlatformUnknown) as odd:
        scan(counter, lambda effect: HttpAnswer(200, (), body))
    assert odd.value.code in {"unionpay_pos.acp_answer", "unionpay_pos.acp_method"}


def test_a_query_answer_that_does_not_say_how_it_stands_leaves_it_open(counter):
    for changes in ({}, {"origRespCode": "34"}, {"origRespCode": "05"}):
        flow = payments_with(counter).query(SALE)
        assert Driver(Peer(**changes), now=NOON).run(flow).state is PaymentState.OPEN


def test_a_qr_code_that_is_missing_is_unknown(counter):
    with pytest.raises(PlatformUnknown, match=r"unionpay_pos\.acp_answer_other"):
        Driver(Peer(), now=NOON).run(payments_with(counter).qr_code(SALE))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", []),
        ("[]", []),
        ("[1, null, []]", []),
        ("{}", []),
        ("[" * 100_000, []),
        ("no json", []),
        ('[{"type":"CP01","offstAmt":"x"}]', []),
        (
            '[{"type":"CP01","offstAmt":5},{"offstAmt":"7","spnsrId":"03080000"}]',
            [("CP01", "", 5), ("", "03080000", 7)],
        ),
    ],
)
def test_coupon_information_is_read_as_far_as_it_can_be(text, found):
    from unicom_coupon_adapters.unionpay_pos.acp.payment import coupons_of

    assert [(one.kind, one.sponsor, one.offset_fen) for one in coupons_of(text)] == found


@pytest.mark.parametrize("pem", ["", "no certificate"])
def test_an_encryption_certificate_that_is_none_is_not_taken(counter, pem):
    gateway = AcpGateway(counter.acp.settings, AcpKeys(signer=SHARED, verifier=SHARED))
    with pytest.raises(PlatformUnavailable, match=r"unionpay_pos\.acp_certificate"):
        Driver(Peer(encryptPubKeyCert=pem or None), now=NOON).run(gateway.update_encryption())


def test_recorded_requests_hold_what_was_signed(counter):
    counter.paid()
    (exchange,) = counter.sandbox.control.requests(platform="unionpay_acp")
    body = base64.b64decode(exchange["body_b64"]).decode()
    assert "signMethod=01" in body
    assert "signature=" in body


def test_nothing_secret_is_ever_said(counter, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    code, shown = counter.coupon(), counter.phone()
    said = [repr(counter.acp.gateway.keys), repr(counter.acp.settings)]
    for fault in (*LOST, None):
        if fault is not None:
            counter.fault(fault, match="01/06")
        try:
            payment = counter.run(counter.payments.scan(counter.instruction(), qr_no=shown))
        except CouponError as error:
            said += [repr(error), str(error.diagnostics("zh")), str(error.diagnostics("en"))]
        else:
            said.append(repr(payment))
    call = counter.acp.gateway.messages.scan(counter.instruction(), qr_no=shown)
    said += [repr(call), repr(counter.run(counter.payments.browser_form(SALE, front_url="https://shop.example/")))]
    heard = "".join([*said, caplog.text, *capfd.readouterr()])
    assert "unionpay_pos.acp_signature" in heard
    for canary in (code, shown.reveal(), "000000'", "-----BEGIN"):
        assert canary not in heard
