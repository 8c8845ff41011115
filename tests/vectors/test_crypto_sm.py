"""All 39 vectors of the SM algorithms, with broken siblings of each that can be broken."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from unicom_coupon_sdk.crypto import sm2_forms, sm2_keys, sm3
from unicom_coupon_sdk.crypto.sm2 import (
    Backend,
    CipherForm,
    SignatureForm,
    Sm2PrivateKey,
    Sm2PublicKey,
    engine,
)
from unicom_coupon_sdk.crypto.sm2_engines import Engine
from unicom_coupon_sdk.crypto.sm4 import Sm4, Sm4Gcm
from unicom_coupon_sdk.errors import ConfigurationError, ForgedMessage, ValidationError

VECTORS: list[dict[str, Any]] = json.loads(Path(__file__).with_name("sm.json").read_text("utf-8"))["vectors"]
USED = {"sm3", "hmac-sm3", "kdf", "sm2-sign", "sm2-verify", "sm2-encrypt", "sm2-key"}
USED |= {"sm4-ecb", "sm4-iter", "sm4-cbc", "sm4-ctr", "sm4-gcm"}


def of_kind(*kinds: str) -> Any:
    return pytest.mark.parametrize(
        "vector", [pytest.param(v, id=v["id"]) for v in VECTORS if v["kind"] in kinds], scope="class"
    )


def raw(vector: dict[str, Any], name: str) -> bytes:
    return bytes.fromhex(vector[name])


def flipped(data: bytes, at: int, bit: int = 1) -> bytes:
    changed = bytearray(data)
    changed[at] ^= bit
    return bytes(changed)


def all_flips(data: bytes) -> list[bytes]:
    return [flipped(data, at, 1 << (at % 8)) for at in range(len(data))]


@pytest.fixture(params=[Backend.OPENSSL, pytest.param(Backend.GMSSL, marks=pytest.mark.clients)], scope="module")
def arithmetic(request: pytest.FixtureRequest) -> Engine:
    try:
        return engine(request.param)
    except ConfigurationError:
        pytest.skip(f"{request.param} is not installed")


def public(vector: dict[str, Any], arithmetic: Engine) -> Sm2PublicKey:
    return Sm2PublicKey.from_hex(vector["x"] + vector["y"], engine=arithmetic)


def private(vector: dict[str, Any], arithmetic: Engine) -> Sm2PrivateKey:
    return Sm2PrivateKey.from_hex(vector["d"], engine=arithmetic, public_key=public(vector, arithmetic))


def test_every_vector_is_used_by_a_test_here() -> None:
    assert len(VECTORS) == 39
    assert {vector["kind"] for vector in VECTORS} == USED


class TestSm3:
    @of_kind("sm3")
    def test_the_digest_is_the_known_one(self, vector: dict[str, Any]) -> None:
        assert sm3.digest(raw(vector, "msg")) == raw(vector, "digest")

    @of_kind("sm3")
    def test_a_longer_or_changed_message_has_another_digest(self, vector: dict[str, Any]) -> None:
        message = raw(vector, "msg")
        for sibling in [message + b"\0", message + b"\x80", *all_flips(message)]:
            assert sm3.digest(sibling) != raw(vector, "digest")

    @of_kind("sm3")
    def test_a_digest_begun_with_a_prefix_can_be_copied_and_continued(self, vector: dict[str, Any]) -> None:
        message = raw(vector, "msg")
        begun = sm3.begun(message[:5])
        for _ in range(2):
            running = begun.copy()
            running.update(message[5:])
            assert running.finalize() == raw(vector, "digest")

    @of_kind("hmac-sm3")
    def test_the_hmac_is_the_known_one_and_key_and_message_matter(self, vector: dict[str, Any]) -> None:
        key, message, mac = raw(vector, "key"), raw(vector, "msg"), raw(vector, "mac")
        assert sm3.hmac(key, message) == mac
        assert sm3.hmac(flipped(key, 0), message) != mac
        assert sm3.hmac(key, flipped(message, -1)) != mac
        assert sm3.hmac(message, key) != mac

    @of_kind("kdf")
    def test_the_derived_bytes_are_the_known_ones_at_every_length(self, vector: dict[str, Any]) -> None:
        z, out = raw(vector, "z"), raw(vector, "out")
        for length in range(vector["n"] + 1):
            assert sm3.derive(z, length=length) == out[:length]
        assert sm3.derive(flipped(z, 0), length=vector["n"]) != out


class TestSm2Signatures:
    @of_kind("sm2-sign")
    def test_za_and_digest_are_the_known_ones(self, vector: dict[str, Any], arithmetic: Engine) -> None:
        key = public(vector, arithmetic)
        assert key.za(raw(vector, "uid")) == raw(vector, "za")
        for _ in range(2):  # the second time from the kept state
            assert key.digest(raw(vector, "msg"), user_id=raw(vector, "uid")) == raw(vector, "e")

    @of_kind("sm2-sign")
    def test_the_known_signature_verifies_in_both_forms(self, vector: dict[str, Any], arithmetic: Engine) -> None:
        key, message, user_id = public(vector, arithmetic), raw(vector, "msg"), raw(vector, "uid")
        assert key.verify(raw(vector, "der"), message, user_id=user_id)
        assert key.verify(raw(vector, "raw"), message, user_id=user_id, form=SignatureForm.RAW)

    @of_kind("sm2-sign")
    def test_the_forms_convert_into_each_other_exactly(self, vector: dict[str, Any]) -> None:
        r, s = int(vector["r"], 16), int(vector["s"], 16)
        assert sm2_forms.signature_der(r, s) == raw(vector, "der")
        assert sm2_forms.signature_raw(r, s) == raw(vector, "raw")
        assert sm2_forms.signature_numbers(raw(vector, "der"), form=SignatureForm.DER) == (r, s)
        assert sm2_forms.signature_numbers(raw(vector, "raw"), form=SignatureForm.RAW) == (r, s)

    @of_kind("sm2-sign")
    def test_the_private_number_gives_the_public_point(self, vector: dict[str, Any]) -> None:
        chosen = engine(Backend.OPENSSL)
        assert Sm2PrivateKey.from_hex(vector["d"], engine=chosen).public_key.point == raw(vector, "x") + raw(
            vector, "y"
        )

    @of_kind("sm2-sign")
    def test_our_signature_verifies_and_is_never_the_same_twice(
        self, vector: dict[str, Any], arithmetic: Engine
    ) -> None:
        key, message, user_id = private(vector, arithmetic), raw(vector, "msg"), raw(vector, "uid")
        first, second = (key.sign(message, user_id=user_id) for _ in range(2))
        assert key.public_key.verify(first, message, user_id=user_id)
        assert key.public_key.verify(second, message, user_id=user_id)
        assert first != second
        assert sm2_forms.signature_numbers(first, form=SignatureForm.DER)[0] != int(vector["r"], 16)

    @of_kind("sm2-sign")
    def test_a_raw_signature_of_ours_has_64_bytes_and_verifies_as_raw_only(
        self, vector: dict[str, Any], arithmetic: Engine
    ) -> None:
        key, message = private(vector, arithmetic), raw(vector, "msg")
        signature = key.sign(message, form=SignatureForm.RAW)
        assert len(signature) == 64
        assert key.public_key.verify(signature, message, form=SignatureForm.RAW)
        assert not key.public_key.verify(signature, message)

    @of_kind("sm2-sign")
    def test_broken_siblings_of_the_known_signature_are_refused(
        self, vector: dict[str, Any], arithmetic: Engine
    ) -> None:
        key, message, user_id = public(vector, arithmetic), raw(vector, "msg"), raw(vector, "uid")
        der, plain = raw(vector, "der"), raw(vector, "raw")
        r, s = int(vector["r"], 16), int(vector["s"], 16)
        siblings = [
            *all_flips(der)[::7],
            der + b"\0",
            der[:-1],
            b"",
            b"\x30\x00",
            der[:1] + b"\x81" + der[1:],  # a length in more bytes than it needs
            b"\x31" + der[1:],
            sm2_forms.signature_der(s, r),
            sm2_forms.signature_der(r, sm2_forms.N - s),
            sm2_forms.signature_der(r + sm2_forms.N, s),
            plain,
        ]
        for sibling in siblings:
            assert not key.verify(sibling, message, user_id=user_id)
        for sibling in [plain[:-1], plain + b"\0", der, plain[32:] + plain[:32], *all_flips(plain)[::13]]:
            assert not key.verify(sibling, message, user_id=user_id, form=SignatureForm.RAW)

    @of_kind("sm2-sign")
    def test_another_message_id_or_key_is_refused(self, vector: dict[str, Any], arithmetic: Engine) -> None:
        key, message, user_id = public(vector, arithmetic), raw(vector, "msg"), raw(vector, "uid")
        der = raw(vector, "der")
        assert not key.verify(der, message + b"\0", user_id=user_id)
        assert not key.verify(der, message, user_id=b"")
        assert not key.verify(der, message, user_id=user_id + b"\0")
        mirrored = sm2_forms.P - int(vector["y"], 16)
        other = Sm2PublicKey.from_hex(f"{vector['x']}{mirrored:064x}", engine=arithmetic)
        assert not other.verify(der, message, user_id=user_id)

    @of_kind("sm2-verify")
    def test_a_negative_vector_is_refused(self, vector: dict[str, Any], arithmetic: Engine) -> None:
        assert vector["expect"] == "invalid"
        assert not public(vector, arithmetic).verify(raw(vector, "der"), raw(vector, "msg"), user_id=raw(vector, "uid"))


class TestSm2Encryption:
    FORMS = (CipherForm.ASN1, CipherForm.C1C3C2, CipherForm.C1C2C3)

    def texts(self, vector: dict[str, Any]) -> dict[CipherForm, bytes]:
        known = {form: raw(vector, form.value) for form in self.FORMS}
        known[CipherForm.BARE_C1C3C2] = known[CipherForm.C1C3C2][1:]
        known[CipherForm.BARE_C1C2C3] = known[CipherForm.C1C2C3][1:]
        return known

    @of_kind("sm2-encrypt")
    def test_the_known_text_decrypts_in_every_form(self, vector: dict[str, Any], arithmetic: Engine) -> None:
        key = private(vector, arithmetic)
        for form, text in self.texts(vector).items():
            assert key.decrypt(text, form=form) == raw(vector, "msg")

    @of_kind("sm2-encrypt")
    def test_the_forms_convert_into_each_other_exactly(self, vector: dict[str, Any]) -> None:
        known = self.texts(vector)
        for form, text in known.items():
            assert sm2_forms.cipher_asn1(text, form=form) == known[CipherForm.ASN1]
            assert sm2_forms.cipher_of_asn1(known[CipherForm.ASN1], form=form) == text

    @of_kind("sm2-encrypt")
    def test_what_we_encrypt_decrypts_in_every_form(self, vector: dict[str, Any], arithmetic: Engine) -> None:
        key = private(vector, arithmetic)
        for form in CipherForm:
            sealed = key.public_key.encrypt(raw(vector, "msg"), form=form)
            assert key.decrypt(sealed, form=form) == raw(vector, "msg")

    @of_kind("sm2-encrypt")
    @pytest.mark.parametrize("form", FORMS)
    def test_broken_siblings_are_refused_with_one_error(
        self, vector: dict[str, Any], arithmetic: Engine, form: CipherForm
    ) -> None:
        key, text = private(vector, arithmetic), self.texts(vector)[form]
        siblings = [*all_flips(text)[::3], text[:-1], text + b"\0", text[:64], b"", b"\x04" + text]
        for sibling in siblings:
            with pytest.raises(ForgedMessage) as caught:
                key.decrypt(sibling, form=form)
            assert caught.value.code == "message.undecryptable"

    @of_kind("sm2-encrypt")
    def test_a_text_read_in_another_form_or_by_another_key_is_refused(
        self, vector: dict[str, Any], arithmetic: Engine
    ) -> None:
        key = private(vector, arithmetic)
        known = self.texts(vector)
        for form, text in known.items():
            for other in CipherForm:
                if other is not form:
                    with pytest.raises(ForgedMessage):
                        key.decrypt(text, form=other)
        stranger = Sm2PrivateKey.from_hex(f"{7:064x}", engine=arithmetic, public_key=_times_seven(arithmetic))
        with pytest.raises(ForgedMessage):
            stranger.decrypt(known[CipherForm.ASN1])


def _times_seven(arithmetic: Engine) -> Sm2PublicKey:
    point = Sm2PrivateKey.from_hex(f"{7:064x}", engine=engine(Backend.OPENSSL)).public_key.point
    return Sm2PublicKey(point, engine=arithmetic)


class TestSm4:
    @of_kind("sm4-ecb")
    def test_blocks_go_there_and_back(self, vector: dict[str, Any]) -> None:
        cipher = Sm4(raw(vector, "key"))
        assert cipher.encrypt_ecb(raw(vector, "pt")) == raw(vector, "ct")
        assert cipher.decrypt_ecb(raw(vector, "ct")) == raw(vector, "pt")
        assert Sm4(flipped(raw(vector, "key"), 3)).encrypt_ecb(raw(vector, "pt")) != raw(vector, "ct")

    @of_kind("sm4-iter")
    def test_a_million_rounds_end_in_the_known_block(self, vector: dict[str, Any]) -> None:
        # CBC over zero blocks encrypts each ciphertext again: the million rounds in one call
        cipher = Sm4(raw(vector, "key"))
        chained = cipher.encrypt_cbc(bytes(16 * vector["n"]), iv=raw(vector, "pt"))
        assert chained[-16:] == raw(vector, "ct")
        assert chained[-32:-16] != raw(vector, "ct")

    @of_kind("sm4-cbc")
    def test_cbc_goes_there_and_back(self, vector: dict[str, Any]) -> None:
        cipher, iv = Sm4(raw(vector, "key")), raw(vector, "iv")
        padded = vector["padding"] == "pkcs7"
        encrypt = cipher.encrypt_cbc_padded if padded else cipher.encrypt_cbc
        decrypt = cipher.decrypt_cbc_padded if padded else cipher.decrypt_cbc
        assert encrypt(raw(vector, "pt"), iv=iv) == raw(vector, "ct")
        assert decrypt(raw(vector, "ct"), iv=iv) == raw(vector, "pt")
        assert decrypt(raw(vector, "ct"), iv=flipped(iv, 0)) != raw(vector, "pt")

    @of_kind("sm4-cbc")
    def test_a_cut_cbc_text_is_refused(self, vector: dict[str, Any]) -> None:
        cipher, iv = Sm4(raw(vector, "key")), raw(vector, "iv")
        for sibling in (b"", raw(vector, "ct")[:-1], raw(vector, "ct") + b"\0"):
            for decrypt in (cipher.decrypt_cbc, cipher.decrypt_cbc_padded):
                with pytest.raises(ForgedMessage) as caught:
                    decrypt(sibling, iv=iv)
                assert caught.value.code == "message.undecryptable"

    @of_kind("sm4-ctr")
    def test_ctr_goes_there_and_back(self, vector: dict[str, Any]) -> None:
        cipher, counter = Sm4(raw(vector, "key")), raw(vector, "iv")
        assert cipher.crypt_ctr(raw(vector, "pt"), counter=counter) == raw(vector, "ct")
        assert cipher.crypt_ctr(raw(vector, "ct"), counter=counter) == raw(vector, "pt")
        assert cipher.crypt_ctr(raw(vector, "ct"), counter=flipped(counter, -1)) != raw(vector, "pt")

    @of_kind("sm4-gcm")
    def test_gcm_goes_there_and_back(self, vector: dict[str, Any]) -> None:
        cipher, nonce, aad = Sm4Gcm(raw(vector, "key")), raw(vector, "iv"), raw(vector, "aad")
        sealed = raw(vector, "ct") + raw(vector, "tag")
        assert cipher.encrypt(raw(vector, "pt"), nonce=nonce, aad=aad) == sealed
        assert cipher.decrypt(sealed, nonce=nonce, aad=aad) == raw(vector, "pt")

    @of_kind("sm4-gcm")
    def test_broken_gcm_siblings_are_refused_with_one_error(self, vector: dict[str, Any]) -> None:
        key, nonce, aad = raw(vector, "key"), raw(vector, "iv"), raw(vector, "aad")
        sealed = raw(vector, "ct") + raw(vector, "tag")
        siblings = [(key, sealed_, nonce, aad) for sealed_ in all_flips(sealed)]
        siblings += [(key, sealed[:-1], nonce, aad), (key, b"", nonce, aad), (key, sealed[-16:], nonce, aad)]
        siblings += [(flipped(key, 0), sealed, nonce, aad), (key, sealed, flipped(nonce, 0), aad)]
        siblings += [(key, sealed, nonce, b""), (key, sealed, nonce, flipped(aad, 0)), (key, sealed, b"", aad)]
        for key_, sealed_, nonce_, aad_ in siblings:
            with pytest.raises(ForgedMessage) as caught:
                Sm4Gcm(key_).decrypt(sealed_, nonce=nonce_, aad=aad_)
            assert caught.value.code == "message.undecryptable"


class TestKeyEncodings:
    @of_kind("sm2-key")
    def test_every_encoding_gives_the_same_pair(self, vector: dict[str, Any], arithmetic: Engine) -> None:
        point = raw(vector, "x") + raw(vector, "y")
        spki, pkcs8 = vector["spki_b64"], vector["pkcs8_b64"]
        publics = [
            Sm2PublicKey.from_hex(vector["x"] + vector["y"], engine=arithmetic),
            Sm2PublicKey.from_hex(vector["raw_pub"].upper(), engine=arithmetic),
            Sm2PublicKey.from_hex(vector["compressed"], engine=arithmetic),
            Sm2PublicKey.from_pem(spki, engine=arithmetic),
            Sm2PublicKey.from_der(base64.b64decode(spki), engine=arithmetic),
            Sm2PublicKey.from_pem(f"-----BEGIN PUBLIC KEY-----\n{spki}\n-----END PUBLIC KEY-----", engine=arithmetic),
        ]
        privates = [
            Sm2PrivateKey.from_hex(vector["d"], engine=arithmetic, public_key=publics[0]),
            Sm2PrivateKey.from_pem(pkcs8, engine=arithmetic),
            Sm2PrivateKey.from_der(base64.b64decode(pkcs8), engine=arithmetic),
        ]
        assert {key.point for key in publics} == {key.public_key.point for key in privates} == {point}
        assert publics[0].der == base64.b64decode(spki)
        assert Sm2PublicKey.from_pem(publics[0].pem, engine=arithmetic) == publics[0]

    @of_kind("sm2-key")
    @pytest.mark.parametrize("at", range(0, 138, 3))
    def test_a_broken_pkcs8_never_loads_as_another_key(self, vector: dict[str, Any], at: int) -> None:
        broken = flipped(base64.b64decode(vector["pkcs8_b64"]), at)
        with pytest.raises(ConfigurationError):
            Sm2PrivateKey.from_der(broken)

    @of_kind("sm2-key")
    @pytest.mark.parametrize("at", range(0, 91, 3))
    def test_a_broken_spki_never_loads(self, vector: dict[str, Any], at: int) -> None:
        with pytest.raises(ConfigurationError):
            Sm2PublicKey.from_der(flipped(base64.b64decode(vector["spki_b64"]), at))

    @of_kind("sm2-key")
    def test_the_wrong_sign_of_a_compressed_point_is_another_key(self, vector: dict[str, Any]) -> None:
        other = sm2_keys.point_of_hex("02" + vector["compressed"][2:], field="k")
        assert other != raw(vector, "x") + raw(vector, "y")


def test_literals_of_the_standard_hold() -> None:
    key = Sm2PublicKey.from_hex(
        "09F9DF311E5421A150DD7D161E4BC5C672179FAD1833FC076BB08FF356F35020"
        "CCEA490CE26775A52DC6EA718CC1AA600AED05FBF35E084A6632F6072DA9AD13"
    )
    assert key.za().hex().upper() == "B2E14C5C79C6DF5B85F4FE7ED8DB7A262B9DA7E07CCB0EA9F4747B8CCDA8A4F3"
    digest = key.digest(b"message digest").hex().upper()
    assert digest == "F0B43E94BA45ACCAACE692ED534382EB17E6AB5A19CE7B31F4486FDFC0D28640"


def test_texts_that_are_not_whole_blocks_are_the_callers_mistake_when_encrypting() -> None:
    cipher = Sm4(bytes(16))
    for encrypt in (cipher.encrypt_ecb, lambda text: cipher.encrypt_cbc(text, iv=bytes(16))):
        with pytest.raises(ValidationError) as caught:
            encrypt(b"fifteen bytes..")
        assert caught.value.code == "crypto.blocks"
