"""Certificates: serials as platforms print them, dates, keys of both kinds, who signed."""

from __future__ import annotations

import base64
import json
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from shutil import which

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from unicom_coupon_sdk.crypto.certificates import Certificate
from unicom_coupon_sdk.crypto.rsa import RsaPublicKey
from unicom_coupon_sdk.crypto.sm2 import Sm2PrivateKey, Sm2PublicKey
from unicom_coupon_sdk.errors import ConfigurationError, ForgedMessage, ValidationError

DATA = json.loads((Path(__file__).parents[2] / "vectors" / "wechatpay.json").read_text("utf-8"))
MERCHANT = DATA["keys"]["merchant"]
VECTORS = {vector["id"]: vector for vector in DATA["vectors"]}
START = datetime(2026, 1, 1, tzinfo=UTC)
END = datetime(2027, 1, 1, tzinfo=UTC)
RSA_KEY = serialization.load_pem_private_key(MERCHANT["private_key_pem"].encode(), None)
OTHER_KEY = serialization.load_pem_private_key(DATA["keys"]["platform"]["private_key_pem"].encode(), None)
assert isinstance(RSA_KEY, rsa.RSAPrivateKey)
assert isinstance(OTHER_KEY, rsa.RSAPrivateKey)


def name(common: str) -> x509.Name:
    return x509.Name([
        x509.NameAttribute(NameOID.COUNTRY_NAME, "CN"),
        x509.NameAttribute(NameOID.ORGANIZATION_NAME, "联通"),
        x509.NameAttribute(NameOID.COMMON_NAME, common),
    ])  # fmt: skip


def made(
    *,
    subject: str = "shop",
    issuer: str = "root",
    serial: int = 0x0DEA,
    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey = RSA_KEY,
    by: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey = OTHER_KEY,
) -> Certificate:
    built = (
        x509.CertificateBuilder()
        .subject_name(name(subject))
        .issuer_name(name(issuer))
        .public_key(key.public_key())
        .serial_number(serial)
        .not_valid_before(START)
        .not_valid_after(END)
        .sign(by, hashes.SHA256())
    )
    return Certificate.load(built.public_bytes(serialization.Encoding.DER), field="cert")


class TestSerial:
    def test_it_is_the_40_digits_that_the_platform_prints(self) -> None:
        certificate = Certificate.load(MERCHANT["certificate_pem"].encode(), field="cert")
        assert certificate.serial == MERCHANT["serial_no"]
        assert certificate.serial_decimal == str(int(MERCHANT["serial_no"], 16))

    @pytest.mark.parametrize(
        ("number", "printed"),
        [
            (0x0DEA10EF55877E3CF6C33255C2E7DEFFF7E427EC, "0DEA10EF55877E3CF6C33255C2E7DEFFF7E427EC"),
            (0xD7CE59D1F522D701, "D7CE59D1F522D701"),
            (1, "01"),
            (0x100, "0100"),
        ],
    )
    def test_it_keeps_the_zero_of_its_first_byte(self, number: int, printed: str) -> None:
        assert made(serial=number).serial == printed


class TestDates:
    @pytest.mark.parametrize(
        ("now", "valid"),
        [
            (START - timedelta(seconds=1), False),
            (START, True),
            (END, True),
            (END + timedelta(seconds=1), False),
            (datetime.fromisoformat("2026-01-01T08:00:00+08:00"), True),
            (datetime.fromisoformat("2026-01-01T07:59:59+08:00"), False),
        ],
    )
    def test_both_ends_belong_to_it_in_any_zone(self, now: datetime, *, valid: bool) -> None:
        assert made().valid_at(now) is valid

    def test_a_time_without_a_zone_is_refused(self) -> None:
        with pytest.raises(ValidationError) as caught:
            made().valid_at(datetime(2026, 5, 1))  # noqa: DTZ001
        assert caught.value.code == "time.naive"

    def test_dates_are_aware_utc(self) -> None:
        assert (made().not_before, made().not_after) == (START, END)
        assert made().not_before.utcoffset() == timedelta(0)


class TestLoading:
    PEM = MERCHANT["certificate_pem"].encode()

    @pytest.mark.parametrize("form", ["PEM", "DER", "base64", "line ends written out", "text above"])
    def test_it_loads_from_every_form(self, form: str) -> None:
        der = made().der
        material = {
            "PEM": made().pem,
            "DER": der,
            "base64": base64.b64encode(der),
            "line ends written out": made().pem.replace(b"\n", b"\\n"),
            "text above": b"Bag Attributes\n    friendlyName: shop\n" + made().pem,
        }[form]
        assert Certificate.load(material, field="cert").der == der

    @pytest.mark.parametrize(
        ("material", "code"),
        [
            (MERCHANT["private_key_pem"].encode(), "key.not_certificate"),
            (MERCHANT["public_key_pem"].encode(), "key.not_certificate"),
            (b"5157F09EFDC096DE15EBE81A47057A7232F1B8E1", "key.unreadable"),
            (PEM[:400], "key.unreadable"),
            (b"", "key.unreadable"),
        ],
    )
    def test_the_wrong_thing_is_named_with_its_setting(self, material: bytes, code: str) -> None:
        with pytest.raises(ConfigurationError) as caught:
            Certificate.load(material, field="merchant_cert")
        assert (caught.value.code, caught.value.field) == (code, "merchant_cert")

    def test_a_bundle_gives_every_certificate_in_file_order(self) -> None:
        bundle = b"# roots\n" + made(serial=1).pem + b"\n\n" + made(serial=2).pem + made(serial=3).pem
        assert [each.serial for each in Certificate.load_all(bundle, field="roots")] == ["01", "02", "03"]

    def test_a_bundle_of_one_der_certificate_gives_that_one(self) -> None:
        assert Certificate.load_all(made().der, field="roots") == (made(),)

    def test_equal_bytes_are_equal_certificates(self) -> None:
        first = made()
        again = Certificate.load(first.pem, field="other")
        assert first == again
        assert hash(first) == hash(again)
        assert first != "a text"


class TestNamesAndKeys:
    def test_names_are_printed_last_element_first(self) -> None:
        assert made().subject == "CN=shop,O=联通,C=CN"
        assert made().issuer == "CN=root,O=联通,C=CN"
        assert made().issuer_name == name("root")
        assert made().signature_oid == "1.2.840.113549.1.1.11"

    def test_its_key_is_the_one_it_was_made_for(self) -> None:
        expected = RsaPublicKey.load(MERCHANT["public_key_pem"].encode(), field="k")
        assert made().public_key == expected
        assert made().spki == expected.der

    def test_a_key_that_is_not_rsa_is_an_error_that_names_the_setting(self) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = made(key=key)
        with pytest.raises(ConfigurationError) as caught:
            _ = certificate.public_key
        assert (caught.value.code, caught.value.field) == ("key.not_rsa", "cert")
        assert certificate.spki == key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )

    def test_the_public_key_of_an_sm2_certificate_verifies_the_published_signature(self) -> None:
        vector = VECTORS["G01"]
        certificate = Certificate.load(vector["certificate_pem"].encode(), field="cert")
        key = Sm2PublicKey.from_der(certificate.spki)
        signature, message = base64.b64decode(vector["signature"]), vector["sign_message"].encode()
        assert key.verify(signature, message)
        assert not key.verify(signature, message + b"!")
        assert not key.verify(signature, message, user_id=b"")
        with pytest.raises(ConfigurationError) as caught:
            _ = certificate.public_key
        assert caught.value.code == "key.not_rsa"

    def test_the_private_key_of_that_certificate_decrypts_the_published_field(self) -> None:
        vector = VECTORS["G02"]
        key = Sm2PrivateKey.from_pem(vector["private_key_pem"])
        text = base64.b64decode(vector["ciphertext"])
        assert key.decrypt(text).decode() == vector["expect_plaintext"]
        certificate = Certificate.load(VECTORS["G01"]["certificate_pem"].encode(), field="cert")
        assert key.public_key == Sm2PublicKey.from_der(certificate.spki)
        with pytest.raises(ForgedMessage):
            key.decrypt(text[:-1] + bytes((text[-1] ^ 1,)))

    def test_it_shows_its_serial_and_end(self) -> None:
        assert repr(made()) == "Certificate(serial=0DEA, not_after=2027-01-01)"


class TestSignedBy:
    root = made(subject="root", key=OTHER_KEY)

    def test_the_issuer_signed_it(self) -> None:
        assert made().is_signed_by(self.root)
        assert self.root.is_signed_by(self.root)

    def test_another_name_did_not(self) -> None:
        assert not made(issuer="other").is_signed_by(self.root)

    def test_another_key_of_the_same_name_did_not(self) -> None:
        assert not made(by=RSA_KEY).is_signed_by(self.root)

    def test_an_issuer_with_a_key_of_another_kind_did_not(self) -> None:
        ec_root = made(subject="root", key=ec.generate_private_key(ec.SECP256R1()))
        assert not made().is_signed_by(ec_root)


@pytest.mark.skipif(which("openssl") is None, reason="the openssl command is not installed")
class TestSm2Chain:
    @pytest.fixture
    def chain(self, tmp_path: Path) -> tuple[Certificate, Certificate]:
        def run(*arguments: str) -> None:
            subprocess.run(["openssl", *arguments], cwd=tmp_path, check=True, capture_output=True, timeout=20)

        ident = ["-sm3", "-sigopt", "distid:1234567812345678"]
        for who in ("root", "leaf"):
            run("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:SM2", "-out", f"{who}.key")
        run("req", "-x509", "-new", "-key", "root.key", "-subj", "/CN=root", "-days", "9", *ident, "-out", "root.pem")
        run("req", "-new", "-key", "leaf.key", "-subj", "/CN=leaf", *ident, "-out", "leaf.csr")
        signed = ["-CA", "root.pem", "-CAkey", "root.key", "-set_serial", "7", "-days", "9", "-out", "leaf.pem"]
        vouch = ["-vfyopt", "distid:1234567812345678"]
        run("x509", "-req", "-in", "leaf.csr", *signed, *ident, *vouch)
        root, leaf = ((tmp_path / f"{who}.pem").read_bytes() for who in ("root", "leaf"))
        return Certificate.load(root, field="root"), Certificate.load(leaf, field="leaf")

    def test_sm2_signatures_of_a_chain_are_checked(self, chain: tuple[Certificate, Certificate]) -> None:
        root, leaf = chain
        assert leaf.signature_oid == "1.2.156.10197.1.501"
        assert leaf.is_signed_by(root)
        assert root.is_signed_by(root)

    def test_a_changed_certificate_is_not_signed_by_it(self, chain: tuple[Certificate, Certificate]) -> None:
        root, leaf = chain
        changed = bytearray(leaf.der)
        changed[-1] ^= 1
        assert not Certificate.load(bytes(changed), field="leaf").is_signed_by(root)

    def test_an_rsa_issuer_of_the_same_name_did_not_sign_it(self, chain: tuple[Certificate, Certificate]) -> None:
        _, leaf = chain
        builder = x509.CertificateBuilder().subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "root")]))
        other = (
            builder.issuer_name(name("root")).public_key(OTHER_KEY.public_key()).serial_number(1)
            .not_valid_before(START).not_valid_after(END).sign(OTHER_KEY, hashes.SHA256())
        )  # fmt: skip
        issuer = Certificate.load(other.public_bytes(serialization.Encoding.DER), field="root")
        assert not leaf.is_signed_by(issuer)
