"""Transfers to accounts and cards: made once a number, asked about, and moved on by the control API (sheet §3.1).

A transfer to an account is SUCCESS at once, unless the console's ``transfer_status`` is DEALING; one to a card is
DEALING at first. ``deliver`` kind ``transfer`` moves it: DEALING to SUCCESS or FAIL, a card's SUCCESS to REFUND. News
goes out with each final state. ``deliver`` kind ``payee`` says what is wrong with a payee.

Choices where the sheet is open: a request in public-key mode is ``isv.missing-app-cert-sn``; a number with other
parameters is PAYMENT_INFO_INCONSISTENCY, and identical ones get the transfer as it stands now; a refused request
leaves no order behind. Red packets are a product that is not signed for.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from unicom_coupon_adapters.alipay.emulation import account
from unicom_coupon_adapters.alipay.emulation.callbacks import send_event
from unicom_coupon_adapters.alipay.emulation.fields import OUT_BIZ_NO, Fields
from unicom_coupon_adapters.alipay.emulation.moments import yuan
from unicom_coupon_adapters.alipay.emulation.refusals import Refusal
from unicom_coupon_adapters.alipay.emulation.repeats import parameters_digest
from unicom_coupon_adapters.alipay.emulation.world import Call, Reply, Route, World
from unicom_coupon_sdk.domain.bill import RowKind

EVENT: Final = "alipay.fund.trans.order.changed"
TO_ACCOUNT, TO_CARD = "TRANS_ACCOUNT_NO_PWD", "TRANS_BANKCARD_NO_PWD"
SCENES: Final = frozenset(
    {"现金营销", "企业退款", "佣金报酬", "业务结算", "二手回收", "公益补助", "行政补贴和退款", "保险理赔"}
)
TROUBLES: Final = {
    "missing": "PAYEE_NOT_EXIST",
    "blocked": "PAYEE_ACCOUNT_STATUS_ERROR",
    "unverified": "PAYEE_NOT_RELNAME_CERTIFY",
    "risk": "RECEIVER_USER_RISK_FREEZE",
}
"""What can be wrong with a payee, and the code for it."""

_ACCOUNTS: Final = ("ALIPAY_USER_ID", "ALIPAY_LOGON_ID", "ALIPAY_OPEN_ID")
_MOVES: Final = {"DEALING": frozenset({"SUCCESS", "FAIL"}), "SUCCESS": frozenset({"REFUND"})}
_LEAST_FEN, _MOST_FEN = 10, 10_000_000_000
_REMARK_FROM_FEN: Final = 5_000_000


def transfer(call: Call) -> Reply:
    """Pay a sum out, once a number."""
    fields, world = call.fields(), call.world
    number = fields.needed("out_biz_no", longest=64, pattern=OUT_BIZ_NO)
    digest = parameters_digest(call.content)
    made = world.store.get("transfer", number)
    if made is not None and made["digest"] != digest:
        raise Refusal("PAYMENT_INFO_INCONSISTENCY", "两次请求商户订单号一致，但参数不一致")
    if made is None:
        made = _made(world, fields, number=number, digest=digest)
    return {**_names(made), "status": made["status"], "trans_date": made["at"], "amount": yuan(made["fen"])}


def query(call: Call) -> Reply:
    """How a transfer stands; Alipay's fund order wins, then its order, then our number."""
    fields = call.fields()
    product = fields.needed("product_code", longest=64)
    fields.needed("biz_scene", longest=64)
    found = None
    for name, kind in (("pay_fund_order_id", "transfer-fund"), ("order_id", "transfer-order")):
        if found is None and (told := fields.text(name, longest=64)) is not None:
            found = call.store.get(kind, told) or {"number": ""}
    number = found["number"] if found is not None else fields.needed("out_biz_no", longest=64)
    made = call.store.get("transfer", number)
    if made is None or made["product_code"] != product:
        raise Refusal("ORDER_NOT_EXIST", "转账订单不存在")
    paid = {"trans_amount": yuan(made["fen"]), "pay_date": made["paid_at"]} if made["status"] == "SUCCESS" else {}
    failed = {"error_code": made["error_code"], "fail_reason": "转账失败"} if made["error_code"] else {}
    return {**_names(made), "status": made["status"], "order_fee": "0.00", **paid, **failed}


def conclude(world: World, number: str, *, status: str, error_code: str | None = None) -> dict[str, Any]:
    """Move a transfer on. Raises ``ValueError`` for a move that there is not."""
    made = world.store.get("transfer", number)
    if made is None:
        raise ValueError("there is no such transfer")
    is_refund = status == "REFUND" and made["product_code"] != TO_CARD
    if status not in _MOVES.get(made["status"], frozenset()) or is_refund:
        raise ValueError(f"a transfer that is {made['status']} cannot become {status}")
    if made["status"] == "DEALING":
        account.freeze(world, -made["fen"])
    made |= {
        "status": status,
        "error_code": error_code or ("" if status == "SUCCESS" else "PAYEE_ACCOUNT_STATUS_ERROR"),
    }
    return _ended(world, made)


def _made(world: World, fields: Fields, *, number: str, digest: str) -> dict[str, Any]:
    product, fen, payee = _checked(world, fields)
    if account.available(world) < fen:
        raise Refusal("PAYER_BALANCE_NOT_ENOUGH", "付款方余额不足")
    console = world.store.get("console", "settings") or {}
    made: dict[str, Any] = {
        "number": number,
        "digest": digest,
        "order_id": f"{world.day()}11007000{world.number('transfer', digits=16)}",
        "fund_id": f"{world.day()}11007001{world.number('transfer-fund', digits=16)}",
        "product_code": product,
        "biz_scene": "DIRECT_TRANSFER",
        "fen": fen,
        "payee": payee,
        "title": fields.text("order_title", longest=128) or "",
        "passback": fields.text("passback_params", longest=512) or "",
        "status": "DEALING" if product == TO_CARD else console.get("transfer_status", "SUCCESS"),
        "error_code": "",
        "at": world.now_text(),
        "paid_at": "",
    }
    world.store.put("transfer", number, made)
    world.store.put("transfer-order", made["order_id"], {"number": number})
    world.store.put("transfer-fund", made["fund_id"], {"number": number})
    if made["status"] == "DEALING":
        account.freeze(world, fen)
        return made
    return _ended(world, made)


def _ended(world: World, made: dict[str, Any]) -> dict[str, Any]:
    """A transfer in a final state: the money moved, the merchant told."""
    if made["status"] in {"SUCCESS", "REFUND"}:
        is_out = made["status"] == "SUCCESS"
        account.move(
            world,
            -made["fen"] if is_out else made["fen"],
            business="转账" if is_out else "转账退回",
            kind=RowKind.PAY_OUT if is_out else RowKind.OTHER,
            number=made["number"],
            platform_no=made["order_id"],
            subject=made["title"],
            other=f"***({made['payee'][-4:]})",
        )
        made |= {"paid_at": world.now_text()} if is_out else {}
    world.store.put("transfer", made["number"], made)
    content = {
        **_names(made),
        "status": made["status"],
        "trans_amount": yuan(made["fen"]),
        "product_code": made["product_code"],
        "biz_scene": made["biz_scene"],
        "pay_date": made["paid_at"],
        "error_code": made["error_code"],
        "passback_params": made["passback"],
    }
    send_event(world, EVENT, {name: value for name, value in content.items() if value})
    return made


def _checked(world: World, fields: Fields) -> tuple[str, int, str]:
    """Product, sum and payee of a transfer that may be made."""
    product = fields.choice("product_code", TO_ACCOUNT, TO_CARD, "STD_RED_PACKET")
    if product == "STD_RED_PACKET":
        raise Refusal("PRODUCT_NOT_SIGN", "产品未签约")
    fields.choice("biz_scene", "DIRECT_TRANSFER")
    fen = fields.money("trans_amount", least=_LEAST_FEN, most=_MOST_FEN)
    fields.text("order_title", longest=128)
    if fields.text("remark", longest=200) is None and fen >= _REMARK_FROM_FEN:
        raise Refusal("MEMO_REQUIRED_IN_TRANSFER_ERROR", "单笔转账金额达到5万元，需填写付款理由")
    _check_scene(world, fields)
    limit = (world.store.get("console", "settings") or {}).get("single_limit_fen", _MOST_FEN)
    if fen > limit:
        raise Refusal("EXCEED_LIMIT_SM_AMOUNT", "单笔额度超限")
    return product, fen, _payee(world, fields.sub("payee_info"), product)


def _payee(world: World, fields: Fields, product: str) -> str:
    kinds = ("BANKCARD_ACCOUNT",) if product == TO_CARD else _ACCOUNTS
    kind = fields.choice("identity_type", *kinds)
    pattern = {"ALIPAY_USER_ID": r"2088[0-9]{12}", "BANKCARD_ACCOUNT": r"[0-9]{12,19}"}.get(kind)
    identity = fields.needed("identity", longest=64, pattern=pattern)
    name = fields.text("name", longest=64)
    if name is None and kind not in {"ALIPAY_USER_ID", "ALIPAY_OPEN_ID"}:
        raise fields.refusal("name", "不能为空")
    known = world.store.get("payee", identity) or {}
    if known.get("trouble"):
        raise Refusal(TROUBLES[known["trouble"]])
    if name is not None and known.get("name") not in (None, name):
        raise Refusal("PAYEE_USERINFO_ERROR", "支付宝账号和姓名不匹配")
    return identity


def _check_scene(world: World, fields: Fields) -> None:
    scene = fields.text("transfer_scene_name", longest=64)
    if scene is None:
        if (world.store.get("console", "settings") or {}).get("needs_scene"):
            raise Refusal("TRANSFER_SCENE_NAME_BLANK", "转账场景不能为空")
        return
    if scene not in SCENES:
        raise Refusal("TRANSFER_SCENE_NAME_ILLEGAL", "转账场景不合法")
    rows = fields.rows("transfer_scene_report_infos", least=0, most=20)
    kinds = [row.needed("info_type", longest=64) for row in rows if row.needed("info_content", longest=512)]
    if not kinds or len(set(kinds)) != len(kinds):
        raise Refusal("TRANSFER_SCENE_REPORT_INFO_ILLEGAL", "转账场景报备信息不合法")


def _names(made: Mapping[str, Any]) -> dict[str, str]:
    return {
        "out_biz_no": made["number"],
        "order_id": made["order_id"],
        "pay_fund_order_id": made["fund_id"],
    }


ROUTES: Final = (
    Route("alipay.fund.trans.uni.transfer", transfer, certified=True),
    Route("alipay.fund.trans.common.query", query, certified=True),
)
