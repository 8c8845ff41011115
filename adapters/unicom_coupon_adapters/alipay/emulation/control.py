"""What the control API asks for: vouchers in users' wallets, paid orders, a voucher's view (sandbox contract).

An issued voucher is single-use, of an activity of its own batch, and reaches its user as any other does, so the
``received`` message follows.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from unicom_coupon_adapters.alipay.emulation import goods
from unicom_coupon_adapters.alipay.emulation.activities import add_activity
from unicom_coupon_adapters.alipay.emulation.activity_rules import checked
from unicom_coupon_adapters.alipay.emulation.fields import NUMBER, Fields
from unicom_coupon_adapters.alipay.emulation.moments import moment_of, moment_text, yuan
from unicom_coupon_adapters.alipay.emulation.platform_keys import SELLER_ID
from unicom_coupon_adapters.alipay.emulation.refusals import Refusal
from unicom_coupon_adapters.alipay.emulation.sending import NotGiven, give
from unicom_coupon_adapters.alipay.emulation.trades import add_trade, settle
from unicom_coupon_adapters.alipay.emulation.vouchers import Voucher, expire_if_due, record, vouchers_of_code
from unicom_coupon_adapters.alipay.emulation.world import Person, World, person_of

MOST_AT_ONCE: Final = 10_000
LARGEST_FACE_FEN: Final = 300_000
_LETTERS: Final = "0123456789ABCDEFGHJKLMNPQRSTUVWXYZ"


def issue(world: World, wish: Mapping[str, Any]) -> list[dict[str, Any]]:
    """``count`` vouchers of ``face_fen`` (10 to 300 000), each with its code, numbers, holder and dates.

    Codes are single-use. ``owner_id`` gives the activity to another merchant, for tests of permission.
    """
    count = whole(wish, "count", least=1, most=MOST_AT_ONCE, default=1)
    face = whole(wish, "face_fen", least=10, most=LARGEST_FACE_FEN)
    minimum = whole(wish, "min_spend_fen", least=0, most=5_000_000, default=0)
    days = whole(wish, "valid_days", least=1, most=3650, default=30)
    owner = wish.get("owner_id", SELLER_ID)
    if not (isinstance(owner, str) and owner.isdigit() and len(owner) == 16):
        raise ValueError("owner_id must be 16 digits")
    person = holder_of(world, wish)
    body = _body(world, face=face, minimum=minimum, days=days, count=count)
    try:
        told = checked(Fields(body))
    except Refusal as refused:
        raise ValueError(refused.sub_msg) from None
    activity = add_activity(world, body, told, owner=owner, status="ACTIVE", audit="APPROVE")
    made = []
    for _ in range(count):
        number = f"CONTROL{world.number('issue')}"
        try:
            voucher = give(world, activity, person=person, number=number, code=_code(world))
        except NotGiven as told_:
            raise ValueError(told_.code) from None
        activity = activity | {"sent": activity["sent"] + 1}
        made.append(_known(voucher, face=face))
    return made


def order(world: World, wish: Mapping[str, Any]) -> dict[str, Any]:
    """A paid trade of ``amount_fen``; with ``code``, the voucher is tied to it and taken off what the user pays.

    The voucher is not used by that: the merchant redeems it, naming ``trade_no``. ``paid`` false leaves the trade
    waiting; ``notify_url`` names where its news goes. Its money is frozen to be shared, unless ``royalty_freeze`` is
    false.
    """
    amount = whole(wish, "amount_fen", least=1, most=10**10)
    voucher = _tied(world, wish)
    person = voucher.person if voucher is not None and "holder" not in wish else holder_of(world, wish)
    if voucher is not None and voucher.person.user_id != person.user_id:
        raise ValueError("the voucher belongs to another holder")
    number = str(wish.get("out_trade_no") or f"SB{world.day()}{world.number('order', digits=10)}")
    if Fields({"n": number}).text("n", pattern=NUMBER) is None or world.store.get("trade", number) is not None:
        raise ValueError("out_trade_no is not valid or taken")
    vouchers = []
    if voucher is not None:
        activity = world.store.get("activity", voucher.told["activity_id"]) or {}
        off = min(activity.get("off_fen") or 0, amount)
        vouchers = [{"voucher_id": voucher.told["voucher_id"], "name": voucher.told["voucher_name"], "amount": off}]
    trade = add_trade(
        world,
        number=number,
        total=amount,
        subject=str(wish.get("subject", "联通营业厅"))[:256],
        person=person,
        notify_url=str(wish["notify_url"]) if wish.get("notify_url") else None,
        vouchers=vouchers,
        is_frozen=wish.get("royalty_freeze", True) is True,
    )
    if wish.get("paid", True) is True:
        trade = settle(world, trade)
    if voucher is not None:
        record(world, voucher, event="associate", number=number, trade_no=trade["trade_no"])
    told = {
        "trade_no": trade["trade_no"],
        "out_trade_no": number,
        "trade_status": trade["status"],
        "total_amount": yuan(amount),
        "buyer_user_id": person.user_id,
        "buyer_open_id": person.open_id,
        "user_id": person.user_id,
        "amount_fen": amount,
    }
    tie = {"code": voucher.code, "activity_id": voucher.told["activity_id"]} if voucher is not None else {}
    return told | tie


def view(world: World, code: str) -> dict[str, Any] | None:
    """The newest voucher with that code, else the certificate, else the uploaded code: its state and its history."""
    found = vouchers_of_code(world, code)
    if found:
        expire_if_due(world, found[-1].key)
        voucher = vouchers_of_code(world, code)[-1]
        told = {"code": code, "state": voucher.state, "history": voucher.told["history"]}
        return told | {name: voucher.told[name] for name in ("activity_id", "voucher_id", "user_id")}
    certificate = goods.of_code(world, code)
    if certificate is not None:
        told = {"code": code, "state": goods.status_of(world, certificate), "history": certificate["history"]}
        return told | {name: certificate[name] for name in ("certificate_id", "order_id", "user_id")}
    pooled = world.store.get("pooled", code)
    if pooled is None:
        return None
    at = moment_of(pooled["at"]).isoformat()
    return {"code": code, "state": "UPLOADED", "history": [{"at": at, "event": "upload"}]}


def holder_of(world: World, wish: Mapping[str, Any]) -> Person:
    """The wish's ``holder``: a user id, or any other name as an open id; drawn when none is named."""
    holder = wish.get("holder")
    if holder is None:
        return person_of(world, "2088" + world.digits(12))
    if not isinstance(holder, str) or not 1 <= len(holder) <= 128 or not holder.isprintable():
        raise ValueError("holder must be a user id or open id of 1 to 128 characters")
    return person_of(world, holder)


def whole(wish: Mapping[str, Any], name: str, *, least: int, most: int, default: int | None = None) -> int:
    """A whole number of a wish. Raises ``ValueError`` that names it."""
    value = wish.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise ValueError(f"{name} must be a whole number from {least} to {most}")
    return value


def _body(world: World, *, face: int, minimum: int, days: int, count: int) -> dict[str, Any]:
    now = world.now()
    end = now + timedelta(days=days)
    publish_end = min(now + timedelta(days=min(days, 170)), end - timedelta(seconds=1))
    floor = {"floor_amount": yuan(minimum)} if minimum >= 10 else {}
    return {
        "merchant_access_mode": "SELF_MODE",
        "activity_base_info": {"activity_name": "联通电子券", "code_mode": "MERCHANT_API"},
        "voucher_deduct_info": {
            "voucher_type": "FIX_VOUCHER",
            "fix_voucher_info": {"amount": yuan(face), **floor},
        },
        "voucher_send_mode_info": {
            "voucher_send_mode": "DIRECT_SEND_MODE",
            "voucher_send_rule_info": {
                "publish_start_time": moment_text(now - timedelta(minutes=1)),
                "publish_end_time": moment_text(publish_end),
                "quantity": count,
            },
        },
        "voucher_use_rule_info": {
            "voucher_max_use_times": 1,
            "voucher_use_time_info": {
                "period_type": "ABSOLUTE",
                "absolute_period_info": {
                    "valid_begin_time": moment_text(now - timedelta(minutes=1)),
                    "valid_end_time": moment_text(end),
                },
            },
        },
        "voucher_display_pattern_info": {"voucher_name": "联通电子券", "brand_name": "中国联通"},
        "voucher_customer_guide_info": {"voucher_use_guide_info": {"use_guide_mode": ["OFFLINE_CODE"]}},
    }


def _code(world: World) -> str:
    return "AL" + "".join(_LETTERS[byte % len(_LETTERS)] for byte in world.frame.random_bytes(18))


def _known(voucher: Voucher, *, face: int) -> dict[str, Any]:
    told = {name: voucher.told[name] for name in ("activity_id", "voucher_id", "user_id", "open_id")}
    dates = {"valid_from": voucher.valid_begin.isoformat(), "valid_until": voucher.valid_end.isoformat()}
    return {"code": voucher.code, **told, "face_fen": face, **dates}


def _tied(world: World, wish: Mapping[str, Any]) -> Voucher | None:
    code = wish.get("code")
    if code is None:
        return None
    found = vouchers_of_code(world, str(code))
    if not found:
        raise ValueError("there is no voucher with that code")
    if found[-1].state != "SENDED" or found[-1].told["trade_no"]:
        raise ValueError("the voucher is not free")
    return found[-1]
