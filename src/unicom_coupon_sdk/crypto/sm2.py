"""SM2 keys that sign, verify, encrypt and decrypt (GM/T 0003, GM/T 0009).

The digest, with its ZA of curve, key and user id, is made here and kept per id; the arithmetic is OpenSSL's or
gmssl-pyx's (``sm2_engines``). The user id is ``1234567812345678`` unless a platform says otherwise; an empty id is
another id, not the default one.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, NoReturn, Protocol

from unicom_coupon_sdk.crypto import material as materials
from unicom_coupon_sdk.crypto import sm2_forms, sm2_keys, sm3
from unicom_coupon_sdk.crypto.der import DerError
from unicom_coupon_sdk.crypto.sm2_engines import Backend, Engine, engine
from unicom_coupon_sdk.crypto.sm2_forms import CipherForm, SignatureForm
from unicom_coupon_sdk.errors import ConfigurationError, ForgedMessage, ValidationError

if TYPE_CHECKING:
    from collections.abc import Callable

    from cryptography.hazmat.primitives.hashes import Hash

    from unicom_coupon_sdk.crypto.sm2_engines import PrivateHandle

__all__ = [
    "DEFAULT_USER_ID",
    "Backend",
    "CipherForm",
    "DelegatedSm2Key",
    "SignatureForm",
    "Sm2PrivateKey",
    "Sm2PublicKey",
    "Sm2Signer",
    "engine",
]

DEFAULT_USER_ID = b"1234567812345678"
LONGEST_PLAINTEXT = 255
"""What both engines can encrypt, in bytes. SM2 encryption is for keys and single fields."""

_LONGEST_USER_ID = 0xFFFF // 8
_KEPT_IDS = 16
_CURVE = b"".join(number.to_bytes(32, "big") for number in (sm2_forms.A, sm2_forms.B, sm2_forms.GX, sm2_forms.GY))


class Sm2Signer(Protocol):
    """What signs with SM2: ``Sm2PrivateKey``, or ``DelegatedSm2Key`` before an HSM."""

    @property
    def public_key(self) -> Sm2PublicKey:
        """The other half."""
        ...

    def sign(
        self, message: bytes, *, user_id: bytes = DEFAULT_USER_ID, form: SignatureForm = SignatureForm.DER
    ) -> bytes:
        """The signature over ``message``."""
        ...


class Sm2PublicKey:
    """A public key, its point checked to be on the curve. Safe to share between threads."""

    __slots__ = ("_begun", "_handle", "_point")

    def __init__(self, point: bytes, *, field: str = "sm2_public_key", engine: Engine | None = None) -> None:
        self._point = sm2_keys.checked_point(point, field=field)
        self._handle = (engine or _default()).public(self._point)
        self._begun: dict[bytes, Hash] = {}

    @classmethod
    def from_hex(cls, text: str, *, field: str = "sm2_public_key", engine: Engine | None = None) -> Sm2PublicKey:
        """The key of 128 hex digits (x, y), 130 (``04`` x y) or 66 (compressed); the length decides.

        Raises ``ConfigurationError``: ``sm2.hex``, ``sm2.point``, ``sm2.no_engine``.
        """
        return cls(sm2_keys.point_of_hex(text, field=field), field=field, engine=engine)

    @classmethod
    def from_pem(
        cls, material: bytes | str, *, field: str = "sm2_public_key", engine: Engine | None = None
    ) -> Sm2PublicKey:
        """The key of a SubjectPublicKeyInfo in PEM, DER or naked base64.

        Raises ``ConfigurationError``: ``key.not_sm2``, ``key.is_private``, ``key.is_certificate``, ``sm2.point``,
        ``key.unreadable``, ``sm2.no_engine``.
        """
        return cls(sm2_keys.read_public(_bytes(material), field=field), field=field, engine=engine)

    from_der = from_pem

    def verify(
        self,
        signature: bytes,
        message: bytes,
        *,
        user_id: bytes = DEFAULT_USER_ID,
        form: SignatureForm = SignatureForm.DER,
    ) -> bool:
        """Whether ``signature``, in exactly ``form``, is this key's over ``message`` under ``user_id``.

        A signature out of range or not in strict form is wrong, not an error.
        """
        try:
            r, s = sm2_forms.signature_numbers(signature, form=form)
        except DerError:
            return False
        strict = signature if form is SignatureForm.DER else sm2_forms.signature_der(r, s)
        return self._handle.verify_digest(strict, self.digest(message, user_id=user_id))

    def encrypt(self, plaintext: bytes, *, form: CipherForm = CipherForm.ASN1) -> bytes:
        """``plaintext`` of 1 to 255 bytes in ``form``. Raises ``ValidationError`` ``crypto.too_long``/``.empty``."""
        if len(plaintext) > LONGEST_PLAINTEXT:
            raise ValidationError("crypto.too_long", longest=LONGEST_PLAINTEXT, length=len(plaintext))
        if not plaintext:
            raise ValidationError("crypto.empty")
        while True:
            sealed = self._handle.encrypt(plaintext)
            if sm2_forms.hides_text(sealed, plaintext):  # GM/T 0003: draw again if the KDF gave only zeros
                return sm2_forms.cipher_of_asn1(sealed, form=form)

    def digest(self, message: bytes, *, user_id: bytes = DEFAULT_USER_ID) -> bytes:
        """The 32 bytes that are signed: SM3(ZA, message). For a signer outside, such as an HSM.

        Raises ``ValidationError`` ``sm2.user_id`` above 8191 bytes.
        """
        begun = self._begun.get(user_id)
        running = (begun or self._begin(user_id)).copy()
        running.update(message)
        return running.finalize()

    def za(self, user_id: bytes = DEFAULT_USER_ID) -> bytes:
        """ZA: the digest of the id, the curve and this key. Raises ``ValidationError`` ``sm2.user_id``."""
        if len(user_id) > _LONGEST_USER_ID:
            raise ValidationError("sm2.user_id", field="user_id", length=len(user_id), longest=_LONGEST_USER_ID)
        return sm3.digest((8 * len(user_id)).to_bytes(2, "big") + user_id + _CURVE + self._point)

    def _begin(self, user_id: bytes) -> Hash:
        begun = sm3.begun(self.za(user_id))
        if len(self._begun) >= _KEPT_IDS:
            self._begun = {}
        self._begun[bytes(user_id)] = begun
        return begun

    @property
    def point(self) -> bytes:
        """The coordinates x and y, 64 bytes."""
        return self._point

    @property
    def der(self) -> bytes:
        """SubjectPublicKeyInfo, 91 bytes."""
        return sm2_keys.spki(self._point)

    @property
    def pem(self) -> bytes:
        """SubjectPublicKeyInfo in PEM."""
        return materials.pem(self.der, label="PUBLIC KEY")

    @property
    def fingerprint(self) -> str:
        """The first 16 hex digits of the SHA-256 of ``der``: enough to compare two keys by eye."""
        return hashlib.sha256(self.der).hexdigest()[:16]

    def matches(self, private: Sm2Signer) -> bool:
        """Whether ``private`` is the other half of this key."""
        return self == private.public_key

    def __reduce__(self) -> tuple[type[Sm2PublicKey], tuple[bytes]]:
        return (Sm2PublicKey, (self._point,))

    def __eq__(self, other: object) -> bool:
        return self._point == other._point if isinstance(other, Sm2PublicKey) else False

    def __hash__(self) -> int:
        return hash(self._point)

    def __repr__(self) -> str:
        return f"Sm2PublicKey({self.fingerprint})"


class Sm2PrivateKey:
    """A private key that signs and decrypts. Loaded once, then safe to share between threads; never shown."""

    __slots__ = ("_handle", "_public")

    def __init__(self, handle: PrivateHandle, public: Sm2PublicKey) -> None:
        self._handle = handle
        self._public = public

    @classmethod
    def from_hex(
        cls,
        text: str,
        *,
        field: str = "sm2_private_key",
        public_key: Sm2PublicKey | None = None,
        engine: Engine | None = None,
    ) -> Sm2PrivateKey:
        """The key of exactly 64 hex digits.

        With ``public_key`` the two are checked to be a pair; gmssl-pyx needs it, OpenSSL works it out.
        Raises ``ConfigurationError``: ``sm2.hex``, ``sm2.private_range``, ``key.not_a_pair``, ``sm2.public_needed``,
        ``sm2.no_engine``.
        """
        number = sm2_keys.number_of_hex(text, field=field)
        chosen = engine or _default()
        return cls._paired(chosen.private(number), public_key, field=field, engine=chosen)

    @classmethod
    def from_pem(
        cls,
        material: bytes | str,
        *,
        field: str = "sm2_private_key",
        password: bytes | None = None,
        public_key: Sm2PublicKey | None = None,
        engine: Engine | None = None,
    ) -> Sm2PrivateKey:
        """The key of PKCS#8 (also encrypted) or SEC1, in PEM, DER or naked base64.

        A public half inside, or ``public_key``, is checked to be its pair. Raises ``ConfigurationError``:
        ``key.not_sm2``, ``key.is_public``, ``key.is_certificate``, ``key.password``, ``key.not_a_pair``,
        ``sm2.private_range``, ``sm2.point``, ``key.unreadable``, ``sm2.public_needed``, ``sm2.no_engine``.
        """
        chosen = engine or _default()
        data = _bytes(material)
        if sm2_keys.is_encrypted(data, field=field):
            if not password:
                raise ConfigurationError("key.password", field=field)
            der = materials.to_der(data, field=field)[0]
            handle = chosen.private_encrypted(der, password=password, field=field)
            return cls._paired(handle, public_key, field=field, engine=chosen)
        number, point = sm2_keys.read_private(data, field=field)
        inside = Sm2PublicKey(point, field=field, engine=chosen) if point else None
        if inside is not None and public_key is not None and inside != public_key:
            raise ConfigurationError("key.not_a_pair", field=field)
        return cls._paired(chosen.private(number), public_key or inside, field=field, engine=chosen)

    from_der = from_pem

    @classmethod
    def _paired(
        cls, handle: PrivateHandle, public: Sm2PublicKey | None, *, field: str, engine: Engine
    ) -> Sm2PrivateKey:
        """The key with its public half, after one signature was made and verified: halves of two pairs show here."""
        if public is None and not handle.point:
            raise ConfigurationError("sm2.public_needed", field=field)
        public = public or Sm2PublicKey(handle.point, field=field, engine=engine)
        made = cls(handle, public)
        if handle.point not in {b"", public.point} or not public.verify(made.sign(b"pair"), b"pair"):
            raise ConfigurationError("key.not_a_pair", field=field)
        return made

    @property
    def public_key(self) -> Sm2PublicKey:
        """The other half, to check what this key signed."""
        return self._public

    def sign(
        self, message: bytes, *, user_id: bytes = DEFAULT_USER_ID, form: SignatureForm = SignatureForm.DER
    ) -> bytes:
        """The signature over ``message`` under ``user_id``; two over one message differ."""
        signature = self._handle.sign_digest(self._public.digest(message, user_id=user_id))
        if form is SignatureForm.DER:
            return signature
        return sm2_forms.signature_raw(*sm2_forms.signature_numbers(signature, form=SignatureForm.DER))

    def decrypt(self, ciphertext: bytes, *, form: CipherForm = CipherForm.ASN1) -> bytes:
        """What was encrypted to this key, its digest C3 checked.

        Raises ``ForgedMessage`` ``message.undecryptable``, the same for every fault.
        """
        try:
            strict = sm2_forms.cipher_asn1(ciphertext, form=form)
        except DerError:
            raise ForgedMessage("message.undecryptable") from None
        return self._handle.decrypt(strict)

    def __copy__(self) -> Sm2PrivateKey:
        return self

    def __deepcopy__(self, memo: dict[int, object]) -> Sm2PrivateKey:
        return self  # immutable, and what it holds in the library is freed with this object

    def __reduce__(self) -> NoReturn:
        raise TypeError("a private key is not pickled")

    def __repr__(self) -> str:
        return f"Sm2PrivateKey({self._public.fingerprint})"


class DelegatedSm2Key:
    """A signer whose private half is elsewhere: ``sign_digest`` gets 32 bytes and hands back r and s."""

    __slots__ = ("_public", "_sign_digest")

    def __init__(self, public_key: Sm2PublicKey, *, sign_digest: Callable[[bytes], tuple[int, int]]) -> None:
        self._public = public_key
        self._sign_digest = sign_digest

    @property
    def public_key(self) -> Sm2PublicKey:
        """The public half it was made with."""
        return self._public

    def sign(
        self, message: bytes, *, user_id: bytes = DEFAULT_USER_ID, form: SignatureForm = SignatureForm.DER
    ) -> bytes:
        """The signature over ``message``, made outside."""
        r, s = self._sign_digest(self._public.digest(message, user_id=user_id))
        return sm2_forms.signature_der(r, s) if form is SignatureForm.DER else sm2_forms.signature_raw(r, s)

    def __repr__(self) -> str:
        return f"DelegatedSm2Key({self._public.fingerprint})"


def _default() -> Engine:
    return engine(Backend.AUTO)


def _bytes(material: bytes | str) -> bytes:
    return material.encode() if isinstance(material, str) else material
