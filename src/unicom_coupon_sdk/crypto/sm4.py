"""SM4 (GM/T 0002): blocks, CBC, CTR and GCM, by ``cryptography``.

Whole-block and padded texts are different methods, because a platform means exactly one of them. Whatever is wrong
with a ciphertext, the error is the same one, so that nobody can learn the plaintext from the kind of failure.
"""

from __future__ import annotations

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext, algorithms, modes
from cryptography.hazmat.primitives.padding import PKCS7

from unicom_coupon_sdk.errors import ConfigurationError, ForgedMessage, ValidationError

BLOCK_BYTES = 16
KEY_BYTES = 16
TAG_BYTES = 16
_GCM_NONCE_BYTES = 12
_PKCS7 = PKCS7(128)


def _algorithm(key: bytes, field: str) -> algorithms.SM4:
    if len(key) != KEY_BYTES:
        raise ConfigurationError("key.length", field=field, length=len(key), wanted=KEY_BYTES)
    return algorithms.SM4(key)


class Sm4:
    """SM4 under one key. Safe to share between threads.

    Raises ``ConfigurationError`` ``key.length`` unless the key has 16 bytes; ``field`` names the setting.
    Encrypting raises ``ValidationError`` ``crypto.blocks`` for a text that is not whole blocks where none is padded,
    and ``crypto.nonce_length`` for an IV that has not 16 bytes. Decrypting raises ``ForgedMessage``
    ``message.undecryptable`` for every fault.
    """

    __slots__ = ("_algorithm", "_ecb")

    def __init__(self, key: bytes, *, field: str = "key") -> None:
        self._algorithm = _algorithm(key, field)
        self._ecb = Cipher(self._algorithm, modes.ECB())  # noqa: S305 - single blocks only; the platforms ask for it

    def encrypt_ecb(self, plaintext: bytes) -> bytes:
        """Each block by itself, for single blocks such as key check values and MAC steps; unsafe for texts."""
        _whole(plaintext)
        return _run(self._ecb.encryptor(), plaintext)

    def decrypt_ecb(self, ciphertext: bytes) -> bytes:
        """The inverse of ``encrypt_ecb``."""
        _whole_or_forged(ciphertext)
        return _run(self._ecb.decryptor(), ciphertext)

    def encrypt_ecb_padded(self, plaintext: bytes) -> bytes:
        """ECB over a PKCS#7-padded text, for a platform that prescribes it."""
        return _run(self._ecb.encryptor(), _padded(plaintext))

    def decrypt_ecb_padded(self, ciphertext: bytes) -> bytes:
        """The inverse of ``encrypt_ecb_padded``."""
        _whole_or_forged(ciphertext)
        return _unpadded(_run(self._ecb.decryptor(), ciphertext))

    def encrypt_cbc(self, plaintext: bytes, *, iv: bytes) -> bytes:
        """CBC over whole blocks, with no padding."""
        _whole(plaintext)
        return _run(self._cbc(iv).encryptor(), plaintext)

    def decrypt_cbc(self, ciphertext: bytes, *, iv: bytes) -> bytes:
        """The inverse of ``encrypt_cbc``. CBC does not notice changes: check a signature or MAC first."""
        _whole_or_forged(ciphertext)
        return _run(self._cbc(iv).decryptor(), ciphertext)

    def encrypt_cbc_padded(self, plaintext: bytes, *, iv: bytes) -> bytes:
        """CBC over a PKCS#7-padded text."""
        return _run(self._cbc(iv).encryptor(), _padded(plaintext))

    def decrypt_cbc_padded(self, ciphertext: bytes, *, iv: bytes) -> bytes:
        """The inverse of ``encrypt_cbc_padded``. Check a signature or MAC first."""
        _whole_or_forged(ciphertext)
        return _unpadded(_run(self._cbc(iv).decryptor(), ciphertext))

    def crypt_ctr(self, text: bytes, *, counter: bytes) -> bytes:
        """CTR from the 16-byte ``counter``; the same call encrypts and decrypts. Never repeat a counter."""
        _initial(counter)
        return _run(Cipher(self._algorithm, modes.CTR(counter)).encryptor(), text)

    def _cbc(self, iv: bytes) -> Cipher[modes.CBC]:
        _initial(iv)
        return Cipher(self._algorithm, modes.CBC(iv))

    def __repr__(self) -> str:
        return "Sm4(***)"


class Sm4Gcm:
    """SM4-GCM under one key (RFC 8998), with the face of ``AesGcm``: a 16-byte tag after the ciphertext.

    Raises ``ConfigurationError`` ``key.length`` unless the key has 16 bytes; ``field`` names the setting.
    """

    __slots__ = ("_algorithm",)

    def __init__(self, key: bytes, *, field: str = "key") -> None:
        self._algorithm = _algorithm(key, field)

    def encrypt(self, plaintext: bytes, *, nonce: bytes, aad: bytes = b"") -> bytes:
        """Ciphertext and tag. A ``nonce`` has 12 bytes and is never used twice under one key.

        Raises ``ValidationError`` ``crypto.nonce_length``.
        """
        if len(nonce) != _GCM_NONCE_BYTES:
            raise ValidationError("crypto.nonce_length", field="nonce", length=len(nonce), wanted=_GCM_NONCE_BYTES)
        running = Cipher(self._algorithm, modes.GCM(nonce)).encryptor()
        running.authenticate_additional_data(aad)
        return running.update(plaintext) + running.finalize() + running.tag

    def decrypt(self, ciphertext: bytes, *, nonce: bytes, aad: bytes = b"") -> bytes:
        """The plaintext of ``ciphertext`` (with its tag at the end).

        Raises ``ForgedMessage`` ``message.undecryptable``, the same whatever is wrong.
        """
        text, tag = ciphertext[:-TAG_BYTES], ciphertext[-TAG_BYTES:]
        try:
            running = Cipher(self._algorithm, modes.GCM(nonce, tag)).decryptor()
            running.authenticate_additional_data(aad)
            return running.update(text) + running.finalize()
        except (InvalidTag, ValueError):
            raise ForgedMessage("message.undecryptable") from None

    def __repr__(self) -> str:
        return "Sm4Gcm(***)"


def _run(running: CipherContext, text: bytes) -> bytes:
    return running.update(text) + running.finalize()


def _initial(iv: bytes) -> None:
    if len(iv) != BLOCK_BYTES:
        raise ValidationError("crypto.nonce_length", field="iv", length=len(iv), wanted=BLOCK_BYTES)


def _whole(text: bytes) -> None:
    if len(text) % BLOCK_BYTES:
        raise ValidationError("crypto.blocks", length=len(text), block=BLOCK_BYTES)


def _whole_or_forged(ciphertext: bytes) -> None:
    if not ciphertext or len(ciphertext) % BLOCK_BYTES:
        raise ForgedMessage("message.undecryptable")


def _padded(plaintext: bytes) -> bytes:
    padder = _PKCS7.padder()
    return padder.update(plaintext) + padder.finalize()


def _unpadded(text: bytes) -> bytes:
    unpadder = _PKCS7.unpadder()
    try:
        return unpadder.update(text) + unpadder.finalize()
    except ValueError:
        raise ForgedMessage("message.undecryptable") from None
