"""Who does the SM2 arithmetic: OpenSSL 3, else gmssl-pyx. Never this package.

Both get a digest and hand back strict DER, so that ids, forms and checks are ours and the same with either. OpenSSL
lets threads run, and takes a time that does not depend on the key, except on 64-bit ARM and RISC-V since 3.2, where
its own SM2 code skips zero digits (CVE-2025-9231 mended a part of it); ``is_constant_time`` says which it is, for the
doctor. gmssl-pyx (extra ``sm``) makes no such claim, holds the interpreter lock, cannot work a public key out of a
private one, and prints a line to stderr for each signature it refuses.
"""

from __future__ import annotations

import ctypes
import functools
import importlib
import platform
import weakref
from ctypes import byref, c_size_t, c_void_p
from enum import StrEnum
from typing import Any, Protocol

from unicom_coupon_sdk.crypto import libcrypto, sm2_keys
from unicom_coupon_sdk.errors import ConfigurationError, ForgedMessage

_DIGEST_BYTES = 32
_LONGEST_SIGNATURE = 72
_CIPHER_OVERHEAD = 128


class Backend(StrEnum):
    """Which engine a setting asks for."""

    AUTO = "auto"
    OPENSSL = "openssl"
    GMSSL = "gmssl"


class PrivateHandle(Protocol):
    """A loaded private key."""

    point: bytes
    """The public half, 64 bytes; empty where the engine cannot tell it."""

    def sign_digest(self, digest: bytes) -> bytes:
        """The DER signature over 32 bytes."""
        ...

    def decrypt(self, ciphertext: bytes) -> bytes:
        """The plaintext of an ASN.1 ciphertext. Raises ``ForgedMessage``."""
        ...


class PublicHandle(Protocol):
    """A loaded public key."""

    def verify_digest(self, signature: bytes, digest: bytes) -> bool:
        """Whether the DER signature is right for 32 bytes."""
        ...

    def encrypt(self, plaintext: bytes) -> bytes:
        """``plaintext`` as an ASN.1 ciphertext."""
        ...


class Engine(Protocol):
    """An implementation of SM2."""

    name: Backend
    version: str
    is_constant_time: bool
    """Whether a signature's duration is known not to depend on the key or the nonce."""

    def private(self, number: int) -> PrivateHandle:
        """The handle of a private number in 1..n-2."""
        ...

    def private_encrypted(self, der: bytes, *, password: bytes, field: str) -> PrivateHandle:
        """The handle of an encrypted PKCS#8 key. Raises ``ConfigurationError`` ``key.password``."""
        ...

    def public(self, point: bytes) -> PublicHandle:
        """The handle of a 64-byte point that was checked."""
        ...


def engine(backend: Backend = Backend.AUTO) -> Engine:
    """The engine for ``backend``, self-tested once and kept.

    Raises ``ConfigurationError``: ``sm2.no_engine`` where neither is here, ``sm2.engine_absent`` where the named one is
    not; both say why, and what to install. The rest of the package works without.
    """
    if backend is not Backend.AUTO:
        return _named(backend)
    reasons = []
    for name in (Backend.OPENSSL, Backend.GMSSL):
        try:
            return _named(name)
        except ConfigurationError as error:
            reasons.append(f"{name.value}: {error.details.get('reason') or error.code}")
    raise ConfigurationError("sm2.no_engine", field="sm2_backend", reason="; ".join(reasons))


def _named(backend: Backend) -> Engine:
    found = _search(backend)
    if isinstance(found, ConfigurationError):
        raise ConfigurationError(
            found.code, field=found.field, backend=backend.value, reason=found.details.get("reason")
        )
    return found


@functools.cache
def _search(backend: Backend) -> Engine | ConfigurationError:
    """The engine or why there is none; kept either way, because a search in vain may start processes."""
    try:
        found: Engine = OpensslEngine(libcrypto.find()) if backend is Backend.OPENSSL else GmsslEngine()
        _self_test(found)
    except (libcrypto.LibcryptoMissing, ImportError) as error:
        reason = str(error)
        return ConfigurationError("sm2.engine_absent", field="sm2_backend", backend=backend.value, reason=reason)
    except (ConfigurationError, ForgedMessage):
        return ConfigurationError("sm2.engine_failed", field="sm2_backend", backend=backend.value)
    return found


def is_constant_time(version: str, *, machine: str) -> bool:
    """Whether OpenSSL ``version`` (``3.0.19``) signs with SM2 in constant time on ``machine`` (``x86_64``)."""
    major, _, rest = version.partition(".")
    minor = rest.partition(".")[0]
    has_own_code = machine.lower() in {"aarch64", "arm64", "riscv64"}
    return not has_own_code or (int(major), int(minor)) < (3, 2)


class OpensslEngine:
    """SM2 by libcrypto's EVP interface."""

    name = Backend.OPENSSL

    def __init__(self, library: libcrypto.Libcrypto) -> None:
        self.version = library.version
        self.origin = library.origin
        self.is_constant_time = is_constant_time(library.version, machine=platform.machine())
        self._lib = library.functions

    def private(self, number: int) -> PrivateHandle:
        """The handle of a private number in 1..n-2; its public half is worked out by the library."""
        return _OpensslPrivate(self._lib, self._decoded(self._lib.d2i_AutoPrivateKey, sm2_keys.pkcs8(number)))

    def private_encrypted(self, der: bytes, *, password: bytes, field: str) -> PrivateHandle:
        """The handle of an encrypted PKCS#8 key. Raises ``ConfigurationError`` ``key.password`` or ``key.not_sm2``."""
        source = self._lib.BIO_new_mem_buf(der, len(der))
        key = self._lib.d2i_PKCS8PrivateKey_bio(source, None, None, password) if source else None
        self._lib.BIO_free(source)
        if not key:
            self._lib.ERR_clear_error()
            raise ConfigurationError("key.password", field=field)
        if self._lib.EVP_PKEY_is_a(key, b"SM2") != 1:
            self._lib.EVP_PKEY_free(key)
            raise ConfigurationError("key.not_sm2", field=field, found="another private key")
        return _OpensslPrivate(self._lib, key)

    def public(self, point: bytes) -> PublicHandle:
        """The handle of a 64-byte point."""
        return _OpensslPublic(self._lib, self._decoded(self._lib.d2i_PUBKEY, sm2_keys.spki(point)))

    def _decoded(self, decode: Any, der: bytes) -> int:
        buffer = ctypes.create_string_buffer(der, len(der))
        at = c_void_p(ctypes.addressof(buffer))
        key: int | None = decode(None, byref(at), len(der))
        ctypes.memset(buffer, 0, len(der))
        if not key or self._lib.EVP_PKEY_is_a(key, b"SM2") != 1:
            self._lib.EVP_PKEY_free(key)
            self._lib.ERR_clear_error()
            raise ConfigurationError("sm2.engine_failed", backend=self.name.value)
        return key


class _Pool:
    """Prepared contexts for one key and one operation.

    A context serves one thread at a time; a list's pop and append are atomic, so a thread takes one or makes one.
    """

    __slots__ = ("_begin", "_free", "_key", "_lib")

    def __init__(self, lib: ctypes.CDLL, key: int, begin: Any) -> None:
        self._lib = lib
        self._key = key
        self._begin = begin
        self._free: list[int] = []

    def take(self) -> int:
        """A context ready for the operation."""
        try:
            return self._free.pop()
        except IndexError:
            context: int | None = self._lib.EVP_PKEY_CTX_new_from_pkey(None, self._key, None)
            if not context or self._begin(context) != 1:
                self._lib.EVP_PKEY_CTX_free(context)
                self._lib.ERR_clear_error()
                raise ConfigurationError("sm2.engine_failed", backend=Backend.OPENSSL.value) from None
            return context

    def give(self, context: int) -> None:
        """Take a context back for the next call."""
        self._free.append(context)

    def drain(self) -> None:
        """Free all contexts."""
        while self._free:
            self._lib.EVP_PKEY_CTX_free(self._free.pop())


def _release(lib: ctypes.CDLL, key: int, pools: tuple[_Pool, ...]) -> None:
    for pool in pools:
        pool.drain()
    lib.EVP_PKEY_free(key)


class _OpensslPrivate:
    __slots__ = ("__weakref__", "_decrypt", "_decrypting", "_lib", "_sign", "_signing", "point")

    def __init__(self, lib: ctypes.CDLL, key: int) -> None:
        self._lib = lib
        self._sign, self._decrypt = lib.EVP_PKEY_sign, lib.EVP_PKEY_decrypt
        self._signing = _Pool(lib, key, lib.EVP_PKEY_sign_init)
        self._decrypting = _Pool(lib, key, lib.EVP_PKEY_decrypt_init)
        weakref.finalize(self, _release, lib, key, (self._signing, self._decrypting)).atexit = False
        self.point = _point_of(lib, key)

    def sign_digest(self, digest: bytes) -> bytes:
        context = self._signing.take()
        try:
            out, length = ctypes.create_string_buffer(_LONGEST_SIGNATURE), c_size_t(_LONGEST_SIGNATURE)
            done = self._sign(context, out, byref(length), digest, _DIGEST_BYTES)
        finally:
            self._signing.give(context)
        if done != 1:
            self._lib.ERR_clear_error()
            raise ConfigurationError("sm2.engine_failed", backend=Backend.OPENSSL.value)
        return out.raw[: length.value]

    def decrypt(self, ciphertext: bytes) -> bytes:
        context = self._decrypting.take()
        try:
            out, length = ctypes.create_string_buffer(len(ciphertext)), c_size_t(len(ciphertext))
            done = self._decrypt(context, out, byref(length), ciphertext, len(ciphertext))
        finally:
            self._decrypting.give(context)
        if done != 1:
            self._lib.ERR_clear_error()
            raise ForgedMessage("message.undecryptable")
        return out.raw[: length.value]


class _OpensslPublic:
    __slots__ = ("__weakref__", "_encrypt", "_encrypting", "_lib", "_verify", "_verifying")

    def __init__(self, lib: ctypes.CDLL, key: int) -> None:
        self._lib = lib
        self._verify, self._encrypt = lib.EVP_PKEY_verify, lib.EVP_PKEY_encrypt
        self._verifying = _Pool(lib, key, lib.EVP_PKEY_verify_init)
        self._encrypting = _Pool(lib, key, lib.EVP_PKEY_encrypt_init)
        weakref.finalize(self, _release, lib, key, (self._verifying, self._encrypting)).atexit = False

    def verify_digest(self, signature: bytes, digest: bytes) -> bool:
        context = self._verifying.take()
        try:
            right: bool = self._verify(context, signature, len(signature), digest, _DIGEST_BYTES) == 1
        finally:
            self._verifying.give(context)
        if not right:
            self._lib.ERR_clear_error()  # the queue is the thread's and would be read by ``ssl``
        return right

    def encrypt(self, plaintext: bytes) -> bytes:
        room = len(plaintext) + _CIPHER_OVERHEAD
        context = self._encrypting.take()
        try:
            out, length = ctypes.create_string_buffer(room), c_size_t(room)
            done = self._encrypt(context, out, byref(length), plaintext, len(plaintext))
        finally:
            self._encrypting.give(context)
        if done != 1:
            self._lib.ERR_clear_error()
            raise ConfigurationError("sm2.engine_failed", backend=Backend.OPENSSL.value)
        return out.raw[: length.value]


def _point_of(lib: ctypes.CDLL, key: int) -> bytes:
    out, length = ctypes.create_string_buffer(65), c_size_t(0)
    if lib.EVP_PKEY_get_octet_string_param(key, b"pub", out, 65, byref(length)) != 1:
        lib.ERR_clear_error()
        raise ConfigurationError("sm2.engine_failed", backend=Backend.OPENSSL.value)
    return sm2_keys.checked_point(out.raw[: length.value], field="key")


class GmsslEngine:
    """SM2 by gmssl-pyx, through its digest interface: the plain one works the public key out again at each call."""

    name = Backend.GMSSL
    is_constant_time = False

    def __init__(self) -> None:
        self._module = importlib.import_module("gmssl_pyx")
        self.version = str(getattr(self._module, "__version__", ""))

    def private(self, number: int) -> PrivateHandle:
        """The handle of a private number in 1..n-2, its public half unknown."""
        return _GmsslPrivate(self._module, number.to_bytes(32, "big"))

    def private_encrypted(self, der: bytes, *, password: bytes, field: str) -> PrivateHandle:
        """Always raises ``ConfigurationError`` ``sm2.encrypted_key``: this engine cannot open one."""
        raise ConfigurationError("sm2.encrypted_key", field=field)

    def public(self, point: bytes) -> PublicHandle:
        """The handle of a 64-byte point."""
        return _GmsslPublic(self._module, point)


class _GmsslPrivate:
    __slots__ = ("_module", "_number", "point")

    def __init__(self, module: Any, number: bytes) -> None:
        self._module = module
        self._number = number
        self.point = b""

    def sign_digest(self, digest: bytes) -> bytes:
        return bytes(self._module.sm2_sign_sm3_digest(self._number, digest))

    def decrypt(self, ciphertext: bytes) -> bytes:
        try:
            return bytes(self._module.sm2_decrypt(self._number, ciphertext))
        except (self._module.GmsslInnerError, ValueError):
            raise ForgedMessage("message.undecryptable") from None


class _GmsslPublic:
    __slots__ = ("_module", "_point")

    def __init__(self, module: Any, point: bytes) -> None:
        self._module = module
        self._point = point

    def verify_digest(self, signature: bytes, digest: bytes) -> bool:
        try:
            return bool(self._module.sm2_verify_sm3_digest(self._point, digest, signature))
        except (self._module.GmsslInnerError, ValueError):
            return False

    def encrypt(self, plaintext: bytes) -> bytes:
        return bytes(self._module.sm2_encrypt(self._point, plaintext))


def _self_test(engine: Engine) -> None:
    """The example of GM/T 0003.5, and a signature and a ciphertext there and back. Raises ``ConfigurationError``."""
    number = 0x3945208F7B2144B13F36E38AC6D39F95889393692860B51A42FB81EF4DF7C5B8
    point = bytes.fromhex(
        "09F9DF311E5421A150DD7D161E4BC5C672179FAD1833FC076BB08FF356F35020"
        "CCEA490CE26775A52DC6EA718CC1AA600AED05FBF35E084A6632F6072DA9AD13"
    )
    digest = bytes.fromhex("F0B43E94BA45ACCAACE692ED534382EB17E6AB5A19CE7B31F4486FDFC0D28640")
    known = bytes.fromhex(
        "3046022100F5A03B0648D2C4630EEAC513E1BB81A15944DA3827D5B74143AC7EACEEE720B3"
        "022100B1B6AA29DF212FD8763182BC0D421CA1BB9038FD1F7F42D4840B69C485BBC1AA"
    )
    private, public = engine.private(number), engine.public(point)
    other = bytes((digest[0] ^ 1,)) + digest[1:]
    if not (
        private.point in {b"", point}
        and public.verify_digest(known, digest)
        and not public.verify_digest(known, other)
        and public.verify_digest(private.sign_digest(digest), digest)
        and private.decrypt(public.encrypt(digest)) == digest
    ):
        raise ConfigurationError("sm2.engine_failed", backend=engine.name.value)
