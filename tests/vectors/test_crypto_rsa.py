"""The primitive vectors about RSA and AES-GCM, each with broken siblings."""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
from pathlib import Path
from shutil import which

import pytest

from unicom_coupon_sdk.crypto.aead import AesGcm
from unicom_coupon_sdk.crypto.certificates import Certificate
from unicom_coupon_sdk.crypto.rsa import RsaPrivateKey, RsaPublicKey
from unicom_coupon_sdk.errors import ForgedMessage, ValidationError

DATA = json.loads(Path(__file__).with_name("wechatpay.json").read_text("utf-8"))
VECTORS = {vector["id"]: vector for vector in DATA["vectors"]}
KEYS = DATA["keys"]


def private(name: str) -> RsaPrivateKey:
    return RsaPrivateKey.load(KEYS[name]["private_key_pem"].encode(), field="test_key")


def flipped(data: bytes, at: int, bit: int = 1) -> bytes:
    changed = bytearray(data)
    changed[at] ^= bit
    return bytes(changed)


class TestS01:
    vector = VECTORS["S01"]
    signature = base64.b64decode(vector["signature"])
    message = vector["sign_message"].encode()

    def test_the_signature_has_exactly_the_published_bytes(self) -> None:
        assert private("go_sdk_test").sign_sha256(self.message) == self.signature

    def test_the_published_signature_verifies(self) -> None:
        assert RsaPublicKey.load(KEYS["go_sdk_test"]["public_key_pem"].encode(), field="k").verify_sha256(
            self.signature, self.message
        )

    @pytest.mark.parametrize(
        ("signature", "message"),
        [
            pytest.param(flipped(signature, 0), message, id="first byte"),
            pytest.param(flipped(signature, -1, 0x80), message, id="last byte"),
            pytest.param(signature, message + b"\n", id="line end added"),
            pytest.param(signature, b"", id="empty message"),
            pytest.param(signature[:-1], message, id="cut"),
            pytest.param(signature + b"\0", message, id="lengthened"),
            pytest.param(b"", message, id="no signature"),
            pytest.param(b"\xff" * 256, message, id="larger than the modulus"),
            pytest.param(b"\0" * 256, message, id="zero"),
        ],
    )
    def test_a_broken_sibling_is_refused(self, signature: bytes, message: bytes) -> None:
        assert not private("go_sdk_test").public_key.verify_sha256(signature, message)

    def test_another_key_refuses_it(self) -> None:
        assert not private("merchant").public_key.verify_sha256(self.signature, self.message)

    def test_sha1_and_sha256_signatures_are_not_taken_for_each_other(self) -> None:
        key = private("go_sdk_test")
        assert not key.public_key.verify_sha1(self.signature, self.message)
        assert not key.public_key.verify_sha256(key.sign_sha1(self.message), self.message)
        assert key.public_key.verify_sha1(key.sign_sha1(self.message), self.message)


class TestS15:
    vector = VECTORS["S15"]
    signature = base64.b64decode(vector["signature"])
    message = vector["sign_message"].encode()
    certificate = Certificate.load(vector["certificate_pem"].encode(), field="cert")

    def test_a_certificate_verifies_the_published_signature(self) -> None:
        assert self.certificate.public_key.verify_sha256(self.signature, self.message)

    @pytest.mark.parametrize(
        ("signature", "message"),
        [
            (flipped(signature, 100), message),
            (signature, b"Message"),
            (signature[::-1], message),
        ],
    )
    def test_a_broken_sibling_is_refused(self, signature: bytes, message: bytes) -> None:
        assert not self.certificate.public_key.verify_sha256(signature, message)


@pytest.mark.parametrize("name", ["N03", "N04"])
class TestAead:
    def test_the_text_decrypts(self, name: str) -> None:
        vector = VECTORS[name]
        plain = AesGcm(vector["apiv3_key"].encode()).decrypt(
            base64.b64decode(vector["ciphertext"]),
            nonce=vector["nonce"].encode(),
            aad=vector["associated_data"].encode(),
        )
        assert plain.decode() == vector["expect_plaintext"]

    def test_encrypting_gives_the_same_bytes(self, name: str) -> None:
        vector = VECTORS[name]
        assert AesGcm(vector["apiv3_key"].encode()).encrypt(
            vector["expect_plaintext"].encode(),
            nonce=vector["nonce"].encode(),
            aad=vector["associated_data"].encode(),
        ) == base64.b64decode(vector["ciphertext"])

    @pytest.mark.parametrize(
        "broken", ["text", "tag", "nonce", "short nonce", "no nonce", "aad", "key", "cut", "only a tag", "empty"]
    )
    def test_a_broken_sibling_is_refused_with_one_error(self, name: str, broken: str) -> None:
        vector = VECTORS[name]
        key, nonce = vector["apiv3_key"].encode(), vector["nonce"].encode()
        aad, text = vector["associated_data"].encode(), base64.b64decode(vector["ciphertext"])
        if broken == "text":
            text = flipped(text, 0)
        elif broken == "tag":
            text = flipped(text, -1)
        elif broken == "nonce":
            nonce = flipped(nonce, 0)
        elif broken == "short nonce":
            nonce = nonce[:7]
        elif broken == "no nonce":
            nonce = b""
        elif broken == "aad":
            aad += b"x"
        elif broken == "key":
            key = flipped(key, 5)
        elif broken == "cut":
            text = text[:-1]
        elif broken == "only a tag":
            text = text[-16:]
        else:
            text = b""
        with pytest.raises(ForgedMessage) as caught:
            AesGcm(key).decrypt(text, nonce=nonce, aad=aad)
        assert caught.value.code == "message.undecryptable"
        assert caught.value.__suppress_context__


@pytest.mark.parametrize("name", ["C01", "C02"])
class TestCertificateDownload:
    def sealed(self, name: str) -> tuple[AesGcm, bytes, bytes, bytes]:
        part = VECTORS[name]["response"]["data"][0]["encrypt_certificate"]
        return (
            AesGcm(VECTORS[name]["apiv3_key"].encode()),
            base64.b64decode(part["ciphertext"]),
            part["nonce"].encode(),
            part["associated_data"].encode(),
        )

    def test_the_certificate_decrypts_and_bears_the_serial(self, name: str) -> None:
        cipher, text, nonce, aad = self.sealed(name)
        plain = cipher.decrypt(text, nonce=nonce, aad=aad)
        assert hashlib.sha256(plain).hexdigest() == VECTORS[name]["expect_plaintext_sha256"]
        certificate = Certificate.load(plain, field="platform_certificate")
        assert certificate.serial == VECTORS[name]["expect_serial"]
        assert certificate.serial_decimal == str(int(VECTORS[name]["expect_serial"], 16))

    @pytest.mark.parametrize("at", [0, 700, -1])
    def test_a_broken_sibling_is_refused(self, name: str, at: int) -> None:
        cipher, text, nonce, aad = self.sealed(name)
        with pytest.raises(ForgedMessage):
            cipher.decrypt(flipped(text, at), nonce=nonce, aad=aad)

    def test_other_associated_data_is_refused(self, name: str) -> None:
        cipher, text, nonce, _ = self.sealed(name)
        with pytest.raises(ForgedMessage):
            cipher.decrypt(text, nonce=nonce, aad=b"Certificate")


@pytest.mark.parametrize("name", ["O01", "O02"])
class TestOaep:
    def key(self, name: str) -> RsaPrivateKey:
        vector = VECTORS[name]
        pem = vector.get("private_key_pem") or KEYS[vector["key"]]["private_key_pem"]
        return RsaPrivateKey.load(pem.encode(), field="test_key")

    def test_the_field_decrypts(self, name: str) -> None:
        plain = self.key(name).decrypt_oaep_sha1(base64.b64decode(VECTORS[name]["ciphertext"]))
        assert plain.decode() == VECTORS[name]["expect_plaintext"]

    @pytest.mark.parametrize("broken", ["first byte", "last byte", "cut", "empty", "zeros"])
    def test_a_broken_sibling_is_refused_with_one_error(self, name: str, broken: str) -> None:
        text = base64.b64decode(VECTORS[name]["ciphertext"])
        siblings = {
            "first byte": flipped(text, 0),
            "last byte": flipped(text, -1),
            "cut": text[:-1],
            "empty": b"",
            "zeros": b"\0" * 256,
        }
        with pytest.raises(ForgedMessage) as caught:
            self.key(name).decrypt_oaep_sha1(siblings[broken])
        assert caught.value.code == "message.undecryptable"

    def test_another_key_cannot_read_it(self, name: str) -> None:
        with pytest.raises(ForgedMessage):
            private("go_sdk_test").decrypt_oaep_sha1(base64.b64decode(VECTORS[name]["ciphertext"]))


class TestO03:
    longest = VECTORS["O03"]["max_plaintext_bytes"]

    def test_the_longest_text_goes_there_and_back(self) -> None:
        key = private("platform")
        assert key.public_key.longest_oaep_sha1 == self.longest
        assert key.decrypt_oaep_sha1(key.public_key.encrypt_oaep_sha1(b"x" * self.longest)) == b"x" * self.longest

    def test_one_byte_more_is_refused_before_encrypting(self) -> None:
        with pytest.raises(ValidationError) as caught:
            private("platform").public_key.encrypt_oaep_sha1(b"x" * (self.longest + 1))
        assert caught.value.code == "crypto.too_long"
        assert "214" in str(caught.value)

    def test_length_is_counted_in_bytes_not_characters(self) -> None:
        with pytest.raises(ValidationError):
            private("platform").public_key.encrypt_oaep_sha1(("券" * 72).encode())

    def test_an_empty_text_goes_there_and_back(self) -> None:
        key = private("platform")
        assert key.decrypt_oaep_sha1(key.public_key.encrypt_oaep_sha1(b"")) == b""


@pytest.mark.skipif(which("openssl") is None, reason="the openssl command is not installed")
class TestAgainstTheOpensslCommand:
    def run(self, *arguments: str, feed: bytes = b"") -> bytes:
        return subprocess.run(["openssl", *arguments], input=feed, capture_output=True, check=True, timeout=20).stdout

    @pytest.fixture
    def files(self, tmp_path: Path) -> Path:
        (tmp_path / "key.pem").write_text(KEYS["merchant"]["private_key_pem"])
        (tmp_path / "pub.pem").write_text(KEYS["merchant"]["public_key_pem"])
        return tmp_path

    @pytest.mark.parametrize("message", [b"", b"POST\n/v3/x\n1\nn\n{}\n", "联通电子券".encode() * 500])
    def test_signatures_are_byte_for_byte_those_of_openssl(self, files: Path, message: bytes) -> None:
        theirs = self.run("dgst", "-sha256", "-sign", str(files / "key.pem"), feed=message)
        assert private("merchant").sign_sha256(message) == theirs

    def test_openssl_verifies_a_sha1_signature_of_ours(self, files: Path) -> None:
        (files / "sig").write_bytes(private("merchant").sign_sha1(b"old"))
        said = self.run(
            "dgst", "-sha1", "-verify", str(files / "pub.pem"), "-signature", str(files / "sig"), feed=b"old"
        )
        assert said == b"Verified OK\n"

    def test_openssl_decrypts_what_we_encrypt_and_we_what_it_encrypts(self, files: Path) -> None:
        oaep = ["-pkeyopt", "rsa_padding_mode:oaep", "-pkeyopt", "rsa_oaep_md:sha1"]
        key = private("merchant")
        text = "张三".encode()
        sealed = key.public_key.encrypt_oaep_sha1(text)
        assert self.run("pkeyutl", "-decrypt", "-inkey", str(files / "key.pem"), *oaep, feed=sealed) == text
        theirs = self.run("pkeyutl", "-encrypt", "-pubin", "-inkey", str(files / "pub.pem"), *oaep, feed=text)
        assert key.decrypt_oaep_sha1(theirs) == text

    def test_openssl_prints_the_same_serial(self, tmp_path: Path) -> None:
        (tmp_path / "cert.pem").write_text(KEYS["merchant"]["certificate_pem"])
        said = self.run("x509", "-in", str(tmp_path / "cert.pem"), "-noout", "-serial").decode().strip()
        certificate = Certificate.load(KEYS["merchant"]["certificate_pem"].encode(), field="cert")
        assert said == f"serial={certificate.serial}"
