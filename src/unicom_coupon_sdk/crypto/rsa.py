"""RSA keys for request signatures, their verification, and the encryption of single fields.

A key is loaded and checked once; loading costs a hundred signatures, so an object is kept, never the text. The padding
and hash objects are made once as well: a signature here is the library's own call and one Python frame.
"""

from __future__ import annotations

import hashlib
from weakref import WeakValueDictionary

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric import rsa as primitives

from unicom_coupon_sdk.crypto import material as materials
from unicom_coupon_sdk.crypto.material import Kind
from unicom_coupon_sdk.errors import ConfigurationError, ForgedMessage, ValidationError

_PKCS1 = padding.PKCS1v15()
_SHA256 = hashes.SHA256()
_SHA1 = hashes.SHA1()  # noqa: S303 - two platforms still sign so; callers choose it by name
_OAEP_SHA1 = padding.OAEP(mgf=padding.MGF1(algorithm=_SHA1), algorithm=_SHA1, label=None)
_SHORTEST_BITS = 2048


_in_use: WeakValueDictionary[bytes, RsaPrivateKey] = WeakValueDictionary()
"""Keys that somebody in this process holds, by the digest of their material: loading one checks its primes, which
takes some ten milliseconds, and many clients of one process often share a key. A key that nobody holds is forgotten."""


class RsaPrivateKey:
    """A private key that signs and decrypts. Made by ``load``; safe to share between threads; never shown."""

    __slots__ = ("__weakref__", "_key", "_public")

    def __init__(self, key: primitives.RSAPrivateKey) -> None:
        self._key = key
        self._public = RsaPublicKey(key.public_key())

    @classmethod
    def load(cls, material: bytes, *, field: str, password: bytes | None = None) -> RsaPrivateKey:
        """The key in PEM (PKCS#8 or PKCS#1), DER or naked base64; ``field`` is the setting's name for errors.

        Raises ``ConfigurationError``: ``key.is_certificate``, ``key.is_public``, ``key.not_rsa``, ``key.too_short``
        (below 2048 bits), ``key.password``, ``key.unreadable``.
        """
        digest = hashlib.sha256(material).digest()
        known = _in_use.get(digest)
        if known is not None:
            return known
        found = materials.read(material, field=field, password=password)
        if isinstance(found.loaded, primitives.RSAPrivateKey):
            return _in_use.setdefault(digest, cls.of(found.loaded, field=field))
        raise _wrong_kind(found.kind, field=field, wanted=Kind.RSA_PRIVATE)

    @classmethod
    def of(cls, loaded: primitives.RSAPrivateKey, *, field: str) -> RsaPrivateKey:
        """A key that the library has loaded and checked. Raises ``ConfigurationError`` ``key.too_short``."""
        _check_length(loaded.key_size, field=field)
        return cls(loaded)

    @property
    def public_key(self) -> RsaPublicKey:
        """The other half, to check what this key signed."""
        return self._public

    @property
    def bits(self) -> int:
        """The length of the modulus."""
        return self._key.key_size

    def sign_sha256(self, message: bytes) -> bytes:
        """The RSASSA-PKCS1-v1_5 signature with SHA-256 over ``message`` (256 bytes for a 2048-bit key)."""
        return self._key.sign(message, _PKCS1, _SHA256)

    def sign_sha1(self, message: bytes) -> bytes:
        """The same with SHA-1, for a platform whose old signature type is still asked for."""
        return self._key.sign(message, _PKCS1, _SHA1)

    def decrypt_oaep_sha1(self, ciphertext: bytes) -> bytes:
        """What was encrypted by RSAES-OAEP with SHA-1, MGF1-SHA-1 and no label.

        Raises ``ForgedMessage`` ``message.undecryptable``, the same for every fault.
        """
        return self._decrypt(ciphertext, _OAEP_SHA1)

    def decrypt_pkcs1(self, ciphertext: bytes) -> bytes:
        """What was encrypted by RSAES-PKCS1-v1_5.

        Check the plaintext by other means: with this old padding a forged text may come out as random bytes (the
        library's implicit rejection) instead of raising ``ForgedMessage`` ``message.undecryptable``.
        """
        return self._decrypt(ciphertext, _PKCS1)

    def _decrypt(self, ciphertext: bytes, scheme: padding.AsymmetricPadding) -> bytes:
        try:
            return self._key.decrypt(ciphertext, scheme)
        except ValueError:
            raise ForgedMessage("message.undecryptable") from None

    def __repr__(self) -> str:
        return f"RsaPrivateKey({self._key.key_size} bits, {self._public.fingerprint})"


class RsaPublicKey:
    """A public key that verifies and encrypts. Safe to share between threads."""

    __slots__ = ("_key",)

    def __init__(self, key: primitives.RSAPublicKey) -> None:
        self._key = key

    @classmethod
    def load(cls, material: bytes, *, field: str) -> RsaPublicKey:
        """The key in PEM (SPKI or PKCS#1), DER or naked base64; ``field`` is the setting's name for errors.

        Raises ``ConfigurationError``: ``key.is_certificate``, ``key.is_private``, ``key.not_rsa``, ``key.too_short``,
        ``key.unreadable``.
        """
        found = materials.read(material, field=field)
        if isinstance(found.loaded, primitives.RSAPublicKey):
            _check_length(found.loaded.key_size, field=field)
            return cls(found.loaded)
        raise _wrong_kind(found.kind, field=field, wanted=Kind.RSA_PUBLIC)

    @property
    def bits(self) -> int:
        """The length of the modulus."""
        return self._key.key_size

    @property
    def der(self) -> bytes:
        """SubjectPublicKeyInfo."""
        return self._key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)

    @property
    def pem(self) -> bytes:
        """SubjectPublicKeyInfo in PEM."""
        return self._key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)

    @property
    def fingerprint(self) -> str:
        """The first 16 hex digits of the SHA-256 of ``der``: enough to compare two keys by eye."""
        return hashlib.sha256(self.der).hexdigest()[:16]

    @property
    def longest_oaep_sha1(self) -> int:
        """How many bytes ``encrypt_oaep_sha1`` takes: 214 for 2048 bits (RFC 8017)."""
        return self._key.key_size // 8 - 42

    def verify_sha256(self, signature: bytes, message: bytes) -> bool:
        """Whether ``signature`` is this key's RSASSA-PKCS1-v1_5 signature with SHA-256 over ``message``."""
        try:
            self._key.verify(signature, message, _PKCS1, _SHA256)
        except InvalidSignature:
            return False
        return True

    def verify_sha1(self, signature: bytes, message: bytes) -> bool:
        """The same with SHA-1."""
        try:
            self._key.verify(signature, message, _PKCS1, _SHA1)
        except InvalidSignature:
            return False
        return True

    def encrypt_oaep_sha1(self, plaintext: bytes) -> bytes:
        """``plaintext`` by RSAES-OAEP with SHA-1, MGF1-SHA-1 and no label.

        Raises ``ValidationError`` ``crypto.too_long`` above ``longest_oaep_sha1`` bytes.
        """
        if len(plaintext) > self.longest_oaep_sha1:
            raise ValidationError("crypto.too_long", longest=self.longest_oaep_sha1, length=len(plaintext))
        return self._key.encrypt(plaintext, _OAEP_SHA1)

    def encrypt_pkcs1(self, plaintext: bytes) -> bytes:
        """``plaintext`` by RSAES-PKCS1-v1_5, for a platform that asks for it. Raises ``crypto.too_long``."""
        longest = self._key.key_size // 8 - 11
        if len(plaintext) > longest:
            raise ValidationError("crypto.too_long", longest=longest, length=len(plaintext))
        return self._key.encrypt(plaintext, _PKCS1)

    def matches(self, private: RsaPrivateKey) -> bool:
        """Whether ``private`` is the other half of this key."""
        return self == private.public_key

    def __eq__(self, other: object) -> bool:
        return self._key.public_numbers() == other._key.public_numbers() if isinstance(other, RsaPublicKey) else False

    def __hash__(self) -> int:
        return hash(self._key.public_numbers())

    def __repr__(self) -> str:
        return f"RsaPublicKey({self._key.key_size} bits, {self.fingerprint})"


def _check_length(bits: int, *, field: str) -> None:
    if bits < _SHORTEST_BITS:
        raise ConfigurationError("key.too_short", field=field, bits=bits, shortest=_SHORTEST_BITS)


def _wrong_kind(kind: Kind, *, field: str, wanted: Kind) -> ConfigurationError:
    code = "key.not_rsa"
    if kind in {Kind.CERTIFICATE, Kind.REQUEST}:
        code = "key.is_certificate"
    elif kind is Kind.RSA_PUBLIC:
        code = "key.is_public"
    elif kind is Kind.RSA_PRIVATE:
        code = "key.is_private"
    return ConfigurationError(code, field=field, found=kind.value, wanted=wanted.value)
