"""Answers as the platform writes them: JSON bytes, its headers in its case, signed.

Sheet §1.1 and §1.4, checklist 1, 4 and 5. The message is ``timestamp LF nonce LF body LF`` over the very bytes that
go out; errors are signed as well, which the sheet calls harmless. Faults of the signature are made here too, from a
finished answer, so that the platform has acted and only its proof is spoiled.
Length and date are the frame's.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from unicom_coupon_adapters.wechatpay.emulation.platform_keys import PUBLIC_KEY_ID, PlatformSigner
from unicom_coupon_adapters.wechatpay.emulation.refusals import Refusal
from unicom_coupon_adapters.wechatpay.emulation.world import World
from unicom_coupon_sdk.platform.wire import Headers, HttpAnswer
from unicom_coupon_sdk.sandbox.emulator import Received

SIGNATURE_TYPE: Final = "WECHATPAY2-SHA256-RSA2048"
PROBE_PREFIX: Final = "WECHATPAY/SIGNTEST/"
JSON_TYPE: Final = "application/json; charset=utf-8"
STALE_BY_S: Final = 360


def language_of(request: Received) -> str:
    """``en`` or ``zh-CN``/``zh-HK``/``zh-TW`` by ``Accept-Language``; ``zh-CN`` by default."""
    wanted = (request.header("Accept-Language") or "").partition(",")[0].partition(";")[0].strip().lower()
    if wanted.startswith("en"):
        return "en"
    return {"zh-hk": "zh-HK", "zh-tw": "zh-TW"}.get(wanted, "zh-CN")


def json_bytes(value: Mapping[str, Any]) -> bytes:
    """Compact UTF-8."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def success(world: World, request: Received, reply: Mapping[str, Any] | None) -> HttpAnswer:
    """200 with JSON, or 204 without a body for ``None``; signed with the key the request named."""
    content = b"" if reply is None else json_bytes(reply)
    return _answer(world, request, 204 if reply is None else 200, content, tail=0)


def refusal(world: World, request: Received, told: Refusal) -> HttpAnswer:
    """The error answer: ``code`` and ``message`` always, ``detail`` where there is one (sheet §6)."""
    value: dict[str, Any] = {"code": told.code, "message": told.message(language_of(request))}
    if told.detail is not None:
        value["detail"] = dict(told.detail)
    return _answer(world, request, told.status, json_bytes(value), tail=told.tail)


def unsigned(world: World, status: int, content: bytes, *, content_type: str) -> HttpAnswer:
    """An answer without signature headers: files and the WeChat (not Pay) calls."""
    headers = (
        ("Server", "nginx"),
        ("Content-Type", content_type),
        ("Cache-Control", "no-cache, must-revalidate"),
        ("X-Content-Type-Options", "nosniff"),
        ("Request-ID", f"{world.hexadecimal(32).upper()}-0"),
    )
    return HttpAnswer(status, headers, content)


def signature_headers(content: bytes, *, signer: PlatformSigner, world: World, age_s: int = 0) -> Headers:
    """The five headers over ``content``, as of ``age_s`` seconds ago."""
    timestamp = str(int((world.now() - timedelta(seconds=age_s)).timestamp()))
    nonce = world.hexadecimal(32)
    signature = signer.key.sign_sha256(f"{timestamp}\n{nonce}\n".encode() + content + b"\n")
    return (
        ("Wechatpay-Nonce", nonce),
        ("Wechatpay-Signature", base64.b64encode(signature).decode()),
        ("Wechatpay-Timestamp", timestamp),
        ("Wechatpay-Serial", signer.serial),
        ("Wechatpay-Signature-Type", SIGNATURE_TYPE),
    )


def spoiled(world: World, kind: str, answer: HttpAnswer, *, probe: bool) -> HttpAnswer:
    """``answer`` with its proof spoiled; an unsigned one comes back as it is. Raises ``ValueError`` for other kinds."""
    serial = answer.header("Wechatpay-Serial")
    signature = answer.header("Wechatpay-Signature")
    if kind not in {"bad_signature", "wrong_serial", "stale_timestamp"}:
        raise ValueError(f"unknown fault of the signature {kind!r}")
    if serial is None or signature is None:
        return answer
    if kind == "bad_signature":
        wrong = bytes(byte ^ 0x55 for byte in base64.b64decode(signature))
        text = base64.b64encode(wrong).decode()
        return _replaced(answer, {"Wechatpay-Signature": PROBE_PREFIX + text[len(PROBE_PREFIX) :] if probe else text})
    if kind == "wrong_serial":
        other = "PUB_KEY_ID_" + world.digits(28) if serial == PUBLIC_KEY_ID else "7" + world.hexadecimal(39).upper()
        return _replaced(answer, {"Wechatpay-Serial": other})
    signer = world.keys.answer_signer(serial)
    return _replaced(answer, dict(signature_headers(answer.content, signer=signer, world=world, age_s=STALE_BY_S)))


def _answer(world: World, request: Received, status: int, content: bytes, *, tail: int) -> HttpAnswer:
    signer = world.keys.answer_signer(request.header("Wechatpay-Serial"))
    headers: Headers = (
        ("Server", "nginx"),
        *((("Content-Type", JSON_TYPE),) if content else ()),
        ("Cache-Control", "no-cache, must-revalidate"),
        ("X-Content-Type-Options", "nosniff"),
        ("Request-ID", f"{world.hexadecimal(32).upper()}-{tail}"),
        ("Content-Language", language_of(request)),
        *signature_headers(content, signer=signer, world=world),
    )
    return HttpAnswer(status, headers, content)


def _replaced(answer: HttpAnswer, changed: Mapping[str, str]) -> HttpAnswer:
    headers = tuple((name, changed.get(name, value)) for name, value in answer.headers)
    return HttpAnswer(answer.status, headers, answer.content)
