"""Answers as the platform writes them: the classic envelope, the v3 form, and both with their proof spoiled.

Sheet §1.5: HTTP 200 whatever happens, compact JSON, the order node, ``alipay_cert_sn``, ``sign``; the signature is
over the node's value as it goes out, with its quotes when it is a ciphertext. §1.11: v3 signs time, nonce and body.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final
from urllib.parse import quote_plus, unquote_plus

from unicom_coupon_adapters.alipay.emulation.canonical import rest_answer_text, signature
from unicom_coupon_adapters.alipay.emulation.classic import Asked
from unicom_coupon_adapters.alipay.emulation.moments import millis
from unicom_coupon_adapters.alipay.emulation.refusals import MESSAGES, Refusal
from unicom_coupon_adapters.alipay.emulation.sealing import sealed
from unicom_coupon_adapters.alipay.emulation.world import Reply, World
from unicom_coupon_sdk.crypto.rsa import RsaPrivateKey
from unicom_coupon_sdk.platform.wire import Headers, HttpAnswer

STALE_BY_S: Final = 360
SPOILS: Final = frozenset({"bad_signature", "wrong_serial", "stale_timestamp"})
_ERROR_NODE: Final = "error_response"
_ERROR_NODE_FAMILIES: Final = ("alipay.system.oauth.", "alipay.user.")
_SIGN: Final = re.compile(rb'"sign":"([A-Za-z0-9+/=]+)"\}$')
_CERT_SN: Final = re.compile(rb'"alipay_cert_sn":"([0-9a-f]{32})","sign":"[A-Za-z0-9+/=]+"\}$')


@dataclass(frozen=True, slots=True)
class RestAsked:
    """What a v3 request wants of its answer."""

    is_certified: bool
    is_application_known: bool
    wants_encryption: bool


def json_text(value: Mapping[str, Any]) -> str:
    """Compact JSON in the order given; no escapes but those JSON demands."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def success(world: World, asked: Asked, reply: Reply, *, codeless: bool = False) -> HttpAnswer:
    """The method's node with ``code`` and ``msg`` before the business members; encrypted where that was asked for."""
    members: dict[str, Any] = {}
    if not codeless:
        code = str(reply.get("code", "10000"))
        members = {"code": code, "msg": MESSAGES[code]}
    text = json_text(members | {name: value for name, value in reply.items() if name != "code"})
    if asked.wants_encryption:
        text = f'"{sealed(text.encode(asked.charset, "replace"), key=world.keys.content_keys()[0])}"'
    return _envelope(world, asked, _node(asked.method), text)


def refusal(world: World, asked: Asked, told: Refusal, *, is_method_known: bool = True) -> HttpAnswer:
    """The failure, in clear. ``error_response`` for an unknown method, for user and login calls (sheet §10.2)."""
    text = json_text({"code": told.code, "msg": told.msg, "sub_code": told.sub_code, "sub_msg": told.sub_msg})
    plain = not asked.method or not is_method_known or asked.method.startswith(_ERROR_NODE_FAMILIES)
    return _envelope(world, asked, _ERROR_NODE if plain else _node(asked.method), text)


def rest_success(world: World, asked: RestAsked, reply: Reply) -> HttpAnswer:
    """200 with the business members alone."""
    return _rest(world, asked, 200, json_text({name: value for name, value in reply.items() if name != "code"}))


def rest_refusal(world: World, asked: RestAsked, told: Refusal) -> HttpAnswer:
    """``code``, ``message`` and ``links``, in clear, with the status of its kind."""
    link = "https://opendocs.alipay.com/common"
    text = json_text({"code": told.rest_code, "message": told.sub_msg, "links": link})
    clear = RestAsked(asked.is_certified, asked.is_application_known, wants_encryption=False)
    return _rest(world, clear, told.rest_status, text)


def spoiled(world: World, kind: str, answer: HttpAnswer) -> HttpAnswer:
    """``answer``, or a callback's request, with its proof spoiled; an unsigned one comes back as it is.

    Classic answers and news carry no time of their own signature, so ``stale_timestamp`` is a wrong signature there;
    in v3 it is validly signed and six minutes old. ``wrong_serial`` is signed by another key and, where a certificate
    is named, names one that nobody has. There is no probing form. Raises ``ValueError`` for other kinds.
    """
    if kind not in SPOILS:
        raise ValueError(f"unknown fault of the signature {kind!r}")
    if answer.header("alipay-signature") is not None:
        return _spoiled_rest(world, kind, answer)
    found = _SIGN.search(answer.content)
    if found is None:
        return _spoiled_form(world, kind, answer)
    serial = _CERT_SN.search(answer.content)
    if kind == "wrong_serial":
        end = found.start() - 1 if serial is None else serial.start() - 1
        signed = answer.content[answer.content.index(b":") + 1 : end]
        wrong = signature(signed, key=world.keys.stranger_key())
    else:
        wrong = _flipped(found[1].decode())
    spoilt = _patched(answer, found.span(1), wrong.encode())
    if kind == "wrong_serial" and serial is not None:
        spoilt = _patched(spoilt, serial.span(1), world.hexadecimal(32).encode())
    return spoilt


def _envelope(world: World, asked: Asked, node: str, text: str) -> HttpAnswer:
    raw = text.encode(asked.charset, "replace")
    content = b'{"' + node.encode() + b'":' + raw
    if asked.is_application_known:
        if asked.is_certified:
            content += f',"alipay_cert_sn":"{world.keys.answer_serial()}"'.encode()
        key = world.keys.answer_key(certified=asked.is_certified)
        sign_type = "RSA" if asked.ascii("sign_type") == "RSA" else "RSA2"
        content += f',"sign":"{signature(raw, key=key, sign_type=sign_type)}"'.encode()
    shown = asked.ascii("charset") if asked.ascii("charset").isprintable() else ""
    headers = (
        ("Server", "nginx"),
        ("Content-Type", f"text/html;charset={shown or 'utf-8'}"),
        ("trace_id", world.trace_id()),
    )
    return HttpAnswer(200, headers, content + b"}")


def _rest(world: World, asked: RestAsked, status: int, text: str) -> HttpAnswer:
    media = "application/json;charset=utf-8"
    if asked.wants_encryption and text != "{}":
        text, media = sealed(text.encode(), key=world.keys.content_keys()[0]), "text/plain;charset=utf-8"
    headers: Headers = (
        ("Server", "nginx"),
        ("Content-Type", media),
        ("alipay-trace-id", world.trace_id()),
    )
    if asked.is_application_known:
        key = world.keys.answer_key(certified=asked.is_certified)
        headers += _rest_proof(world, text, key=key)
        if asked.is_certified:
            headers += (("alipay-sn", world.keys.answer_serial()),)
    return HttpAnswer(status, headers, text.encode())


def _rest_proof(world: World, text: str, *, key: RsaPrivateKey, age_s: int = 0) -> Headers:
    timestamp, nonce = millis(world.now() - timedelta(seconds=age_s)), world.hexadecimal(32)
    sign = signature(rest_answer_text(timestamp, nonce, text).encode(), key=key)
    return ("alipay-timestamp", timestamp), ("alipay-nonce", nonce), ("alipay-signature", sign)


def _spoiled_rest(world: World, kind: str, answer: HttpAnswer) -> HttpAnswer:
    certified = answer.header("alipay-sn") is not None
    if kind == "bad_signature":
        changed = {"alipay-signature": _flipped(answer.header("alipay-signature") or "")}
    else:
        stale = kind == "stale_timestamp"
        key = world.keys.answer_key(certified=certified) if stale else world.keys.stranger_key()
        changed = dict(_rest_proof(world, answer.content.decode(), key=key, age_s=STALE_BY_S if stale else 0))
        changed |= {} if stale else {"alipay-sn": world.hexadecimal(32)}
    headers = tuple((name, changed.get(name, value)) for name, value in answer.headers)
    return HttpAnswer(answer.status, headers, answer.content)


def _spoiled_form(world: World, kind: str, answer: HttpAnswer) -> HttpAnswer:
    """News with a signature that is not over it: flipped, or a true signature of another key over nothing."""
    pairs = [pair.partition(b"=") for pair in answer.content.split(b"&")]
    if not any(name == b"sign" for name, _, _ in pairs):
        return answer
    body = []
    for name, equals, value in pairs:
        if name == b"sign":
            wrong = _flipped(unquote_plus(value.decode("ascii")))
            if kind == "wrong_serial":
                wrong = signature(answer.content, key=world.keys.stranger_key())
            value = quote_plus(wrong).encode()  # noqa: PLW2901 - the one value that changes
        body.append(name + equals + value)
    return HttpAnswer(answer.status, answer.headers, b"&".join(body))


def _patched(answer: HttpAnswer, span: tuple[int, int], text: bytes) -> HttpAnswer:
    content = answer.content[: span[0]] + text + answer.content[span[1] :]
    return HttpAnswer(answer.status, answer.headers, content)


def _flipped(sign: str) -> str:
    return base64.b64encode(bytes(byte ^ 0x55 for byte in base64.b64decode(sign))).decode("ascii")


def _node(method: str) -> str:
    return method.replace(".", "_") + "_response"
