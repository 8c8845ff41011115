"""凭证 (certificates): coupons that are sold as Alipay's local-life goods (sheet §2.9). The second choice of family.

Alipay is the seller here: goods are listed in its console, and it asks us for a code when one is bought. So there is
nothing to issue or to send; redeeming is two steps, ``prepareuse`` (reads) and ``use`` (writes). A batch may fail in
part under a top-level success, and Alipay documents no values for ``result``: only a ``use_order_no`` is a proof.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from unicom_coupon_adapters.alipay.gateway import Node
from unicom_coupon_adapters.alipay.messages import named
from unicom_coupon_adapters.alipay.requests import Api, Call, beijing_text, members
from unicom_coupon_sdk.domain.code import CouponCode
from unicom_coupon_sdk.domain.redemption import HeldRedemption, HeldReversal
from unicom_coupon_sdk.errors import CouponStateError

_FAMILY = "alipay.marketing.certificate.certification"

PREPARE = Api(
    method=f"{_FAMILY}.prepareuse",
    required=frozenset(),
    optional=members("code encrypted_data cross_order"),
    is_write=False,
)
USE = Api(
    method=f"{_FAMILY}.use",
    required=members("order_id out_biz_no biz_dt certificate_use_info_list"),
    optional=members("user_id open_id shop_id out_order_id"),
)
REFUND = Api(
    method=f"{_FAMILY}.refund",
    required=members("use_order_no_list out_biz_no biz_dt"),
    optional=members("user_id open_id"),
)
QUERY = Api(
    method=f"{_FAMILY}.batchquery",
    required=frozenset(),
    optional=members("code_list certificate_id_list order_id user_id open_id"),
    is_write=False,
)
_SHORT_CODE = re.compile(r"[0-9]{12}")


@dataclass(frozen=True, slots=True)
class Prepared:
    """A certificate that Alipay says is valid now, found by its code."""

    order_id: str
    certificate_id: str
    encrypted_code: str | None
    user: Mapping[str, str]


def prepare(code: CouponCode) -> Call:
    """Ask for the certificate behind ``code``: the 12 digits under the QR, our own code, or the QR's opaque text."""
    text = code.reveal()
    name = "code" if _SHORT_CODE.fullmatch(text) or code.is_ours else "encrypted_data"
    return PREPARE.call({name: text, "cross_order": False})


def prepared(node: Node) -> Prepared | None:
    """The single certificate that was found; ``None`` where there is none, or where it would be a guess."""
    rows = node.rows("certificate_prepare_info_list")
    if len(rows) != 1:
        return None
    row = rows[0]
    order_id = str(row.get("order_id") or node.text("order_id"))
    certificate_id = str(row.get("certificate_id") or "")
    if not order_id or not certificate_id:
        return None
    return Prepared(
        order_id=order_id,
        certificate_id=certificate_id,
        encrypted_code=str(row["encrypted_code"]) if row.get("encrypted_code") else None,
        user={name: node.text(name) for name in ("user_id", "open_id") if node.text(name)},
    )


def use(held: HeldRedemption, found: Prepared, *, shop_ids: frozenset[str]) -> Call:
    """Redeem the certificate. The number and the time are those of the hold, in every repeat."""
    redemption = held.redemption
    row: dict[str, Any] = (
        {"encrypted_code": found.encrypted_code} if found.encrypted_code else {"code": held.code.reveal()}
    )
    user = named(held.binding.user) if held.binding.user is not None else dict(found.user)
    return USE.call(
        {
            "order_id": found.order_id,
            "out_biz_no": redemption.redemption_id,
            "biz_dt": beijing_text(redemption.held_at),
            "shop_id": redemption.order.store_no if redemption.order.store_no in shop_ids else None,
            "out_order_id": redemption.order.order_no,
            "certificate_use_info_list": [{**row, "use_count": 1}],
            **user,
        }
    )


def use_order_no(node: Node) -> tuple[str | None, str]:
    """Alipay's number of the redemption, and its word for the result. Without a number it was not redeemed."""
    rows = node.rows("certificate_use_result_list")
    row = rows[0] if len(rows) == 1 else {}
    number = row.get("use_order_no")
    return (str(number) if number else None), str(row.get("result") or "")


def refund(held: HeldReversal) -> Call:
    """Take a redemption back by Alipay's number of it. Raises ``CouponStateError`` where that is not known."""
    number = held.redeemed.redemption.platform_no
    if not number:
        raise CouponStateError("alipay.no_use_order", field="redemption_id", platform="alipay")
    user = held.redeemed.binding.user
    return REFUND.call(
        {
            "use_order_no_list": [number],
            "out_biz_no": held.reversal.reversal_id,
            "biz_dt": beijing_text(held.reversal.held_at),
            **(named(user) if user is not None else {}),
        }
    )


def refunded(node: Node, *, number: str) -> bool | None:
    """Whether ``number`` was taken back: only the documented ``SUCCESS`` and ``FAIL`` of its own row tell (§2.9)."""
    rows = [row for row in node.rows("certificate_reverse_result_list") if str(row.get("use_order_no")) == number]
    if len(rows) != 1:
        return None
    return {"SUCCESS": True, "FAIL": False}.get(str(rows[0].get("result") or "").upper())


def query(held: HeldRedemption) -> Call:
    """How the certificate of a redemption stands."""
    user = held.binding.user
    return QUERY.call({"code_list": [held.code.reveal()], **(named(user) if user is not None else {})})


def is_used(node: Node) -> bool | None:
    """Whether the one certificate in a query's answer is spent; ``None`` where the answer does not say so plainly.

    The values of ``status`` are not documented, so they are not read: a use count says it, and ``can_use`` true says
    that it is not; ``can_use`` false may as well mean refunded, expired or another shop.
    """
    rows = node.rows("certificate_info_list")
    if len(rows) != 1:
        return None
    card = rows[0].get("times_card_info")
    used = card.get("used_count") if isinstance(card, dict) else None
    if str(used or "0").isdigit() and int(used or 0) > 0:
        return True
    return False if rows[0].get("can_use") in (True, "true") else None
