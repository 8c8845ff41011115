"""From method and path to the operation: the table of all routes, and the lookup.

A path is matched segment by segment on its raw form and decoded afterwards, so that an encoded slash stays inside its
segment. What is not in the table is 404 ``NOT_FOUND``, after the signature was checked.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final
from urllib.parse import parse_qsl, unquote

from unicom_coupon_adapters.wechatpay.emulation import (
    bills,
    brands,
    codes,
    coupons,
    downloads,
    favor,
    product_coupons,
    product_stocks,
    refunds,
    security,
    share_returns,
    sharing,
    stocks,
    subsidies,
    trades,
    transfers,
    users,
)
from unicom_coupon_adapters.wechatpay.emulation.refusals import Refusal, bad_field
from unicom_coupon_adapters.wechatpay.emulation.world import Handler, Route

_ROUTES: Final = (
    *stocks.ROUTES,
    *codes.ROUTES,
    *coupons.ROUTES,
    *users.ROUTES,
    *subsidies.ROUTES,
    *brands.ROUTES,
    *product_stocks.ROUTES,
    *product_coupons.ROUTES,
    *favor.ROUTES,
    *trades.ROUTES,
    *refunds.ROUTES,
    *transfers.ROUTES,
    *sharing.ROUTES,
    *share_returns.ROUTES,
    *bills.ROUTES,
    *downloads.ROUTES,
    *security.ROUTES,
)


class Router:
    """The routes, grouped by method and number of segments."""

    def __init__(self, routes: Iterable[Route] = _ROUTES) -> None:
        self._table: dict[tuple[str, int], list[tuple[tuple[str, ...], Handler]]] = {}
        for route in routes:
            segments = tuple(route.template.split("/"))
            self._table.setdefault((route.method, len(segments)), []).append((segments, route.handler))
        for found in self._table.values():
            found.sort(key=lambda entry: [segment.startswith("{") for segment in entry[0]])

    def find(self, method: str, path: str) -> tuple[Handler, Mapping[str, str]]:
        """The operation and its decoded path arguments. Raises 404 ``NOT_FOUND``, or 400 where it is not UTF-8."""
        given = path.split("/")
        for segments, handler in self._table.get((method.upper(), len(given)), ()):
            pairs = list(zip(segments, given, strict=True))
            if all(wanted == found or (wanted.startswith("{") and found) for wanted, found in pairs):
                named = {wanted[1:-1]: _decoded(found) for wanted, found in pairs if wanted.startswith("{")}
                return handler, named
        raise Refusal("NOT_FOUND", "请求的接口不存在", "There is no such operation.")


def read_query(query: str) -> Mapping[str, str]:
    """The query's parameters, decoded; of a repeated name the first counts. Raises 400 for what is not UTF-8."""
    if not query:
        return {}
    try:
        pairs = parse_qsl(query, keep_blank_values=True, errors="strict")
    except ValueError:
        raise bad_field("query", "编码错误", "is not UTF-8", location="query") from None
    return dict(reversed(pairs))


def _decoded(segment: str) -> str:
    try:
        return unquote(segment, errors="strict")
    except UnicodeDecodeError:
        raise bad_field("path", "编码错误", "is not UTF-8", location="path") from None
