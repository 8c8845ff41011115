"""Official and community clients, unmodified but for the gateway's address, against the Alipay emulator over sockets.

``alipay-sdk-python`` (official) and ``python-alipay-sdk`` (community) are dependencies of the ``clients`` extra; they
share the package name ``alipay`` and can be installed together. ``alipay-sdk`` (Node, official) is installed by the
session into the user's cache folder, outside the project; without npm, or where it cannot install, its tests skip.
"""

from __future__ import annotations

import base64
import http.client
import http.server
import json
import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from tests.clients.npm import node_modules_of

from unicom_coupon_adapters.alipay.emulator import AlipayEmulator
from unicom_coupon_sdk.sandbox import SandboxServer

pytestmark = pytest.mark.clients
NODE_SDK = "alipay-sdk@4.14.0"
SCRIPT = Path(__file__).with_name("alipay_node.js")
FAMILY = "alipay.marketing.activity.ordervoucher"
QUERY = "alipay.marketing.activity.user.queryvoucher"

Run = Callable[[str, dict[str, Any]], dict[str, Any]]


@pytest.fixture(scope="module")
def server() -> Iterator[SandboxServer]:
    with SandboxServer(emulators={"alipay": AlipayEmulator}) as running:
        yield running


@pytest.fixture
def sandbox(server: SandboxServer) -> SandboxServer:
    server.control.reset()
    server.control.clear_faults()
    return server


class Merchant:
    """The merchant's notify URL on a free port of this machine: keeps what it is sent, accepts all."""

    def __init__(self) -> None:
        received: list[str] = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                received.append(self.rfile.read(int(self.headers["Content-Length"])).decode())
                self.send_response(200)
                self.send_header("Content-Length", "7")
                self.end_headers()
                self.wfile.write(b"success")

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
    section: dict[str, Any] = sandbox.credentials["alipay"]
    return section


def issue(sandbox: SandboxServer) -> dict[str, Any]:
    return sandbox.control.issue_coupons("alipay", count=1, face_fen=500)[0]


def redemption(coupon: dict[str, Any], number: str, **changed: Any) -> dict[str, Any]:
    return {
        "activity_id": coupon["activity_id"],
        "voucher_code": coupon["code"],
        "out_biz_no": number,
        "biz_dt": "2026-01-15 10:20:30",
        "total_fee": "99.00",
        "trade_channel": "OTHER_TRADE_CHANNEL",
        "merchant_access_mode": "SELF_MODE",
        **changed,
    }


def reversal(coupon: dict[str, Any], number: str) -> dict[str, Any]:
    content = redemption(coupon, number)
    del content["trade_channel"]
    return content


def question(coupon: dict[str, Any]) -> dict[str, Any]:
    return {"activity_id": coupon["activity_id"], "voucher_code": coupon["code"], "user_id": coupon["user_id"]}


def status(answer: dict[str, Any]) -> str:
    return str(answer["user_voucher_base_info"]["voucher_status"])


def secret(file: str, *, kind: serialization.PrivateFormat) -> bytes:
    key = serialization.load_pem_private_key(Path(file).read_bytes(), password=None)
    return key.private_bytes(serialization.Encoding.PEM, kind, serialization.NoEncryption())


def body_of(pem: bytes) -> str:
    return "".join(pem.decode().split("\n")[1:-2])


# -- alipay-sdk-python ------------------------------------------------------------------------------------------------


def official(sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch, **changed: Any) -> Any:
    """``alipay-sdk-python``. It talks to port 80 whatever the URL says, so its connections go to the sandbox's port."""
    config_module = pytest.importorskip("alipay.aop.api.AlipayClientConfig")
    client_module = pytest.importorskip("alipay.aop.api.DefaultAlipayClient")
    web = pytest.importorskip("alipay.aop.api.util.WebUtils")
    section = told(sandbox)
    port = urlsplit(section["gateway_url"]).port

    class ToSandbox(http.client.HTTPConnection):
        def __init__(self, host: str, port: int, timeout: float) -> None:
            assert port == 80
            super().__init__(host=host, port=sandbox_port, timeout=timeout)

    sandbox_port = port
    monkeypatch.setattr(web.httplib, "HTTPConnection", ToSandbox)
    config = config_module.AlipayClientConfig()
    config.server_url = "http://127.0.0.1/gateway.do"
    config.app_id = section["app_id"]
    pkcs1 = serialization.PrivateFormat.TraditionalOpenSSL
    config.app_private_key = body_of(secret(section["app_private_key_file"], kind=pkcs1))
    config.alipay_public_key = body_of(Path(section["alipay_public_key_file"]).read_bytes())
    for name, value in changed.items():
        setattr(config, name, value)
    return client_module.DefaultAlipayClient(alipay_client_config=config)


def official_run(client: Any) -> Run:
    classes = {
        f"{FAMILY}.use": "AlipayMarketingActivityOrdervoucherUse",
        f"{FAMILY}.refund": "AlipayMarketingActivityOrdervoucherRefund",
        QUERY: "AlipayMarketingActivityUserQueryvoucher",
        "alipay.trade.query": "AlipayTradeQuery",
    }

    def run(method: str, content: dict[str, Any]) -> dict[str, Any]:
        name = classes[method]
        request = getattr(pytest.importorskip(f"alipay.aop.api.request.{name}Request"), f"{name}Request")()
        request.biz_content = content
        answer: dict[str, Any] = json.loads(client.execute(request))
        return answer

    return run


@pytest.mark.parametrize(("charset", "sign_type"), [("utf-8", "RSA2"), ("gbk", "RSA2"), ("utf-8", "RSA")])
def test_official_python_redeems_repeats_and_reverses(
    sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch, charset: str, sign_type: str
) -> None:
    if sign_type == "RSA":
        # Its verification takes the digest's name from the signature, so SHA-1 answers verify as well.
        run = official_run(official(sandbox, monkeypatch, charset=charset, sign_type=sign_type))
    else:
        run = official_run(official(sandbox, monkeypatch, charset=charset))
    coupon = issue(sandbox)
    content = redemption(coupon, "USE1", voucher_use_detail_info={"voucher_use_times": 1})
    first = run(f"{FAMILY}.use", content)
    assert (first["code"], first["voucher_use_detail_result_info"]) == ("10000", {"voucher_max_un_use_times": 0})
    assert run(f"{FAMILY}.use", content) == first
    assert run(f"{FAMILY}.use", redemption(coupon, "USE2"))["sub_code"] == "BIZ_ERROR"
    assert status(run(QUERY, question(coupon))) == "USED"
    assert run(f"{FAMILY}.refund", reversal(coupon, "BACK1"))["code"] == "10000"
    assert status(run(QUERY, question(coupon))) == "SENDED"


def test_official_python_reads_chinese_in_gbk(sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch) -> None:
    run = official_run(official(sandbox, monkeypatch, charset="gbk"))
    coupon = issue(sandbox)
    assert run(QUERY, question(coupon))["user_voucher_base_info"]["voucher_name"] == "联通电子券"


def test_official_python_refuses_a_forged_answer_though_the_coupon_is_used(
    sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = official_run(official(sandbox, monkeypatch))
    coupon = issue(sandbox)
    for kind in ("bad_signature", "wrong_serial", "stale_timestamp"):
        sandbox.control.add_fault("alipay", kind, match=f"{FAMILY}.use")
        with pytest.raises(Exception, match="verify failed"):
            run(f"{FAMILY}.use", redemption(coupon, "USE1"))
    assert status(run(QUERY, question(coupon))) == "USED"
    assert run(f"{FAMILY}.use", redemption(coupon, "USE1"))["code"] == "10000"


def test_official_python_that_signs_with_another_key_is_shown_what_should_have_been_signed(
    sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    run = official_run(official(sandbox, monkeypatch, app_private_key=body_of(other)))
    answer = run(QUERY, question(issue(sandbox)))
    assert (answer["code"], answer["sub_code"]) == ("40002", "isv.invalid-signature")
    assert "biz_content={&quot;activity_id&quot;:" in answer["sub_msg"]


def test_official_python_with_an_unknown_application_gets_nothing_signed(
    sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = official_run(official(sandbox, monkeypatch, app_id="2021000000000000"))
    with pytest.raises(Exception, match="shape maybe illegal"):
        run(QUERY, question(issue(sandbox)))


def test_official_python_logs_a_user_in_once(sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch) -> None:
    client = official(sandbox, monkeypatch)
    module = pytest.importorskip("alipay.aop.api.request.AlipaySystemOauthTokenRequest")
    login = sandbox.control.deliver("alipay", kind="login", holder="2088000000000123")
    request = module.AlipaySystemOauthTokenRequest()
    request.grant_type = "authorization_code"
    request.code = login["auth_code"]
    answer = json.loads(client.execute(request))
    assert (answer["user_id"], "code" in answer) == ("2088000000000123", False)
    assert json.loads(client.execute(request))["sub_code"] == "isv.code-invalid"


# -- python-alipay-sdk ------------------------------------------------------------------------------------------------


@pytest.fixture(params=["public_key", "certificate"])
def community(request: pytest.FixtureRequest, sandbox: SandboxServer) -> Any:
    return community_client(sandbox, mode=request.param)


def community_client(sandbox: SandboxServer, *, mode: str) -> Any:
    alipay = pytest.importorskip("alipay")
    if not hasattr(alipay, "DCAliPay"):
        pytest.skip("python-alipay-sdk is not installed")
    section = told(sandbox)

    def read(name: str) -> str:
        return Path(section[name]).read_text(encoding="ascii")

    key = {"appid": section["app_id"], "app_private_key_string": read("app_private_key_file")}
    if mode == "certificate":
        client = alipay.DCAliPay(
            **key,
            app_public_key_cert_string=read("app_cert_file"),
            alipay_public_key_cert_string=read("alipay_cert_file"),
            alipay_root_cert_string=read("alipay_root_cert_file"),
        )
    else:
        client = alipay.AliPay(**key, alipay_public_key_string=read("alipay_public_key_file"))
    client._gateway = section["gateway_url"]
    return client


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_community_python_redeems_repeats_and_reverses(community: Any, sandbox: SandboxServer) -> None:
    coupon = issue(sandbox)
    first = community.server_api(f"{FAMILY}.use", redemption(coupon, "USE1"))
    assert first["code"] == "10000"
    assert community.server_api(f"{FAMILY}.use", redemption(coupon, "USE1")) == first
    assert community.server_api(f"{FAMILY}.use", redemption(coupon, "USE2"))["sub_code"] == "BIZ_ERROR"
    assert status(community.server_api(QUERY, question(coupon))) == "USED"
    assert community.server_api(f"{FAMILY}.refund", reversal(coupon, "BACK1"))["code"] == "10000"
    assert status(community.server_api(QUERY, question(coupon))) == "SENDED"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_community_python_refuses_a_forged_answer(community: Any, sandbox: SandboxServer) -> None:
    alipay = pytest.importorskip("alipay.exceptions")
    coupon = issue(sandbox)
    sandbox.control.add_fault("alipay", "bad_signature", match=f"{FAMILY}.use")
    with pytest.raises(alipay.AliPayValidationError):
        community.server_api(f"{FAMILY}.use", redemption(coupon, "USE1"))
    assert community.server_api(f"{FAMILY}.use", redemption(coupon, "USE1"))["code"] == "10000"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_community_python_reads_an_error_on_demand(community: Any, sandbox: SandboxServer) -> None:
    coupon = issue(sandbox)
    sandbox.control.add_fault("alipay", "error", match=f"{FAMILY}.use", code="SYSTEM_ERROR")
    answer = community.server_api(f"{FAMILY}.use", redemption(coupon, "USE1"))
    assert (answer["code"], answer["sub_code"]) == ("40004", "SYSTEM_ERROR")
    assert community.server_api(f"{FAMILY}.use", redemption(coupon, "USE1"))["code"] == "10000"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_community_python_pays_refunds_and_verifies_the_notifies(
    community: Any, sandbox: SandboxServer, merchant: Merchant
) -> None:
    code = sandbox.control.deliver("alipay", kind="payment_code")["auth_code"]
    paid = community.api_alipay_trade_pay(
        "ORD1", "bar_code", code, "联通营业厅", notify_url=merchant.url, total_amount="9.90"
    )
    assert (paid["code"], paid["receipt_amount"]) == ("10000", "9.90")
    assert community.api_alipay_trade_query(out_trade_no="ORD1")["trade_status"] == "TRADE_SUCCESS"
    back = community.api_alipay_trade_refund("4.00", out_trade_no="ORD1", out_request_no="R1")
    assert (back["fund_change"], back["refund_fee"]) == ("Y", "4.00")
    again = community.api_alipay_trade_refund("4.00", out_trade_no="ORD1", out_request_no="R1")
    assert (again["fund_change"], again["refund_fee"]) == ("N", "4.00")
    sandbox.control.deliver_notifications()
    notifies = [dict(parse_qsl(body, strict_parsing=True)) for body in merchant.received]
    assert sorted(one.get("refund_fee", "") for one in notifies) == ["", "4.00"]
    for one in notifies:
        sign = one.pop("sign")
        assert community.verify(dict(one), sign)
        assert not community.verify({**one, "total_amount": "0.01"}, sign)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_community_python_verifies_the_message_of_a_receipt(
    community: Any, sandbox: SandboxServer, merchant: Merchant
) -> None:
    sandbox.control.register_callback("alipay", merchant.url)
    coupon = issue(sandbox)
    sandbox.control.deliver_notifications()
    message = dict(parse_qsl(merchant.received[0], strict_parsing=True))
    sign = message.pop("sign")
    assert message["msg_method"] == "alipay.marketing.activity.message.received"
    assert json.loads(message["biz_content"])["voucher_code"] == coupon["code"]
    assert community.verify(message, sign)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_community_python_downloads_the_new_certificate_after_a_rotation() -> None:
    exceptions = pytest.importorskip("alipay.exceptions")
    with SandboxServer(emulators={"alipay": AlipayEmulator}) as own:
        by_certificate = community_client(own, mode="certificate")
        by_key = community_client(own, mode="public_key")
        coupon = issue(own)
        own.control.rotate_keys("alipay", "alipay_certificate_new")
        assert status(by_key.server_api(QUERY, question(coupon))) == "SENDED"
        with pytest.raises(exceptions.AliPayValidationError):
            by_certificate.server_api(QUERY, question(coupon))
        renewed = community_client(own, mode="certificate")
        assert status(renewed.server_api(QUERY, question(coupon))) == "SENDED"
        serial = renewed.get_cert_sn(renewed._alipay_public_key_cert_string)
        answer = renewed.server_api("alipay.open.app.alipaycert.download", {"alipay_cert_sn": serial})
        content = base64.b64decode(answer["alipay_cert_content"]).decode()
        assert content == renewed._alipay_public_key_cert_string


# -- alipay-sdk (Node) ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def node_modules() -> Path:
    return node_modules_of(NODE_SDK)


@pytest.fixture(params=["public_key", "certificate"])
def node(request: pytest.FixtureRequest, sandbox: SandboxServer, node_modules: Path) -> Any:
    section = told(sandbox) | {"mode": request.param}

    def run(*steps: dict[str, Any]) -> list[dict[str, Any]]:
        """Each step is a classic call, a v3 call, or a notify to verify."""
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


@pytest.mark.parametrize("encrypted", [False, True])
def test_node_redeems_repeats_reverses_and_queries(node: Any, sandbox: SandboxServer, *, encrypted: bool) -> None:
    coupon = issue(sandbox)

    def call(method: str, content: dict[str, Any]) -> dict[str, Any]:
        return {"method": method, "content": content, "encrypted": encrypted}

    results = node(
        call(f"{FAMILY}.use", redemption(coupon, "USE1")),
        call(f"{FAMILY}.use", redemption(coupon, "USE1")),
        call(f"{FAMILY}.use", redemption(coupon, "USE2")),
        call(QUERY, question(coupon)),
        call(f"{FAMILY}.refund", reversal(coupon, "BACK1")),
        call(QUERY, question(coupon)),
    )
    assert all("data" in one for one in results), results
    answers = [one["data"] for one in results]
    assert [one["code"] for one in answers] == ["10000", "10000", "40004", "10000", "10000", "10000"]
    assert answers[0]["voucher_use_detail_result_info"] == answers[1]["voucher_use_detail_result_info"]
    assert answers[2]["sub_code"] == "BIZ_ERROR"
    assert [status(answers[3]), status(answers[5])] == ["USED", "SENDED"]


@pytest.mark.parametrize("kind", ["bad_signature", "wrong_serial", "stale_timestamp"])
def test_node_refuses_a_forged_answer(node: Any, sandbox: SandboxServer, kind: str) -> None:
    sandbox.control.add_fault("alipay", kind)
    coupon = issue(sandbox)
    step = {"method": f"{FAMILY}.use", "content": redemption(coupon, "USE1")}
    first, second = node(step, step)
    assert "error" in first, first
    assert second["data"]["code"] == "10000", second


def test_node_speaks_v3(node: Any, sandbox: SandboxServer) -> None:
    coupon = issue(sandbox)
    path = f"/v3/alipay/marketing/ordervoucher/activity/{coupon['activity_id']}/voucher/{quote(coupon['code'])}"
    content = redemption(coupon, "USE1")
    del content["activity_id"], content["voucher_code"]
    used, again, refused, read = node(
        {"verb": "POST", "path": f"{path}/use", "options": {"body": content}},
        {"verb": "POST", "path": f"{path}/use", "options": {"body": content}},
        {"verb": "POST", "path": f"{path}/use", "options": {"body": content | {"out_biz_no": "USE2"}}},
        {
            "verb": "GET",
            "path": "/v3/alipay/marketing/activity/ordervoucher/user/voucher",
            "options": {"query": question(coupon)},
        },
    )
    assert used["data"]["voucher_use_detail_result_info"] == {"voucher_max_un_use_times": 0}, used
    assert again["data"] == used["data"]
    assert "BIZ_ERROR" in refused["error"], refused
    assert status(read["data"]) == "USED"


def test_node_refuses_a_forged_answer_of_v3(node: Any, sandbox: SandboxServer) -> None:
    sandbox.control.add_fault("alipay", "bad_signature")
    step = {
        "verb": "GET",
        "path": "/v3/alipay/marketing/activity/ordervoucher/user/voucher",
        "options": {"query": question(issue(sandbox))},
    }
    first, second = node(step, step)
    assert "error" in first, first
    assert status(second["data"]) == "SENDED"


def test_node_verifies_a_notify(node: Any, sandbox: SandboxServer, merchant: Merchant) -> None:
    sandbox.control.order("alipay", amount_fen=1000, notify_url=merchant.url)
    sandbox.control.deliver_notifications()
    notify = dict(parse_qsl(merchant.received[0], strict_parsing=True))
    good, forged = node({"notify": notify}, {"notify": notify | {"total_amount": "0.01"}})
    assert (good["verified"], forged["verified"]) == (True, False)
