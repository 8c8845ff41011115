"""RSA keys: every way operators paste them, and every wrong thing they paste instead."""

from __future__ import annotations

import base64
import copy
import json
import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID

from unicom_coupon_sdk.crypto.providers import Signer
from unicom_coupon_sdk.crypto.rsa import RsaPrivateKey, RsaPublicKey
from unicom_coupon_sdk.errors import ConfigurationError, ForgedMessage, ValidationError

KEYS = json.loads((Path(__file__).parents[2] / "vectors" / "wechatpay.json").read_text("utf-8"))["keys"]
PEM = KEYS["merchant"]["private_key_pem"].encode()
PUBLIC_PEM = KEYS["merchant"]["public_key_pem"].encode()
CERTIFICATE_PEM = KEYS["merchant"]["certificate_pem"].encode()
RAW = serialization.load_pem_private_key(PEM, None)
assert isinstance(RAW, rsa.RSAPrivateKey)

DER = serialization.Encoding.DER
OPEN = serialization.NoEncryption()
PKCS8, PKCS1 = serialization.PrivateFormat.PKCS8, serialization.PrivateFormat.TraditionalOpenSSL
SPKI, PUBLIC_PKCS1 = serialization.PublicFormat.SubjectPublicKeyInfo, serialization.PublicFormat.PKCS1


def private_der(form: serialization.PrivateFormat) -> bytes:
    return RAW.private_bytes(DER, form, OPEN)


def public_bytes(encoding: serialization.Encoding, form: serialization.PublicFormat) -> bytes:
    return RAW.public_key().public_bytes(encoding, form)


def lines(data: bytes) -> bytes:
    return base64.encodebytes(data)


PRIVATE_FORMS = {
    "PKCS#8 PEM": PEM,
    "PKCS#1 PEM": RAW.private_bytes(serialization.Encoding.PEM, PKCS1, OPEN),
    "PKCS#8 DER": private_der(PKCS8),
    "PKCS#1 DER": private_der(PKCS1),
    "naked base64 of PKCS#8": base64.b64encode(private_der(PKCS8)),
    "naked base64 of PKCS#1": base64.b64encode(private_der(PKCS1)),
    "naked base64 in lines": lines(private_der(PKCS8)),
    "with a byte order mark": b"\xef\xbb\xbf" + PEM,
    "with Windows line ends": PEM.replace(b"\n", b"\r\n"),
    "with line ends written out": PEM.strip().replace(b"\n", b"\\n"),
    "with Windows line ends written out": PEM.strip().replace(b"\n", b"\\r\\n"),
    "with line ends made blanks": PEM.strip().replace(b"\n", b" "),
    "with a remark above": b"# the key of shop 7\n" + PEM,
}
PUBLIC_FORMS = {
    "SPKI PEM": PUBLIC_PEM,
    "PKCS#1 PEM": public_bytes(serialization.Encoding.PEM, PUBLIC_PKCS1),
    "SPKI DER": public_bytes(DER, SPKI),
    "PKCS#1 DER": public_bytes(DER, PUBLIC_PKCS1),
    "naked base64": base64.b64encode(public_bytes(DER, SPKI)),
}


@pytest.fixture(scope="module")
def key() -> RsaPrivateKey:
    return RsaPrivateKey.load(PEM, field="merchant_private_key")


@pytest.mark.parametrize("form", PRIVATE_FORMS)
def test_a_private_key_loads_from_every_form(form: str, key: RsaPrivateKey) -> None:
    loaded = RsaPrivateKey.load(PRIVATE_FORMS[form], field="merchant_private_key")
    assert loaded.sign_sha256(b"m") == key.sign_sha256(b"m")
    assert loaded.bits == 2048


@pytest.mark.parametrize("form", PUBLIC_FORMS)
def test_a_public_key_loads_from_every_form(form: str, key: RsaPrivateKey) -> None:
    loaded = RsaPublicKey.load(PUBLIC_FORMS[form], field="platform_public_key")
    assert loaded == key.public_key
    assert loaded.matches(key)
    assert hash(loaded) == hash(key.public_key)
    assert RsaPublicKey.load(loaded.pem, field="k").der == loaded.der


def request_pem() -> bytes:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "shop")])
    request = x509.CertificateSigningRequestBuilder().subject_name(name).sign(RAW, hashes.SHA256())
    return request.public_bytes(serialization.Encoding.PEM)


def pem_of(other: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey) -> bytes:
    return other.private_bytes(serialization.Encoding.PEM, PKCS8, OPEN)


EC = ec.generate_private_key(ec.SECP256R1())
ED = ed25519.Ed25519PrivateKey.generate()
SM2_PKCS8 = json.loads((Path(__file__).parents[2] / "vectors" / "sm.json").read_text("utf-8"))["vectors"][-1][
    "pkcs8_b64"
].encode()

WRONG_PRIVATE = {
    "a certificate": (CERTIFICATE_PEM, "key.is_certificate"),
    "a certificate request": (request_pem(), "key.is_certificate"),
    "the public key": (PUBLIC_PEM, "key.is_public"),
    "the public key in PKCS#1": (PUBLIC_FORMS["PKCS#1 DER"], "key.is_public"),
    "an EC key": (pem_of(EC), "key.not_rsa"),
    "an EC public key": (EC.public_key().public_bytes(serialization.Encoding.PEM, SPKI), "key.not_rsa"),
    "an Ed25519 key": (pem_of(ED), "key.not_rsa"),
    "an SM2 key": (SM2_PKCS8, "key.not_rsa"),
    "nothing": (b"", "key.unreadable"),
    "blanks": (b" \n ", "key.unreadable"),
    "a path": (b"/etc/keys/apiclient_key.pem", "key.unreadable"),
    "a cut PEM": (PEM[:-40], "key.unreadable"),
    "a PEM with a lost line": (b"\n".join(PEM.split(b"\n")[:9] + PEM.split(b"\n")[10:]), "key.unreadable"),
    "a PEM with other labels": (PEM.replace(b"END PRIVATE", b"END RSA PRIVATE"), "key.unreadable"),
    "cut DER": (private_der(PKCS8)[:-1], "key.unreadable"),
    "lengthened DER": (private_der(PKCS8) + b"\0", "key.unreadable"),
    "a DER of something else": (b"\x30\x03\x02\x01\x05", "key.unreadable"),
    "random base64": (base64.b64encode(bytes(range(200))), "key.unreadable"),
    "UTF-16": (PEM.decode().encode("utf-16"), "key.unreadable"),
    "a megabyte and more": (b"A" * ((1 << 20) + 1), "key.unreadable"),
}


@pytest.mark.parametrize("what", WRONG_PRIVATE)
def test_the_wrong_thing_for_a_private_key_is_named_with_its_setting(what: str) -> None:
    material, code = WRONG_PRIVATE[what]
    with pytest.raises(ConfigurationError) as caught:
        RsaPrivateKey.load(material, field="merchant_private_key")
    assert caught.value.code == code
    assert caught.value.field == "merchant_private_key"
    assert "merchant_private_key" in str(caught.value)


@pytest.mark.parametrize(
    ("material", "code"),
    [
        pytest.param(CERTIFICATE_PEM, "key.is_certificate", id="a certificate"),
        pytest.param(PEM, "key.is_private", id="the private key"),
        pytest.param(PRIVATE_FORMS["PKCS#1 DER"], "key.is_private", id="the private key in PKCS#1"),
        pytest.param(EC.public_key().public_bytes(DER, SPKI), "key.not_rsa", id="an EC key"),
        pytest.param(b"PUB_KEY_ID_0114232134912410000000000000", "key.unreadable", id="the id of the key"),
    ],
)
def test_the_wrong_thing_for_a_public_key_is_named_with_its_setting(material: bytes, code: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        RsaPublicKey.load(material, field="platform_public_key")
    assert caught.value.code == code
    assert caught.value.field == "platform_public_key"


def test_no_error_shows_what_was_in_the_setting() -> None:
    canary = b"c4n4ryc4n4ryc4n4ry"
    for material in (canary, b"-----BEGIN PRIVATE KEY-----\n" + canary + b"\n-----END PRIVATE KEY-----"):
        with pytest.raises(ConfigurationError) as caught:
            RsaPrivateKey.load(material, field="k")
        shown = f"{caught.value!r}{caught.value.details}{caught.value.diagnostics('zh')}"
        assert canary.decode() not in shown
        assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_a_key_below_2048_bits_is_refused() -> None:
    short = rsa.generate_private_key(65537, 1024)
    with pytest.raises(ConfigurationError) as caught:
        RsaPrivateKey.load(short.private_bytes(DER, PKCS8, OPEN), field="k")
    assert caught.value.code == "key.too_short"
    assert "1024" in str(caught.value)
    with pytest.raises(ConfigurationError) as caught:
        RsaPublicKey.load(short.public_key().public_bytes(DER, SPKI), field="k")
    assert caught.value.code == "key.too_short"


@pytest.fixture(scope="module", params=["PEM", "DER", "naked base64", "old PEM"])
def sealed(request: pytest.FixtureRequest) -> bytes:
    seal = serialization.BestAvailableEncryption(b"open sesame")
    if request.param == "old PEM":
        return RAW.private_bytes(serialization.Encoding.PEM, PKCS1, seal)
    encoding = serialization.Encoding.PEM if request.param == "PEM" else DER
    material = RAW.private_bytes(encoding, PKCS8, seal)
    return base64.b64encode(material) if request.param == "naked base64" else material


class TestPasswords:
    def test_the_right_password_opens_the_key(self, sealed: bytes, key: RsaPrivateKey) -> None:
        loaded = RsaPrivateKey.load(sealed, field="k", password=b"open sesame")
        assert loaded.public_key == key.public_key

    @pytest.mark.parametrize("password", [None, b"", b"open barley"])
    def test_without_it_the_error_says_so(self, sealed: bytes, password: bytes | None) -> None:
        with pytest.raises(ConfigurationError) as caught:
            RsaPrivateKey.load(sealed, field="k", password=password)
        assert caught.value.code == "key.password"

    def test_a_password_for_an_open_key_is_not_needed_and_does_no_harm(self, key: RsaPrivateKey) -> None:
        assert RsaPrivateKey.load(PEM, field="k", password=b"x").public_key == key.public_key

    def test_an_encrypted_ec_key_is_still_not_an_rsa_key(self) -> None:
        seal = serialization.BestAvailableEncryption(b"open sesame")
        with pytest.raises(ConfigurationError) as caught:
            RsaPrivateKey.load(EC.private_bytes(DER, PKCS8, seal), field="k", password=b"open sesame")
        assert caught.value.code == "key.not_rsa"


def test_a_key_shows_its_length_and_fingerprint_and_nothing_else(key: RsaPrivateKey) -> None:
    assert repr(key) == f"RsaPrivateKey(2048 bits, {key.public_key.fingerprint})"
    assert f"{key}" == repr(key)


def test_a_private_key_cannot_be_pickled(key: RsaPrivateKey) -> None:
    with pytest.raises(TypeError):
        pickle.dumps(key)


def test_a_copy_signs_alike(key: RsaPrivateKey) -> None:
    assert copy.copy(key).sign_sha256(b"m") == key.sign_sha256(b"m")


def test_the_loaded_key_is_a_signer(key: RsaPrivateKey) -> None:
    assert isinstance(key, Signer)


def test_another_pair_does_not_match(key: RsaPrivateKey) -> None:
    other = RsaPublicKey.load(KEYS["platform"]["public_key_pem"].encode(), field="k")
    assert not other.matches(key)
    assert other != key.public_key
    assert other != "a text"


def test_pkcs1_encryption_goes_there_and_back_and_has_its_limit(key: RsaPrivateKey) -> None:
    assert key.decrypt_pkcs1(key.public_key.encrypt_pkcs1(b"x" * 245)) == b"x" * 245
    with pytest.raises(ValidationError) as caught:
        key.public_key.encrypt_pkcs1(b"x" * 246)
    assert caught.value.code == "crypto.too_long"


def test_a_pkcs1_text_of_the_wrong_length_is_refused(key: RsaPrivateKey) -> None:
    with pytest.raises(ForgedMessage):
        key.decrypt_pkcs1(b"x" * 255)


def test_threads_share_one_key(key: RsaPrivateKey) -> None:
    messages = [str(number).encode() for number in range(40)]
    with ThreadPoolExecutor(4) as pool:
        signatures = list(pool.map(key.sign_sha256, messages))
    assert all(map(key.public_key.verify_sha256, signatures, messages))
