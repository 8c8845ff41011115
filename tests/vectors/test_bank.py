"""The bank's vectors, each rule with broken siblings."""

import hashlib
import json
from base64 import b64decode, b64encode
from datetime import UTC, datetime
from pathlib import Path

import pytest

from unicom_coupon_adapters.bank import messages
from unicom_coupon_adapters.bank.envelopes.base import is_signed, seal_field, signed_text
from unicom_coupon_adapters.bank.envelopes.cmb import CmbEnvelope
from unicom_coupon_adapters.bank.envelopes.experimental import boc_text, ccb_mac, ccb_text
from unicom_coupon_adapters.bank.envelopes.icbc import IcbcEnvelope, reply_text, request_text
from unicom_coupon_sdk.crypto import sm3
from unicom_coupon_sdk.crypto.rsa import RsaPrivateKey, RsaPublicKey
from unicom_coupon_sdk.crypto.sm2 import Sm2PrivateKey, Sm2PublicKey
from unicom_coupon_sdk.crypto.sm2_forms import CipherForm, cipher_asn1
from unicom_coupon_sdk.crypto.sm4 import Sm4
from unicom_coupon_sdk.domain.sensitive import Secret
from unicom_coupon_sdk.errors import ForgedMessage, ValidationError

FILE = json.loads((Path(__file__).parent / "bank.json").read_text(encoding="utf-8"))
ALL = {vector["id"]: vector for vector in FILE["vectors"]}
NOW = datetime(2026, 11, 22, 2, 0, tzinfo=UTC)


def of_kind(kind):
    return [pytest.param(vector, id=vector["id"]) for vector in FILE["vectors"] if vector["kind"] == kind]


def public(name):
    return Sm2PublicKey.from_pem(FILE["keys"][name]["spki_b64"])


def envelope(**changes):
    facts = {
        "base_url": "https://api.cmbchina.com",
        "app_id": FILE["app"]["appid"],
        "app_secret": Secret(FILE["app"]["secret"]),
        "signer": Sm2PrivateKey.from_hex(FILE["keys"]["merchant"]["d"], public_key=public("merchant")),
        "bank_keys": (public("bank"),),
    }
    return CmbEnvelope(**{**facts, **changes})


def test_every_vector_is_of_a_kind_that_is_tested_here():
    assert {vector["kind"] for vector in FILE["vectors"]} == {
        "cmb-apisign-md5", "cmb-sm2-sign", "cmb-sm2-verify", "cmb-sm4-field", "cmb-envelope-shape", "cmb-public-key",
        "apisign-sm3", "icbc-rsa2", "icbc-sha1", "ccb-md5", "boc-p7-content",
    }  # fmt: skip
    assert len(ALL) == 25


# the canonical string and its signature


@pytest.mark.parametrize("vector", of_kind("cmb-sm2-sign"))
def test_the_signed_text_is_the_documents(vector):
    text = signed_text(vector["params"])
    assert text == vector["canonical"]
    assert hashlib.sha256(text.encode()).hexdigest() == vector["canonical_sha256"]


@pytest.mark.parametrize("vector", of_kind("cmb-sm2-sign"))
def test_the_signature_holds_and_no_changed_one_does(vector):
    key, other = public(vector["signer"]), public("bank" if vector["signer"] == "merchant" else "merchant")
    text, sign = vector["canonical"], vector["sign_b64"]
    assert is_signed(text, sign, keys=(key,))
    assert is_signed(text, sign, keys=(other, key))
    assert not is_signed(text, sign, keys=(other,))
    assert not is_signed(text + " ", sign, keys=(key,))
    assert not is_signed(text.replace("=", "==", 1), sign, keys=(key,))
    assert not is_signed(text, sign[:-4], keys=(key,))
    assert not is_signed(text, f" {sign}", keys=(key,))
    raw = bytes.fromhex(vector["r"] + vector["s"])
    assert not is_signed(text, b64encode(raw).decode(), keys=(key,))


@pytest.mark.parametrize("vector", of_kind("cmb-sm2-verify"))
def test_a_wrong_signature_is_refused(vector):
    assert not is_signed(vector["canonical"], vector["sign_b64"], keys=(public(vector["signer"]),))


@pytest.mark.parametrize("vector", of_kind("cmb-sm2-sign"))
def test_what_we_sign_over_the_same_parameters_verifies(vector):
    signed = envelope().signed(vector["params"])
    assert is_signed(vector["canonical"], signed["sign"], keys=(public("merchant"),))
    assert b64decode(signed["sign"])[0] == 0x30


# replies and notifications


def wire(vector, **changes):
    return json.dumps({**vector["params"], "sign": vector["sign_b64"], **changes}, ensure_ascii=False).encode()


def test_a_reply_with_escaped_slashes_is_read_as_signed():
    reply = envelope().read_reply(wire(ALL["resp-qrcode-escaped"]))
    assert reply.error_code is None
    assert reply.text("qrCode") == "https://qr.95516.com/03080000/1004/100426112200000000000001"


def test_a_reply_that_lost_its_backslashes_is_mended_once():
    vector = ALL["resp-qrcode-escaped"]
    plain = vector["params"]["biz_content"].replace("\\/", "/")
    assert envelope().read_reply(wire(vector, biz_content=plain)).text("qrCode").startswith("https://qr")


@pytest.mark.parametrize(
    "changes",
    [
        {"respCode": "FAIL"},
        {"biz_content": "{}"},
        {"extra": "1"},
        {"sign": ""},
        {"sign": ALL["resp-fail"]["sign_b64"]},
        {"biz_content": 5},
    ],
)
def test_a_changed_reply_is_forged(changes):
    with pytest.raises(ForgedMessage):
        envelope().read_reply(wire(ALL["resp-qrcode-escaped"], **changes))


def test_a_signed_failure_is_read_and_an_unsigned_one_is_not():
    vector = ALL["resp-fail"]
    reply = envelope().read_reply(wire(vector))
    assert (reply.error_code, reply.is_understood) == ("MERID_NOT_EXIST", False)
    unsigned = json.dumps(vector["params"], ensure_ascii=False).encode()
    with pytest.raises(ForgedMessage, match=r"bank\.unsigned_failure"):
        envelope().read_reply(unsigned)


def test_a_notification_is_decoded_once_and_verified():
    vector = ALL["notify-pay"]
    body = vector["form_body"] if "form_body" in vector else vector["form"]
    biz = envelope().read_notification(body.encode())
    assert biz["mchReserved"] == "a=b&c+d 券"
    for broken in (
        body.replace("%22txnAmt%22%3A%221%22", "%22txnAmt%22%3A%222%22"),
        body + "&x=1",
        body.rpartition("&")[0],
    ):
        assert broken != body
        with pytest.raises(ForgedMessage):
            envelope().read_notification(broken.encode())


def test_the_acknowledgement_is_the_vectors_parameters_under_our_signature():
    told = json.loads(envelope().acknowledge(None).content)
    sign = told.pop("sign")
    assert told == ALL["notify-ack"]["params"]
    assert is_signed(ALL["notify-ack"]["canonical"], sign, keys=(public("merchant"),))
    refused = json.loads(envelope().acknowledge(ForgedMessage("bank.signature")).content)
    assert refused["returnCode"] == "FAIL"
    assert is_signed(signed_text(refused), refused["sign"], keys=(public("merchant"),))


# the header digest


def test_the_header_digest_is_the_documents_md5_and_our_sm3():
    doc, ours = ALL["apisign-doc"], ALL["apisign-sm3"]
    assert hashlib.md5(doc["canonical"].encode()).hexdigest() == doc["apisign"]
    fields = dict(pair.split("=", 1) for pair in doc["canonical"].split("&"))
    made = envelope(app_id=fields["appid"], app_secret=Secret(fields["secret"]))
    assert made.header_digest(fields["sign"], timestamp=fields["timestamp"]) == doc["apisign"]
    assert made.header_digest(fields["sign"], timestamp="1528882456") != doc["apisign"]
    fields = dict(pair.split("=", 1) for pair in ours["canonical"].split("&"))
    assert sm3.digest(ours["canonical"].encode()).hex() == ours["apisign"]
    assert envelope(digest="sm3").header_digest(fields["sign"], timestamp=fields["timestamp"]) == ours["apisign"]
    assert envelope().header_digest(fields["sign"], timestamp=fields["timestamp"]) != ours["apisign"]


# encrypted fields


def test_the_published_field_opens_under_the_mode_that_we_seal_with():
    vector = ALL["sensitive-doc"]
    key = bytes.fromhex(vector["sm4_key_hex"])
    opened = Sm4(key).decrypt_cbc_padded(b64decode(vector["ciphertext_b64"]), iv=bytes.fromhex(vector["iv"]))
    assert opened.decode() == vector["plaintext"]
    assert seal_field(json.loads(vector["plaintext"]), key=key) == vector["ciphertext_b64"]
    with pytest.raises(ForgedMessage):
        Sm4(key[::-1]).decrypt_cbc_padded(b64decode(vector["ciphertext_b64"]), iv=bytes(16))


def test_the_sensitive_request_opens_with_the_banks_key():
    params = ALL["req-sensitive"]["params"]
    bank = Sm2PrivateKey.from_hex(FILE["keys"]["bank"]["d"], public_key=public("bank"))
    key = bank.decrypt(b64decode(params["encryptKey"]))
    field = json.loads(params["biz_content"])["encryptTerminalInfo"]
    assert json.loads(Sm4(key).decrypt_cbc_padded(b64decode(field), iv=bytes(16)))
    with pytest.raises(ForgedMessage):
        bank.decrypt(b64decode(params["encryptKey"])[:-1])


def test_a_payment_of_ours_is_the_vectors_to_the_field():
    vector = ALL["req-sensitive"]
    key = bytes.fromhex(vector["sensitive"]["sm4_key_hex"])
    terminal = {name: Secret(value) for name, value in json.loads(vector["sensitive"]["plaintext"]).items()}
    plain = {name: value for name, value in vector["biz"].items() if name != "encryptTerminalInfo"}
    call = messages.PAY.call(plain, sealed={"encryptTerminalInfo": terminal})
    params = json.loads(envelope().build(call, now=NOW, entropy=key).content)
    assert json.loads(params["biz_content"]) == vector["biz"]
    bank = Sm2PrivateKey.from_hex(FILE["keys"]["bank"]["d"], public_key=public("bank"))
    assert bank.decrypt(b64decode(params["encryptKey"])) == key
    assert is_signed(signed_text(params), params["sign"], keys=(public("merchant"),))
    without_key = {name: value for name, value in params.items() if name != "encryptKey"}
    assert not is_signed(signed_text(without_key), params["sign"], keys=(public("merchant"),))


def test_the_published_envelope_has_the_shape_that_we_read():
    der = b64decode(ALL["envelope-doc"]["envelope_b64"])
    assert cipher_asn1(der, form=CipherForm.ASN1) == der
    for broken in (der[:-1], der + b"\0", der[:8] + bytes([der[8] ^ 1]) + der[9:]):
        with pytest.raises(Exception):  # noqa: B017, PT011 - any refusal
            cipher_asn1(broken, form=CipherForm.ASN1)


def test_the_published_public_key_is_its_point():
    vector = ALL["pubkey-doc"]
    key = Sm2PublicKey.from_pem(vector["spki_b64"])
    assert key.point.hex() == vector["x"] + vector["y"]
    assert key != public("merchant")


# ICBC, CCB, BOC


def test_icbcs_request_text_and_signature():
    vector = ALL["icbc-request-rsa2"]
    text = request_text(vector["path"], {**vector["params"], "sign": "x", "notify_url": ""})
    assert text == vector["canonical"]
    key = RsaPrivateKey.load(vector["private_key_pem"].encode(), field="key")
    assert b64encode(key.sign_sha256(text.encode())).decode() == vector["sign_b64"]
    for broken in (text.replace("5000", "5001"), text[1:], text.replace("?", "&")):
        assert not key.public_key.verify_sha256(b64decode(vector["sign_b64"]), broken.encode())


def test_icbcs_reply_is_verified_over_its_text_as_received():
    vector = ALL["icbc-response-sha1"]
    body = vector["wire_body"].encode()
    assert reply_text(body) == vector["canonical"]
    made = IcbcEnvelope(
        base_url="https://gw.open.icbc.com.cn",
        app_id="1",
        signer=RsaPrivateKey.load(ALL["icbc-request-rsa2"]["private_key_pem"].encode(), field="key"),
        bank_rsa=RsaPublicKey.load(vector["public_key_pem"].encode(), field="key"),
        bank_keys=(public("bank"),),
    )
    assert made.read_reply(body).text("tradeState") == "S"
    for broken in (body.replace(b'"status":"1"', b'"status":"2"'), body.replace(b":0,", b": 0,"), b"{}", b"\xff"):
        with pytest.raises(ForgedMessage):
            made.read_reply(broken)


def test_ccbs_mac_keeps_the_fixed_order_and_empty_fields():
    vector = ALL["ccb-mac"]
    fields = dict(pair.split("=", 1) for pair in vector["canonical"].split("&"))
    shuffled = dict(sorted(fields.items(), reverse=True))
    assert ccb_text(shuffled) == vector["canonical"]
    assert ccb_mac(shuffled) == vector["mac"]
    assert ccb_mac({**fields, "PAYMENT": "50.01"}) != vector["mac"]
    with pytest.raises(ValidationError):
        ccb_text({name: value for name, value in fields.items() if name != "REMARK2"})


def test_bocs_text_has_yuan_and_bars():
    vector = ALL["boc-string"]
    text = boc_text(
        order_no="UC2026112200001", order_time="20261122100000", amount_fen=5000, merchant_no="104110000000001"
    )
    assert text == vector["canonical"]
    assert hashlib.sha256(text.encode()).hexdigest() == vector["sha256"]
