r"""Both faces on the wire: requests checked in the sheet's order (§3.10), replies signed.

CMB: HTTP and JSON, header fields, timestamp, apisign, constants, sign, decryption. ICBC: the same, where it has them.
The bank writes ``/`` in its ``biz_content`` as ``\/``, as the real one does.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final
from urllib.parse import parse_qsl

from unicom_coupon_adapters.bank.emulation.keys import APP_ID, APP_SECRET, ICBC_APP_ID, sm2_pair
from unicom_coupon_adapters.bank.emulation.refusals import Refusal
from unicom_coupon_adapters.bank.emulation.world import BEIJING, Call, World
from unicom_coupon_sdk.crypto import sm3
from unicom_coupon_sdk.crypto.sm2 import Sm2PrivateKey
from unicom_coupon_sdk.crypto.sm4 import Sm4
from unicom_coupon_sdk.errors import CouponError
from unicom_coupon_sdk.platform.wire import HttpAnswer
from unicom_coupon_sdk.sandbox.emulator import Received

PREFIX: Final = "/polypay/v1.0/"
ICBC_PREFIX: Final = "/api/unicom/"
WINDOW_S: Final = 300
JSON_TYPE: Final = (("Content-Type", "application/json;charset=UTF-8"),)
CONSTANTS: Final = (("version", "0.0.1", "VERSION_ERROR"), ("encoding", "UTF-8", "ENCODING_ERROR"),
                    ("signMethod", "02", "SIGNMETHOD_ERROR"))  # fmt: skip
_MUST_BE_SEALED: Final = {"smsCode", "mobile", "terminalInfo", "identity", "tradeAddressInfo"}
_ICBC_TO_OURS: Final = {
    "mer_id": "merId",
    "out_trade_no": "orderId",
    "order_amt": "txnAmt",
    "orig_date_time": "txnTime",
}
_OURS_TO_ICBC: Final = {**{ours: theirs for theirs, ours in _ICBC_TO_OURS.items()}, "tradeState": "status"}
_NUMBERS: Final = ("orderId", "origOrderId", "reqNo")
_STATUS: Final = {"S": "1", "F": "2", "P": "3", "R": "4"}


def face_of(path: str) -> str:
    """Which envelope a path belongs to."""
    return "icbc" if path.startswith("/api/") else "cmb"


def joined(params: Mapping[str, str]) -> str:
    """What CMB's ``sign`` is over."""
    pairs = [f"{key}={value}" for key, value in params.items() if key != "sign"]
    return "&".join(sorted(pairs, key=lambda pair: pair.split("=", 1)[0]))


# --- requests ---


def read(world: World, request: Received) -> Call:
    """The request, authenticated. Raises ``Refusal``."""
    if request.method != "POST" or not request.content:
        raise Refusal("POST_DATA_EMPTY")
    return _read_icbc(world, request) if face_of(request.path) == "icbc" else _read_cmb(world, request)


def _read_cmb(world: World, request: Received) -> Call:
    params = _object(request.content)
    if not all(isinstance(value, str) and value for value in params.values()):
        raise Refusal("UNDEFINED_PRAM")
    headers = {name: request.header(name) or "" for name in ("appid", "timestamp", "apisign")}
    if headers["appid"] != APP_ID:
        raise Refusal("APPID_INVALID")
    stamped = headers["timestamp"]
    if not (len(stamped) == 10 and stamped.isascii() and stamped.isdigit()):
        raise Refusal("TIMESTAMP_EXPIRED")
    if abs(int(stamped) - int(world.now().timestamp())) > WINDOW_S:
        raise Refusal("TIMESTAMP_EXPIRED")
    text = f"appid={APP_ID}&secret={APP_SECRET}&sign={params.get('sign', '')}&timestamp={stamped}".encode()
    digests = (hashlib.md5(text, usedforsecurity=False).hexdigest(), sm3.digest(text).hex())
    if not any(hmac.compare_digest(headers["apisign"].encode(), digest.encode()) for digest in digests):
        raise Refusal("APISIGN_ERROR")
    for name, value, code in CONSTANTS:
        if params.get(name) != value:
            raise Refusal(code)
    if "biz_content" not in params:
        raise Refusal("UNDEFINED_PRAM")
    try:
        signature = base64.b64decode(params.get("sign", ""), validate=True)
    except ValueError:
        raise Refusal("SIGN_ERROR") from None
    if not world.keys.merchant.verify(signature, joined(params).encode()):
        raise Refusal("SIGN_ERROR")
    biz = _object(params["biz_content"])
    operation = request.path.removeprefix(PREFIX)
    return Call(world, "cmb", operation, biz, _opened(world, biz, params.get("encryptKey")), request.base_url)


def _read_icbc(world: World, request: Received) -> Call:
    try:
        params = dict(parse_qsl(request.content.decode(), keep_blank_values=True, strict_parsing=True))
    except (UnicodeDecodeError, ValueError):
        raise Refusal("JSON_FORMAT_ERROR") from None
    if params.get("app_id") != ICBC_APP_ID:
        raise Refusal("APPID_INVALID")
    try:
        at = datetime.strptime(params.get("timestamp", ""), "%Y-%m-%d %H:%M:%S").replace(tzinfo=BEIJING)
    except ValueError:
        raise Refusal("TIMESTAMP_EXPIRED") from None
    if abs((at - world.now()).total_seconds()) > WINDOW_S:
        raise Refusal("TIMESTAMP_EXPIRED")
    if params.get("format") != "json" or params.get("charset") != "UTF-8":
        raise Refusal("ENCODING_ERROR")
    if params.get("sign_type") != "RSA2":
        raise Refusal("SIGNMETHOD_ERROR")
    signed = "&".join(f"{name}={params[name]}" for name in sorted(params) if name != "sign" and params[name])
    try:
        signature = base64.b64decode(params.get("sign", ""), validate=True)
    except ValueError:
        raise Refusal("SIGN_ERROR") from None
    if not world.keys.icbc_merchant.verify_sha256(signature, f"{request.path}?{signed}".encode()):
        raise Refusal("SIGN_ERROR")
    told = _object(params.get("biz_content", ""))
    biz = {_ICBC_TO_OURS.get(name, name): value for name, value in told.items()}
    sealed_key = biz.pop("encryptKey", None)
    operation = request.path.removeprefix(ICBC_PREFIX).removesuffix("/V1")
    return Call(world, "icbc", operation, biz, _opened(world, biz, sealed_key), request.base_url)


def _opened(world: World, biz: Mapping[str, Any], sealed_key: object) -> dict[str, dict[str, Any]]:
    """Every encrypted field, opened. Raises ``FIELD_NOT_ENCRYPTED`` or ``DECRYPT_ERROR``."""
    if _MUST_BE_SEALED & biz.keys():
        raise Refusal("FIELD_NOT_ENCRYPTED")
    sealed = {name: value for name, value in biz.items() if name.startswith("encrypt")}
    if not sealed:
        return {}
    try:
        key = _unwrapped(world, base64.b64decode(str(sealed_key or ""), validate=True))
        cipher = Sm4(key)
        return {
            name: json.loads(cipher.decrypt_cbc_padded(base64.b64decode(str(value), validate=True), iv=bytes(16)))
            for name, value in sealed.items()
        }
    except (ValueError, CouponError):
        raise Refusal("DECRYPT_ERROR") from None


def _unwrapped(world: World, envelope: bytes) -> bytes:
    for opener in world.keys.openers:
        try:
            return opener.decrypt(envelope)
        except CouponError:
            continue  # perhaps it was encrypted to the other key
    raise Refusal("DECRYPT_ERROR")


def _object(text: bytes | str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise Refusal("JSON_FORMAT_ERROR")
    return found


# --- replies ---


def success(world: World, face: str, biz: Mapping[str, Any], *, extra: Mapping[str, str] | None = None) -> HttpAnswer:
    """A signed success. ``extra`` are further top-level fields, as banks add them."""
    if face == "icbc":
        return _icbc_reply(world, {"return_code": 0, "return_msg": "", **biz})
    told = {"returnCode": "SUCCESS", "respCode": "SUCCESS", "biz_content": _biz_text(biz), **(extra or {})}
    return _cmb_reply(told, world.keys.signer)


def failure(world: World, face: str, refusal: Refusal, echo: Mapping[str, Any]) -> HttpAnswer:
    """A signed failure at the level that the code belongs to."""
    if face == "icbc":
        code = 400017 if refusal.code == "SIGN_ERROR" else 400011 if refusal.is_protocol else 93000001
        code = -500041 if refusal.code.startswith("SYSTERM") else code
        return _icbc_reply(
            world, {"return_code": code, "return_msg": refusal.code, "errCode": refusal.code, **echo, **refusal.extra}
        )
    told = {"returnCode": "FAIL", "errCode": refusal.code, "respMsg": refusal.code}
    if not refusal.is_protocol:
        biz = {**echo, **refusal.extra, "errCode": refusal.code}
        told = {**told, "returnCode": "SUCCESS", "respCode": "FAIL", "biz_content": _biz_text(biz)}
    return _cmb_reply(told, world.keys.signer)


def _biz_text(biz: Mapping[str, Any]) -> str:
    return json.dumps(dict(biz), ensure_ascii=False, separators=(",", ":")).replace("/", "\\/")


def _cmb_reply(told: Mapping[str, str], signer: Sm2PrivateKey) -> HttpAnswer:
    params = {**told, **{name: value for name, value, _ in CONSTANTS}}
    params["sign"] = base64.b64encode(signer.sign(joined(params).encode())).decode()
    return HttpAnswer(200, JSON_TYPE, json.dumps(params, ensure_ascii=False).encode())


def _icbc_reply(world: World, told: Mapping[str, Any]) -> HttpAnswer:
    named = {_OURS_TO_ICBC.get(name, name): value for name, value in told.items()}
    if "status" in named:
        named["status"] = _STATUS[named["status"]]
    text = json.dumps(named, ensure_ascii=False, separators=(",", ":"))
    sign = base64.b64encode(
        world.keys.icbc_signer.sign_sha1(text.encode())
    ).decode()  # SHA-1, as the bank does (sheet §4)
    return HttpAnswer(200, JSON_TYPE, f'{{"response_biz_content":{text},"sign":"{sign}"}}'.encode())


# --- spoiling ---


def spoiled(world: World, kind: str, answer: HttpAnswer, *, probe: bool) -> HttpAnswer:
    """A reply or callback whose proof is spoiled.

    The envelope has neither serial nor time: ``wrong_serial`` is a signature by a key that is not the bank's, and
    ``stale_timestamp`` an old genuine reply, to another request. A callback cannot be stale and stays as it is.
    """
    if kind not in {"bad_signature", "wrong_serial", "stale_timestamp"}:
        raise ValueError(f"unknown fault of the signature {kind!r}")
    if answer.content.startswith(b'{"response_biz_content"'):
        return _spoiled_icbc(world, kind, answer)
    if b"sign=" in answer.content and not answer.content.startswith(b"{"):
        return _spoiled_form(kind, answer)
    params = json.loads(answer.content) if answer.content.startswith(b"{") else {}
    if "sign" not in params:
        return answer
    return HttpAnswer(
        answer.status, answer.headers, json.dumps(_spoil(world, kind, params, probe=probe), ensure_ascii=False).encode()
    )


def _spoil(world: World, kind: str, params: dict[str, str], *, probe: bool) -> dict[str, str]:
    if kind == "bad_signature":
        wrong = base64.b64encode(world.keys.signer.sign(b"another text")).decode()
        return {**params, "sign": "AAAA" if probe else wrong}
    if kind == "wrong_serial":
        return {**params, "sign": base64.b64encode(sm2_pair("merchant").sign(joined(params).encode())).decode()}
    biz = json.loads(params["biz_content"]) if "biz_content" in params else {}
    older = {
        **params,
        "biz_content": _biz_text({**biz, **{name: "OLDER" for name in _NUMBERS if name in biz}}),
    }
    return {**older, "sign": base64.b64encode(world.keys.signer.sign(joined(older).encode())).decode()}


def _spoiled_form(kind: str, answer: HttpAnswer) -> HttpAnswer:
    if kind == "stale_timestamp":
        return answer
    head, _, _ = answer.content.rpartition(b"&sign=")
    return HttpAnswer(0, answer.headers, head + b"&sign=TUVVQ0lRRA%3D%3D")


def _spoiled_icbc(world: World, kind: str, answer: HttpAnswer) -> HttpAnswer:
    text = answer.content.partition(b'{"response_biz_content":')[2].rpartition(b',"sign":"')[0]
    if kind == "stale_timestamp":
        biz = json.loads(text)
        biz |= {name: "OLDER" for name in ("out_trade_no", "reqNo") if name in biz}
        text = json.dumps(biz, ensure_ascii=False, separators=(",", ":")).encode()
        sign = world.keys.icbc_signer.sign_sha1(text)
    else:
        sign = world.keys.icbc_signer.sign_sha1(b"another text")
    return HttpAnswer(
        answer.status,
        answer.headers,
        b'{"response_biz_content":' + text + b',"sign":"' + base64.b64encode(sign) + b'"}',
    )
