"""The official integration checklist, item by item (sheet 1, 7, 9), for ``unicom-coupon doctor``.

What needs no network comes first; then the platform is asked to echo, which proves key, serial, clock, host and both
directions of encryption at once, and changes nothing.
"""

from __future__ import annotations

from binascii import Error as BadBase64
from binascii import a2b_base64, b2a_base64
from collections.abc import Iterator
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import pydantic_core

from unicom_coupon_adapters.wechatpay import messages
from unicom_coupon_adapters.wechatpay.busifavor import BusiFavor
from unicom_coupon_adapters.wechatpay.gateway import Exchange, Gateway
from unicom_coupon_adapters.wechatpay.refusals import refusal_of
from unicom_coupon_adapters.wechatpay.settings import PRIMARY_URL, WechatPaySettings
from unicom_coupon_adapters.wechatpay.sharing import Sharing
from unicom_coupon_adapters.wechatpay.signing import CLOCK_WINDOW_S
from unicom_coupon_adapters.wechatpay.transfers import Transfers
from unicom_coupon_adapters.wechatpay.weixin import MiniProgram
from unicom_coupon_sdk.crypto.providers import FileKeys
from unicom_coupon_sdk.domain.times import rfc3339
from unicom_coupon_sdk.errors import CouponError
from unicom_coupon_sdk.platform.adapter import CheckState, Finding
from unicom_coupon_sdk.platform.effects import Flow, Now

RENEW_BEFORE = timedelta(days=30)
CLOCK_WARN_S = 30
ECHO_TEXT = "unicom-coupon doctor"
NOBODYS_TRANSFER = "DOCTOR00000000000000000000000000"
NOBODYS_ORDER = "4200000000000000000000000000"


def diagnose(
    gateway: Gateway,
    *,
    settings: WechatPaySettings,
    busifavor: BusiFavor,
    program: MiniProgram,
    transfers: Transfers,
    sharing: Sharing,
) -> Flow[tuple[Finding, ...]]:
    """The findings in the order of the checklist. Nothing is raised: what fails is a finding with its error's code."""
    now = yield from Now()
    findings = list(_local(gateway, settings=settings, now=now))
    findings.append((yield from _certificates(gateway)))
    findings += yield from _echo(gateway)
    findings.append((yield from _callback(busifavor, settings=settings)))
    findings.append((yield from _mini_program(program, settings=settings)))
    findings.append((yield from _transfer(transfers, settings=settings)))
    findings.append((yield from _sharing(sharing)))
    return tuple(findings)


def _finding(item: str, state: CheckState, **details: object) -> Finding:
    return Finding(f"wechatpay.check_{item}", state, details)


# --- without network ---


def _local(gateway: Gateway, *, settings: WechatPaySettings, now: datetime) -> Iterator[Finding]:
    credentials = gateway.credentials
    certificate = credentials.merchant_certificate
    if certificate is None:
        yield _finding("merchant_certificate", CheckState.SKIP, serial="-")
    else:
        # Loading has compared key and serial with the certificate already; a mismatch never gets here.
        yield _finding("merchant_certificate", CheckState.OK, serial=certificate.serial)
        yield _validity("merchant_validity", certificate.not_after, now=now, serial=certificate.serial)
    yield _finding(
        "platform_keys",
        CheckState.OK if len(credentials.ring) else CheckState.WARN,
        mode=settings.mode,
        serials=", ".join(credentials.ring.serials()) or "-",
    )
    for serial, (_, not_after) in credentials.certificate_dates.items():
        yield _validity("platform_validity", not_after, now=now, serial=serial)
    yield _finding("apiv3_key", CheckState.OK, count=len(credentials.ciphers))
    yield _apiv2_key(gateway)
    yield _key_files(settings)
    hosts = ", ".join(settings.base_urls)
    alone = settings.base_url == PRIMARY_URL and settings.backup_url is None
    yield _finding("hosts", CheckState.WARN if alone else CheckState.OK, hosts=hosts)
    yield _finding("notify_url", CheckState.OK if settings.notify_url else CheckState.SKIP)


def _validity(item: str, not_after: datetime, *, now: datetime, serial: str) -> Finding:
    left = not_after - now
    state = CheckState.OK if left >= RENEW_BEFORE else CheckState.WARN
    return _finding(
        item,
        CheckState.FAIL if left < timedelta(0) else state,
        serial=serial,
        days=left.days,
        until=rfc3339(not_after),
    )


def _apiv2_key(gateway: Gateway) -> Finding:
    key = gateway.credentials.apiv2_key
    if key is None:
        return _finding("apiv2_key", CheckState.SKIP, length=0)
    length = len(key.reveal())
    return _finding("apiv2_key", CheckState.OK if length == 32 else CheckState.FAIL, length=length)


def _key_files(settings: WechatPaySettings) -> Finding:
    """Whether others on this machine may read a secret's file."""
    references: tuple[Any, ...] = (
        settings.merchant_private_key,
        *settings.apiv3_keys,
        settings.apiv2_key,
        settings.app_secret,
    )
    paths = [ref.partition(":")[2] for ref in references if isinstance(ref, str) and ref.startswith("file:")]
    if not paths:
        return _finding("key_files", CheckState.SKIP, exposed=0)
    exposed = sum(1 for path in paths if FileKeys.is_exposed(path))
    return _finding("key_files", CheckState.WARN if exposed else CheckState.OK, exposed=exposed)


# --- with the platform ---


def _certificates(gateway: Gateway) -> Flow[Finding]:
    if not gateway.credentials.accepts_certificates:
        return _finding("certificates", CheckState.SKIP, count=0)
    try:
        count = yield from gateway.refresh_certificates()
    except CouponError as error:
        return _finding("certificates", CheckState.FAIL, count=0, error=error.code)
    return _finding("certificates", CheckState.OK, count=count)


def _echo(gateway: Gateway) -> Flow[list[Finding]]:
    """The round trip, and the clock from the same answer's ``Date``."""
    now = yield from Now()
    body = {"echo_message": ECHO_TEXT}
    serial = None
    key = gateway.credentials.encryption_key(now)
    if key is not None:
        serial = key[0]
        sealed = b2a_base64(key[1].encrypt_field(ECHO_TEXT.encode()), newline=False)
        body["encrypted_echo_message"] = sealed.decode()
    try:
        made = yield from gateway.exchange(messages.ECHO.call(body, serial=serial))
    except CouponError as error:
        return [_finding("clock", CheckState.SKIP, skew_s="-"), _finding("echo", CheckState.FAIL, error=error.code)]
    clock = _clock(made)
    answer = made.answer
    if answer.status != 200:
        refusal = refusal_of(answer, is_write=False)
        return [clock, _finding("echo", CheckState.FAIL, error=refusal.code, platform_code=refusal.platform_code)]
    try:
        yield from gateway.verify(answer.headers, answer.content)
    except CouponError as error:
        return [clock, _finding("echo", CheckState.FAIL, error=error.code)]
    return [clock, _echoed(gateway, answer.content, sealed=key is not None)]


def _echoed(gateway: Gateway, content: bytes, *, sealed: bool) -> Finding:
    try:
        answer = pydantic_core.from_json(content)
        if answer["echo_message"] != ECHO_TEXT:
            return _finding("echo", CheckState.FAIL, error="echo_message")
        if sealed:
            opened = gateway.credentials.merchant_key.decrypt_field(
                a2b_base64(answer["encrypted_echo_message"], strict_mode=True)
            )
            if opened != ECHO_TEXT.encode():
                return _finding("echo", CheckState.FAIL, error="encrypted_echo_message")
    except CouponError as error:
        return _finding("echo", CheckState.FAIL, error=error.code)
    except (ValueError, KeyError, TypeError, BadBase64):
        return _finding("echo", CheckState.FAIL, error="wechatpay.answer_malformed")
    return _finding("echo", CheckState.OK)


def _clock(made: Exchange) -> Finding:
    """Our clock against the platform's ``Date``, half-way between asking and being answered."""
    try:
        theirs = parsedate_to_datetime(made.answer.header("Date") or "")
    except ValueError:
        return _finding("clock", CheckState.SKIP, skew_s="-")
    ours = made.asked_at + (made.answered_at - made.asked_at) / 2
    skew_s = round((ours - theirs).total_seconds()) if theirs.tzinfo else CLOCK_WINDOW_S
    state = CheckState.OK if abs(skew_s) < CLOCK_WARN_S else CheckState.WARN
    return _finding("clock", CheckState.FAIL if abs(skew_s) >= CLOCK_WINDOW_S else state, skew_s=skew_s)


def _callback(busifavor: BusiFavor, *, settings: WechatPaySettings) -> Flow[Finding]:
    if settings.notify_url is None or settings.coupon_family != "busifavor":
        return _finding("callback", CheckState.SKIP)
    try:
        found = yield from busifavor.callback_address()
    except CouponError as error:
        return _finding("callback", CheckState.FAIL, error=error.code)
    return _finding("callback", CheckState.OK if found == settings.notify_url else CheckState.WARN)


def _mini_program(program: MiniProgram, *, settings: WechatPaySettings) -> Flow[Finding]:
    if settings.app_secret is None:
        return _finding("mini_program", CheckState.SKIP)
    try:
        yield from program.sign_in()
    except CouponError as error:
        return _finding("mini_program", CheckState.FAIL, error=error.code)
    return _finding("mini_program", CheckState.OK)


def _transfer(transfers: Transfers, *, settings: WechatPaySettings) -> Flow[Finding]:
    """Whether pay-outs are set up, and granted: a transfer that nobody made is not found by those who may ask."""
    scene = settings.transfer_scene_id
    if scene is None:
        return _finding("transfer", CheckState.SKIP, scene="-")
    try:
        yield from transfers.of_number(NOBODYS_TRANSFER)
    except CouponError as error:
        if error.code != "wechatpay.not_found":
            return _finding("transfer", CheckState.FAIL, scene=scene, error=error.code)
    return _finding("transfer", CheckState.OK, scene=scene)


def _sharing(sharing: Sharing) -> Flow[Finding]:
    """Whether profit sharing is granted, seen the same way. A merchant who does not share needs no grant."""
    try:
        yield from sharing.unsplit_fen(NOBODYS_ORDER)
    except CouponError as error:
        if error.code == "wechatpay.no_auth":
            return _finding("sharing", CheckState.SKIP)
        if error.code not in {"wechatpay.not_found", "wechatpay.order_unknown"}:
            return _finding("sharing", CheckState.FAIL, error=error.code)
    return _finding("sharing", CheckState.OK)
