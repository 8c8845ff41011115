"""Trades: paid at the till, made to be scanned, read and closed (sheet §2.11).

Payment codes are those that ``deliver`` gives to a user: one use, two minutes. A voucher that is tied to a trade shows
up in ``voucher_detail_list`` as the merchant's own discount; the sum that the user pays is less by it. Query options
decide which details an answer has. Money paid with ``royalty_freeze`` stays frozen until it is shared (§3.2). The
console's ``fee_bp`` is what Alipay charges of the merchant's receipts, none unless it is set: real rates are contract
data (§3.3).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from unicom_coupon_adapters.alipay.emulation import account, shares
from unicom_coupon_adapters.alipay.emulation.answers import json_text
from unicom_coupon_adapters.alipay.emulation.callbacks import notify_trade
from unicom_coupon_adapters.alipay.emulation.fields import NUMBER, Fields
from unicom_coupon_adapters.alipay.emulation.moments import moment_of, moment_text, yuan
from unicom_coupon_adapters.alipay.emulation.platform_keys import SELLER_ID
from unicom_coupon_adapters.alipay.emulation.refusals import Refusal
from unicom_coupon_adapters.alipay.emulation.world import Call, Person, Reply, Route, World, person_of
from unicom_coupon_sdk.domain.bill import RowKind
from unicom_coupon_sdk.domain.money import portion

PREFIX: Final = "ACQ."
LARGEST_FEN: Final = 10_000_000_000
_PAYMENT_CODE: Final = re.compile(r"(?:2[5-9]|30)[0-9]{14,22}")
_FACE: Final = re.compile(r"fp[0-9A-Za-z]{33}")
_EXPRESS: Final = re.compile(r"([0-9]{1,5})([mhd])")
_ASKED: Final = ("fund_bill_list", "voucher_detail_list", "discount_amount", "mdiscount_amount")


def pay(call: Call) -> Reply:
    """Take the money of a shown payment code at once; a user over their limit is asked for the password (10003)."""
    fields = call.fields(prefix=PREFIX)
    number, total, subject = _order(fields)
    fields.choice("scene", "bar_code", "security_code", default="bar_code")
    code = fields.needed("auth_code", longest=64)
    known = call.store.get("trade", number)
    if known is not None:
        return _paid_again(known, total=total, subject=subject)
    if not (_PAYMENT_CODE.fullmatch(code) or _FACE.fullmatch(code)):
        raise Refusal("ACQ.PAYMENT_AUTH_CODE_INVALID", "支付失败，获取顾客账户信息失败，请顾客刷新付款码后重新收款")
    minted = call.store.get("payment-code", code)
    if minted is None or minted["used"] or call.world.now() > moment_of(minted["until"]):
        raise Refusal("ACQ.PAYMENT_AUTH_CODE_INVALID", "支付失败，获取顾客账户信息失败，请顾客刷新付款码后重新收款")
    if minted["balance_fen"] < total:
        raise Refusal("ACQ.BUYER_BALANCE_NOT_ENOUGH", "买家余额不足")
    call.store.put("payment-code", code, minted | {"used": True})
    person = Person(minted["user_id"], minted["open_id"])
    trade = add_trade(
        call.world,
        number=number,
        total=total,
        subject=subject,
        person=person,
        notify_url=call.notify_url,
        is_at_till=True,
        **_more(fields),
    )
    if minted["needs_password"]:
        return {"code": "10003", **_names(trade)}
    trade = settle(call.world, trade)
    return _paid(trade, _options(fields))


def precreate(call: Call) -> Reply:
    """A QR code that a user scans to pay; the trade comes into being by the scan."""
    fields = call.fields(prefix=PREFIX)
    number, total, subject = _order(fields)
    known = call.store.get("trade", number)
    if known is not None and known["status"] != "WAIT_BUYER_PAY":
        raise Refusal("ACQ.TRADE_HAS_SUCCESS" if known["status"] != "TRADE_CLOSED" else "ACQ.TRADE_HAS_CLOSE")
    qr_code = f"https://qr.alipay.com/bax{call.world.hexadecimal(20)}"
    kept = {"number": number, "total": total, "subject": subject, "notify_url": call.notify_url, **_more(fields)}
    kept |= {"is_at_till": True}
    call.store.put("qr-code", qr_code, kept)
    return {"out_trade_no": number, "qr_code": qr_code}


def create(call: Call) -> Reply:
    """A trade that its buyer then pays in the mini-program."""
    fields = call.fields(prefix=PREFIX)
    number, total, subject = _order(fields)
    buyer = fields.text("buyer_id") or fields.text("buyer_open_id")
    if buyer is None:
        raise fields.refusal("buyer_id", "不能为空")
    known = call.store.get("trade", number)
    if known is not None and (known["total"], known["subject"]) != (total, subject):
        raise Refusal("ACQ.CONTEXT_INCONSISTENT", "交易信息被篡改")
    trade = known or add_trade(
        call.world,
        number=number,
        total=total,
        subject=subject,
        person=person_of(call.world, buyer),
        notify_url=call.notify_url,
        **_more(fields),
    )
    return {"out_trade_no": number, "trade_no": trade["trade_no"]}


def query(call: Call) -> Reply:
    """How a trade stands; Alipay's number wins where both are given."""
    fields = call.fields(prefix=PREFIX)
    trade = trade_of(call, fields)
    told: dict[str, Any] = {
        **_names(trade),
        "trade_status": trade["status"],
        "total_amount": yuan(trade["total"]),
        "subject": trade["subject"],
    }
    if trade["paid_at"]:
        told |= {**_sums(trade), "send_pay_date": trade["paid_at"], **_details(trade, _options(fields))}
    if "trade_settle_info" in _options(fields):
        told["trade_settle_info"] = shares.details(call.world, trade)
    return told


def close(call: Call) -> Reply:
    """Close a trade that waits for its buyer."""
    trade = trade_of(call, call.fields(prefix=PREFIX))
    if trade["status"] not in {"WAIT_BUYER_PAY", "TRADE_CLOSED"} or trade["paid_at"]:
        raise Refusal("ACQ.REASON_TRADE_STATUS_INVALID", "交易状态异常")
    if trade["status"] != "TRADE_CLOSED":
        call.store.put("trade", trade["out_trade_no"], trade | {"status": "TRADE_CLOSED"})
    return {"trade_no": trade["trade_no"], "out_trade_no": trade["out_trade_no"]}


def add_trade(
    world: World,
    *,
    number: str,
    total: int,
    subject: str,
    person: Person,
    notify_url: str | None = None,
    vouchers: list[dict[str, Any]] | None = None,
    timeout_s: int = 3 * 3600,
    **more: Any,
) -> dict[str, Any]:
    """A trade that waits for its buyer; ``timeout_s`` later it closes by itself. ``vouchers`` take off their part."""
    off = sum(one["amount"] for one in vouchers or [])
    trade = {
        "trade_no": f"{world.day()}22001{world.digits(5)}{world.number('trade', digits=10)}",
        "out_trade_no": number,
        "status": "WAIT_BUYER_PAY",
        "total": total,
        "payer": total - off,
        "vouchers": vouchers or [],
        "subject": subject,
        **person.names,
        "created_at": world.now_text(),
        "until": moment_text(world.now() + timedelta(seconds=timeout_s)),
        "paid_at": None,
        "refunded": 0,
        "fee": 0,
        "notify_url": notify_url,
        **more,
    }
    world.store.put("trade", number, trade)
    world.store.put("trade-no", trade["trade_no"], {"out_trade_no": number})
    return trade


def settle(world: World, trade: Mapping[str, Any]) -> dict[str, Any]:
    """The buyer has paid: TRADE_SUCCESS, in the day's books, and the merchant is told."""
    fee = portion(trade["payer"], (world.store.get("console", "settings") or {}).get("fee_bp", 0))
    paid = {**trade, "status": "TRADE_SUCCESS", "paid_at": world.now_text(), "fee": fee}
    world.store.put("trade", trade["out_trade_no"], paid)
    named = {"number": trade["out_trade_no"], "platform_no": trade["trade_no"], "subject": trade["subject"]}
    account.move(world, trade["payer"], business="在线支付", other=f"***({trade['user_id'][-4:]})", **named)
    if fee:
        account.move(world, -fee, business="服务费", kind=RowKind.FEE, **named)
    if trade.get("is_frozen"):
        account.freeze(world, trade["payer"])
    world.store.put(f"book|{world.day()}", trade["out_trade_no"], {"kind": "trade"})
    tell(world, paid)
    return paid


def tell(world: World, trade: Mapping[str, Any], **more: str) -> None:
    """Notify the merchant of the trade as it stands."""
    fields = {
        "trade_no": trade["trade_no"],
        "out_trade_no": trade["out_trade_no"],
        "trade_status": trade["status"],
        "subject": trade["subject"],
        "body": trade.get("body") or "",
        "buyer_id": trade["user_id"],
        "buyer_open_id": trade["open_id"],
        "seller_id": SELLER_ID,
        "total_amount": yuan(trade["total"]),
        "receipt_amount": yuan(trade["payer"]),
        "invoice_amount": yuan(trade["payer"]),
        "buyer_pay_amount": yuan(trade["payer"]),
        "point_amount": "0.00",
        "gmt_create": trade["created_at"],
        "gmt_payment": trade["paid_at"] or "",
        "fund_bill_list": json_list(
            [{"amount": yuan(trade["payer"]), "fundChannel": "ALIPAYACCOUNT"}] if trade["paid_at"] else []
        ),
        "voucher_detail_list": json_list([_camel(one) for one in _vouchers(trade)]),
        "passback_params": trade.get("passback_params") or "",
        **more,
    }
    notify_trade(world, fields, url=trade["notify_url"])


def trade_of(call: Call, fields: Fields) -> dict[str, Any]:
    """The trade that the content names, as of now. Raises ``ACQ.TRADE_NOT_EXIST``."""
    trade_no, number = fields.text("trade_no", longest=64), fields.text("out_trade_no", longest=64)
    if trade_no is None and number is None:
        raise fields.refusal("out_trade_no", "与trade_no不能同时为空")
    if trade_no is not None:
        number = (call.store.get("trade-no", trade_no) or {}).get("out_trade_no")
    trade = call.store.get("trade", number) if number else None
    if trade is None:
        raise Refusal("ACQ.TRADE_NOT_EXIST")
    if trade["status"] == "WAIT_BUYER_PAY" and call.world.now() > moment_of(trade["until"]):
        trade |= {"status": "TRADE_CLOSED"}
        call.store.put("trade", trade["out_trade_no"], trade)
    return trade


def json_list(rows: list[dict[str, Any]]) -> str:
    """A list as a notify field has it; empty (and so not sent) when there is nothing in it."""
    return "[" + ",".join(json_text(row) for row in rows) + "]" if rows else ""


def _order(fields: Fields) -> tuple[str, int, str]:
    number = fields.needed("out_trade_no", longest=64, pattern=NUMBER)
    total = fields.money("total_amount", least=1, most=LARGEST_FEN)
    subject = fields.needed("subject", longest=256)
    if re.search(r"[/=&]", subject):
        raise fields.refusal("subject", "含有特殊字符")
    return number, total, subject


def _more(fields: Fields) -> dict[str, Any]:
    told: dict[str, Any] = {name: fields.text(name, longest=512) for name in ("body", "passback_params", "store_id")}
    express = fields.text("timeout_express", longest=6)
    if express is not None:
        found = _EXPRESS.fullmatch(express)
        if found is None and express != "1c":
            raise fields.refusal("timeout_express", "格式错误")
        told["timeout_s"] = int(found[1]) * {"m": 60, "h": 3600, "d": 86_400}[found[2]] if found else 86_400
    extend = fields.maybe("extend_params")
    if extend is not None:
        told["is_frozen"] = extend.flag("royalty_freeze")
    return told


def _paid_again(known: dict[str, Any], *, total: int, subject: str) -> Reply:
    if (known["total"], known["subject"]) != (total, subject):
        raise Refusal("ACQ.CONTEXT_INCONSISTENT", "交易信息被篡改")
    if known["status"] == "TRADE_CLOSED":
        raise Refusal("ACQ.TRADE_HAS_CLOSE", "交易已经关闭")
    if known["paid_at"]:
        raise Refusal("ACQ.TRADE_HAS_SUCCESS", "交易已被支付")
    return {"code": "10003", **_names(known)}


def _paid(trade: Mapping[str, Any], options: list[str]) -> Reply:
    return {
        **_names(trade),
        "total_amount": yuan(trade["total"]),
        **_sums(trade),
        "gmt_payment": trade["paid_at"],
        **_details(trade, options),
    }


def _names(trade: Mapping[str, Any]) -> dict[str, str]:
    return {
        "trade_no": trade["trade_no"],
        "out_trade_no": trade["out_trade_no"],
        "buyer_logon_id": f"{trade['user_id'][-3:]}******{trade['user_id'][-2:]}",
        "buyer_user_id": trade["user_id"],
        "buyer_open_id": trade["open_id"],
    }


def _sums(trade: Mapping[str, Any]) -> dict[str, str]:
    paid = yuan(trade["payer"])
    return {"receipt_amount": paid, "buyer_pay_amount": paid, "point_amount": "0.00", "invoice_amount": paid}


def _options(fields: Fields) -> list[str]:
    return fields.texts("query_options", least=0) if fields.has("query_options") else []


def _details(trade: Mapping[str, Any], options: list[str]) -> dict[str, Any]:
    """The details that were asked for; the list of funds always."""
    off = trade["total"] - trade["payer"]
    told: dict[str, Any] = {
        "fund_bill_list": [{"fund_channel": "ALIPAYACCOUNT", "amount": yuan(trade["payer"])}],
        "voucher_detail_list": _vouchers(trade),
        "discount_amount": "0.00",
        "mdiscount_amount": yuan(off),
    }
    return {name: told[name] for name in _ASKED if told[name] and (name in options or name == "fund_bill_list")}


def _vouchers(trade: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        {
            "id": one["voucher_id"],
            "name": one["name"],
            "type": "ALIPAY_BIZ_VOUCHER",
            "amount": yuan(one["amount"]),
            "merchant_contribute": yuan(one["amount"]),
            "other_contribute": "0.00",
        }
        for one in trade["vouchers"]
    ]


def _camel(voucher: Mapping[str, Any]) -> dict[str, Any]:
    names = {
        "amount": "amount",
        "merchant_contribute": "merchantContribute",
        "name": "name",
        "other_contribute": "otherContribute",
        "type": "type",
        "id": "voucherId",
    }
    return {spelled: voucher[name] for name, spelled in names.items()}


ROUTES: Final = (
    Route("alipay.trade.pay", pay),
    Route("alipay.trade.precreate", precreate),
    Route("alipay.trade.create", create),
    Route("alipay.trade.query", query),
    Route("alipay.trade.close", close),
)
