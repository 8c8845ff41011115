"""What only a user's phone or a console could do, for the control API's ``POST /deliveries``.

The wish's ``kind`` is one of ``phone``, ``login``, ``payment_code``, ``pay``, ``claim``, ``purchase``, ``delete``,
``transfer``, ``payee``, ``console``. A wrong wish is a ``ValueError`` for the tester.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, Final

from unicom_coupon_adapters.alipay.emulation import account, goods, people, transfers
from unicom_coupon_adapters.alipay.emulation.activities import settled
from unicom_coupon_adapters.alipay.emulation.control import holder_of, whole
from unicom_coupon_adapters.alipay.emulation.moments import moment_text
from unicom_coupon_adapters.alipay.emulation.sending import NotGiven, give
from unicom_coupon_adapters.alipay.emulation.trades import add_trade, settle
from unicom_coupon_adapters.alipay.emulation.vouchers import record, vouchers_of_code
from unicom_coupon_adapters.alipay.emulation.world import World

_PAYMENT_CODE_LIFE: Final = timedelta(minutes=2)
_PRICE_FEN: Final = 10**10


def deliver(world: World, wish: Mapping[str, Any]) -> dict[str, Any]:
    """Do what ``wish["kind"]`` names. Raises ``ValueError`` for an unknown kind or a missing member."""
    acts: Mapping[str, Callable[[World, Mapping[str, Any]], dict[str, Any]]] = {
        "phone": give_phone,
        "login": log_in,
        "payment_code": show_payment_code,
        "pay": pay,
        "claim": claim,
        "purchase": purchase,
        "delete": delete_voucher,
        "transfer": move_transfer,
        "payee": set_payee,
        "console": set_console,
    }
    kind = str(wish.get("kind", ""))
    act = acts.get(kind)
    if act is None:
        raise ValueError(f"kind must be one of {', '.join(acts)}")
    return {"kind": kind, **act(world, wish)}


def give_phone(world: World, wish: Mapping[str, Any]) -> dict[str, Any]:
    """``my.getPhoneNumber``: the signed, encrypted payload for ``phone``; ``error`` names a failure instead."""
    error = wish.get("error")
    phone = wish.get("phone")
    return people.phone_payload(
        world, phone=None if phone is None else str(phone), error=None if error is None else str(error)
    )


def log_in(world: World, wish: Mapping[str, Any]) -> dict[str, Any]:
    """``my.getAuthCode`` in the merchant's mini-program: a code that the merchant exchanges for the user's names."""
    person = holder_of(world, wish)
    return {"auth_code": people.mint_login_code(world, person), **person.names}


def show_payment_code(world: World, wish: Mapping[str, Any]) -> dict[str, Any]:
    """The user opens the payment code. ``needs_password`` makes the payment wait; ``balance_fen`` bounds it."""
    person = holder_of(world, wish)
    code = "28" + world.digits(16)
    kept = {
        **person.names,
        "until": moment_text(world.now() + _PAYMENT_CODE_LIFE),
        "used": False,
        "needs_password": wish.get("needs_password", False) is True,
        "balance_fen": whole(wish, "balance_fen", least=0, most=10**11, default=10**11),
    }
    world.store.put("payment-code", code, kept)
    return {"auth_code": code, **person.names}


def pay(world: World, wish: Mapping[str, Any]) -> dict[str, Any]:
    """The user pays: scans ``qr_code`` of a precreate, or enters the password for ``out_trade_no``."""
    qr_code = wish.get("qr_code")
    if qr_code is not None:
        made = world.store.get("qr-code", str(qr_code))
        if made is None or world.store.get("trade", made["number"]) is not None:
            raise ValueError("there is no such open QR code")
        trade = add_trade(world, person=holder_of(world, wish), **made)
    else:
        found = world.store.get("trade", _text(wish, "out_trade_no"))
        if found is None or found["status"] != "WAIT_BUYER_PAY":
            raise ValueError("there is no such trade that waits for its buyer")
        trade = found
    paid = settle(world, trade)
    return {name: paid[name] for name in ("trade_no", "out_trade_no", "user_id", "open_id")} | {
        "trade_status": paid["status"]
    }


def claim(world: World, wish: Mapping[str, Any]) -> dict[str, Any]:
    """A user takes a voucher of an activity in Alipay; with MERCHANT_API, ``code`` is what the merchant would give."""
    activity = settled(world, _text(wish, "activity_id"))
    if activity is None:
        raise ValueError("there is no such activity")
    code = wish.get("code")
    try:
        voucher = give(
            world,
            activity,
            person=holder_of(world, wish),
            number=f"CLAIM{world.number('claim')}",
            code=None if code is None else str(code),
        )
    except NotGiven as told:
        return {"result": False, "error_code": told.code}
    names = {name: voucher.told[name] for name in ("activity_id", "voucher_id", "user_id", "open_id")}
    return {"result": True, "code": voucher.code, **names}


def purchase(world: World, wish: Mapping[str, Any]) -> dict[str, Any]:
    """A user buys local-life goods: an order with ``count`` certificates, or one for each of the merchant's ``codes``.

    ``times`` makes each a card of several uses.
    """
    codes = wish.get("codes")
    if codes is not None and not (isinstance(codes, list) and codes and all(isinstance(one, str) for one in codes)):
        raise ValueError("codes must be a list of texts")
    chosen: list[str | None] = list(codes) if codes else [None] * whole(wish, "count", least=1, most=50, default=1)
    if any(code is not None and goods.of_code(world, code) is not None for code in chosen):
        raise ValueError("a code is taken")
    face = whole(wish, "face_fen", least=1, most=_PRICE_FEN)
    return goods.purchase(
        world,
        person=holder_of(world, wish),
        face=face,
        price=whole(wish, "price_fen", least=1, most=_PRICE_FEN, default=face),
        days=whole(wish, "valid_days", least=1, most=3650, default=30),
        times=whole(wish, "times", least=1, most=999, default=1),
        codes=chosen,
    )


def delete_voucher(world: World, wish: Mapping[str, Any]) -> dict[str, Any]:
    """The user deletes a voucher from the wallet; the merchant is not told, and a refund still succeeds (§2.6)."""
    found = vouchers_of_code(world, _text(wish, "code"))
    if not found:
        raise ValueError("there is no voucher with that code")
    status = "EXPIRED" if found[-1].state == "SENDED" else found[-1].told["status"]
    record(world, found[-1], event="delete", number=None, status=status, deleted=True)
    return {"code": found[-1].code}


def move_transfer(world: World, wish: Mapping[str, Any]) -> dict[str, Any]:
    """The transfer ``out_biz_no`` becomes ``status``: SUCCESS, FAIL (with ``error_code``), or REFUND by a bank."""
    code = wish.get("error_code")
    made = transfers.conclude(
        world,
        _text(wish, "out_biz_no"),
        status=_text(wish, "status"),
        error_code=None if code is None else str(code),
    )
    return {"out_biz_no": made["number"], "order_id": made["order_id"], "status": made["status"]}


def set_payee(world: World, wish: Mapping[str, Any]) -> dict[str, Any]:
    """Who ``identity`` (a payee, a receiver) is: ``name`` as registered, and ``trouble``, what is wrong with it."""
    trouble, name = wish.get("trouble"), wish.get("name")
    if trouble is not None and trouble not in transfers.TROUBLES:
        raise ValueError(f"trouble must be one of {', '.join(transfers.TROUBLES)}")
    kept = {"trouble": trouble, "name": None if name is None else str(name)}
    identity = _text(wish, "identity")
    world.store.put("payee", identity, kept)
    return {"identity": identity, **kept}


def set_console(world: World, wish: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of the play.

    ``delay_s`` until activities change and asynchronous shares end, ``reject_next`` for the audit of the next create;
    ``fee_bp`` of receipts, ``royalty_ratio`` in hundredths, ``balance_fen`` of the account; of transfers
    ``transfer_status`` (SUCCESS or DEALING), ``single_limit_fen`` and ``needs_scene``.
    """
    kept = world.store.get("console", "settings") or {}
    if "delay_s" in wish:
        delay_s = wish["delay_s"]
        if isinstance(delay_s, bool) or not isinstance(delay_s, int | float) or not 0 <= delay_s <= 864_000:
            raise ValueError("delay_s must be a number of seconds from 0 to 864000")
        kept["delay_s"] = delay_s
    for name in ("reject_next", "needs_scene"):
        if name in wish:
            kept[name] = wish[name] is True
    for name, most in (("fee_bp", 1000), ("royalty_ratio", 100), ("single_limit_fen", _PRICE_FEN)):
        if name in wish:
            kept[name] = whole(wish, name, least=0, most=most)
    if "transfer_status" in wish:
        if wish["transfer_status"] not in {"SUCCESS", "DEALING"}:
            raise ValueError("transfer_status must be SUCCESS or DEALING")
        kept["transfer_status"] = wish["transfer_status"]
    if "balance_fen" in wish:
        account.set_balance(world, whole(wish, "balance_fen", least=0, most=10**13))
    world.store.put("console", "settings", kept)
    return kept


def _text(wish: Mapping[str, Any], name: str) -> str:
    value = wish.get(name)
    if not isinstance(value, str) or not value:
        raise ValueError(f"{name} is missing")
    return value
