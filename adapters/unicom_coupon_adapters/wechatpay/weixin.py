"""The mini-program's own server API on ``api.weixin.qq.com``: who is logged in, and is a device's verdict genuine.

These answers carry no signature; the proof is TLS to the fixed host. They change nothing at WeChat Pay, so a lost
answer is "try again", never unknown. A login code is good for one exchange, so that call is never repeated.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import pydantic_core

from unicom_coupon_adapters.wechatpay.compliance import SHIM
from unicom_coupon_adapters.wechatpay.settings import WechatPaySettings
from unicom_coupon_sdk.domain.sensitive import Secret
from unicom_coupon_sdk.errors import (
    ConfigurationError,
    CouponError,
    PlatformUnavailable,
    PlatformUnknown,
    RiskError,
    VerificationError,
)
from unicom_coupon_sdk.platform.effects import Flow, HttpCall, Now
from unicom_coupon_sdk.platform.retry import GENTLE, repeating
from unicom_coupon_sdk.platform.wire import Headers, HttpRequest, TransportRules

PLATFORM = "wechatpay"
_MARGIN = timedelta(minutes=5)
_STALE_TOKEN = frozenset({40001, 40014, 42001})
_LATER = frozenset({-1, 45009, 45011})


class MiniProgram:
    """Calls of one mini-program. Keeps an access token until shortly before its end; no other state."""

    def __init__(self, settings: WechatPaySettings, *, secret: Secret | None) -> None:
        self._appid = settings.appid
        self._secret = secret
        self._base = settings.weixin_base_url.rstrip("/")
        self._rules = TransportRules(allowed_hosts=frozenset({urlsplit(self._base).hostname or ""}))
        self._token: tuple[str, datetime] | None = None

    def openid_of(self, login_code: Secret) -> Flow[str]:
        """The openid of who made ``login_code`` with ``wx.login``.

        Raises ``VerificationError`` for a code that is used, stale or not of this appid, ``RiskError`` for a user whom
        WeChat blocks, ``PlatformUnavailable``, ``ConfigurationError`` when the secret is missing or wrong.
        """
        query = {
            "appid": self._appid,
            "secret": self._need_secret(),
            "js_code": login_code.reveal(),
            "grant_type": "authorization_code",
        }
        SHIM.outgoing(query)
        answer = yield from self._ask("GET", f"/sns/jscode2session?{urlencode(query, quote_via=quote)}")
        openid = answer.get("openid")
        if isinstance(openid, str) and openid:
            return openid
        raise _refusal(answer, default="wechatpay.login_code")

    def is_genuine(self, *, openid: str, result_json: Secret, signature: Secret) -> Flow[bool]:
        """Whether a device of ``openid`` signed ``result_json``, taken verbatim (SOTER, sheet 5).

        Raises ``PlatformUnavailable``, ``ConfigurationError``.
        """
        body = {"openid": openid, "json_string": result_json.reveal(), "json_signature": signature.reveal()}
        content = pydantic_core.to_json(dict(SHIM.outgoing(body)))
        answer: Mapping[str, Any] = {}
        for is_last in (False, True):
            token = yield from self._access_token()
            target = f"/cgi-bin/soter/verify_signature?access_token={quote(token, safe='')}"
            answer = yield from repeating(lambda _, to=target: self._ask("POST", to, content), GENTLE)  # type: ignore[misc]
            if answer.get("errcode") not in _STALE_TOKEN or is_last:
                break
            self._token = None
        code = answer.get("errcode", 0)
        if code in _LATER or code in _STALE_TOKEN:
            raise _refusal(answer, default="wechatpay.weixin_busy")
        return code == 0 and answer.get("is_ok") is True

    def sign_in(self) -> Flow[None]:
        """Get an access token, which proves appid, secret and host. Raises like ``is_genuine``."""
        yield from self._access_token()

    def _access_token(self) -> Flow[str]:
        now = yield from Now()
        kept = self._token
        if kept is not None and now < kept[1]:
            return kept[0]
        body = {"grant_type": "client_credential", "appid": self._appid, "secret": self._need_secret()}
        content = pydantic_core.to_json(dict(SHIM.outgoing(body)))
        answer = yield from repeating(lambda _: self._ask("POST", "/cgi-bin/stable_token", content), GENTLE)
        token, lifetime = answer.get("access_token"), answer.get("expires_in")
        if not isinstance(token, str) or not isinstance(lifetime, int):
            raise _refusal(answer, default="wechatpay.weixin_busy")
        self._token = (token, now + max(timedelta(seconds=lifetime) - _MARGIN, timedelta(seconds=lifetime / 2)))
        return token

    def _need_secret(self) -> str:
        if self._secret is None:
            raise ConfigurationError("wechatpay.app_secret_missing", field="app_secret", platform=PLATFORM)
        return self._secret.reveal()

    def _ask(self, method: str, target: str, content: bytes = b"") -> Flow[Mapping[str, Any]]:
        headers: Headers = (("Accept", "application/json"), ("User-Agent", "unicom-coupon-sdk"))
        if content:
            headers += (("Content-Type", "application/json"),)
        try:
            answer = yield from HttpCall(HttpRequest(method, self._base + target, headers, content), self._rules)
        except PlatformUnknown as error:
            raise PlatformUnavailable("wechatpay.weixin_busy", platform=PLATFORM, reason=error.code) from error
        try:
            found = pydantic_core.from_json(answer.content)
        except ValueError:
            found = None
        if answer.status != 200 or not isinstance(found, dict):
            raise PlatformUnavailable("wechatpay.weixin_busy", platform=PLATFORM, reason=f"HTTP {answer.status}")
        return found


def _refusal(answer: Mapping[str, Any], *, default: str) -> CouponError:
    """The error behind an ``errcode``; the text beside it is not kept, it may repeat what was sent."""
    code = answer.get("errcode")
    told = str(code) if isinstance(code, int) else None
    if code in _LATER or code in _STALE_TOKEN:
        return PlatformUnavailable("wechatpay.weixin_busy", platform=PLATFORM, platform_code=told, reason="errcode")
    if code in {40013, 40125, 41002, 41004}:
        return ConfigurationError("wechatpay.app_secret", field="app_secret", platform=PLATFORM, platform_code=told)
    if code == 40226:
        return RiskError("wechatpay.user_blocked", field="proof", platform=PLATFORM, platform_code=told)
    if default == "wechatpay.weixin_busy":
        return PlatformUnavailable(default, platform=PLATFORM, platform_code=told, reason="errcode")
    return VerificationError(default, field="proof", platform=PLATFORM, platform_code=told)
