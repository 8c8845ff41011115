"""SM2 keys: odd coordinates, impossible points and numbers, and other keys in the wrong place."""

from __future__ import annotations

import base64
import copy
import json
import pickle
import subprocess
from pathlib import Path
from shutil import which

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from unicom_coupon_sdk.crypto import sm2_keys
from unicom_coupon_sdk.crypto.der import SEQUENCE, element, integer
from unicom_coupon_sdk.crypto.material import pem
from unicom_coupon_sdk.crypto.sm2 import DelegatedSm2Key, SignatureForm, Sm2PrivateKey, Sm2PublicKey
from unicom_coupon_sdk.crypto.sm2_forms import GX, N, P, signature_numbers
from unicom_coupon_sdk.errors import ConfigurationError, ForgedMessage, ValidationError

VECTORS = Path(__file__).parents[2] / "vectors"
RSA = json.loads((VECTORS / "wechatpay.json").read_text("utf-8"))["keys"]["merchant"]
KNOWN = json.loads((VECTORS / "sm.json").read_text("utf-8"))["vectors"][-1]
SPKI, PKCS8 = base64.b64decode(KNOWN["spki_b64"]), base64.b64decode(KNOWN["pkcs8_b64"])
D, X, Y = KNOWN["d"], KNOWN["x"], KNOWN["y"]

ODD = {
    327: "00d062045840b1f4b0a64d6e6c5bc582079fc0af8c366eba632b35f5e217385b",
    11: "04b3cb10c9c6d8e27c1aab770f67f543125dcdd589c2ff82668c74d78ce20ace",
    107: "3b3de05121ff3a36d9dcd23ac5c15de8d757ae92795b15410e1ecd9e46466a47",
    16: "35648233f554ae51bbce44ef5db3e419ea133cd248a93e2555645bbc8704fb68",
    307: "040455f1384951337805bbad5ba40e3fadc203c03d0f09c694e89ea0aec620dc",
    17883: "000012f24349d287d1bf63b1b2eef5a28ac4428cb00ee7c7a02ebd7cb28ed500",
    37009: "0004a9dd684862381492e7f43444886b3408f246face454f82df9ac58fd39c95",
    12561: "040075cff8becce8be95eccfdb515ce6a63162da31c143473bd74225d64fc5f1",
    9058: "04ca2c9553944e820b4a3d73b4269e65d399aa0fa4ac4948bc02bb6fc2c824d3",
    65: "403b18162679c05515a8ecd063d726ba7b1eb83b8306ace5cd382e53ed23ae1f",
    1: f"{GX:064x}",
}
"""Private numbers whose points begin with 00, 04 or 40, or whose y does (107: 00, 16: 04), with their x."""


@pytest.mark.parametrize("number", ODD)
def test_an_odd_key_signs_encrypts_and_travels_in_every_form(number: int) -> None:
    key = Sm2PrivateKey.from_hex(f"{number:064x}")
    point = key.public_key.point.hex()
    assert point[:64] == ODD[number]
    sign_bit = "03" if int(point[-1], 16) % 2 else "02"
    for text in (point, "04" + point, sign_bit + point[:64], point.upper()):
        public = Sm2PublicKey.from_hex(text)
        assert public == key.public_key
        assert public.verify(key.sign(b"m"), b"m")
    assert Sm2PublicKey.from_pem(key.public_key.pem) == key.public_key
    assert key.decrypt(key.public_key.encrypt(b"k" * 16)) == b"k" * 16


def test_the_largest_private_number_works() -> None:
    key = Sm2PrivateKey.from_hex(f"{N - 2:064x}")
    assert key.public_key.verify(key.sign(b"m"), b"m")


@pytest.mark.parametrize("number", [0, N - 1, N, N + 1, (1 << 256) - 1])
def test_a_private_number_out_of_range_is_refused(number: int) -> None:
    for load in (
        lambda: Sm2PrivateKey.from_hex(f"{number:064x}", field="bank_key"),
        lambda: Sm2PrivateKey.from_der(sm2_keys.pkcs8(number), field="bank_key"),
    ):
        with pytest.raises(ConfigurationError) as caught:
            load()
        assert (caught.value.code, caught.value.field) == ("sm2.private_range", "bank_key")


@pytest.mark.parametrize(
    "text",
    ["", D[1:], D + "0", "00" + D, "0x" + D[2:], "g" + D[1:], D[:32] + "  " + D[34:], "٣" + D[1:], D + D],
)
def test_a_private_key_is_exactly_64_hex_digits(text: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Sm2PrivateKey.from_hex(text, field="bank_key")
    assert caught.value.code == "sm2.hex"
    assert D[2:40] not in f"{caught.value!r}{caught.value.details}"


@pytest.mark.parametrize("text", [f"{D}\n", f" {D} ", D.upper()])
def test_blanks_around_and_capitals_do_no_harm(text: str) -> None:
    assert Sm2PrivateKey.from_hex(text).public_key.point.hex() == X + Y


P256_G = (
    "6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296"
    "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5"
)
Y_OF_ZERO = "fd4511e81736a60f07e88a83d6cf5a167fae6d1a9c9330e76e232e00f5cdc154"
POINTS = {
    "infinity": ("00", "sm2.hex"),
    "all zeros": ("0" * 128, "sm2.point"),
    "off the curve": (X + f"{int(Y, 16) ^ 1:064x}", "sm2.point"),
    "x and y exchanged": (Y + X, "sm2.point"),
    "x = p, where x = 0 is on the curve": (f"{P:064x}" + Y_OF_ZERO, "sm2.point"),
    "a P-256 point": (P256_G, "sm2.point"),
    "hybrid form": ("06" + X + Y, "sm2.point"),
    "wrong first byte": ("05" + X + Y, "sm2.point"),
    "compressed, no root": ("02" + "0" * 63 + "5", "sm2.point"),
    "compressed, wrong first byte": ("04" + X, "sm2.point"),
    "compressed, x too large": ("02" + f"{P:064x}", "sm2.point"),
    "a digit short": (X + Y[1:], "sm2.hex"),
    "leading zeros dropped": ((X + Y).lstrip("0"), "sm2.hex"),
    "x alone": (X, "sm2.hex"),
    "not hex": ("z" + X[1:] + Y, "sm2.hex"),
}


def test_the_point_whose_x_is_zero_is_a_key() -> None:
    assert Sm2PublicKey.from_hex("0" * 64 + Y_OF_ZERO).point[:32] == bytes(32)


def test_the_compressed_x_without_a_root_has_none() -> None:
    assert pow((5**3 - 3 * 5 + sm2_keys.B) % P, (P - 1) // 2, P) == P - 1


@pytest.mark.parametrize("what", POINTS)
def test_an_invalid_public_point_is_refused(what: str) -> None:
    text, code = POINTS[what]
    with pytest.raises(ConfigurationError) as caught:
        Sm2PublicKey.from_hex(text, field="bank_public_key")
    assert (caught.value.code, caught.value.field) == (code, "bank_public_key")


@pytest.mark.parametrize("what", [what for what, (_, code) in POINTS.items() if code == "sm2.point"])
def test_an_invalid_point_inside_an_encoding_is_refused(what: str) -> None:
    raw = bytes.fromhex(POINTS[what][0])
    bits = raw if len(raw) in {33, 65} else b"\x04" + raw
    der = element(SEQUENCE, sm2_keys._ALGORITHM, element(0x03, b"\0", bits))
    with pytest.raises(ConfigurationError) as caught:
        Sm2PublicKey.from_der(der)
    assert caught.value.code == "sm2.point"


EC = ec.generate_private_key(ec.SECP256R1())
EC_PEM = EC.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
EC_SEC1 = EC.private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
)
EC_PUBLIC = EC.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


@pytest.mark.parametrize(
    ("material", "code"),
    [
        pytest.param(RSA["private_key_pem"].encode(), "key.not_sm2", id="an RSA key"),
        pytest.param(EC_PEM, "key.not_sm2", id="a P-256 key"),
        pytest.param(EC_SEC1, "key.not_sm2", id="a P-256 key in SEC1"),
        pytest.param(RSA["certificate_pem"].encode(), "key.is_certificate", id="a certificate"),
        pytest.param(SPKI, "key.is_public", id="the SM2 public key"),
        pytest.param(pem(SPKI, label="PUBLIC KEY"), "key.is_public", id="the SM2 public key in PEM"),
        pytest.param(D.encode(), "key.unreadable", id="hex digits"),
        pytest.param(b"", "key.unreadable", id="nothing"),
        pytest.param(element(SEQUENCE, integer(1)), "key.unreadable", id="another DER"),
    ],
)
def test_the_wrong_thing_for_a_private_key_is_named(material: bytes, code: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Sm2PrivateKey.from_pem(material, field="bank_key")
    assert (caught.value.code, caught.value.field) == (code, "bank_key")


@pytest.mark.parametrize(
    ("material", "code"),
    [
        pytest.param(RSA["public_key_pem"].encode(), "key.not_sm2", id="an RSA key"),
        pytest.param(EC_PUBLIC, "key.not_sm2", id="a P-256 key"),
        pytest.param(RSA["certificate_pem"].encode(), "key.is_certificate", id="a certificate"),
        pytest.param(PKCS8, "key.is_private", id="the SM2 private key"),
        pytest.param((X + Y).encode(), "key.unreadable", id="hex digits"),
    ],
)
def test_the_wrong_thing_for_a_public_key_is_named(material: bytes, code: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Sm2PublicKey.from_pem(material, field="bank_public_key")
    assert (caught.value.code, caught.value.field) == (code, "bank_public_key")


class TestPairs:
    other = Sm2PrivateKey.from_hex(f"{7:064x}").public_key

    def test_a_public_key_of_another_pair_is_refused(self) -> None:
        for load in (
            lambda: Sm2PrivateKey.from_hex(D, public_key=self.other),
            lambda: Sm2PrivateKey.from_pem(PKCS8, public_key=self.other),
            lambda: Sm2PrivateKey.from_der(sm2_keys.pkcs8(int(D, 16)), public_key=self.other),
        ):
            with pytest.raises(ConfigurationError) as caught:
                load()
            assert caught.value.code == "key.not_a_pair"

    def test_a_file_whose_halves_are_no_pair_is_refused(self) -> None:
        with pytest.raises(ConfigurationError) as caught:
            Sm2PrivateKey.from_der(PKCS8.replace(bytes.fromhex(X + Y), self.other.point))
        assert caught.value.code == "key.not_a_pair"

    def test_matching_is_by_value(self) -> None:
        key = Sm2PrivateKey.from_hex(D)
        assert Sm2PublicKey.from_hex(X + Y).matches(key)
        assert not self.other.matches(key)
        assert self.other != "a text"


class TestUserIds:
    key = Sm2PrivateKey.from_hex(D)

    def test_an_empty_id_is_not_the_default_one(self) -> None:
        signature = self.key.sign(b"m", user_id=b"")
        assert self.key.public_key.verify(signature, b"m", user_id=b"")
        assert not self.key.public_key.verify(signature, b"m")

    def test_the_longest_id_works_and_a_longer_one_is_refused(self) -> None:
        signature = self.key.sign(b"m", user_id=b"i" * 8191)
        assert self.key.public_key.verify(signature, b"m", user_id=b"i" * 8191)
        with pytest.raises(ValidationError) as caught:
            self.key.sign(b"m", user_id=b"i" * 8192)
        assert caught.value.code == "sm2.user_id"

    def test_many_ids_do_not_grow_the_key(self) -> None:
        public = Sm2PublicKey.from_hex(X + Y)
        for number in range(100):
            public.digest(b"m", user_id=str(number).encode())
        assert len(public._begun) <= 16
        assert public.digest(b"m") == self.key.public_key.digest(b"m")


class TestTexts:
    key = Sm2PrivateKey.from_hex(D)

    @pytest.mark.parametrize("length", [1, 2, 15, 16, 32, 33, 254, 255])
    def test_texts_of_1_to_255_bytes_go_there_and_back(self, length: int) -> None:
        text = b"k" * length
        assert self.key.decrypt(self.key.public_key.encrypt(text)) == text

    @pytest.mark.parametrize(("length", "code"), [(0, "crypto.empty"), (256, "crypto.too_long")])
    def test_other_lengths_are_refused(self, length: int, code: str) -> None:
        with pytest.raises(ValidationError) as caught:
            self.key.public_key.encrypt(b"k" * length)
        assert caught.value.code == code

    def test_a_one_byte_text_is_never_sent_in_the_clear(self) -> None:
        # the KDF gives a zero byte once in 256: without a second draw this fails nine times in ten
        sealed = {self.key.public_key.encrypt(b"k")[-1:] for _ in range(600)}
        assert b"k" not in sealed

    def test_a_point_off_the_curve_is_refused(self) -> None:
        sealed = bytearray(self.key.public_key.encrypt(b"k" * 16))
        sealed[10] ^= 1
        with pytest.raises(ForgedMessage):
            self.key.decrypt(bytes(sealed))


class TestDelegation:
    key = Sm2PrivateKey.from_hex(D)

    def outside(self, digest: bytes) -> tuple[int, int]:
        assert len(digest) == 32
        return signature_numbers(self.key._handle.sign_digest(digest), form=SignatureForm.DER)

    @pytest.mark.parametrize("form", SignatureForm)
    def test_a_signer_outside_makes_the_same_kind_of_signature(self, form: SignatureForm) -> None:
        signer = DelegatedSm2Key(self.key.public_key, sign_digest=self.outside)
        signature = signer.sign(b"m", user_id=b"me", form=form)
        assert signer.public_key.verify(signature, b"m", user_id=b"me", form=form)
        assert self.key.public_key.matches(signer)
        assert "DelegatedSm2Key(" in repr(signer)


def test_nothing_of_a_key_is_shown() -> None:
    key = Sm2PrivateKey.from_hex(D)
    assert repr(key) == f"Sm2PrivateKey({key.public_key.fingerprint})"
    assert repr(key.public_key) == f"Sm2PublicKey({key.public_key.fingerprint})"


def test_a_private_key_is_copied_by_reference_and_never_pickled() -> None:
    key = Sm2PrivateKey.from_hex(D)
    assert copy.copy(key) is key
    assert copy.deepcopy([key])[0] is key
    with pytest.raises(TypeError):
        pickle.dumps(key)


def test_a_public_key_is_pickled_by_value() -> None:
    public = Sm2PublicKey.from_hex(X + Y)
    again = pickle.loads(pickle.dumps(public))
    assert again == public
    assert again.verify(Sm2PrivateKey.from_hex(D).sign(b"m"), b"m")


@pytest.mark.skipif(which("openssl") is None, reason="the openssl command is not installed")
class TestFilesOfOpenssl:
    def run(self, folder: Path, *arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True, timeout=20)

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        self.run(tmp_path, "ecparam", "-name", "SM2", "-genkey", "-out", "sec1.pem")
        self.run(tmp_path, "pkcs8", "-topk8", "-nocrypt", "-in", "sec1.pem", "-out", "pkcs8.pem")
        self.run(tmp_path, "pkcs8", "-topk8", "-nocrypt", "-in", "sec1.pem", "-outform", "DER", "-out", "pkcs8.der")
        self.run(tmp_path, "pkey", "-in", "sec1.pem", "-pubout", "-out", "public.pem")
        compressed = ["-pubout", "-conv_form", "compressed"]
        self.run(tmp_path, "ec", "-in", "sec1.pem", *compressed, "-out", "compressed.pem")
        for cipher in ("aes-256-cbc", "sm4-cbc"):
            seal = ["-topk8", "-v2", cipher, "-passout", "pass:open sesame"]
            self.run(tmp_path, "pkcs8", "-in", "sec1.pem", *seal, "-out", f"{cipher}.pem")
        return tmp_path

    def test_every_file_gives_the_same_key(self, folder: Path) -> None:
        public = Sm2PublicKey.from_pem((folder / "public.pem").read_bytes())
        assert Sm2PublicKey.from_pem((folder / "compressed.pem").read_bytes()) == public
        for name in ("sec1.pem", "pkcs8.pem", "pkcs8.der"):
            assert Sm2PrivateKey.from_pem((folder / name).read_bytes()).public_key == public
        for name in ("aes-256-cbc.pem", "sm4-cbc.pem"):
            sealed = (folder / name).read_bytes()
            assert Sm2PrivateKey.from_pem(sealed, password=b"open sesame").public_key == public

    @pytest.mark.parametrize("password", [None, b"", b"open barley"])
    def test_a_sealed_file_needs_its_password(self, folder: Path, password: bytes | None) -> None:
        with pytest.raises(ConfigurationError) as caught:
            Sm2PrivateKey.from_pem((folder / "aes-256-cbc.pem").read_bytes(), field="k", password=password)
        assert caught.value.code == "key.password"

    def test_a_sealed_key_of_another_kind_is_not_an_sm2_key(self) -> None:
        sealed = EC.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"open sesame"),
        )
        with pytest.raises(ConfigurationError) as caught:
            Sm2PrivateKey.from_pem(sealed, field="k", password=b"open sesame")
        assert caught.value.code == "key.not_sm2"
