"""Encryption of single fields at rest, and a blind index to find them by.

A sealed field is ``version (1) · length of key id (1) · key id · nonce (12) · AES-256-GCM ciphertext and tag``; the
context (record type and column, say ``coupon.code``) is authenticated with it, so a value cannot be moved to another
column. The index is a keyed hash: equal texts in one context have equal indexes, and without the key it tells nothing.
"""

from __future__ import annotations

import hmac
import os
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from unicom_coupon_sdk.errors import ConfigurationError, LedgerError

if TYPE_CHECKING:
    from collections.abc import Mapping

_VERSION = 1
_NONCE_BYTES = 12
_TAG_BYTES = 16
_INDEX_BYTES = 16
_KEY_BYTES = 32


class FieldCipher:
    """Seals texts under the ``current`` key and opens those under any key of ``keys`` (id → 32 bytes).

    To change keys, add a new one and make it ``current``; old values stay readable while their key is kept. The
    ``index_key`` (at least 32 bytes) stays, because stored indexes cannot be looked up under another.
    Raises ``ConfigurationError``: ``field_key.length``, ``field_key.missing``, ``field_key.id``.
    """

    __slots__ = ("_current", "_head", "_index_key", "_keys")

    def __init__(self, keys: Mapping[str, bytes], *, current: str, index_key: bytes) -> None:
        for key_id, key in keys.items():
            if not (0 < len(key_id) <= 32 and key_id.isascii() and key_id.isprintable()):
                raise ConfigurationError("field_key.id", field="field_keys")
            if len(key) != _KEY_BYTES:
                raise ConfigurationError("field_key.length", field="field_keys", key_id=key_id, length=len(key))
        if current not in keys:
            raise ConfigurationError("field_key.missing", field="field_keys", key_id=current)
        if len(index_key) < _KEY_BYTES:
            raise ConfigurationError("field_key.length", field="index_key", key_id="index", length=len(index_key))
        self._keys = {key_id.encode(): AESGCM(key) for key_id, key in keys.items()}
        self._current = self._keys[current.encode()]
        self._head = bytes((_VERSION, len(current))) + current.encode()
        self._index_key = bytes(index_key)

    @classmethod
    def derive(cls, master: bytes) -> FieldCipher:
        """A cipher from one 32-byte secret: its keys are made by HKDF-SHA256, each with its own label.

        Raises ``ConfigurationError`` ``field_key.length`` unless ``master`` has 32 bytes.
        """
        seal, index = (derive_key(master, label=label) for label in ("field-seal-1", "field-index-1"))
        return cls({"d1": seal}, current="d1", index_key=index)

    def seal(self, text: str, *, context: str) -> bytes:
        """``text`` encrypted for ``context``; two seals of one text differ.

        The nonce is drawn here, not passed in, because a repeated nonce would break the cipher and no caller has a
        reason to choose one. At most 2^32 values may be sealed under one key.
        """
        nonce = os.urandom(_NONCE_BYTES)
        return self._head + nonce + self._current.encrypt(nonce, text.encode(), context.encode())

    def open(self, blob: bytes, *, context: str) -> str:
        """The text that was sealed for ``context``.

        Raises ``ConfigurationError`` ``field_key.missing`` where its key is not here, and ``LedgerError``
        ``field.tampered`` where the bytes are not what was sealed.
        """
        blob = bytes(blob)
        start = 2 + blob[1] if len(blob) > 2 and blob[0] == _VERSION else 0
        if start == 0 or len(blob) < start + _NONCE_BYTES + _TAG_BYTES:
            raise LedgerError("field.tampered", field=context)
        key = self._keys.get(blob[2:start])
        if key is None:
            raise ConfigurationError(
                "field_key.missing", field=context, key_id=blob[2:start].decode("ascii", "replace")
            )
        nonce_end = start + _NONCE_BYTES
        try:
            return key.decrypt(blob[start:nonce_end], blob[nonce_end:], context.encode()).decode()
        except (InvalidTag, UnicodeDecodeError):
            raise LedgerError("field.tampered", field=context) from None

    def is_current(self, blob: bytes) -> bool:
        """Whether ``blob`` is under the current key; if not, a re-encryption job should open and seal it."""
        return bytes(blob[: len(self._head)]) == self._head

    def index(self, text: str, *, context: str) -> bytes:
        """Sixteen bytes to store beside the sealed text and to look it up by: HMAC-SHA256, cut.

        The context goes in with its length first, so that no two pairs of context and text are hashed alike.
        """
        name = context.encode()
        message = len(name).to_bytes(2, "big") + name + text.encode()
        return hmac.digest(self._index_key, message, "sha256")[:_INDEX_BYTES]

    def __repr__(self) -> str:
        return f"FieldCipher({len(self._keys)} keys)"


def derive_key(master: bytes, *, label: str) -> bytes:
    """32 bytes for one purpose, made of the 32-byte ``master`` by HKDF-SHA256; another ``label``, another key.

    Raises ``ConfigurationError`` ``field_key.length`` unless ``master`` has 32 bytes.
    """
    if len(master) != _KEY_BYTES:
        raise ConfigurationError("field_key.length", field="master", key_id="master", length=len(master))
    info = b"unicom-coupon " + label.encode()
    return HKDF(algorithm=hashes.SHA256(), length=_KEY_BYTES, salt=None, info=info).derive(master)
