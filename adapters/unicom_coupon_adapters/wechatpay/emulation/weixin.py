"""The WeChat (not Pay) calls on the same host: who logged in, access tokens, SOTER verdicts (sheet §5).

They answer 200 with ``errcode`` always and are not signed. What a phone would make is made by the control API: a
login code for an openid, a SOTER result with its verdict. The platform alone can check a SOTER signature, so the
verdict is kept with the exact texts, and anything else is not confirmed.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final
from urllib.parse import parse_qsl

from unicom_coupon_adapters.wechatpay.emulation.answers import json_bytes, unsigned
from unicom_coupon_adapters.wechatpay.emulation.platform_keys import APPID
from unicom_coupon_adapters.wechatpay.emulation.world import World, moment_of, moment_text
from unicom_coupon_sdk.platform.wire import HttpAnswer
from unicom_coupon_sdk.sandbox.emulator import Received

TOKEN_LIFE: Final = timedelta(seconds=7200)
_TOKEN_OVERLAP: Final = timedelta(seconds=300)
_CODE_LIFE: Final = timedelta(minutes=5)
_FORCED_A_DAY: Final = 20

ERRORS: Final[Mapping[int, str]] = {
    40001: "invalid credential, access_token is invalid or not latest",
    40002: "invalid grant_type",
    40003: "invalid openid",
    40013: "invalid appid",
    40029: "invalid code",
    40066: "invalid url",
    40125: "invalid appsecret",
    40163: "code been used",
    41001: "access_token missing",
    42001: "access_token expired",
    43002: "require POST method",
    45009: "reach max api daily quota limit",
    45011: "api minute-quota reach limit, must slower, retry next minute",
    47001: "data format error",
    -1: "system error",
}


def is_weixin(path: str) -> bool:
    """Whether the path belongs to these calls."""
    return path.startswith(("/sns/", "/cgi-bin/"))


def serve(world: World, request: Received) -> HttpAnswer:
    """The answer, whatever was sent."""
    query = dict(parse_qsl(request.query, keep_blank_values=True))
    told: Mapping[str, Any]
    if request.path == "/sns/jscode2session":
        told = _session(world, query)
    elif request.path == "/cgi-bin/token":
        told = _token(world, query, force=False)
    elif request.path not in {"/cgi-bin/stable_token", "/cgi-bin/soter/verify_signature"}:
        told = error(40066)
    elif request.method.upper() != "POST":
        told = error(43002)
    else:
        told = _posted(world, request, query)
    return finished(world, told)


def finished(world: World, told: Mapping[str, Any]) -> HttpAnswer:
    """``told`` as these calls answer: 200, JSON, unsigned."""
    return unsigned(world, 200, json_bytes(told), content_type="application/json; encoding=utf-8")


def error(code: int) -> dict[str, Any]:
    """The error body of ``code``."""
    return {"errcode": code, "errmsg": ERRORS.get(code, "error")}


def mint_login_code(world: World, openid: str) -> str:
    """What ``wx.login`` would hand the mini-program: good once, for five minutes."""
    code = "0" + world.hexadecimal(31)
    until = moment_text(world.now() + _CODE_LIFE)
    world.store.put("login", code, {"openid": openid, "until": until, "used": False})
    return code


def mint_soter(world: World, *, openid: str, challenge: str, mode: str, confirmed: bool) -> dict[str, Any]:
    """What ``wx.startSoterAuthentication`` would hand the mini-program, with the verdict it will get.

    The device is the openid's own: its counter grows from use to use.
    """
    device = world.store.get("soter-device", openid) or {"counter": 0, "cpu_id": world.hexadecimal(32)}
    device["counter"] += 1
    world.store.put("soter-device", openid, device)
    result = {
        "raw": challenge,
        "fid": "1" if mode == "fingerPrint" else "",
        "counter": device["counter"],
        "tee_n": "TrustKernel",
        "tee_v": "1.0",
        "fp_n": "sandbox",
        "fp_v": "1.0",
        "cpu_id": device["cpu_id"],
        "uid": "10042",
    }
    text = json.dumps(result, ensure_ascii=False, separators=(",", ":"))
    signature = base64.b64encode(world.frame.random_bytes(256)).decode()
    world.store.put("soter", _soter_key(openid, text, signature), {"is_ok": confirmed})
    return {"authMode": mode, "resultJSON": text, "resultJSONSignature": signature, "errCode": 0, "errMsg": "ok"}


def _session(world: World, query: Mapping[str, str]) -> dict[str, Any]:
    if query.get("grant_type") not in {None, "authorization_code"}:
        return error(40002)
    wrong = _wrong_secret(world, query)
    if wrong is not None:
        return error(wrong)
    kept = world.store.get("login", query.get("js_code", ""))
    if kept is None or world.now() > moment_of(kept["until"]):
        return error(40029)
    if kept["used"]:
        return error(40163)
    world.store.put("login", query["js_code"], kept | {"used": True})
    return {"openid": kept["openid"], "session_key": base64.b64encode(world.frame.random_bytes(16)).decode()}


def _posted(world: World, request: Received, query: Mapping[str, str]) -> dict[str, Any]:
    try:
        body = json.loads(request.content.decode("utf-8"))
    except (ValueError, RecursionError):
        return error(47001)
    if not isinstance(body, dict):
        return error(47001)
    if request.path == "/cgi-bin/stable_token":
        return _token(world, body, force=body.get("force_refresh") is True)
    return _verdict(world, query, body)


def _token(world: World, asked: Mapping[str, Any], *, force: bool) -> dict[str, Any]:
    """A token for two hours, the same until five minutes before its end; ``force`` makes a new one."""
    if asked.get("grant_type") != "client_credential":
        return error(40002)
    wrong = _wrong_secret(world, asked)
    if wrong is not None:
        return error(wrong)
    now = world.now()
    kept = world.store.get("access-token", APPID)
    left = moment_of(kept["until"]) - now if kept else timedelta()
    if kept is not None and not force and left > _TOKEN_OVERLAP:
        return {"access_token": kept["token"], "expires_in": int(left.total_seconds())}
    forced = world.store.get("access-token-forced", world.today().isoformat()) or {"count": 0}
    if force:
        if forced["count"] >= _FORCED_A_DAY:
            return error(45009)
        world.store.put("access-token-forced", world.today().isoformat(), {"count": forced["count"] + 1})
    token = f"{world.store.next_number('access-token')}_" + world.hexadecimal(120)
    # A token that runs out stays good beside its successor for those last minutes; a forced one ends the old at once.
    old = {"token": kept["token"], "until": kept["until"]} if kept and not force else None
    world.store.put("access-token", APPID, {"token": token, "until": moment_text(now + TOKEN_LIFE), "old": old})
    return {"access_token": token, "expires_in": int(TOKEN_LIFE.total_seconds())}


def _verdict(world: World, query: Mapping[str, str], body: Mapping[str, Any]) -> dict[str, Any]:
    refused = _bad_token(world, query.get("access_token"))
    if refused is not None:
        return error(refused)
    openid, text, signature = (body.get(name) for name in ("openid", "json_string", "json_signature"))
    if not isinstance(openid, str) or not openid:
        return error(40003)
    if not isinstance(text, str) or not isinstance(signature, str):
        return error(47001)
    kept = world.store.get("soter", _soter_key(openid, text, signature))
    return {"errcode": 0, "errmsg": "ok", "is_ok": bool(kept and kept["is_ok"])}


def _bad_token(world: World, token: str | None) -> int | None:
    if not token:
        return 41001
    kept = world.store.get("access-token", APPID)
    if kept is None:
        return 40001
    for known in (kept, kept.get("old")):
        if known and hmac.compare_digest(known["token"].encode(), token.encode()):
            return None if world.now() <= moment_of(known["until"]) else 42001
    return 40001


def _wrong_secret(world: World, asked: Mapping[str, Any]) -> int | None:
    if asked.get("appid") != APPID:
        return 40013
    secret = asked.get("secret")
    if not isinstance(secret, str) or not hmac.compare_digest(secret.encode(), world.keys.app_secret().encode()):
        return 40125
    return None


def _soter_key(openid: str, text: str, signature: str) -> str:
    return hashlib.sha256(f"{openid}\n{text}\n{signature}".encode("utf-8", "surrogatepass")).hexdigest()
