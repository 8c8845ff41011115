"""OpenSSL 3's libcrypto through ctypes: found, checked and bound.

Python's own ``ssl`` almost always links it, so it is already in the process; the system's copy comes second. ctypes
releases the interpreter lock during each call, so threads sign in parallel. The library that ``cryptography`` brings
is no candidate: it is linked in statically and shows no symbols.

A candidate is taken only if its major version is 3 or more and it knows SM2 (some distributions leave it out). On
macOS the unversioned system library is never opened, because opening it aborts the process.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import functools
import os
import sys
from collections.abc import Iterator
from ctypes import POINTER, c_char_p, c_int, c_long, c_size_t, c_uint, c_void_p
from dataclasses import dataclass
from pathlib import Path
from typing import Any

OVERRIDE = "UNICOM_COUPON_LIBCRYPTO"
"""The environment variable that names one library file, for machines where the search finds the wrong one."""

_LOWEST_MAJOR = 3
_VERSION_STRING = 6
_SIZE = POINTER(c_size_t)
_RUN = [c_void_p, c_char_p, _SIZE, c_char_p, c_size_t]
_FUNCTIONS: dict[str, tuple[Any, list[Any]]] = {
    "OPENSSL_version_major": (c_uint, []),
    "OpenSSL_version": (c_char_p, [c_int]),
    "BIO_new_mem_buf": (c_void_p, [c_char_p, c_int]),
    "BIO_free": (c_int, [c_void_p]),
    "ERR_clear_error": (None, []),
    "EVP_PKEY_free": (None, [c_void_p]),
    "EVP_PKEY_is_a": (c_int, [c_void_p, c_char_p]),
    "EVP_PKEY_get_octet_string_param": (c_int, [c_void_p, c_char_p, c_char_p, c_size_t, _SIZE]),
    "EVP_PKEY_CTX_new_from_name": (c_void_p, [c_void_p, c_char_p, c_char_p]),
    "EVP_PKEY_CTX_new_from_pkey": (c_void_p, [c_void_p, c_void_p, c_char_p]),
    "EVP_PKEY_CTX_free": (None, [c_void_p]),
    "EVP_PKEY_sign_init": (c_int, [c_void_p]),
    "EVP_PKEY_sign": (c_int, _RUN),
    "EVP_PKEY_verify_init": (c_int, [c_void_p]),
    "EVP_PKEY_verify": (c_int, [c_void_p, c_char_p, c_size_t, c_char_p, c_size_t]),
    "EVP_PKEY_encrypt_init": (c_int, [c_void_p]),
    "EVP_PKEY_encrypt": (c_int, _RUN),
    "EVP_PKEY_decrypt_init": (c_int, [c_void_p]),
    "EVP_PKEY_decrypt": (c_int, _RUN),
    "d2i_AutoPrivateKey": (c_void_p, [c_void_p, POINTER(c_void_p), c_long]),
    "d2i_PUBKEY": (c_void_p, [c_void_p, POINTER(c_void_p), c_long]),
    "d2i_PKCS8PrivateKey_bio": (c_void_p, [c_void_p, c_void_p, c_void_p, c_char_p]),
}


@dataclass(frozen=True, slots=True)
class Libcrypto:
    """The library, its functions typed, with its version (``3.0.19``) and where it was found."""

    functions: ctypes.CDLL
    version: str
    origin: str


class LibcryptoMissing(Exception):
    """No candidate would do; the text lists each with the reason, for the doctor."""


@functools.cache
def find() -> Libcrypto:
    """The first candidate that will do, kept for the life of the process. Raises ``LibcryptoMissing``."""
    refused = []
    for origin in candidates():
        try:
            return open_library(origin)
        except LibcryptoMissing as reason:
            refused.append(str(reason))
    raise LibcryptoMissing("; ".join(refused) or "no candidate")


def open_library(path: str) -> Libcrypto:
    """The library at ``path``, checked and bound. Raises ``LibcryptoMissing``."""
    try:
        library = ctypes.CDLL(path)
    except OSError:
        raise LibcryptoMissing(f"{path}: cannot be opened") from None
    try:
        for name, (returns, takes) in _FUNCTIONS.items():
            function = getattr(library, name)
            function.restype, function.argtypes = returns, takes
    except AttributeError:
        raise LibcryptoMissing(f"{path}: is not OpenSSL 3") from None
    if library.OPENSSL_version_major() < _LOWEST_MAJOR:
        raise LibcryptoMissing(f"{path}: is older than OpenSSL 3")
    context = library.EVP_PKEY_CTX_new_from_name(None, b"SM2", None)
    if not context:
        library.ERR_clear_error()
        raise LibcryptoMissing(f"{path}: was built without SM2")
    library.EVP_PKEY_CTX_free(context)
    return Libcrypto(library, library.OpenSSL_version(_VERSION_STRING).decode("ascii", "replace"), path)


def candidates() -> Iterator[str]:
    """Where libcrypto may be, best first; each may be missing."""
    named = os.environ.get(OVERRIDE)
    if named:
        yield named
        return
    yield from dict.fromkeys([*_of_python(), *_of_system()])
    if sys.platform != "darwin":
        found = ctypes.util.find_library("crypto")  # may start processes, so it comes last
        if found:
            yield found


def _of_python() -> Iterator[str]:
    """The library that Python's own extension modules link."""
    for name in ("_ssl", "_hashlib"):
        try:
            origin = getattr(__import__(name), "__file__", None)
        except ImportError:
            continue
        if origin is None:
            continue
        if sys.platform == "win32":  # symbols are not found through a module there; the DLL lies beside it
            yield from (str(path) for path in sorted(Path(origin).parent.glob("libcrypto-*.dll")))
        else:
            yield origin  # dlsym looks in a module's dependencies: exactly the copy ``ssl`` runs on
    roots = dict.fromkeys((sys.prefix, sys.base_prefix, sys.base_exec_prefix))
    for root in map(Path, roots):
        if sys.platform == "win32":
            for folder in (root, root / "DLLs", root / "Library" / "bin"):
                yield from (str(path) for path in sorted(folder.glob("libcrypto-*.dll")))
        else:
            pattern = "libcrypto.*.dylib" if sys.platform == "darwin" else "libcrypto.so.*"
            yield from (str(path) for path in sorted((root / "lib").glob(pattern), reverse=True))


def _of_system() -> Iterator[str]:
    """The names and places that systems use."""
    if sys.platform == "win32":
        yield from ("libcrypto-3-x64.dll", "libcrypto-3-arm64.dll", "libcrypto-3.dll")
        programs = os.environ.get("PROGRAMFILES", r"C:\Program Files")
        yield from (str(path) for path in sorted(Path(programs).glob("OpenSSL*/bin/libcrypto-*.dll")))
    elif sys.platform == "darwin":
        for root in ("/opt/homebrew/opt", "/usr/local/opt"):
            yield from (str(path) for path in sorted(Path(root).glob("openssl@*/lib/libcrypto.*.dylib"), reverse=True))
        yield from (str(path) for path in sorted(Path("/opt/local/lib").glob("libcrypto.*.dylib"), reverse=True))
    else:
        yield from ("libcrypto.so.3", "libcrypto.so.4", "libcrypto.so")
