"""The ACP vectors: signatures, answers, encrypted fields and bills, with broken siblings."""

from __future__ import annotations

import base64
import zlib
from datetime import UTC, datetime
from typing import Any

import pytest
from tests.unit.unionpay_pos.samples import VECTORS

from unicom_coupon_adapters.unionpay_pos.acp import bill
from unicom_coupon_adapters.unionpay_pos.acp.canonical import (
    cleaned,
    form_body,
    parse_answer,
    parse_notice,
    sign_string,
)
from unicom_coupon_adapters.unionpay_pos.acp.encryption import FieldEncryption
from unicom_coupon_adapters.unionpay_pos.acp.messages import Messages
from unicom_coupon_adapters.unionpay_pos.acp.payment import Instruction, PaymentState, payment_of
from unicom_coupon_adapters.unionpay_pos.acp.settings import AcpSettings
from unicom_coupon_adapters.unionpay_pos.acp.signing import (
    UNIONPAY_TEST,
    CertificateSigner,
    ChainVerifier,
    KeyedDigest,
    PinnedVerifier,
    SharedKey,
    Version,
    open_answer,
    open_notice,
)
from unicom_coupon_sdk.crypto.certificates import Certificate
from unicom_coupon_sdk.crypto.rsa import RsaPrivateKey
from unicom_coupon_sdk.domain.sensitive import Secret
from unicom_coupon_sdk.errors import ComplianceError, ConfigurationError, ForgedMessage, ValidationError

NOW = datetime(2026, 5, 20, 4, tzinfo=UTC)
REQUEST = VECTORS["ACP-01"]
ANSWER = VECTORS["ACP-05"]
PARAMS: dict[str, str] = REQUEST["params"]
KEY = RsaPrivateKey.load(REQUEST["private_key_pem"].encode(), field="merchant_key")
CERTIFICATE = Certificate.load(REQUEST["cert_pem"].encode(), field="merchant_certificate")


def certificate(name: str) -> Certificate:
    return Certificate.load(ANSWER[name].encode(), field=name)


def chain(**changes: Any) -> ChainVerifier:
    return ChainVerifier(**{"roots": [certificate("root_pem")], "middles": [certificate("middle_pem")], **changes})


def test_a_request_is_signed_over_the_hex_digest_of_the_sorted_string() -> None:
    signed = CertificateSigner(KEY, CERTIFICATE).sign(PARAMS)
    assert sign_string(signed) == REQUEST["sign_string"]
    assert Version.V5_1_0.hex_digest(sign_string(signed)).decode() == REQUEST["sha256_hex"]
    assert signed["signature"] == REQUEST["signature"]
    assert form_body(signed).decode() == REQUEST["post_body"]


def test_a_request_of_the_old_version_is_signed_with_sha1() -> None:
    signed = CertificateSigner(KEY, CERTIFICATE, version=Version.V5_0_0).sign(PARAMS)
    assert sign_string(signed) == VECTORS["ACP-02"]["sign_string"]
    assert Version.V5_0_0.hex_digest(sign_string(signed)).decode() == VECTORS["ACP-02"]["sha1_hex"]
    assert signed["signature"] == VECTORS["ACP-02"]["signature"]


@pytest.mark.parametrize(("identity", "digest"), [("ACP-03", KeyedDigest.SHA256), ("ACP-04", KeyedDigest.SM3)])
def test_a_shared_key_signs_without_a_certificate(identity: str, digest: KeyedDigest) -> None:
    vector = VECTORS[identity]
    signed = SharedKey(vector["key"], digest=digest).sign(PARAMS)
    assert digest.hex_of(vector["key"].encode()) == vector["key_digest"]
    assert (sign_string(signed), signed["signature"]) == (vector["sign_string"], vector["signature"])


@pytest.mark.parametrize("digest", list(KeyedDigest))
@pytest.mark.parametrize("change", [{"txnAmt": "12801"}, {"signature": "00"}, {"new": "field"}, {"signMethod": "01"}])
def test_a_shared_key_refuses_broken_siblings(digest: KeyedDigest, change: dict[str, str]) -> None:
    shared = SharedKey("sdk-test-secure-key-0001", digest=digest)
    signed = shared.sign(PARAMS)
    shared.verify(signed, now=NOW)
    with pytest.raises(ForgedMessage):
        shared.verify({**signed, **change}, now=NOW)


def test_a_key_without_its_certificate_does_not_sign() -> None:
    with pytest.raises(ConfigurationError) as caught:
        CertificateSigner(KEY, certificate("root_pem"))
    assert caught.value.code == "unionpay_pos.acp_key_pair"


def test_an_answer_is_split_outside_brackets_only() -> None:
    assert parse_answer(ANSWER["body"].encode()) == ANSWER["params"]


def test_an_answer_is_opened_after_its_chain_name_and_signature_held() -> None:
    opened = open_answer(ANSWER["body"].encode(), verifier=chain(), now=NOW)
    assert (opened["origRespCode"], opened["settleAmt"]) == ("00", "7800")
    assert '"type":"CP02"' in opened["couponInfo"]


def test_an_opened_answer_is_a_payment_with_its_coupon() -> None:
    opened = open_answer(ANSWER["body"].encode(), verifier=chain(), now=NOW)
    payment = payment_of(opened, code=opened["origRespCode"], kind="")
    assert (payment.state, payment.amount_fen, payment.settle_fen) == (PaymentState.DONE, 12_800, 7_800)
    (coupon,) = payment.coupons
    assert (coupon.kind, coupon.sponsor, coupon.offset_fen) == ("CP02", "00010000", 5_000)
    assert payment.is_of(Instruction("20260318101530000031", "20260318101530", 12_800))
    for other in (
        ("20260318101530000032", "20260318101530", 12_800),
        ("20260318101530000031", "20260318101531", 12_800),
    ):
        assert not payment.is_of(Instruction(*other))
    assert not payment.is_of(Instruction("20260318101530000031", "20260318101530", 12_801))


def test_our_request_has_the_fields_of_the_sheets() -> None:
    settings = AcpSettings.parse(
        {
            "mer_id": PARAMS["merId"],
            "signing_pfx": "file:x",
            "signing_pfx_password": "env:X",
            "root_certs": ["file:x"],
            "middle_certs": ["file:x"],
            "back_url": PARAMS["backUrl"],
        }
    )
    sale = Instruction(PARAMS["orderId"], PARAMS["txnTime"], int(PARAMS["txnAmt"]))
    call = Messages(settings).scan(sale, qr_no=Secret(PARAMS["qrNo"]), term_id=PARAMS["termId"])
    added = {"version", "signMethod", "certId", "reqReserved"}  # by the signer, and a text that we would not send
    assert cleaned(call.fields) == {name: value for name, value in cleaned(PARAMS).items() if name not in added}


@pytest.mark.parametrize("old", ["txnAmt=12800", "origRespCode=00", "settleDate=0318", "TEST2026031800000001"])
def test_a_changed_answer_is_forged(old: str) -> None:
    body = ANSWER["body"].replace(old, old[:-1] + "9")
    with pytest.raises(ForgedMessage) as caught:
        open_answer(body.encode(), verifier=chain(), now=NOW)
    assert caught.value.code == "unionpay_pos.acp_signature"


def test_another_shop_with_a_good_chain_is_not_unionpay() -> None:
    with pytest.raises(ForgedMessage) as caught:
        chain().verify({**ANSWER["params"], "signPubKeyCert": ANSWER["bad_leaf_pem"]}, now=NOW)
    assert caught.value.code == "unionpay_pos.acp_certificate_name"


def test_a_chain_to_another_root_is_refused() -> None:
    with pytest.raises(ForgedMessage) as caught:
        chain(roots=[CERTIFICATE]).verify(ANSWER["params"], now=NOW)
    assert caught.value.code == "unionpay_pos.acp_certificate_chain"


@pytest.mark.parametrize("now", [datetime(2025, 1, 1, tzinfo=UTC), datetime(2047, 1, 1, tzinfo=UTC)])
def test_a_certificate_outside_its_dates_is_refused(now: datetime) -> None:
    with pytest.raises(ForgedMessage) as caught:
        chain().verify(ANSWER["params"], now=now)
    assert caught.value.code == "unionpay_pos.acp_certificate_dates"


@pytest.mark.parametrize("pem", ["", "no certificate", ANSWER["root_pem"][:200]])
def test_an_answer_without_a_certificate_is_refused(pem: str) -> None:
    with pytest.raises(ForgedMessage) as caught:
        chain().verify({**ANSWER["params"], "signPubKeyCert": pem}, now=NOW)
    assert caught.value.code == "unionpay_pos.acp_certificate"


@pytest.mark.parametrize("change", [{"version": "5.0.0"}, {"signMethod": "11"}, {"signMethod": ""}])
def test_an_answer_of_a_weaker_method_is_refused(change: dict[str, str]) -> None:
    with pytest.raises(ForgedMessage) as caught:
        chain().verify({**ANSWER["params"], **change}, now=NOW)
    assert caught.value.code == "unionpay_pos.acp_method"


def test_the_test_environments_name_is_not_trusted_unless_asked_for() -> None:
    with pytest.raises(ForgedMessage):
        chain(names=frozenset({UNIONPAY_TEST})).verify(ANSWER["params"], now=NOW)


def test_an_empty_pair_that_somebody_added_is_not_handed_out() -> None:
    opened = open_answer(ANSWER["body"].encode() + b"&extra=", verifier=chain(), now=NOW)
    assert "extra" not in opened


def test_an_old_answer_is_verified_by_the_installed_certificate() -> None:
    signed = CertificateSigner(KEY, CERTIFICATE, version=Version.V5_0_0).sign(PARAMS)
    verifier = PinnedVerifier([CERTIFICATE])
    assert open_notice(form_body(signed), verifier=verifier, now=NOW)["txnAmt"] == "12800"
    for change in ({"certId": "1"}, {"txnAmt": "1"}, {"version": "5.1.0"}, {"signature": "!"}):
        with pytest.raises(ForgedMessage):
            verifier.verify({**signed, **change}, now=NOW)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "pair"),
        (b"a", "pair"),
        (b"a=1&", "pair"),
        (b"a=1&&b=2", "pair"),
        (b"=1", "pair"),
        (b"a b=1", "pair"),
        (b"a=1&a=2", "repeated"),
        (b"a={1&b=2", "bracket"),
        (b"a=[[1]&b=2", "bracket"),
        (b"a=\xff", "encoding"),
    ],
)
def test_a_malformed_answer_is_refused_with_its_reason(body: bytes, reason: str) -> None:
    with pytest.raises(ValidationError) as caught:
        parse_answer(body)
    assert (caught.value.code, caught.value.details["reason"]) == ("unionpay_pos.acp_answer", reason)


def test_nested_and_foreign_brackets_are_text() -> None:
    assert parse_answer(b"a={x={1&2}&y=]}&b=)]&c=[{&}]") == {"a": "{x={1&2}&y=]}", "b": ")]", "c": "[{&}]"}


@pytest.mark.parametrize("body", [b"a", b"a=1&a=2", b"a=%ff", b"a=1&&b=2", "a=券".encode()])
def test_a_malformed_notice_is_refused(body: bytes) -> None:
    with pytest.raises(ValidationError):
        parse_notice(body)


def test_encrypted_fields_are_what_unionpays_key_opens() -> None:
    vector = VECTORS["ACP-06"]
    key = RsaPrivateKey.load(vector["enc_private_key_pem"].encode(), field="key")
    assert key.decrypt_pkcs1(base64.b64decode(vector["accNo_cipher"])).decode() == vector["accNo"]
    assert key.decrypt_pkcs1(base64.b64decode(vector["pin_cipher"])).hex().upper() == vector["pin_block"]
    outer = base64.b64decode(vector["customerInfo"]).decode()
    inner = outer[1:-1].partition("encryptedInfo=")[2]
    assert key.decrypt_pkcs1(base64.b64decode(inner)).decode() == vector["customerInfo_plain"]


def test_our_encrypted_fields_open_and_differ_each_time() -> None:
    encryption = FieldEncryption(CERTIFICATE)
    first, second = (encryption.encrypt("13800000000") for _ in range(2))
    assert first != second
    assert KEY.decrypt_pkcs1(base64.b64decode(first)) == b"13800000000"
    info = base64.b64decode(
        encryption.customer_info(plain={"certifTp": "01"}, secret={"phoneNo": "13800000000"})
    ).decode()
    assert info.startswith("{certifTp=01&encryptedInfo=")
    assert KEY.decrypt_pkcs1(base64.b64decode(info[1:-1].partition("encryptedInfo=")[2])) == b"phoneNo=13800000000"


@pytest.mark.parametrize("name", ["cvn2", "expired", "pin", "track", "trackInfo"])
def test_card_data_cannot_be_put_into_customer_info(name: str) -> None:
    with pytest.raises(ComplianceError) as caught:
        FieldEncryption(CERTIFICATE).customer_info(plain={}, secret={name: "000"})
    assert caught.value.code == "unionpay_pos.acp_card_data"


def test_file_content_unpacks() -> None:
    vector = VECTORS["ACP-07"]
    assert bill.unpack_content(vector["fileContent"]).hex().upper() == vector["raw_hex"]


@pytest.mark.parametrize(
    "content",
    ["", "!", VECTORS["ACP-07"]["fileContent"][:-4], VECTORS["ACP-07"]["fileContent"][4:]],
)
def test_damaged_file_content_is_refused(content: str) -> None:
    with pytest.raises(ValidationError) as caught:
        bill.unpack_content(content)
    assert caught.value.code == "unionpay_pos.bill"


def test_file_content_that_grows_without_end_is_refused() -> None:
    bomb = base64.b64encode(zlib.compress(bytes(100_000))).decode()
    with pytest.raises(ValidationError) as caught:
        bill.unpack_content(bomb, largest=1000)
    assert caught.value.details["reason"] == "size"


def test_a_zm_line_reads_by_bytes() -> None:
    vector = VECTORS["ACP-08"]
    line = vector["line"].encode("gbk")
    record = bill.ZM.parse(line)
    assert {name: record[name] for name in vector["parsed"]} == vector["parsed"]
    assert [name for name, _ in bill.ZM.columns] == vector["names"]
    assert [width for _, width in bill.ZM.columns] == vector["widths"]
    assert [width for _, width in bill.ZME.columns] == vector["zme_widths"]
    assert (bill.ZM.width, bill.ZME.width) == (607, 339)


def test_a_chinese_name_does_not_shift_the_columns_behind_it() -> None:
    line = bytearray(VECTORS["ACP-08"]["line"].encode("gbk"))
    at = sum(width + 1 for _, width in bill.ZM.columns[:30])
    line[at : at + 32] = "联通营业厅".encode("gbk").ljust(32)
    (record,) = bill.ZM.records(bytes(line) + b"\r\n")
    assert (record["subMerAbbr"], record["termId"]) == ("联通营业厅", "10000001")
    assert bill.signed_fen(record["merFee"], field="merFee") == -77


def test_a_broken_zm_line_is_refused() -> None:
    line = VECTORS["ACP-08"]["line"].encode("gbk")
    for broken, reason in (
        (line[:-1], "width"),
        (line[:3] + b"x" + line[4:], "separator"),
        (b"\xff\xff\xff" + line[3:], "encoding"),
    ):
        with pytest.raises(ValidationError) as caught:
            bill.ZM.parse(broken)
        assert caught.value.details["reason"] == reason
    with pytest.raises(ValidationError) as caught:
        list(bill.ZM.records(line))
    assert caught.value.details["reason"] == "line_end"


@pytest.mark.parametrize("text", ["000000000077", "X000000000077", "C00000000007x", ""])
def test_an_amount_without_its_sign_is_refused(text: str) -> None:
    with pytest.raises(ValidationError):
        bill.signed_fen(text, field="merFee")
