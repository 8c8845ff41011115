"""Redeeming a voucher, taking that back, withdrawing it, and tying it to a trade (sheet §2.5, §2.6).

Alipay is told of a redemption and judges little: not thresholds, not amounts; but whether the voucher is there, valid,
and has uses left. A use after the voucher's last second is refused whatever ``biz_dt`` says. Refusals are BIZ_ERROR
where the sheet has no sharper code (sandbox choice). More uses than were made cannot be refunded (unconfirmed).
"""

from __future__ import annotations

from typing import Any, Final

from unicom_coupon_adapters.alipay.emulation import acts
from unicom_coupon_adapters.alipay.emulation.activities import owned, settled
from unicom_coupon_adapters.alipay.emulation.fields import CODE
from unicom_coupon_adapters.alipay.emulation.platform_keys import SELLER_ID
from unicom_coupon_adapters.alipay.emulation.refusals import Refusal, not_now
from unicom_coupon_adapters.alipay.emulation.repeats import once
from unicom_coupon_adapters.alipay.emulation.vouchers import Voucher, find, record
from unicom_coupon_adapters.alipay.emulation.world import Call, Reply, Route

_FAMILY: Final = "alipay.marketing.activity.ordervoucher"
_CHANNELS: Final = ("ZHIFUBAO_TRADE_CHANNEL", "WX_TRADE_CHANNEL", "OTHER_TRADE_CHANNEL")
_LARGEST_FEN: Final = 10_000_000_000


def use(call: Call) -> Reply:
    """Redeem: the voucher is USED when no use is left."""

    def act(number: str) -> Reply:
        fields, activity = call.fields(), owned(call)
        _check_common(call)
        if fields.choice("trade_channel", *_CHANNELS) == "ZHIFUBAO_TRADE_CHANNEL":
            fields.needed("trade_no", longest=64)
        shop = fields.text("store_id") or fields.text("real_shop_id")
        if shop is not None and activity["shops"] and shop not in activity["shops"]:
            raise fields.refusal("store_id", "不在活动可用门店范围内")
        voucher = _voucher(call, activity)
        detail = fields.maybe("voucher_use_detail_info")
        times = detail.whole("voucher_use_times", least=1, default=1) if detail else 1
        now = call.world.now()
        if voucher.state != "SENDED":
            raise not_now("券已使用" if voucher.state == "USED" else "券已失效")
        if now < voucher.valid_begin:
            raise not_now("券未到可用时间")
        if times > voucher.left:
            raise not_now("券剩余可用次数不足")
        used = voucher.told["used_times"] + times
        status = "USED" if used >= voucher.told["max_times"] else "SENDED"
        total = fields.money("total_fee", least=1, most=_LARGEST_FEN)
        off = acts.worth(activity, total, detail=detail, name="voucher_use_amount")
        changed = record(call.world, voucher, event="use", number=number, status=status, used_times=used, off=off)
        act = acts.Act(acts.USED, number, fen=off, total=total, request=call.content)
        acts.note(call.world, activity, changed.told, act)
        call.store.put("activity", activity["activity_id"], activity | {"used": activity["used"] + times})
        return _left(changed)

    return once(call, act=act)


def refund(call: Call) -> Reply:
    """Take uses back. It succeeds for a voucher that has expired meanwhile, too, which then stays unusable."""

    def act(number: str) -> Reply:
        fields, activity = call.fields(), owned(call)
        _check_common(call)
        voucher = _voucher(call, activity)
        detail = fields.maybe("voucher_refund_detail_info")
        times = detail.whole("voucher_refund_use_times", least=1, default=1) if detail else 1
        if times > voucher.told["used_times"]:
            raise not_now("券未使用或退回次数超限")
        status = "EXPIRED" if voucher.told.get("deleted") else "SENDED"
        changed = record(
            call.world,
            voucher,
            event="return",
            number=number,
            status=status,
            used_times=voucher.told["used_times"] - times,
        )
        total = fields.money("total_fee", least=1, most=_LARGEST_FEN)
        act = acts.Act(acts.BACK, number, fen=-voucher.told["off"], total=-total)
        acts.note(call.world, activity, changed.told, act)
        call.store.put("activity", activity["activity_id"], activity | {"used": activity["used"] - times})
        return _left(changed)

    return once(call, act=act)


def invalidate(call: Call) -> Reply:
    """Withdraw a voucher that was not used."""

    def act(number: str) -> Reply:
        activity = owned(call)
        call.fields().moment("biz_dt")
        call.fields().choice("merchant_access_mode", "SELF_MODE", "AGENCY_MODE")
        voucher = _voucher(call, activity)
        if voucher.state != "SENDED" or voucher.told["used_times"]:
            raise not_now("券已使用或已失效")
        record(call.world, voucher, event="invalid", number=number, status="EXPIRED", void=True)
        return {}

    return once(call, act=act)


def associate(call: Call) -> Reply:
    """Tie a voucher to a trade of the merchant."""

    def act(number: str) -> Reply:
        voucher, trade_no = _tied(call)
        held = voucher.told["trade_no"]
        if held not in (None, trade_no):
            raise Refusal("VOUCHER_ASSOCIATE_OTHER_TRADE_NO", "券已关联其他交易")
        record(call.world, voucher, event="associate", number=number, trade_no=trade_no)
        return {"associate_time": call.world.now_text()}

    return once(call, act=act)


def disassociate(call: Call) -> Reply:
    """Untie it again."""

    def act(number: str) -> Reply:
        voucher, trade_no = _tied(call)
        if voucher.told["trade_no"] != trade_no:
            raise Refusal("VOUCHER_ASSOCIATE_TRADE_NO_ERROR", "券未关联该交易")
        record(call.world, voucher, event="disassociate", number=number, trade_no=None)
        return {"disassociate_time": call.world.now_text()}

    return once(call, act=act)


def _check_common(call: Call) -> None:
    fields = call.fields()
    fields.moment("biz_dt")
    fields.money("total_fee", least=1, most=_LARGEST_FEN)
    fields.choice("merchant_access_mode", "SELF_MODE", "AGENCY_MODE")


def _voucher(call: Call, activity: dict[str, Any]) -> Voucher:
    code = call.fields().needed("voucher_code", longest=64, pattern=CODE)
    voucher = find(call.world, activity["activity_id"], code)
    if voucher is None:
        raise not_now("券不存在")
    return voucher


def _tied(call: Call) -> tuple[Voucher, str]:
    fields = call.fields()
    activity = settled(call.world, fields.needed("activity_id"))
    if activity is None:
        raise Refusal("ACTIVITY_NOT_EXIST")
    if activity["owner"] != SELLER_ID:
        raise Refusal("ACTIVITY_NOT_PERMISSION")
    voucher = find(call.world, activity["activity_id"], fields.needed("voucher_code", longest=64))
    if voucher is None:
        raise Refusal("VOUCHER_NOT_EXIST")
    return voucher, fields.needed("trade_no", longest=64)


def _left(voucher: Voucher) -> Reply:
    return {
        "activity_id": voucher.told["activity_id"],
        "voucher_use_detail_result_info": {"voucher_max_un_use_times": voucher.left},
    }


ROUTES: Final = (
    Route(f"{_FAMILY}.use", use),
    Route(f"{_FAMILY}.refund", refund),
    Route(f"{_FAMILY}.invalid", invalidate),
    Route(f"{_FAMILY}.associate", associate),
    Route(f"{_FAMILY}.disassociate", disassociate),
)
