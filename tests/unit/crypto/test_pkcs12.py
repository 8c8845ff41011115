import base64
from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import pkcs12 as library
from cryptography.x509.oid import NameOID

from unicom_coupon_sdk.crypto import pkcs12
from unicom_coupon_sdk.errors import ConfigurationError

PASSWORD = "000000"
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
NAME = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "shop")])


def certificate(key):
    signer = key if isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) else KEY
    return (
        x509.CertificateBuilder()
        .subject_name(NAME)
        .issuer_name(NAME)
        .public_key(key.public_key())
        .serial_number(70000000009)
        .not_valid_before(datetime(2026, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2028, 1, 1, tzinfo=UTC))
        .sign(signer, hashes.SHA256())
    )


CERTIFICATE = certificate(KEY)
LOCK = serialization.BestAvailableEncryption(PASSWORD.encode())


def packed(key=KEY, cert=CERTIFICATE, others=None, lock=LOCK):
    return library.serialize_key_and_certificates(b"shop", key, cert, others, lock)


FILE = packed()


def refusal(material, password=PASSWORD):
    with pytest.raises(ConfigurationError) as caught:
        pkcs12.load(material, password=password, field="signing_pfx")
    assert caught.value.field == "signing_pfx"
    for language in ("zh", "en"):
        assert caught.value.diagnostics(language).remedy
    return caught.value.code


@pytest.mark.parametrize("material", [FILE, base64.b64encode(FILE), base64.encodebytes(FILE)])
def test_key_and_certificate_come_out_of_one_file(material):
    found = pkcs12.load(material, password=PASSWORD, field="signing_pfx")
    assert found.certificate.serial_decimal == "70000000009"
    assert found.certificate.public_key.matches(found.key)


def test_a_file_in_the_old_cipher_opens_where_the_library_has_it():
    builder = serialization.PrivateFormat.PKCS12.encryption_builder()
    lock = builder.key_cert_algorithm(library.PBES.PBESv1SHA1And3KeyTripleDESCBC).hmac_hash(hashes.SHA1())
    found = pkcs12.load(packed(lock=lock.build(PASSWORD.encode())), password=PASSWORD, field="signing_pfx")
    assert found.key.bits == 2048


def test_the_same_file_is_opened_once_while_somebody_holds_it():
    held = pkcs12.load(FILE, password=PASSWORD, field="signing_pfx")
    assert pkcs12.load(FILE, password=PASSWORD, field="other") is held
    assert refusal(FILE, password="other") == "key.password"


@pytest.mark.parametrize("password", ["", "000001"])
def test_a_wrong_password_is_named(password):
    assert refusal(FILE, password) == "key.password"


PEM = KEY.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


@pytest.mark.parametrize(
    "material",
    [
        b"",
        b"no file",
        PEM,
        CERTIFICATE.public_bytes(serialization.Encoding.PEM),
        CERTIFICATE.public_bytes(serialization.Encoding.DER),
    ],
)
def test_what_is_no_such_file_is_told_apart_from_a_wrong_password(material):
    assert refusal(material) == "key.not_pkcs12"


def test_a_file_that_was_cut_short_is_refused():
    assert refusal(FILE[:-200]) == "key.password"


def test_both_parts_are_wanted():
    assert refusal(packed(cert=None)) == "key.pkcs12_parts"
    assert refusal(packed(key=None, cert=None, others=[CERTIFICATE])) == "key.pkcs12_parts"


def test_another_kind_of_key_or_a_short_one_is_refused():
    curve = ec.generate_private_key(ec.SECP256R1())
    assert refusal(packed(key=curve, cert=certificate(curve))) == "key.not_rsa"
    short = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    assert refusal(packed(key=short, cert=certificate(short))) == "key.too_short"


def test_a_cipher_that_the_library_lacks_comes_with_the_recipe(monkeypatch):
    def lacks(data, password):
        raise UnsupportedAlgorithm("RC2")

    monkeypatch.setattr(pkcs12.pkcs12, "load_key_and_certificates", lacks)
    with pytest.raises(ConfigurationError) as caught:
        pkcs12.load(packed(), password=PASSWORD, field="signing_pfx")
    assert caught.value.code == "key.pkcs12_cipher"
    assert "openssl pkcs12 -legacy" in caught.value.diagnostics("en").remedy
