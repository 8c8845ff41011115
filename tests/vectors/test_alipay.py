"""The 52 vectors of the Alipay sheet, each with broken siblings that must not pass."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path

import pytest
from tests.unit.alipay import billing

from unicom_coupon_adapters.alipay.bill_layouts import TRADE
from unicom_coupon_adapters.alipay.certificates import certificate_sn, issuer_name, root_sn
from unicom_coupon_adapters.alipay.codes import Meaning, meaning_of
from unicom_coupon_adapters.alipay.content import ContentCipher
from unicom_coupon_adapters.alipay.envelope import cut
from unicom_coupon_adapters.alipay.keys import RsaVerifier, Sm2Verifier
from unicom_coupon_adapters.alipay.notifications import read_form
from unicom_coupon_adapters.alipay.signing import (
    SignType,
    V3Request,
    canonical,
    sign_text,
    v3_answer_message,
    verify_form,
    verify_text,
)
from unicom_coupon_sdk.crypto.certificates import Certificate
from unicom_coupon_sdk.crypto.rsa import RsaPrivateKey, RsaPublicKey
from unicom_coupon_sdk.crypto.sm2 import Sm2PublicKey
from unicom_coupon_sdk.domain.bill import RowKind, Total
from unicom_coupon_sdk.errors import ConfigurationError, ForgedMessage, ValidationError

FILE = json.loads(Path(__file__).with_name("alipay.json").read_text("utf-8"))
KEYS = FILE["keys"]
VECTORS = {vector["id"]: vector for vector in FILE["vectors"]}
BOTH = frozenset({SignType.RSA2, SignType.RSA})
APP = RsaPrivateKey.load(KEYS["app_private_pkcs1_pem"].encode(), field="app")
APP_PUBLIC = RsaVerifier(RsaPublicKey.load(KEYS["app_public_pem"].encode(), field="app_public"), accepts=BOTH)
ALIPAY = RsaVerifier(RsaPublicKey.load(KEYS["alipay_public_pem"].encode(), field="alipay"))
CIPHER = ContentCipher(KEYS["aes_key_base64"])

REQUESTS = ["A01", "A02", "A03", "A04"]
SIGNED_ANSWERS = ["C01", "C02", "C03", "C05", "C06", "C09"]
CUT_ONLY = ["C10.normal", "C10.unpaired_braces_in_key/value", "C10.even_backslashes_before_quote"]
CUT_ONLY += ["C10.encrypted_+_blanks"]
CERTIFICATES = ["E01", "E02", "E03", "E06", "E07", "E08", "E09", "E10"]
V3_REQUESTS = ["F01", "F02", "F03", "F04", "F05"]


def test_every_vector_is_used():
    single = {"B01", "B02", "B03", "B04", "C04", "C07", "C08", "D01", "D02", "D03", "D04", "D05", "D06", "D07"}
    single |= {"E04", "E05", "E11", "E12", "F06", "F07", "G01", "G02", "H01", "H02"}
    single |= {"J01"}
    used = {*REQUESTS, *SIGNED_ANSWERS, *CUT_ONLY, *CERTIFICATES, *V3_REQUESTS, *single}
    assert used == set(VECTORS)
    assert len(VECTORS) == 52


def method_of(vector):
    return vector["node"].removesuffix("_response").replace("_", ".")


def cut_of(vector, body=None):
    node = vector["node"]
    method = "alipay.marketing.activity.ordervoucher.use" if node == "error_response" else method_of(vector)
    return cut((body or vector["body"]).encode(), method=method)


def signers(sign_type):
    return {SignType.RSA2: APP.sign_sha256, SignType.RSA: APP.sign_sha1}[sign_type]


class TestRequests:
    @pytest.mark.parametrize("name", REQUESTS)
    def test_the_canonical_string_and_signature_are_byte_for_byte(self, name):
        vector = VECTORS[name]
        text = canonical(vector["params"])
        assert text == vector["canonical"]
        assert sign_text(text, signers(SignType(vector["params"]["sign_type"]))) == vector["sign"]

    @pytest.mark.parametrize("name", REQUESTS)
    @pytest.mark.parametrize("spoil", ["value", "order", "drop_sign_type", "trailing", "url_encoded"])
    def test_a_broken_sibling_does_not_verify(self, name, spoil):
        vector = VECTORS[name]
        text, params = vector["canonical"], vector["params"]
        broken = {
            "value": text.replace("RSA", "RSB", 1),
            "order": "&".join(reversed(text.split("&"))),
            "drop_sign_type": canonical(params, without=frozenset({"sign_type"})),
            "trailing": text + "&",
            "url_encoded": text.replace(" ", "+"),
        }[spoil]
        sign_type = SignType(params["sign_type"])
        assert verify_text(text, sign=vector["sign"], verifier=APP_PUBLIC, sign_type=sign_type)
        assert not verify_text(broken, sign=vector["sign"], verifier=APP_PUBLIC, sign_type=sign_type)

    def test_an_empty_value_is_signed_neither_present_nor_absent(self):
        params = VECTORS["A01"]["params"]
        assert "" in params.values()
        assert canonical(params) == canonical({name: value for name, value in params.items() if value})
        assert hashlib.sha256(canonical(params).encode()).hexdigest() == VECTORS["A01"]["canonical_sha256"]

    def test_encryption_comes_before_the_signature(self):
        vector = VECTORS["A04"]
        assert CIPHER.encrypt(vector["plaintext"]) == vector["params"]["biz_content"]
        assert CIPHER.decrypt(vector["params"]["biz_content"]) == vector["plaintext"]
        assert vector["plaintext"] not in vector["canonical"]


class TestContent:
    @pytest.mark.parametrize("name", ["B01", "B02", "B03"])
    def test_a_zero_iv_ciphertext_is_byte_for_byte(self, name):
        vector = VECTORS[name]
        assert CIPHER.encrypt(vector["plaintext"]) == vector["ciphertext"]
        assert CIPHER.decrypt(vector["ciphertext"]) == vector["plaintext"]

    def test_the_second_layout_carries_its_iv(self):
        vector = VECTORS["B04"]
        assert CIPHER.encrypt_v2(vector["plaintext"], iv=bytes.fromhex(vector["iv_hex"])) == vector["ciphertext"]
        assert CIPHER.decrypt_v2(vector["ciphertext"]) == vector["plaintext"]

    @pytest.mark.parametrize("name", ["B01", "B02", "B03", "B04"])
    def test_a_cut_ciphertext_is_refused(self, name):
        raw = base64.b64decode(VECTORS[name]["ciphertext"])
        decrypt = CIPHER.decrypt_v2 if name == "B04" else CIPHER.decrypt
        for broken in (raw[:-1], raw[1:], b"", raw[:-16] if name in {"B01", "B04"} else raw[:-3]):
            with pytest.raises(ForgedMessage) as caught:
                decrypt(base64.b64encode(broken).decode())
            assert caught.value.code == "message.undecryptable"

    def test_another_key_shows_nothing(self):
        other = ContentCipher(base64.b64encode(bytes(16)).decode())
        for name in ("B01", "B02", "B03"):
            with pytest.raises(ForgedMessage):
                other.decrypt(VECTORS[name]["ciphertext"])

    def test_a_key_of_another_length_is_a_configuration_error(self):
        for key in ("", "aa4BtZ4t", "not base64!"):
            with pytest.raises(ConfigurationError):
                ContentCipher(key)


class TestAnswers:
    @pytest.mark.parametrize("name", SIGNED_ANSWERS)
    def test_the_signed_text_is_the_substring_as_received(self, name):
        vector = VECTORS[name]
        envelope = cut_of(vector)
        assert envelope.node == vector["node"]
        assert envelope.signed_text == vector["signed_substring"]
        assert envelope.cert_sn == vector.get("alipay_cert_sn")
        assert envelope.is_signed_by(ALIPAY, SignType.RSA2)

    @pytest.mark.parametrize("name", SIGNED_ANSWERS)
    def test_every_changed_character_of_the_signed_text_is_seen(self, name):
        vector = VECTORS[name]
        text = vector["signed_substring"]
        body = vector["body"]
        start = body.index(text)
        for at in range(1, len(text) - 1, 7):
            letter = text[at]
            if not letter.isalnum():
                continue
            other = "8" if letter != "8" else "9"
            broken = body[: start + at] + other + body[start + at + 1 :]
            try:
                assert not cut_of(vector, broken).is_signed_by(ALIPAY, SignType.RSA2)
            except ForgedMessage:
                continue  # the change broke the escape it stood in

    @pytest.mark.parametrize("name", CUT_ONLY)
    def test_published_extraction_cases_are_cut_where_java_cuts(self, name):
        vector = VECTORS[name]
        envelope = cut_of(vector)
        assert envelope.signed_text == vector["signed_substring"]
        assert envelope.sign == "x"
        assert not envelope.is_signed_by(ALIPAY, SignType.RSA2)

    def test_an_unsigned_answer_is_never_signed_by_anybody(self):
        envelope = cut_of(VECTORS["C04"])
        assert envelope.sign is None
        assert not envelope.is_signed_by(ALIPAY, SignType.RSA2)

    def test_an_encrypted_answer_is_signed_with_its_quotes(self):
        vector = VECTORS["C06"]
        envelope = cut_of(vector)
        assert envelope.is_encrypted
        assert envelope.signed_text[0] == envelope.signed_text[-1] == '"'
        assert CIPHER.decrypt(envelope.value) == vector["plaintext"]
        without_quotes = vector["signed_substring"].strip('"')
        assert not verify_text(without_quotes, sign=vector["sign"], verifier=ALIPAY, sign_type=SignType.RSA2)

    def test_an_unescaped_signature_over_escaped_slashes_is_tried_second(self):
        vector = VECTORS["C07"]
        envelope = cut_of(vector)
        assert envelope.signed_text == vector["signed_substring_first_try"]
        assert envelope.is_signed_by(ALIPAY, SignType.RSA2)
        broken = vector["body"].replace("bax01", "bax02")
        assert not cut_of(vector, broken).is_signed_by(ALIPAY, SignType.RSA2)

    def test_a_reserialised_body_is_refused(self):
        body = VECTORS["C08"]["body"]
        envelope = cut(body.encode(), method="alipay.marketing.activity.ordervoucher.use")
        assert not envelope.is_signed_by(ALIPAY, SignType.RSA2)

    @pytest.mark.parametrize("name", ["C02", "C03", "C09"])
    def test_a_value_that_was_parsed_and_dumped_again_does_not_verify(self, name):
        """Were the signature checked over a new serialisation, these answers would fail where they should pass."""
        vector = VECTORS[name]
        text = vector["signed_substring"]
        dumps = [json.dumps(json.loads(text)), json.dumps(json.loads(text), ensure_ascii=False, sort_keys=True)]
        for again in dumps:
            assert again != text
            assert not verify_text(again, sign=vector["sign"], verifier=ALIPAY, sign_type=SignType.RSA2)

    def test_the_first_inner_sign_member_is_not_taken_for_the_signature(self):
        vector = VECTORS["C09"]
        assert cut_of(vector).sign == vector["sign"]


def form_of(vector):
    return read_form(vector["wire_body"].encode()) if "wire_body" in vector else (vector["params"], "utf-8")


class TestNotifies:
    def test_a_trade_notify_is_signed_by_rule_one_with_its_empty_field_dropped(self):
        vector = VECTORS["D01"]
        form, charset = read_form(vector["wire_body"].encode())
        assert form == vector["params"]
        assert canonical(form, without=frozenset({"sign_type"})) == vector["canonical"]
        assert verify_form(form, verifier=ALIPAY, charset=charset) == "V1"

    @pytest.mark.parametrize("name", ["D01", "D06", "D07"])
    def test_any_changed_field_is_seen(self, name):
        form, charset = form_of(VECTORS[name])
        for field, value in form.items():
            if field in {"sign", "sign_type", "charset"} or not value:
                continue
            with pytest.raises(ForgedMessage):
                verify_form({**form, field: value + "0"}, verifier=ALIPAY, charset=charset)
        with pytest.raises(ForgedMessage):
            verify_form({**form, "new": "1"}, verifier=ALIPAY, charset=charset)

    def test_a_second_decoding_breaks_the_signature(self):
        body = VECTORS["D01"]["wire_body"].replace("%25", "%")
        form, charset = read_form(body.encode())
        with pytest.raises(ForgedMessage):
            verify_form(form, verifier=ALIPAY, charset=charset)

    @pytest.mark.parametrize("name", ["D02", "D03", "D04"])
    def test_published_forms_verify_by_rule_two(self, name):
        vector = VECTORS[name]
        key = RsaVerifier(RsaPublicKey.load(vector["public_key_pem"].encode(), field="key"), accepts=BOTH)
        form = dict(pair.split("=", 1) for pair in vector["canonical"].split("&"))
        assert verify_form({**form, "sign": vector["sign"]}, verifier=key) == "V2"
        with pytest.raises(ForgedMessage):
            verify_form({**form, "sign": vector["sign"], "method": "x"}, verifier=key)

    def test_sha1_is_refused_unless_it_was_asked_for(self):
        vector = VECTORS["D03"]
        key = RsaVerifier(RsaPublicKey.load(vector["public_key_pem"].encode(), field="key"))
        form = dict(pair.split("=", 1) for pair in vector["canonical"].split("&"))
        with pytest.raises(ForgedMessage):
            verify_form({**form, "sign": vector["sign"]}, verifier=key)

    def test_a_real_notify_verifies_by_rule_one_alone(self):
        vector = VECTORS["D05"]
        key = RsaVerifier(RsaPublicKey.load(vector["public_key_pem"].encode(), field="key"))
        assert verify_form(vector["params"], verifier=key) == "V1"
        kept = canonical(vector["params"])
        assert not verify_text(kept, sign=vector["sign"], verifier=key, sign_type=SignType.RSA2)

    @pytest.mark.parametrize(("name", "rule"), [("D06", "V1"), ("D07", "V2")])
    def test_a_platform_message_verifies_by_either_rule(self, name, rule):
        form, charset = form_of(VECTORS[name])
        assert verify_form(form, verifier=ALIPAY, charset=charset) == rule

    def test_a_stray_certificate_name_is_not_part_of_the_text(self):
        form = {**VECTORS["D06"]["params"], "alipay_cert_sn": "9f854efeb726c783a50fea6a8a3cc3da"}
        assert verify_form(form, verifier=ALIPAY) == "V1"


class TestCertificates:
    @pytest.mark.parametrize("name", CERTIFICATES)
    def test_a_certificate_has_the_name_that_java_gives_it(self, name):
        vector = VECTORS[name]
        certificate = Certificate.load(vector["cert_pem"].encode(), field="cert")
        assert certificate_sn(certificate) == vector.get("sn", (vector.get("sn_by_client") or {}).get("java"))
        if "issuer_rfc2253" in vector:
            assert issuer_name(certificate) == vector["issuer_rfc2253"]
            assert certificate.serial_decimal == vector["serial_decimal"]

    @pytest.mark.parametrize("name", ["E08", "E09", "E10"])
    def test_the_names_that_other_clients_give_are_others(self, name):
        vector = VECTORS[name]
        ours = certificate_sn(Certificate.load(vector["cert_pem"].encode(), field="cert"))
        wrong = {client: sn for client, sn in vector["sn_by_client"].items() if client in {"node", "go"}}
        assert ours not in wrong.values()

    def test_a_name_keeps_its_leading_zeros(self):
        assert VECTORS["E07"]["sn"].startswith("00")
        assert len(certificate_sn(Certificate.load(VECTORS["E07"]["cert_pem"].encode(), field="cert"))) == 32

    @pytest.mark.parametrize("name", ["E04", "E11"])
    def test_a_root_bundle_counts_its_rsa_roots_in_file_order(self, name):
        vector = VECTORS[name]
        bundle = vector["cert_pem"].encode()
        assert root_sn(bundle) == vector["sn"]
        assert root_sn(bundle.replace(b"\n", b"\r\n")) == vector["sn"]
        assert (
            root_sn(bundle.replace(b"-----END CERTIFICATE-----\n", b"-----END CERTIFICATE-----\n\n\n")) == vector["sn"]
        )
        blocks = [block + b"-----END CERTIFICATE-----\n" for block in bundle.split(b"-----END CERTIFICATE-----")[:-1]]
        assert root_sn(b"".join(reversed(blocks))) == "_".join(reversed(vector["sn"].split("_")))

    def test_the_sm2_mode_counts_the_sm2_root_alone(self):
        assert root_sn(VECTORS["E04"]["cert_pem"].encode(), sm2=True) == VECTORS["E05"]["sn"]
        assert root_sn(VECTORS["E04"]["cert_pem"].encode()) != VECTORS["E05"]["sn"]

    def test_a_bundle_without_a_counting_root_is_a_configuration_error(self):
        with pytest.raises(ConfigurationError):
            root_sn(VECTORS["E11"]["cert_pem"].encode(), sm2=True)
        with pytest.raises(ConfigurationError):
            root_sn(b"")

    def test_a_downloaded_certificate_is_base64_of_pem_and_bears_the_asked_name(self):
        vector = VECTORS["E12"]
        pem = base64.b64decode(vector["alipay_cert_content"], validate=True)
        assert pem.decode() == vector["cert_pem"]
        assert certificate_sn(Certificate.load(pem, field="cert")) == vector["alipay_cert_sn"]


class TestV3:
    def request(self, vector, **changes):
        head = dict(part.split("=", 1) for part in vector["auth_string"].split(","))
        facts = {
            "app_id": head["app_id"],
            "app_cert_sn": head.get("app_cert_sn"),
            "nonce": head["nonce"],
            "timestamp_ms": int(head["timestamp"]),
            "expires_s": int(head["expired_seconds"]) if "expired_seconds" in head else None,
            "verb": vector["http_method"],
            "target": vector["request_uri"],
            "body": vector["body"],
            "app_auth_token": vector["app_auth_token"],
        }
        return V3Request(**{**facts, **changes})

    @pytest.mark.parametrize("name", V3_REQUESTS)
    def test_message_and_authorization_are_byte_for_byte(self, name):
        vector = VECTORS[name]
        request = self.request(vector)
        assert request.head == vector["auth_string"]
        assert request.message == vector["message"]
        assert request.authorization(APP.sign_sha256) == vector["authorization"]

    @pytest.mark.parametrize("name", V3_REQUESTS)
    @pytest.mark.parametrize(
        "change", [{"verb": "PUT"}, {"target": "/v3/x"}, {"body": "{}"}, {"nonce": "n"}, {"app_auth_token": "t"}]
    )
    def test_a_broken_sibling_has_another_signature(self, name, change):
        vector = VECTORS[name]
        broken = self.request(vector, **change)
        assert not verify_text(broken.message, sign=vector["sign"], verifier=APP_PUBLIC, sign_type=SignType.RSA2)

    def test_an_encrypted_body_is_what_is_signed(self):
        vector = VECTORS["F05"]
        assert ContentCipher(vector["aes_key"]).encrypt(vector["plaintext"]) == vector["body"]
        clear = self.request(vector, body=vector["plaintext"])
        assert not verify_text(clear.message, sign=vector["sign"], verifier=APP_PUBLIC, sign_type=SignType.RSA2)

    def test_an_answer_is_signed_over_time_nonce_and_body(self):
        vector = VECTORS["F06"]
        headers = vector["headers"]
        parts = {
            "timestamp": headers["alipay-timestamp"],
            "nonce": headers["alipay-nonce"],
            "body": vector["body"],
        }
        message = v3_answer_message(**parts)
        assert message == vector["message"]
        assert verify_text(message, sign=vector["signature"], verifier=ALIPAY, sign_type=SignType.RSA2)
        for name, value in parts.items():
            broken = v3_answer_message(**{**parts, name: value + " "})
            assert not verify_text(broken, sign=vector["signature"], verifier=ALIPAY, sign_type=SignType.RSA2)

    def test_a_kebab_case_code_means_what_the_classic_one_means(self):
        body = json.loads(VECTORS["F07"]["body"])
        told = meaning_of("", body["code"], status=VECTORS["F07"]["http_status"])
        assert told == meaning_of("40002", "isv.invalid-signature") == (Meaning.REFUSED, "alipay.our_signature")


class TestPhones:
    def test_the_signature_covers_the_ciphertext_in_quotes(self):
        vector = VECTORS["G01"]
        payload = vector["payload"]
        assert f'"{payload["response"]}"' == vector["signed_text"]
        assert verify_text(vector["signed_text"], sign=payload["sign"], verifier=ALIPAY, sign_type=SignType.RSA2)
        bare = payload["response"]
        assert not verify_text(bare, sign=payload["sign"], verifier=ALIPAY, sign_type=SignType.RSA2)
        assert ContentCipher(vector["aes_key"]).decrypt(payload["response"]) == vector["plaintext"]

    def test_a_plain_failure_is_the_text_itself(self):
        response = VECTORS["G02"]["payload"]["response"]
        assert response.startswith("{")
        assert response == VECTORS["G02"]["signed_text"]


class TestBills:
    VECTOR = VECTORS["J01"]

    def test_the_layout_is_byte_for_byte_that_of_the_vector(self):
        raw = self.VECTOR["text"].encode("gbk")
        assert (len(raw), hashlib.sha256(raw).hexdigest()) == (self.VECTOR["gbk_bytes"], self.VECTOR["gbk_sha256"])
        assert self.VECTOR["file_name"] == billing.DETAIL

    def test_a_trade_bill_is_taken_apart_into_rows_columns_and_totals(self, tmp_path):
        bill = billing.fetch(billing.BillPeer(billing.archive(billing.TRADE)), tmp_path)
        lines = self.VECTOR["text"].split("\n")
        assert bill.columns == tuple(lines[4].split(","))
        assert len(bill.columns) == 25
        assert bill.rows.read_bytes() == "".join(f"{line}\n" for line in lines[5:7]).encode("gbk")
        assert bill.declared == {RowKind.PAYMENT: Total(1, 9900), RowKind.REFUND: Total(1, -9900)}
        assert bill.sha256 == hashlib.sha256(bill.original.read_bytes()).hexdigest()

    def test_its_rules_name_cells_that_are_there(self, tmp_path):
        bill = billing.fetch(billing.BillPeer(billing.archive(billing.TRADE)), tmp_path)
        payment, refund = TRADE.rules
        paid, back = (
            dict(zip(bill.columns, (cell.strip(" \t") for cell in line.split(",")), strict=True))
            for line in bill.rows.read_text("gb18030").splitlines()
        )
        assert paid["业务类型"] in payment.when["业务类型"]
        assert (paid[payment.number], paid[payment.amount], paid[payment.at[0]]) == (
            "ORD20260115000001", "99.00", "2026-01-15 10:20:40",
        )  # fmt: skip
        assert back["业务类型"] in refund.when["业务类型"]
        assert (back[refund.number], back[refund.original_no], back[refund.amount]) == (
            "RF20260115000001", "2026011522001400000000000001", "-99.00",
        )  # fmt: skip

    @pytest.mark.parametrize(
        ("old", "new", "code"),
        [
            ("#交易合计：1笔", "#交易合计：2笔", "alipay.bill_totals"),
            ("商家实收共49.00", "商家实收共49.01", "alipay.bill_totals"),
            ("商家优惠退款共-50.00", "商家优惠退款共-5.00", "alipay.bill_totals"),
            ("支付宝交易号", "交易号", "alipay.bill_column"),
            ("#退款合计", "#合计", "bill.cut_short"),
            ("\n#-----------------------------------------业务明细列表结束", "", "bill.cut_short"),
        ],
    )
    def test_a_broken_sibling_is_refused(self, tmp_path, old, new, code):
        text = self.VECTOR["text"]
        assert text.count(old) == 1
        broken = text.replace(old, new) if new else text[: text.index(old)]
        peer = billing.BillPeer(billing.archive({**billing.TRADE, billing.DETAIL: broken}))
        with pytest.raises(ValidationError) as caught:
            billing.fetch(peer, tmp_path)
        assert caught.value.code == code
        assert list(tmp_path.iterdir()) == []


class TestSm2:
    @pytest.mark.parametrize("name", ["H01", "H02"])
    def test_an_sm2_signature_verifies_and_its_siblings_do_not(self, name):
        vector = VECTORS[name]
        verifier = Sm2Verifier(Sm2PublicKey.from_pem(vector["public_key_base64"].encode(), field="sm2"))
        text = canonical(vector["params"]) if "params" in vector else vector["message"]
        assert text == vector.get("canonical", text)
        assert verify_text(text, sign=vector["sign"], verifier=verifier, sign_type=SignType.SM2)
        assert not verify_text(text + " ", sign=vector["sign"], verifier=verifier, sign_type=SignType.SM2)
        assert not verify_text(text, sign=vector["sign"][:-4] + "AAAA", verifier=verifier, sign_type=SignType.SM2)
        assert not verify_text(text, sign=vector["sign"], verifier=verifier, sign_type=SignType.RSA2)


def test_a_signature_with_escaped_slashes_or_blanks_is_not_base64():
    vector = VECTORS["C01"]
    text = vector["signed_substring"]
    for sign in (vector["sign"].replace("/", "\\/"), vector["sign"] + " ", "", "é"):
        assert not verify_text(text, sign=sign, verifier=ALIPAY, sign_type=SignType.RSA2)
