"""AES-GCM with the key object kept: building it for each message costs more than the message."""

from __future__ import annotations

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from unicom_coupon_sdk.errors import ConfigurationError, ForgedMessage, ValidationError

_NONCE_BYTES = 12


class AesGcm:
    """AES-128/192/256-GCM under one key, with a 16-byte tag after the ciphertext. Safe to share between threads.

    Raises ``ConfigurationError`` ``key.length`` unless the key has 16, 24 or 32 bytes; ``field`` names the setting.
    """

    __slots__ = ("_key",)

    def __init__(self, key: bytes, *, field: str = "key") -> None:
        if len(key) not in {16, 24, 32}:
            raise ConfigurationError("key.length", field=field, length=len(key), wanted="16, 24, 32")
        self._key = AESGCM(key)

    def encrypt(self, plaintext: bytes, *, nonce: bytes, aad: bytes = b"") -> bytes:
        """Ciphertext and tag. A ``nonce`` has 12 bytes and is never used twice under one key.

        Raises ``ValidationError`` ``crypto.nonce_length``.
        """
        if len(nonce) != _NONCE_BYTES:
            raise ValidationError("crypto.nonce_length", field="nonce", length=len(nonce), wanted=_NONCE_BYTES)
        return self._key.encrypt(nonce, plaintext, aad)

    def decrypt(self, ciphertext: bytes, *, nonce: bytes, aad: bytes = b"") -> bytes:
        """The plaintext of ``ciphertext`` (with its tag at the end).

        Raises ``ForgedMessage`` ``message.undecryptable``, the same whatever is wrong: text, tag, nonce, AAD or key.
        """
        try:
            return self._key.decrypt(nonce, ciphertext, aad)
        except (InvalidTag, ValueError):
            raise ForgedMessage("message.undecryptable") from None

    def __repr__(self) -> str:
        return "AesGcm(***)"
