"""Request numbers: the same number with the same parameters gives the first answer again (sheet §2, §10.9).

Kept by (caller, call, number) with a digest of the parameters in a canonical form, so that key order, blanks and
nulls do not make another request. A refused request leaves no trace: its number may be used again. Where the sheet
leaves open how wide a number counts (a send's is *unique per stock and user*), the stricter reading is taken: once
per merchant and call.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any

from unicom_coupon_adapters.wechatpay.emulation.refusals import Refusal, not_now
from unicom_coupon_adapters.wechatpay.emulation.world import Call


def once(
    call: Call,
    operation: str,
    number: str,
    parameters: Mapping[str, Any],
    *,
    act: Callable[[], dict[str, Any] | None],
    conflict: Callable[[], Refusal] | None = None,
) -> dict[str, Any] | None:
    """The first answer for ``number``, or that of ``act``, kept. Raises 400 for other parameters under that number."""
    digest = parameters_digest({**call.arguments, **parameters})
    key = f"{call.caller.name}|{operation}|{number}"
    seen = call.store.get("request", key)
    if seen is None:
        answer = act()
        call.store.put("request", key, {"digest": digest, "answer": answer})
        return answer
    if seen["digest"] != digest:
        raise (
            conflict()
            if conflict
            else not_now("同一请求单号的参数不一致", "The request number was used with other parameters.")
        )
    repeated: dict[str, Any] | None = seen["answer"]
    return repeated


def parameters_digest(parameters: Mapping[str, Any]) -> str:
    """A digest that is the same for the same values, in whatever order and spelling of JSON they came."""
    canonical = json.dumps(parameters, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode("utf-8")).hexdigest()
