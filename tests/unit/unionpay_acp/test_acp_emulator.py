"""The emulated gateway by its wire: what it takes, what it refuses, and the sheet's vectors under its own code."""

import base64
import hashlib
import re
from pathlib import Path
from urllib.parse import quote_plus

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.serialization import pkcs12
from tests.unit.unionpay_acp.conftest import BACK, PLATFORM, QUERY
from tests.unit.unionpay_pos.samples import VECTORS

from unicom_coupon_adapters.unionpay_pos.emulation.acp import wire
from unicom_coupon_sdk.errors import ValidationError
from unicom_coupon_sdk.platform.effects import HttpCall
from unicom_coupon_sdk.platform.wire import HttpRequest, TransportRules
from unicom_coupon_sdk.sandbox.world import SandboxWorld

HOST = "unionpay-acp.sandbox.invalid"
FRONT = "/gateway/api/frontTransReq.do"
FORM = (("Content-Type", "application/x-www-form-urlencoded; charset=UTF-8"),)
SCAN = {
    "version": "5.1.0",
    "encoding": "UTF-8",
    "signMethod": "01",
    "txnType": "01",
    "txnSubType": "06",
    "bizType": "000000",
    "channelType": "08",
    "accessType": "0",
    "merId": "777290058110048",
    "orderId": "ORDER0000001",
    "txnTime": "20260520120000",
    "txnAmt": "12800",
    "currencyCode": "156",
}


class Wire:
    """Requests made by hand, and answers read by hand."""

    def __init__(self, counter):
        self.counter = counter
        told = counter.sandbox.credentials(PLATFORM)
        pfx, password = Path(told["signing_pfx_file"]).read_bytes(), told["signing_pfx_password"].encode()
        self.key, certificate, _ = pkcs12.load_key_and_certificates(pfx, password)
        self.cert_id = str(certificate.serial_number)
        self.encryption = x509.load_pem_x509_certificate(Path(told["enc_cert_file"]).read_bytes())

    def sign(self, fields):
        told = {name: value for name, value in {"certId": self.cert_id, **fields}.items() if value}
        text = "&".join(f"{name}={told[name]}" for name in sorted(told))
        digest = hashlib.sha256(text.encode()).hexdigest().encode()
        signature = self.key.sign(digest, padding.PKCS1v15(), hashes.SHA256())
        return {**told, "signature": base64.b64encode(signature).decode()}

    def post(self, body, *, path=BACK, method="POST", headers=FORM):
        content = (
            body if isinstance(body, bytes) else "&".join(f"{k}={quote_plus(v)}" for k, v in body.items()).encode()
        )
        request = HttpRequest(method, f"https://{HOST}{path}", headers, content)
        return self.counter.sandbox.transport().send(HttpCall(request, TransportRules(frozenset({HOST}))))

    def code(self, body, **more):
        found = re.search(rb"(?:^|&)respCode=([^&]*)", self.post(body, **more).content)
        return found[1].decode() if found else None

    def scan(self, **changes):
        fields = {**SCAN, "qrNo": self.counter.phone().reveal(), **changes}
        return self.sign({name: value for name, value in fields.items() if value is not None})


@pytest.fixture
def hand(counter):
    return Wire(counter)


def test_a_right_request_is_carried_out_and_answered_signed(hand):
    answer = hand.post(hand.scan(reqReserved="a+b 中文"))
    fields = wire._pairs(answer.content)
    assert (fields["respCode"], fields["respMsg"], fields["reqReserved"]) == ("00", "成功[00]", "a+b 中文")
    leaf = x509.load_pem_x509_certificate(fields["signPubKeyCert"].encode())
    leaf.public_key().verify(
        base64.b64decode(fields["signature"]), wire._digest(fields), padding.PKCS1v15(), hashes.SHA256()
    )


@pytest.mark.parametrize(
    ("code", "changes"),
    [
        ("13", {"qrNo": None}),
        ("13", {"txnAmt": None}),
        ("13", {"currencyCode": None}),
        ("13", {"orderId": None}),
        ("13", {"txnTime": None}),
        ("13", {"channelType": None}),
        ("13", {"bizType": None}),
        ("13", {"encoding": None}),
        ("10", {"version": "5.0.0"}),
        ("10", {"signMethod": "11"}),
        ("10", {"encoding": "GBK"}),
        ("10", {"bizType": "000201"}),
        ("10", {"txnAmt": "0"}),
        ("10", {"txnAmt": "-1"}),
        ("10", {"txnAmt": "1.00"}),
        ("10", {"txnAmt": "1" * 13}),
        ("10", {"currencyCode": "840"}),
        ("10", {"orderId": "ORDER-0001"}),
        ("10", {"orderId": "ORDER1"}),
        ("10", {"txnTime": "20260520"}),
        ("11", {"certId": "70000000009"}),
        ("31", {"merId": "777290058110049"}),
        ("32", {"txnType": "02", "txnSubType": "04"}),
        ("32", {"txnSubType": "01"}),
    ],
)
def test_a_wrong_request_is_refused_and_leaves_nothing(hand, code, changes):
    assert hand.code(hand.scan(**changes)) == code
    assert hand.code(hand.scan()) == "00"


@pytest.mark.parametrize(
    "broken",
    [
        lambda fields: {**fields, "txnAmt": "1"},
        lambda fields: {**fields, "extra": "1"},
        lambda fields: {name: value for name, value in fields.items() if name != "channelType"},
        lambda fields: {**fields, "signature": "AAAA"},
        lambda fields: {**fields, "signature": "!"},
        lambda fields: {**fields, "signature": fields["signature"][4:]},
    ],
)
def test_a_signature_that_does_not_fit_is_refused(hand, broken):
    assert hand.code(broken(hand.scan())) == "11"


def test_an_empty_field_takes_no_part_in_the_signature(hand):
    assert hand.code({**hand.scan(), "subMerId": ""}) == "00"


def test_a_signature_over_encoded_values_is_refused(hand):
    fields = hand.scan(backUrl="https://shop.example/n")
    fields["signature"] = hand.sign({**fields, "signature": None, "backUrl": quote_plus(fields["backUrl"])})[
        "signature"
    ]
    assert hand.code(fields) == "11"


@pytest.mark.parametrize(
    ("status", "wish"),
    [
        (404, {"path": "/gateway/api/appTransReq.do"}),
        (404, {"path": "/gateway/api/order.do"}),
        (405, {"method": "GET"}),
        (400, {"headers": (("Content-Type", "application/json"),)}),
        (400, {"headers": ()}),
    ],
)
def test_another_door_method_or_shape_is_no_request(hand, status, wish):
    assert hand.post(hand.scan(), **wish).status == status


@pytest.mark.parametrize("body", [b"", b"a", b"a=1&a=2", b"a=%ff", b"=1", b"&".join(b"a%d=1" % n for n in range(101))])
def test_what_is_no_form_is_400(hand, body):
    assert hand.post(body).status == 400


def test_each_transaction_is_at_its_own_door(hand):
    question = {**SCAN, "txnType": "00", "txnSubType": "00"}
    assert hand.code(hand.scan(), path=QUERY) == "32"
    assert hand.code(hand.sign(question), path="/") == "32"
    assert hand.code(hand.sign(question), path=QUERY) == "34"
    assert hand.code(hand.sign(question), path=BACK) == "34"  # as the QR product posts it


def test_a_browser_sees_a_page_and_its_order_waits(hand, counter):
    fields = {
        **SCAN,
        "txnSubType": "01",
        "bizType": "000201",
        "channelType": "07",
        "frontUrl": "https://shop.example/<b>",
    }
    page = hand.post(hand.sign(fields), path=FRONT)
    assert page.content.startswith(b"<!doctype html>")
    paid = counter.deliver("pay", order_id="ORDER0000001", holder="alice")
    assert (paid["state"], paid["amount_fen"]) == ("DONE", 12_800)
    assert b"[12]" in hand.post(hand.sign(fields), path=FRONT).content
    assert b"[13]" in hand.post(hand.sign({**fields, "frontUrl": ""}), path=FRONT).content
    counter.fault("error", match=FRONT, code="<script>")
    assert b"<script>" not in hand.post(hand.sign(fields), path=FRONT).content


def test_a_page_has_no_signature_to_spoil(hand, counter):
    fields = {**SCAN, "txnSubType": "01", "bizType": "000201", "channelType": "07", "frontUrl": "https://shop.example/"}
    counter.fault("bad_signature", match=FRONT)
    assert hand.post(hand.sign(fields), path=FRONT).content.startswith(b"<!doctype html>")


def test_reserved_text_with_a_bare_ampersand_does_not_cut_the_answer(hand):
    fields = wire._pairs(hand.post(hand.scan(reqReserved="a&respCode=01")).content)
    assert (fields["respCode"], "reqReserved" in fields) == ("00", False)


def sealed(hand, text):
    cipher = hand.encryption.public_key().encrypt(text.encode(), padding.PKCS1v15())
    return base64.b64encode(cipher).decode()


def test_encrypted_fields_are_opened(hand):
    cert_id = str(hand.encryption.serial_number)
    inner = sealed(hand, "phoneNo=13800138000")
    customer = base64.b64encode(f"{{certifTp=01&encryptedInfo={inner}}}".encode()).decode()
    good = {"accNo": sealed(hand, "6216261000000000018"), "customerInfo": customer, "encryptCertId": cert_id}
    assert hand.code(hand.scan(**good)) == "00"


@pytest.mark.parametrize("field", ["accNo", "customerInfo", "encryptCertId"])
@pytest.mark.parametrize("value", ["1", "!", base64.b64encode(b"x" * 256).decode(), base64.b64encode(b"{a=1").decode()])
def test_encrypted_fields_that_cannot_be_opened_are_refused(hand, field, value):
    good = {"accNo": sealed(hand, "6216261000000000018"), "encryptCertId": str(hand.encryption.serial_number)}
    assert hand.code(hand.scan(**{**good, field: value})) == "10"


def test_what_is_sealed_must_be_a_card_number_or_pairs(hand):
    cert_id = str(hand.encryption.serial_number)
    assert hand.code(hand.scan(accNo=sealed(hand, "123"), encryptCertId=cert_id)) == "10"
    outer = base64.b64encode(f"{{encryptedInfo={sealed(hand, 'nothing')}}}".encode()).decode()
    assert hand.code(hand.scan(customerInfo=outer, encryptCertId=cert_id)) == "10"


def test_a_file_of_a_day_that_is_none_is_refused(hand):
    fields = {**SCAN, "txnType": "76", "fileType": "00", "txnSubType": "01", "settleDate": "0520"}
    for changes, code in (
        ({"settleDate": "0230"}, "10"),
        ({"settleDate": "x"}, "10"),
        ({"settleDate": "052"}, "10"),
        ({"fileType": "01"}, "10"),
        ({"fileType": ""}, "13"),
        ({}, "98"),
    ):
        assert hand.code(hand.sign({**fields, **changes}), path="/") == code


def test_a_certificate_of_another_type_is_refused(hand):
    fields = {**SCAN, "txnType": "95", "txnSubType": "00"}
    assert hand.code(hand.sign({**fields, "certType": "02"})) == "10"
    assert hand.code(hand.sign({**fields, "certType": "01"})) == "00"


@pytest.mark.parametrize(
    "wish",
    [
        {"action": "dance"},
        {},
        {"action": "show"},
        {"action": "show", "holder": "a", "limit_fen": -1},
        {"action": "pay", "order_id": "NOTHING"},
        {"action": "pay", "holder": "a"},
        {"action": "pay", "qr_code": "x", "holder": "a"},
        {"action": "confirm", "order_id": "NOTHING"},
    ],
)
def test_a_hand_that_does_nothing_sensible_is_told_so(counter, wish):
    with pytest.raises(ValidationError, match=r"sandbox\.wish"):
        counter.sandbox.control.deliver(PLATFORM, **wish)


def test_an_order_is_paid_once_and_by_one_payer(counter):
    sale = counter.instruction(300)
    text = counter.run(counter.payments.qr_code(sale))
    with pytest.raises(ValidationError):
        counter.deliver("confirm", order_id=sale.order_id)  # nobody has shown a code
    counter.deliver("pay", qr_code=text, holder="alice")
    with pytest.raises(ValidationError):
        counter.deliver("pay", qr_code=text, holder="bob")


@pytest.mark.parametrize("wish", [{}, {"holder": "alice", "sponsor": "nobody"}])
def test_a_coupon_needs_a_payer_and_a_sponsor(counter, wish):
    with pytest.raises(ValidationError, match=r"sandbox\.wish"):
        counter.sandbox.control.issue_coupons(PLATFORM, face_fen=100, **wish)


def test_a_coupon_expires(counter):
    code = counter.coupon(100, valid_days=1)
    counter.sandbox.control.advance(86_401)
    assert counter.state(code) == "EXPIRED"
    assert counter.paid()[1].coupons == ()
    assert counter.sandbox.control.coupon(PLATFORM, "nothing") is None


def test_the_control_api_makes_a_paid_order(counter):
    code = counter.coupon(100)
    order = counter.sandbox.control.order(PLATFORM, amount_fen=900, holder="alice", code=code)
    assert (order["state"], order["coupon_fen"], counter.state(code)) == ("DONE", 100, "USED")


def test_the_contracts_keys_and_no_others(counter):
    told = counter.sandbox.credentials(PLATFORM)
    assert set(told) == {
        "base_url", "mer_id", "signing_pfx_file", "signing_pfx_password", "root_cert_file", "middle_cert_file",
        "enc_cert_file",
    }  # fmt: skip
    for name in ("root_cert_file", "middle_cert_file", "enc_cert_file"):
        certificate = x509.load_pem_x509_certificate(Path(told[name]).read_bytes())
        assert certificate.not_valid_before_utc < counter.now < certificate.not_valid_after_utc
        assert Path(told[name]).is_absolute()


def test_private_files_are_the_owners_alone(counter):
    folder = Path(counter.sandbox.credentials(PLATFORM)["signing_pfx_file"]).parent
    assert {file.stat().st_mode & 0o077 for file in folder.iterdir()} == {0}


def test_keys_and_transactions_outlive_a_restart(tmp_path):
    first = SandboxWorld(tmp_path, platforms=[PLATFORM])
    emulator = first.station(PLATFORM).emulator
    pfx = Path(emulator.credentials()["signing_pfx_file"]).read_bytes()
    qr_no = emulator.deliver({"action": "show", "holder": "alice"})["qr_no"]
    told = emulator.order({"amount_fen": 700, "holder": "alice"})
    first.close()
    second = SandboxWorld(tmp_path, platforms=[PLATFORM])
    try:
        emulator = second.station(PLATFORM).emulator
        assert Path(emulator.credentials()["signing_pfx_file"]).read_bytes() == pfx
        assert second.station(PLATFORM).store.get("qr", qr_no)["holder"] == "alice"
        assert second.station(PLATFORM).store.get("transaction", told["order_id"])["state"] == "DONE"
    finally:
        second.close()


# --- the sheet's vectors under the emulator's own code ---


def test_the_emulators_canonical_string_is_the_sheets():
    params = {**VECTORS["ACP-01"]["params"], "signature": "never signed"}
    assert wire._digest(params).decode() == VECTORS["ACP-01"]["sha256_hex"]
    assert wire._digest({**params, "txnAmt": "12801"}).decode() != VECTORS["ACP-01"]["sha256_hex"]


def test_the_emulator_reads_the_sheets_form_and_line():
    params = {name: value for name, value in VECTORS["ACP-01"]["params"].items() if value}
    read = wire._form(VECTORS["ACP-01"]["post_body"].encode())
    assert read == {**params, "signature": VECTORS["ACP-01"]["signature"]}
    assert wire._pairs(VECTORS["ACP-05"]["body"].encode()) == VECTORS["ACP-05"]["params"]


def test_the_sheets_answer_verifies_under_the_emulators_digest():
    params = VECTORS["ACP-05"]["params"]
    key = x509.load_pem_x509_certificate(params["signPubKeyCert"].encode()).public_key()
    signature = base64.b64decode(params["signature"])
    key.verify(signature, wire._digest(params), padding.PKCS1v15(), hashes.SHA256())
    with pytest.raises(InvalidSignature):
        key.verify(signature, wire._digest({**params, "txnAmt": "1"}), padding.PKCS1v15(), hashes.SHA256())


def test_the_sheets_sealed_fields_open_under_the_emulators_code():
    from unicom_coupon_adapters.unionpay_pos.emulation.acp import sealed as opened
    from unicom_coupon_sdk.crypto.rsa import RsaPrivateKey

    vector = VECTORS["ACP-06"]
    key = RsaPrivateKey.load(vector["enc_private_key_pem"].encode(), field="key")
    assert opened._opened(key, vector["accNo_cipher"], field="accNo") == vector["accNo"]
    opened._check_customer(key, vector["customerInfo"])
    with pytest.raises(opened.Refusal):
        opened._check_customer(key, base64.b64encode(b"{encryptedInfo=AAAA}").decode())
