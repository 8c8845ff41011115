"""Who the user is: login codes for tokens, shared facts, and the phone number of a mini-program (sheet §5.2)."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any, Final

from unicom_coupon_adapters.alipay.emulation.answers import json_text
from unicom_coupon_adapters.alipay.emulation.canonical import signature
from unicom_coupon_adapters.alipay.emulation.moments import moment_of, moment_text
from unicom_coupon_adapters.alipay.emulation.refusals import Refusal
from unicom_coupon_adapters.alipay.emulation.sealing import sealed
from unicom_coupon_adapters.alipay.emulation.world import Call, Person, Reply, Route, World

CODE_LIFE: Final = timedelta(minutes=5)
TOKEN_LIFE: Final = timedelta(days=15)
_REFRESH_LIFE: Final = timedelta(days=30)
PHONE_ERRORS: Final = {
    "isv.missing-encrypt-key": ("40001", "Missing Required Arguments", "缺少加密配置"),
    "isv.invalid-auth-relations": ("40003", "Insufficient Conditions", "无效的授权关系"),
    "isv.insufficient-isv-permissions": ("40006", "Insufficient Permissions", "ISV权限不足"),
    "aop.unknow-error": ("20000", "Service Currently Unavailable", "服务暂不可用"),
}
"""What ``my.getPhoneNumber`` may hand over instead of a number: code and texts by sub-code."""


def mint_login_code(world: World, person: Person) -> str:
    """What ``my.getAuthCode`` gives in the user's session: one use, five minutes."""
    code = world.hexadecimal(32)
    until = moment_text(world.now() + CODE_LIFE)
    world.store.put("login-code", code, {**person.names, "until": until, "used": False})
    return code


def token(call: Call) -> Reply:
    """``alipay.system.oauth.token``: a login code or a refresh token for the user's names and a token."""
    fields = call.fields()
    grant = fields.text("grant_type")
    if grant == "authorization_code":
        code = fields.text("code", longest=64) or ""
        kept = call.store.get("login-code", code)
        if kept is None or kept["used"] or call.world.now() > moment_of(kept["until"]):
            raise Refusal("isv.code-invalid", "授权码code无效")
        call.store.put("login-code", code, kept | {"used": True})
    elif grant == "refresh_token":
        refresh = fields.text("refresh_token", longest=64) or ""
        kept = call.store.get("refresh-token", refresh)
        if kept is None:
            raise Refusal("isv.refresh-token-invalid", "刷新令牌refresh_token无效")
        if call.world.now() > moment_of(kept["until"]):
            raise Refusal("isv.refresh-token-time-out", "刷新令牌refresh_token过期")
        call.store.delete("refresh-token", refresh)
    else:
        raise Refusal("isv.grant-type-invalid", "授权方式错误")
    return _tokens(call.world, Person(kept["user_id"], kept["open_id"]))


def share(call: Call) -> Reply:
    """``alipay.user.info.share``: what the user has granted, here their names and nickname."""
    kept = call.store.get("access-token", call.fields().text("auth_token", longest=64) or "")
    if kept is None or call.world.now() > moment_of(kept["until"]):
        raise Refusal("aop.invalid-auth-token", "无效的访问令牌")
    return {"user_id": kept["user_id"], "open_id": kept["open_id"], "nick_name": "沙箱用户"}


def phone_payload(world: World, *, phone: str | None, error: str | None = None) -> dict[str, Any]:
    """What ``my.getPhoneNumber`` hands to the front end: the encrypted number and its signature, or a plain failure.

    The signature is over the ciphertext with quotes around it. Raises ``ValueError`` for an unknown ``error``.
    """
    if error is not None:
        if error not in PHONE_ERRORS:
            raise ValueError(f"error must be one of {', '.join(PHONE_ERRORS)}")
        code, msg, text = PHONE_ERRORS[error]
        return {"response": json_text({"code": code, "msg": msg, "subCode": error, "subMsg": text})}
    if phone is None or not re.fullmatch(r"1[0-9]{10}|[0-9]{1,4}-[0-9]{4,14}", phone):
        raise ValueError("phone must be 11 digits, or a country code, a hyphen and digits")
    plain = json_text({"code": "10000", "msg": "Success", "mobile": phone})
    response = sealed(plain.encode(), key=world.keys.content_keys()[0])
    return {
        "response": response,
        "sign": signature(f'"{response}"'.encode(), key=world.keys.news_key()),
        "sign_type": "RSA2",
        "encrypt_type": "AES",
        "charset": "UTF-8",
    }


def _tokens(world: World, person: Person) -> Reply:
    now = world.now()
    access, refresh = f"authusr{world.hexadecimal(33)}", f"authusr{world.hexadecimal(33)}"
    world.store.put("access-token", access, {**person.names, "until": moment_text(now + TOKEN_LIFE)})
    world.store.put("refresh-token", refresh, {**person.names, "until": moment_text(now + _REFRESH_LIFE)})
    return {
        "user_id": person.user_id,
        "open_id": person.open_id,
        "access_token": access,
        "expires_in": str(int(TOKEN_LIFE.total_seconds())),
        "refresh_token": refresh,
        "re_expires_in": str(int(_REFRESH_LIFE.total_seconds())),
        "auth_start": world.now_text(),
    }


ROUTES: Final = (
    Route("alipay.system.oauth.token", token, flat=True, codeless=True),
    Route("alipay.user.info.share", share, flat=True),
)
