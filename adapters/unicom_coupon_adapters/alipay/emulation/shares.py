"""What sharing has left behind on a trade: each part's state, as rows, and what receivers still have (sheet §3.2).

A share is a document of kind ``settle`` under ``trade_no|out_request_no``; the trade lists its numbers in order.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from unicom_coupon_adapters.alipay.emulation import account
from unicom_coupon_adapters.alipay.emulation.moments import yuan
from unicom_coupon_adapters.alipay.emulation.platform_keys import SELLER_ID
from unicom_coupon_adapters.alipay.emulation.world import World
from unicom_coupon_sdk.domain.bill import RowKind


def details(world: World, trade: Mapping[str, Any]) -> dict[str, Any]:
    """``trade_settle_info`` of a trade: every movement that sharing has caused on it."""
    found = []
    for number in trade.get("settles", []):
        made = world.store.get("settle", f"{trade['trade_no']}|{number}") or {"lines": []}
        for line in made["lines"]:
            found += [row for row in rows(made, line) if row["state"] == "SUCCESS"]
    names = ("operation_type", "execute_dt", "amount", "trans_in", "trans_out")
    told = [{name: row[name] for name in names} | {"operation_serial_no": row["detail_id"]} for row in found]
    return {"trade_settle_detail_list": told} if told else {}


def give_back(world: World, trade: Mapping[str, Any], receiver: str, fen: int, *, number: str) -> None:
    """Fetch ``fen`` back from ``receiver``, which has them: the caller has seen that in ``received``."""
    for one in trade.get("settles", []):
        key = f"{trade['trade_no']}|{one}"
        made = world.store.get("settle", key) or {"lines": []}
        for line in made["lines"]:
            taken = min(fen, line["fen"] - line["back"])
            if taken and line["account"] == receiver and line["state"] == "SUCCESS":
                fen -= taken
                line |= {"back": line["back"] + taken, "back_at": world.now_text()}
                world.store.put("settle", key, made)
                move(world, taken, made, line, number=number)
    assert fen == 0


def received(world: World, trade: Mapping[str, Any]) -> dict[str, int]:
    """Who still has how much of the trade's money."""
    found: dict[str, int] = {}
    for number in trade.get("settles", []):
        made = world.store.get("settle", f"{trade['trade_no']}|{number}") or {"lines": []}
        for line in made["lines"]:
            if line["state"] == "SUCCESS":
                found[line["account"]] = found.get(line["account"], 0) + line["fen"] - line["back"]
    return found


def rows(made: Mapping[str, Any], line: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One part of a share as ``royalty_detail_list`` shows it, and what of it came back."""
    sent = {
        "operation_type": "transfer",
        "state": line["state"],
        "amount": yuan(line["fen"]),
        "trans_out": SELLER_ID,
        "trans_out_type": "userId",
        "trans_in": line["account"],
        "trans_in_type": line["type"],
        "detail_id": line["detail_id"],
        "execute_dt": line.get("execute_dt") or made["at"],
    }
    if line.get("error_code"):
        sent |= {"error_code": line["error_code"], "error_desc": "分账接收方账户异常"}
    if not line["back"]:
        return [sent]
    back = {"operation_type": "transfer_refund", "amount": yuan(line["back"]), "execute_dt": line["back_at"]}
    turned = {"trans_out": line["account"], "trans_out_type": line["type"]}
    turned |= {"trans_in": SELLER_ID, "trans_in_type": "userId", "detail_id": f"{line['detail_id']}R"}
    return [sent, sent | back | turned]


def move(world: World, fen: int, made: Mapping[str, Any], line: Mapping[str, Any], *, number: str) -> None:
    """One part leaves the account, or comes back under the refund's ``number``. Its 业务流水号 is the settle's."""
    is_out = fen < 0
    account.move(
        world,
        fen,
        business="分账" if is_out else "分账退回",
        kind=RowKind.SHARE if is_out else RowKind.SHARE_RETURN,
        number=number,
        platform_no=made["settle_no"],
        other=f"***({line['account'][-4:]})",
    )


def left(trade: Mapping[str, Any]) -> int:
    """What of a trade's money is neither sent on nor given back."""
    return int(trade["payer"]) - int(trade.get("shared", 0)) - int(trade["refunded"])
