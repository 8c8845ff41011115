"""Request numbers: the same number with the same parameters gives the first answer again (sheet §2.1, §10.9).

Kept by (method, number) with a digest of the content in a canonical form, so that key order and blanks do not make
another request. A refused request leaves no trace: its number may be used again. A number with other parameters is
refused; the sheet leaves the code open for coupons and names one for each money call.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any

from unicom_coupon_adapters.alipay.emulation.fields import OUT_BIZ_NO
from unicom_coupon_adapters.alipay.emulation.refusals import Refusal, invalid
from unicom_coupon_adapters.alipay.emulation.world import Call, Reply, World


def once(call: Call, *, act: Callable[[str], Reply]) -> Reply:
    """The first answer for the content's ``out_biz_no``, or that of ``act``, which is given the number.

    v3 marks the number optional for redeeming (sheet §2.1); the stricter reading is taken everywhere.
    """
    number = call.fields().needed("out_biz_no", longest=64, pattern=OUT_BIZ_NO)
    return numbered(
        call.world,
        call.method,
        number,
        call.content,
        act=lambda: act(number),
        conflict=lambda: invalid("out_biz_no", "已被使用且参数不一致"),
    )


def numbered(
    world: World,
    operation: str,
    number: str,
    parameters: Mapping[str, Any],
    *,
    act: Callable[[], Reply],
    conflict: Callable[[], Refusal],
) -> Reply:
    """The first answer for ``number`` in ``operation``, or that of ``act``, kept. Raises what ``conflict`` makes."""
    digest = parameters_digest(parameters)
    key = f"{operation}|{number}"
    seen = world.store.get("request", key)
    if seen is None:
        answer = act()
        world.store.put("request", key, {"digest": digest, "answer": dict(answer)})
        return answer
    if seen["digest"] != digest:
        raise conflict()
    repeated: dict[str, Any] = seen["answer"]
    return repeated


def parameters_digest(parameters: Mapping[str, Any]) -> str:
    """A digest that is the same for the same values, in whatever order and spelling of JSON they came."""
    canonical = json.dumps(parameters, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest()
