"""Who may get a part of a trade's money: relations bound, unbound and listed (sheet §3.2).

Binding a receiver again changes nothing. A receiver named by login needs a name beside it; ``deliver`` kind ``payee``
says what is wrong with an account, and then it cannot be bound.
"""

from __future__ import annotations

from typing import Any, Final

from unicom_coupon_adapters.alipay.emulation.fields import NUMBER, Fields
from unicom_coupon_adapters.alipay.emulation.refusals import Refusal
from unicom_coupon_adapters.alipay.emulation.world import Call, Reply, Route

MOST: Final = 20_000
TYPES: Final = ("userId", "loginName", "openId")
_AT_ONCE: Final = 20
_KIND: Final = "relation"


def bind(call: Call) -> Reply:
    """Make receivers known."""
    receivers = _receivers(call)
    for receiver in receivers:
        trouble = (call.store.get("payee", receiver["account"]) or {}).get("trouble")
        if trouble == "missing":
            raise Refusal("USER_NOT_EXIST", "用户不存在")
        if trouble is not None:
            raise Refusal("RECEIVER_ACCOUNT_STATUS_ERROR", "收款方账户状态异常")
    new = [one for one in receivers if call.store.get(_KIND, one["account"]) is None]
    if len(call.store.all(_KIND)) + len(new) > MOST:
        raise Refusal("RELATION_QUANTITY_LIMIT", "分账关系数量超限")
    for receiver in receivers:
        call.store.put(_KIND, receiver["account"], receiver)
    return {"result_code": "SUCCESS"}


def unbind(call: Call) -> Reply:
    """Forget receivers."""
    for receiver in _receivers(call):
        call.store.delete(_KIND, receiver["account"])
    return {"result_code": "SUCCESS"}


def batch_query(call: Call) -> Reply:
    """The receivers, page by page."""
    fields = call.fields()
    fields.needed("out_request_no", longest=32, pattern=NUMBER)
    page, size = (
        fields.whole("page_num", least=1, default=1),
        fields.whole("page_size", least=1, most=100, default=20),
    )
    found = [told for _, told in call.store.all(_KIND)]
    return {
        "result_code": "SUCCESS",
        "receiver_list": found[(page - 1) * size : page * size],
        "total_record_num": len(found),
        "total_page_num": -(-len(found) // size),
        "current_page_num": page,
        "current_page_size": size,
    }


def is_bound(call: Call, account: str) -> bool:
    """Whether parts may be sent to ``account``."""
    return call.store.get(_KIND, account) is not None


def _receivers(call: Call) -> list[dict[str, Any]]:
    fields = call.fields()
    fields.needed("out_request_no", longest=32, pattern=r"[0-9A-Za-z_]{1,32}")
    if not fields.has("receiver_list"):
        raise Refusal("RECEIVER_LIST_EMPTY", "分账接收方列表为空")
    rows = fields.rows("receiver_list", most=1000)
    if len(rows) > _AT_ONCE:
        raise Refusal("RECEIVER_LIST_OVERLOAD", "分账接收方超过20个")
    return [_receiver(row) for row in rows]


def _receiver(row: Fields) -> dict[str, Any]:
    kind = row.text("type")
    if kind not in TYPES:
        raise Refusal("INVALID_RECEIVER_TYPE", "分账接收方类型不正确")
    account = row.needed("account", longest=128, pattern=r"2088[0-9]{12}" if kind == "userId" else None)
    told = {"type": kind, "account": account}
    told |= {name: text for name in ("name", "memo") if (text := row.text(name, longest=64)) is not None}
    if kind == "loginName" and "name" not in told:
        raise row.refusal("name", "不能为空")
    return told


ROUTES: Final = (
    Route("alipay.trade.royalty.relation.bind", bind),
    Route("alipay.trade.royalty.relation.unbind", unbind),
    Route("alipay.trade.royalty.relation.batchquery", batch_query),
)
