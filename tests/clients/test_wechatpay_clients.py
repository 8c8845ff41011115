"""Community clients, unmodified but for the gateway's address, against the WeChat Pay emulator over real sockets.

``wechatpayv3`` (Python) is a dependency of the ``clients`` extra. ``wechatpay-axios-plugin`` (Node) is installed by the
session into the user's cache folder, outside the project; without npm, or where it cannot install, its tests skip.
"""

from __future__ import annotations

import gzip
import hashlib
import http.server
import json
import os
import subprocess
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.clients.npm import node_modules_of

from unicom_coupon_adapters.wechatpay.emulator import WechatPayEmulator
from unicom_coupon_sdk.sandbox import SandboxServer

pytestmark = pytest.mark.clients
AXIOS = "wechatpay-axios-plugin@0.9.6"
SCRIPT = Path(__file__).with_name("wechatpay_axios.js")


@pytest.fixture(scope="module")
def server() -> Iterator[SandboxServer]:
    with SandboxServer(emulators={"wechatpay": WechatPayEmulator}) as running:
        yield running


@pytest.fixture
def sandbox(server: SandboxServer) -> SandboxServer:
    server.control.reset()
    server.control.clear_faults()
    return server


class Merchant:
    """The merchant's notify URL on a free port of this machine: keeps what it is sent, accepts all."""

    def __init__(self) -> None:
        received: list[tuple[dict[str, str], bytes]] = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                received.append((dict(self.headers.items()), body))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *arguments: Any) -> None:
                pass

        self.received = received
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/notify"

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def merchant() -> Iterator[Merchant]:
    running = Merchant()
    yield running
    running.close()


def told(sandbox: SandboxServer) -> dict[str, Any]:
    section: dict[str, Any] = sandbox.credentials["wechatpay"]
    return section


def issue(sandbox: SandboxServer) -> dict[str, Any]:
    return sandbox.control.issue_coupons("wechatpay", count=1, face_fen=500)[0]


def stock(mchid: str, number: str) -> dict[str, Any]:
    now = datetime.now(UTC).replace(microsecond=0)
    return {
        "stock_name": "8月1日活动券",
        "belong_merchant": mchid,
        "goods_name": "话费充值",
        "stock_type": "NORMAL",
        "coupon_use_rule": {
            "coupon_available_time": {
                "available_begin_time": now.isoformat(),
                "available_end_time": (now + timedelta(days=30)).isoformat(),
            },
            "fixed_normal_coupon": {"discount_amount": 500, "transaction_minimum": 1000},
            "use_method": "OFF_LINE",
        },
        "stock_send_rule": {"max_coupons": 100, "max_coupons_per_user": 5},
        "out_request_no": number,
        "coupon_code_mode": "WECHATPAY_MODE",
    }


# -- wechatpayv3 ------------------------------------------------------------------------------------------------------


def python_client(sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch, *, mode: str, **changed: Any) -> Any:
    """``wechatpayv3`` with its gateway set to the sandbox, in one of its two modes."""
    wechatpayv3 = pytest.importorskip("wechatpayv3")
    core = pytest.importorskip("wechatpayv3.core")
    section = told(sandbox)
    gateway = property(lambda _: section["base_url"], lambda _, __: None)
    monkeypatch.setattr(core.Core, "_gate_way", gateway, raising=False)
    settings: dict[str, Any] = {
        "wechatpay_type": wechatpayv3.WeChatPayType.JSAPI,
        "mchid": section["mchid"],
        "private_key": Path(section["merchant_private_key_file"]).read_text(),
        "cert_serial_no": section["merchant_cert_serial"],
        "appid": section["appid"],
        "apiv3_key": section["apiv3_key"],
        "timeout": 10,
    }
    if mode == "public_key":
        settings["public_key"] = Path(section["platform_public_key_file"]).read_text()
        settings["public_key_id"] = section["platform_public_key_id"]
    return wechatpayv3.WeChatPay(**(settings | changed))


@pytest.fixture(params=["public_key", "certificate"])
def client(request: pytest.FixtureRequest, sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch) -> Any:
    return python_client(sandbox, monkeypatch, mode=request.param)


def good(answer: tuple[int, str]) -> dict[str, Any]:
    status, text = answer
    assert status == 200, text
    parsed: dict[str, Any] = json.loads(text)
    return parsed


def refused(answer: tuple[int, str]) -> tuple[int, str]:
    status, text = answer
    return status, json.loads(text)["code"]


def use(client: Any, coupon: dict[str, Any], number: str) -> tuple[int, str]:
    answer: tuple[int, str] = client.marketing_busifavor_coupon_use(
        coupon["code"], "2026-05-20T13:29:35+08:00", number, coupon["stock_id"], coupon["openid"]
    )
    return answer


def test_python_creates_reads_edits_and_budgets_a_stock(client: Any, sandbox: SandboxServer) -> None:
    body = stock(told(sandbox)["mchid"], "STOCK1")
    made = good(client.marketing_busifavor_stock_create(**body))
    assert good(client.marketing_busifavor_stock_create(**body)) == made
    assert good(client.marketing_busifavor_stock_query(made["stock_id"]))["stock_state"] == "RUNNING"
    assert client.marketing_busifavor_stock_modify(made["stock_id"], "EDIT1", comment="活动使用")[0] == 204
    assert good(client.marketing_busifavor_stock_budget(made["stock_id"], "B1", target_max_coupons=300)) == {
        "max_coupons": 300
    }


def test_python_redeems_once_returns_and_deactivates(client: Any, sandbox: SandboxServer) -> None:
    coupon = issue(sandbox)
    first = good(use(client, coupon, "USE1"))
    assert (first["openid"], first["stock_id"]) == (coupon["openid"], coupon["stock_id"])
    assert good(use(client, coupon, "USE1")) == first
    assert refused(use(client, coupon, "USE2")) == (400, "INVALID_REQUEST")
    assert state(client, coupon) == "USED"
    assert "wechatpay_return_time" in good(
        client.marketing_busifavor_coupon_return(coupon["code"], coupon["stock_id"], "R1")
    )
    assert state(client, coupon) == "SENDED"
    good(client.marketing_busifavor_coupon_deactivate(coupon["code"], coupon["stock_id"], "D1", "设置错误"))
    assert state(client, coupon) == "DEACTIVATED"
    assert refused(use(client, coupon, "USE3")) == (400, "INVALID_REQUEST")


def state(client: Any, coupon: dict[str, Any]) -> str:
    return str(good(client.marketing_busifavor_coupon_detail(coupon["code"], coupon["openid"]))["coupon_state"])


def test_python_lists_links_and_uploads(client: Any, sandbox: SandboxServer) -> None:
    coupon = issue(sandbox)
    assert good(client.marketing_busifavor_user_coupon(coupon["openid"]))["data"][0]["coupon_code"] == coupon["code"]
    link = (coupon["stock_id"], coupon["code"], "MCH_102233445")
    assert "wechatpay_associate_time" in good(client.marketing_busifavor_coupon_associate(*link, "A1"))
    assert "wechatpay_disassociate_time" in good(client.marketing_busifavor_coupon_disassociate(*link, "A2"))
    body = stock(told(sandbox)["mchid"], "STOCK2") | {"coupon_code_mode": "MERCHANT_UPLOAD"}
    made = good(client.marketing_busifavor_stock_create(**body))
    assert (
        good(client.marketing_busifavor_couponcode_upload(made["stock_id"], "U1", ["ABC1", "ABC2"]))["success_count"]
        == 2
    )


def test_python_queries_refunds_and_closes_orders(client: Any, sandbox: SandboxServer) -> None:
    order = sandbox.control.order("wechatpay", amount_fen=1000)
    assert good(client.query(out_trade_no=order["out_trade_no"]))["trade_state"] == "SUCCESS"
    assert good(client.query(transaction_id=order["transaction_id"]))["out_trade_no"] == order["out_trade_no"]
    amount = {"refund": 400, "total": 1000, "currency": "CNY"}
    assert good(client.refund("R1", amount, transaction_id=order["transaction_id"]))["status"] == "PROCESSING"
    assert good(client.query_refund("R1"))["status"] == "SUCCESS"
    assert refused(client.query(out_trade_no="NOWHERE")) == (404, "ORDER_NOT_EXIST")
    unpaid = sandbox.control.order("wechatpay", amount_fen=1000, paid=False)
    assert client.close(unpaid["out_trade_no"])[0] == 204


def test_python_fetches_a_bill_of_two_days_ago(client: Any, sandbox: SandboxServer) -> None:
    now = sandbox.control.now()
    sandbox.control.set_clock(now - timedelta(days=2))
    order = sandbox.control.order("wechatpay", amount_fen=1000)
    sandbox.control.set_clock(now)
    day = (now + timedelta(hours=8) - timedelta(days=2)).date().isoformat()
    offer = good(client.trade_bill(day))
    assert offer["download_url"].startswith(told(sandbox)["base_url"])
    status, content = client.download_bill(offer["download_url"])
    assert status == 200
    plain = gzip.decompress(content)
    assert hashlib.sha1(plain).hexdigest() == offer["hash_value"]
    assert order["transaction_id"] in plain.decode("utf-8-sig")


@pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")  # of the client, not ours
def test_python_pays_out_asks_and_calls_back(client: Any, sandbox: SandboxServer, merchant: Merchant) -> None:
    def transfer(number: str, **more: Any) -> tuple[int, str]:
        report = [{"info_type": name, "info_content": "联通电子券"} for name in ("活动名称", "奖励说明")]
        answer: tuple[int, str] = client.mch_transfer_bills(
            number, "1000", "oPayee", 200_000, "现金券", "张三", None, report, notify_url=merchant.url, **more
        )
        return answer

    made = good(transfer("PAY1"))
    assert made["state"] == "WAIT_USER_CONFIRM"
    assert good(transfer("PAY1"))["transfer_bill_no"] == made["transfer_bill_no"]
    sandbox.control.deliver("wechatpay", package=made["package_info"], real_name="张三")
    assert good(client.mch_transfer_bills_query(out_bill_no="PAY1"))["state"] == "SUCCESS"
    assert good(client.mch_transfer_bills_query(transfer_bill_no=made["transfer_bill_no"]))["out_bill_no"] == "PAY1"
    assert good(client.mch_transfer_elecsign(out_bill_no="PAY1"))["state"] == "GENERATING"
    assert good(client.mch_transfer_elecsign_query(out_bill_no="PAY1"))["state"] == "FINISHED"
    good(transfer("PAY2"))
    assert good(client.mch_transfer_bills_cancel("PAY2"))["state"] == "CANCELING"
    assert good(client.mch_transfer_bills_query(out_bill_no="PAY2"))["state"] == "CANCELLED"
    sandbox.control.deliver_notifications()
    assert [client.callback(dict(headers), body)["event_type"] for headers, body in merchant.received] == [
        "MCHTRANSFER.BILL.FINISHED"
    ] * 2


@pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")  # of the client, not ours
def test_python_shares_reads_returns_and_releases(client: Any, sandbox: SandboxServer) -> None:
    order = sandbox.control.order("wechatpay", amount_fen=10_000, profit_sharing=True)
    sandbox.control.advance(60)
    transaction = order["transaction_id"]
    good(client.profitsharing_add_receiver("MERCHANT_ID", "1900000109", "PARTNER", name="示例商户"))
    part = {"type": "MERCHANT_ID", "account": "1900000109", "amount": 1000, "description": "分账", "name": "示例商户"}
    assert good(client.profitsharing_order(transaction, "S1", [dict(part)], False))["state"] == "PROCESSING"
    done = good(client.profitsharing_order_query(transaction, "S1"))
    assert [one["result"] for one in done["receivers"]] == ["SUCCESS"]
    assert good(client.profitsharing_amount_query(transaction))["unsplit_amount"] == 10_000 - 60 - 1000
    assert good(client.profitsharing_return("R1", "1900000109", 400, "退", out_order_no="S1"))["amount"] == 400
    assert good(client.profitsharing_return_query("S1", "R1"))["result"] == "SUCCESS"
    assert good(client.profitsharing_unfreeze(transaction, "U1", "解冻"))["state"] == "FINISHED"
    good(client.profitsharing_delete_receiver("MERCHANT_ID", "1900000109"))


@pytest.mark.parametrize("kind", ["bad_signature", "wrong_serial"])
def test_python_refuses_a_forged_answer_though_the_coupon_is_used(
    sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    client = python_client(sandbox, monkeypatch, mode="certificate")
    coupon = issue(sandbox)
    sandbox.control.add_fault("wechatpay", kind, match="/v3/marketing/busifavor/coupons/use")
    with pytest.raises(Exception, match="verify the signature"):
        use(client, coupon, "USE1")
    assert state(client, coupon) == "USED"
    good(use(client, coupon, "USE1"))


def test_python_refuses_a_probe(sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch) -> None:
    client = python_client(sandbox, monkeypatch, mode="public_key")
    sandbox.control.add_fault("wechatpay", "bad_signature", probe=True)
    with pytest.raises(Exception, match="verify the signature"):
        state(client, issue(sandbox))


def test_python_gets_an_error_on_demand_and_the_coupon_stays(client: Any, sandbox: SandboxServer) -> None:
    coupon = issue(sandbox)
    for code, status in (("SYSTEM_ERROR", 500), ("RATELIMIT_EXCEEDED", 429), ("SIGN_ERROR", 401)):
        sandbox.control.add_fault("wechatpay", "error", code=code)
        assert refused(use(client, coupon, "USE1")) == (status, code)
    good(use(client, coupon, "USE1"))


def test_python_that_signs_with_another_key_is_refused(sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch) -> None:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    other = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    client = python_client(sandbox, monkeypatch, mode="public_key", private_key=other.decode())
    status, text = use(client, issue(sandbox), "USE1")
    assert (status, json.loads(text)["detail"]["detail"]["issue"]) == (401, "sign not match")


def test_python_reads_the_callback_of_a_send(
    sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch, merchant: Merchant
) -> None:
    clients = {mode: python_client(sandbox, monkeypatch, mode=mode) for mode in ("public_key", "certificate")}
    assert (
        good(clients["public_key"].marketing_busifavor_callback_update(notify_url=merchant.url))["notify_url"]
        == merchant.url
    )
    coupon = issue(sandbox)
    sandbox.control.deliver_notifications()
    headers, body = merchant.received[0]
    reader = clients["public_key" if headers["Wechatpay-Serial"].startswith("PUB_KEY_ID_") else "certificate"]
    news = reader.callback(headers, body)
    assert (news["event_type"], news["resource"]["coupon_code"]) == ("COUPON.SEND", coupon["code"])
    assert reader.callback(headers, body.replace(b"COUPON.SEND", b"COUPON.SENT")) is None


def test_python_survives_the_whole_switch_to_the_public_key(monkeypatch: pytest.MonkeyPatch) -> None:
    with SandboxServer(emulators={"wechatpay": WechatPayEmulator}) as own:
        by_certificate = python_client(own, monkeypatch, mode="certificate")
        by_key = python_client(own, monkeypatch, mode="public_key")
        coupon = issue(own)
        assert state(by_certificate, coupon) == state(by_key, coupon) == "SENDED"
        own.control.rotate_keys("wechatpay", "certificate_void")
        assert state(by_key, coupon) == "SENDED"
        with pytest.raises(ValueError, match="invalid literal"):  # its known fault: a PUB_KEY_ID_ serial is no hex
            state(by_certificate, coupon)


# -- wechatpay-axios-plugin -------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def node_modules() -> Path:
    return node_modules_of(AXIOS)


@pytest.fixture(params=["public_key", "certificate"])
def axios(request: pytest.FixtureRequest, sandbox: SandboxServer, node_modules: Path) -> Any:
    section = told(sandbox) | {"mode": request.param}

    def run(*steps: dict[str, Any]) -> list[dict[str, Any]]:
        """Each step is a call (``method``, ``path``, ``data``/``params``) or a callback to read."""
        done = subprocess.run(
            ["node", str(SCRIPT)],
            input=json.dumps({"sandbox": section, "steps": steps}),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env=os.environ | {"NODE_PATH": str(node_modules)},
        )
        assert done.returncode == 0, done.stderr
        results: list[dict[str, Any]] = json.loads(done.stdout)
        return results

    return run


BASE = "/v3/marketing/busifavor"


def use_step(sandbox: SandboxServer, coupon: dict[str, Any], number: str) -> dict[str, Any]:
    data = {
        "coupon_code": coupon["code"],
        "stock_id": coupon["stock_id"],
        "appid": told(sandbox)["appid"],
        "use_time": "2026-05-20T13:29:35+08:00",
        "use_request_no": number,
    }
    return {"method": "post", "path": f"{BASE}/coupons/use", "data": data}


def test_node_creates_redeems_repeats_returns_and_deactivates(axios: Any, sandbox: SandboxServer) -> None:
    coupon = issue(sandbox)
    both = {"coupon_code": coupon["code"], "stock_id": coupon["stock_id"]}
    detail = {
        "method": "get",
        "path": f"{BASE}/users/{coupon['openid']}/coupons/{coupon['code']}/appids/{coupon['appid']}",
    }
    results = axios(
        {"method": "post", "path": f"{BASE}/stocks", "data": stock(told(sandbox)["mchid"], "NODE1")},
        use_step(sandbox, coupon, "USE1"),
        use_step(sandbox, coupon, "USE1"),
        use_step(sandbox, coupon, "USE2"),
        detail,
        {"method": "post", "path": f"{BASE}/coupons/return", "data": both | {"return_request_no": "R1"}},
        {
            "method": "post",
            "path": f"{BASE}/coupons/deactivate",
            "data": both | {"deactivate_request_no": "D1", "deactivate_reason": "设置错误"},
        },
        detail,
        {
            "method": "get",
            "path": f"{BASE}/users/{coupon['openid']}/coupons",
            "params": {"appid": coupon["appid"], "limit": 5},
        },
    )
    assert [one["status"] for one in results] == [200, 200, 200, 400, 200, 200, 200, 200, 200], results
    assert results[1]["data"] == results[2]["data"]
    assert results[3]["data"]["code"] == "INVALID_REQUEST"
    assert [results[4]["data"]["coupon_state"], results[7]["data"]["coupon_state"]] == ["USED", "DEACTIVATED"]
    assert results[8]["data"]["total_count"] == 1


def test_node_reads_an_empty_204(axios: Any, sandbox: SandboxServer) -> None:
    unpaid = sandbox.control.order("wechatpay", amount_fen=1000, paid=False)
    path = f"/v3/pay/transactions/out-trade-no/{unpaid['out_trade_no']}/close"
    (result,) = axios({"method": "post", "path": path, "data": {"mchid": told(sandbox)["mchid"]}})
    assert result["status"] == 204, result


@pytest.mark.parametrize("kind", ["bad_signature", "wrong_serial", "stale_timestamp"])
def test_node_refuses_a_forged_answer(axios: Any, sandbox: SandboxServer, kind: str) -> None:
    sandbox.control.add_fault("wechatpay", kind)
    wanted = {"bad_signature": "DIGEST", "wrong_serial": "SERIAL", "stale_timestamp": "OFFSET"}[kind]
    coupon = issue(sandbox)
    first, second = axios(use_step(sandbox, coupon, "USE1"), use_step(sandbox, coupon, "USE1"))
    assert wanted in first["error"], first
    assert second["status"] == 200


def test_node_reads_a_callback(axios: Any, sandbox: SandboxServer, merchant: Merchant) -> None:
    sandbox.control.register_callback("wechatpay", merchant.url)
    coupon = issue(sandbox)
    sandbox.control.deliver_notifications()
    headers, body = merchant.received[0]
    good_one, forged = axios(
        {"callback": {"headers": headers, "body": body.decode()}},
        {"callback": {"headers": headers, "body": body.decode().replace("COUPON.SEND", "COUPON.SENT")}},
    )
    assert (good_one["verified"], forged["verified"]) == (True, False)
    assert good_one["resource"]["coupon_code"] == coupon["code"]
