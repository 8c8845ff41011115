"""A client that knows only the sheet: the standard library and ``cryptography``, over a real socket.

It shares nothing with the adapter or the emulator, so a mistake they might share shows here.
"""

from __future__ import annotations

import base64
import hashlib
import io
import threading
import urllib.error
import urllib.request
import zipfile
import zlib
from http.client import RemoteDisconnected
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import ClassVar
from urllib.parse import parse_qsl, urlencode

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.oid import NameOID

from unicom_coupon_sdk.sandbox import SandboxServer

BACK = "/gateway/api/backTransReq.do"
QUERY = "/gateway/api/queryTrans.do"
PLATFORM = "unionpay_acp"


class AcpClient:
    """Sections 10.1 to 10.7 and 11.3 of the sheet, and nothing else."""

    def __init__(self, section):
        self.base, self.mer_id = section["base_url"], section["mer_id"]
        pfx, password = Path(section["signing_pfx_file"]).read_bytes(), section["signing_pfx_password"].encode()
        self.key, certificate, _ = pkcs12.load_key_and_certificates(pfx, password)
        self.cert_id = str(certificate.serial_number)
        self.root, self.middle, self.encryption = (
            x509.load_pem_x509_certificate(Path(section[name]).read_bytes())
            for name in ("root_cert_file", "middle_cert_file", "enc_cert_file")
        )

    @staticmethod
    def digest(fields):
        pairs = sorted((name, value) for name, value in fields.items() if value and name != "signature")
        return hashlib.sha256("&".join(f"{name}={value}" for name, value in pairs).encode()).hexdigest().encode()

    def sign(self, fields):
        common = {"version": "5.1.0", "encoding": "UTF-8", "signMethod": "01", "accessType": "0", "merId": self.mer_id}
        told = {**common, "certId": self.cert_id, "bizType": "000000", "channelType": "08", **fields}
        signature = self.key.sign(self.digest(told), padding.PKCS1v15(), hashes.SHA256())
        return {**told, "signature": base64.b64encode(signature).decode()}

    def verify(self, fields):
        leaf = x509.load_pem_x509_certificate(fields["signPubKeyCert"].encode())
        leaf.verify_directly_issued_by(self.middle)
        self.middle.verify_directly_issued_by(self.root)
        name = leaf.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value
        if name.split("@")[2] != "中国银联股份有限公司":
            raise InvalidSignature
        signature = base64.b64decode(fields["signature"])
        leaf.public_key().verify(signature, self.digest(fields), padding.PKCS1v15(), hashes.SHA256())

    @staticmethod
    def split(line):
        found, depth, start = {}, 0, 0
        for at, character in enumerate(line + "&"):
            depth += (character in "{[") - (character in "}]")
            if character == "&" and depth == 0:
                name, _, value = line[start:at].partition("=")
                found[name], start = value, at + 1
        return found

    def post(self, path, fields):
        request = urllib.request.Request(self.base + path, urlencode(self.sign(fields)).encode())
        with urllib.request.urlopen(request, timeout=10) as answer:
            told = self.split(answer.read().decode())
        self.verify(told)
        return told

    def write(self, kind, order_id, amount, **more):
        named = {"orderId": order_id, "txnTime": "20260520120000", "txnAmt": str(amount), "currencyCode": "156"}
        return self.post(BACK, {"txnType": kind[:2], "txnSubType": kind[3:], **named, **more})

    def query(self, order_id):
        named = {"orderId": order_id, "txnTime": "20260520120000"}
        return self.post(QUERY, {"txnType": "00", "txnSubType": "00", **named})

    def files(self, settle_date):
        kind = {"txnType": "76", "txnSubType": "01", "fileType": "00", "settleDate": settle_date}
        told = self.post("/", {**kind, "txnTime": "20260521100000"})
        if told["respCode"] != "00":
            return told["respCode"]
        packed = zlib.decompress(base64.b64decode(told["fileContent"]))
        with zipfile.ZipFile(io.BytesIO(packed)) as archive:
            return {name: archive.read(name) for name in archive.namelist()}


class Shop(BaseHTTPRequestHandler):
    """The merchant's notice address."""

    bodies: ClassVar[list[bytes]] = []

    def do_POST(self):
        self.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def server():
    with SandboxServer(platforms=[PLATFORM]) as running:
        yield running


@pytest.fixture
def sandbox(server):
    server.control.reset()
    server.control.clear_faults()
    server.control.set_clock("2026-05-20T12:00:00+08:00")
    return server


@pytest.fixture
def client(sandbox):
    return AcpClient(sandbox.credentials[PLATFORM])


def phone(sandbox, **wish):
    return sandbox.control.deliver(PLATFORM, action="show", **{"holder": "alice", **wish})["qr_no"]


def test_a_payment_is_made_asked_for_and_undone_with_its_coupon(client, sandbox):
    coupon = sandbox.control.issue_coupons(PLATFORM, face_fen=5_000, holder="alice")[0]["code"]
    paid = client.write("01/06", "ORDER0000001", 12_800, qrNo=phone(sandbox), reqReserved="a+b 中文")
    assert (paid["respCode"], paid["txnAmt"], paid["settleDate"]) == ("00", "12800", "0520")
    assert '"offstAmt":"5000"' in paid["couponInfo"]
    asked = client.query("ORDER0000001")
    assert (asked["respCode"], asked["origRespCode"], asked["queryId"]) == ("00", "00", paid["queryId"])
    assert sandbox.control.coupon(PLATFORM, coupon)["state"] == "USED"
    assert client.write("31/00", "UNDO00000001", 12_800, origQryId=paid["queryId"])["respCode"] == "00"
    assert client.query("UNDO00000001")["origRespCode"] == "00"
    assert sandbox.control.coupon(PLATFORM, coupon)["state"] == "USABLE"
    assert client.write("04/00", "BACK00000001", 1, origQryId=paid["queryId"])["respCode"] == "45"


def test_a_number_is_used_once_and_refunds_add_up(client, sandbox):
    paid = client.write("01/06", "ORDER0000001", 1_000, qrNo=phone(sandbox))
    assert client.write("01/06", "ORDER0000001", 1_000, qrNo=phone(sandbox))["respCode"] == "12"
    original = {"origOrderId": "ORDER0000001", "origTxnTime": "20260520120000"}
    assert client.write("04/00", "BACK00000001", 600, **original)["respCode"] == "00"
    assert client.query("BACK00000001")["origRespCode"] == "05"
    sandbox.control.advance(3)
    assert client.query("BACK00000001")["origRespCode"] == "00"
    assert client.write("04/00", "BACK00000002", 401, origQryId=paid["queryId"])["respCode"] == "36"
    assert client.write("31/00", "UNDO00000001", 1_000, origQryId=paid["queryId"])["respCode"] == "45"


def test_a_lost_answer_is_found_out_by_asking(client, sandbox):
    sandbox.control.add_fault(PLATFORM, "drop_after", match="01/06")
    with pytest.raises(RemoteDisconnected):
        client.write("01/06", "ORDER0000001", 1_000, qrNo=phone(sandbox))
    assert client.query("ORDER0000001")["origRespCode"] == "00"
    sandbox.control.add_fault(PLATFORM, "drop_before", match=BACK)
    with pytest.raises(RemoteDisconnected):
        client.write("01/06", "ORDER0000002", 1_000, qrNo=phone(sandbox))
    assert client.query("ORDER0000002")["respCode"] == "34"


@pytest.mark.parametrize("kind", ["bad_signature", "wrong_serial"])
def test_a_spoiled_signature_is_seen_by_whoever_looks(client, sandbox, kind):
    sandbox.control.add_fault(PLATFORM, kind)
    with pytest.raises(InvalidSignature):
        client.query("ORDER0000001")
    assert client.query("ORDER0000001")["respCode"] == "34"


def test_a_notice_is_posted_signed_to_the_address_of_the_request(client, sandbox):
    Shop.bodies.clear()
    with HTTPServer(("127.0.0.1", 0), Shop) as shop:
        thread = threading.Thread(target=shop.serve_forever)
        thread.start()
        try:
            url = f"http://127.0.0.1:{shop.server_port}/notify"
            client.write("01/06", "ORDER0000001", 1_000, qrNo=phone(sandbox), backUrl=url)
            sandbox.control.deliver_notifications()
        finally:
            shop.shutdown()
            thread.join()
    told = dict(parse_qsl(Shop.bodies[0].decode("ascii"), strict_parsing=True))
    client.verify(told)
    assert (told["orderId"], told["txnAmt"], told["respCode"], told["txnType"]) == ("ORDER0000001", "1000", "00", "01")


def test_the_files_of_a_day_hold_what_happened(client, sandbox):
    paid = client.write("01/06", "ORDER0000001", 12_800, qrNo=phone(sandbox), termId="10000001")
    client.write("04/00", "BACK00000001", 800, origQryId=paid["queryId"])
    assert client.files("0520") == "98"
    sandbox.control.set_clock("2026-05-21T10:00:00+08:00")
    found = client.files("0520")
    details = found[f"INN26052088ZM_{client.mer_id}"]
    first, second, end = details.split(b"\r\n")
    assert (len(first), len(second), end) == (607, 607, b"")
    assert (first[:3], first[46:65], first[66:78]) == (b"S22", b"622155******0000".ljust(19), b"000000012800")
    at = sum((3, 11, 11, 6, 10, 19, 12, 4, 2, 21, 2)) + 11
    assert first[at : at + 32] == b"ORDER0000001".ljust(32)
    assert found[f"INN26052088ZME_{client.mer_id}"] == b""


def test_encrypted_fields_and_the_current_certificate(client, sandbox):
    told = client.post(
        BACK,
        {"txnType": "95", "txnSubType": "00", "certType": "01", "orderId": "CERT00000001", "txnTime": "20260520120000"},
    )
    current = x509.load_pem_x509_certificate(told["encryptPubKeyCert"].encode())
    assert current == client.encryption
    cipher = current.public_key().encrypt(b"6216261000000000018", padding.PKCS1v15())
    sealed = {"accNo": base64.b64encode(cipher).decode(), "encryptCertId": str(current.serial_number)}
    assert client.write("01/06", "ORDER0000001", 100, qrNo=phone(sandbox), **sealed)["respCode"] == "00"
    wrong = {**sealed, "encryptCertId": "1"}
    assert client.write("01/06", "ORDER0000002", 100, qrNo=phone(sandbox), **wrong)["respCode"] == "10"


def test_a_client_with_another_key_is_refused(client, sandbox):
    client.cert_id = "70000000009"
    assert client.query("ORDER0000001")["respCode"] == "11"
    with pytest.raises(urllib.error.HTTPError):
        urllib.request.urlopen(urllib.request.Request(client.base + BACK, b"no form"), timeout=10)
