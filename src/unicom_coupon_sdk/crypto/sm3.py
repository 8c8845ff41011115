"""SM3 (GM/T 0004): digest, HMAC and the key derivation of SM2 encryption. By ``cryptography``; hashlib may lack it."""

from __future__ import annotations

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.hmac import HMAC

DIGEST_BYTES = 32
_SM3 = hashes.SM3()


def digest(data: bytes) -> bytes:
    """The 32-byte SM3 digest of ``data``."""
    running = hashes.Hash(_SM3)
    running.update(data)
    return running.finalize()


def begun(prefix: bytes) -> hashes.Hash:
    """A running digest that has taken ``prefix`` in; ``copy()`` it for each message that follows the prefix."""
    running = hashes.Hash(_SM3)
    running.update(prefix)
    return running


def hmac(key: bytes, data: bytes) -> bytes:
    """HMAC-SM3 (RFC 2104, block 64). Compare two with ``hmac.compare_digest``."""
    running = HMAC(key, _SM3)
    running.update(data)
    return running.finalize()


def derive(shared: bytes, *, length: int) -> bytes:
    """``length`` bytes by the KDF of GM/T 0003: SM3(shared, counter from 1), joined and cut."""
    counters = range(1, -(-length // DIGEST_BYTES) + 1)
    return b"".join(digest(shared + counter.to_bytes(4, "big")) for counter in counters)[:length]
