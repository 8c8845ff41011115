"""The APIv2 signature of front ends: HMAC-SHA256 over sorted names (sheet §2.2)."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping


def signature_v2(values: Mapping[str, str], *, key: str) -> str:
    """Upper-case hex over ``k=v`` joined by ``&`` in ASCII order, empty values left out, then ``&key=``; values raw."""
    pairs = [f"{name}={values[name]}" for name in sorted(values) if values[name] != ""]
    message = "&".join([*pairs, f"key={key}"])
    return hmac.new(key.encode(), message.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest().upper()


def is_signed(values: Mapping[str, str], sign: str, *, key: str) -> bool:
    """Whether ``sign`` is that signature; compared in constant time."""
    return hmac.compare_digest(signature_v2(values, key=key).encode(), sign.encode("utf-8", "surrogatepass"))
