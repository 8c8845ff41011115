"""What happens to vouchers, day by day, for the marketing bill: given out, used, given back (sheet §4).

A use takes off what the activity says of the order's sum, unless the request names the amount itself; giving it back
gives that much back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from unicom_coupon_adapters.alipay.emulation.fields import Fields
from unicom_coupon_adapters.alipay.emulation.world import World
from unicom_coupon_sdk.domain.money import portion

GIVEN, USED, BACK = "发放", "核销", "退回"
_LARGEST_FEN: Final = 10_000_000_000


@dataclass(frozen=True, slots=True)
class Act:
    """One thing that happened, under the merchant's ``number``; sums in fen, negative when they are given back."""

    business: str
    number: str
    fen: int = 0
    total: int = 0
    request: Mapping[str, Any] = field(default_factory=dict, repr=False)


def note(world: World, activity: Mapping[str, Any], voucher: Mapping[str, Any], act: Act) -> None:
    """Write ``act`` down as a line of the day."""
    entry = {
        "business": act.business,
        "number": act.number,
        "activity_id": activity["activity_id"],
        "activity_name": activity["name"],
        "voucher_id": voucher["voucher_id"],
        "store": str(act.request.get("store_id") or act.request.get("real_shop_id") or ""),
        "trade_no": str(act.request.get("trade_no") or voucher["trade_no"] or ""),
        "fen": act.fen,
        "total": act.total,
        "at": world.now().isoformat(),
    }
    world.store.put(f"acts|{world.day()}", f"{world.day()}00074{world.number('act', digits=19)}", entry)


def worth(activity: Mapping[str, Any], total: int, *, detail: Fields | None, name: str) -> int:
    """What a voucher of ``activity`` takes off an order of ``total`` fen; ``name`` is the member that may say it."""
    told = detail.maybe_money(name, least=0, most=_LARGEST_FEN) if detail is not None else None
    if told is not None:
        return min(told, total)
    kind = str(activity["voucher_type"])
    body = Fields(activity["body"])
    holder = body.maybe("voucher_deduct_info")
    rule = holder.sub(f"{kind.lower()}_info") if holder else body.sub("voucher_use_rule").sub(kind.lower())
    if kind == "DISCOUNT_VOUCHER":
        ceiling = rule.maybe_money("ceiling_amount", least=0, most=_LARGEST_FEN)
        off = portion(total, 10_000 - 10 * rule.money("discount", least=10, most=990))
        return off if ceiling is None else min(off, ceiling)
    if kind == "SPECIAL_VOUCHER":
        scope = body.maybe("voucher_available_scope_info")
        goods = scope.maybe("voucher_available_goods_info") if scope else None
        origin = goods.maybe_money("origin_amount", least=0, most=_LARGEST_FEN) if goods else None
        return min(max(0, (origin or 0) - rule.money("special_amount", least=0, most=_LARGEST_FEN)), total)
    return min(rule.money("amount", least=0, most=_LARGEST_FEN), total)
