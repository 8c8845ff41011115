"""The same clients, unmodified, where money moves: bills, transfers and profit sharing (see ``test_alipay_clients``)."""

from __future__ import annotations

import io
import json
import urllib.request
import zipfile
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qsl

import pytest
from tests.clients.test_alipay_clients import (
    Merchant,
    community,
    community_client,
    merchant,
    node,
    node_modules,
    official,
    sandbox,
    server,
    told,
)

from unicom_coupon_sdk.domain.times import business_date
from unicom_coupon_sdk.sandbox import SandboxServer

__all__ = ["community", "merchant", "node", "node_modules", "sandbox", "server"]
pytestmark = pytest.mark.clients
USER = "2088000000000011"
BILLS = "alipay.data.dataservice.bill.downloadurl.query"
TRANSFER, ASKED = "alipay.fund.trans.uni.transfer", "alipay.fund.trans.common.query"
BIND, SETTLE, SETTLED = (
    "alipay.trade.royalty.relation.bind",
    "alipay.trade.order.settle",
    "alipay.trade.order.settle.query",
)
PRODUCT = {"product_code": "TRANS_ACCOUNT_NO_PWD", "biz_scene": "DIRECT_TRANSFER"}


def payment(number: str = "P1", **changed: Any) -> dict[str, Any]:
    payee = {"identity": USER, "identity_type": "ALIPAY_USER_ID", "name": "张三"}
    content = {"out_biz_no": number, "trans_amount": "5.00", **PRODUCT, "order_title": "联通现金券"}
    return {**content, "payee_info": payee, **changed}


def split(sandbox: SandboxServer) -> tuple[dict[str, Any], dict[str, Any]]:
    """A bind and a settle over a paid order of 100 yuan."""
    order = sandbox.control.order("alipay", amount_fen=10_000)
    receiver = {"type": "userId", "account": USER}
    part = {"royalty_type": "transfer", "trans_in": USER, "trans_in_type": "userId", "amount": "10.00"}
    shared = {"out_request_no": "S1", "trade_no": order["trade_no"], "royalty_parameters": [part]}
    return {"out_request_no": "B1", "receiver_list": [receiver]}, shared


def test_official_python_downloads_a_bill(sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch) -> None:
    module = pytest.importorskip("alipay.aop.api.request.AlipayDataDataserviceBillDownloadurlQueryRequest")
    now = sandbox.control.now()  # the client stamps its requests with this host's clock
    sandbox.control.set_clock(now - timedelta(days=2))
    order = sandbox.control.order("alipay", amount_fen=990)
    day = business_date(sandbox.control.now())
    sandbox.control.set_clock(now)
    request = module.AlipayDataDataserviceBillDownloadurlQueryRequest()
    request.biz_content = {"bill_type": "trade", "bill_date": day.isoformat()}
    with monkeypatch.context() as patched:
        answer = json.loads(official(sandbox, patched).execute(request))
    assert answer["code"] == "10000", answer
    with urllib.request.urlopen(answer["bill_download_url"], timeout=10) as page:
        content = page.read()
    with zipfile.ZipFile(io.BytesIO(content), metadata_encoding="gbk") as packed:
        names = packed.namelist()
        detail = packed.read(names[0]).decode("gbk")
    account = f"{told(sandbox)['seller_id']}0156_{day:%Y%m%d}"
    assert names == [f"{account}_业务明细.csv", f"{account}_业务明细(汇总).csv"]
    assert order["out_trade_no"] in detail


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_community_python_pays_out_once_in_certificate_mode(sandbox: SandboxServer) -> None:
    certified = community_client(sandbox, mode="certificate")
    first = certified.server_api(TRANSFER, payment())
    assert (first["code"], first["status"]) == ("10000", "SUCCESS")
    assert certified.server_api(TRANSFER, payment()) == first
    assert certified.server_api(TRANSFER, payment(trans_amount="6.00"))["sub_code"] == "PAYMENT_INFO_INCONSISTENCY"
    asked = certified.server_api(ASKED, {**PRODUCT, "out_biz_no": "P1"})
    assert (asked["status"], asked["order_id"]) == ("SUCCESS", first["order_id"])


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_community_python_shares_an_order(community: Any, sandbox: SandboxServer) -> None:
    bind, shared = split(sandbox)
    assert community.server_api(BIND, bind)["result_code"] == "SUCCESS"
    assert community.server_api(SETTLE, shared)["code"] == "10000"
    (row,) = community.server_api(SETTLED, {name: shared[name] for name in ("out_request_no", "trade_no")})[
        "royalty_detail_list"
    ]
    assert (row["state"], row["amount"], row["trans_in"]) == ("SUCCESS", "10.00", USER)


def test_node_pays_out_where_it_has_certificates(
    node: Any, sandbox: SandboxServer, request: pytest.FixtureRequest
) -> None:
    bind, shared = split(sandbox)
    steps = [
        {"method": TRANSFER, "content": payment()},
        {"method": ASKED, "content": {**PRODUCT, "out_biz_no": "P1"}},
        {"method": BIND, "content": bind},
        {"method": SETTLE, "content": shared},
        {"verb": "POST", "path": "/v3/alipay/fund/trans/uni/transfer", "options": {"body": payment("P2")}},
    ]
    results = node(*steps)
    paid, asked, bound, settled, over_v3 = (one.get("data") or one for one in results)
    assert (bound["result_code"], settled["code"]) == ("SUCCESS", "10000")
    if "certificate" in request.node.callspec.id:
        assert (paid["status"], asked["status"], over_v3["status"]) == ("SUCCESS", "SUCCESS", "SUCCESS")
    else:
        assert (paid["sub_code"], asked["sub_code"]) == ("isv.missing-app-cert-sn", "isv.missing-app-cert-sn")
        assert "missing-app-cert-sn" in over_v3["error"]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_node_verifies_the_message_of_a_transfer(node: Any, sandbox: SandboxServer, merchant: Merchant) -> None:
    sandbox.control.register_callback("alipay", merchant.url)
    community_client(sandbox, mode="certificate").server_api(TRANSFER, payment())
    sandbox.control.deliver_notifications()
    (received,) = merchant.received
    message = dict(parse_qsl(received, strict_parsing=True))
    assert message["msg_method"] == "alipay.fund.trans.order.changed"
    assert json.loads(message["biz_content"])["out_biz_no"] == "P1"
    good, forged = node({"notify": message}, {"notify": message | {"biz_content": "{}"}})
    assert (good["verified"], forged["verified"]) == (True, False)
