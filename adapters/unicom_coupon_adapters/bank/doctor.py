"""The bank's integration checklist, item by item, for ``unicom-coupon doctor``.

What needs no network comes first; then the gateway is asked about a coupon that cannot exist: its signed "no" proves
key, secret, clock, host and both directions of signing at once, and changes nothing.
"""

from __future__ import annotations

from email.utils import parsedate_to_datetime

from unicom_coupon_adapters.bank import messages
from unicom_coupon_adapters.bank.gateway import Gateway
from unicom_coupon_adapters.bank.profile import EXPERIMENTAL_BANKS
from unicom_coupon_adapters.bank.settings import BANK_DOMAINS
from unicom_coupon_sdk.crypto.providers import FileKeys
from unicom_coupon_sdk.crypto.sm2 import Backend, engine
from unicom_coupon_sdk.domain.code import CouponCode
from unicom_coupon_sdk.errors import CouponError
from unicom_coupon_sdk.platform.adapter import CheckState, Finding
from unicom_coupon_sdk.platform.effects import Flow, NewId, Now
from unicom_coupon_sdk.platform.wire import HttpAnswer

NOBODYS = CouponCode("00000000000000000000")
CLOCK_WARN_S = 30


def diagnose(gateway: Gateway) -> Flow[tuple[Finding, ...]]:
    """The findings in order. Nothing is raised: what fails is a finding with its error's code."""
    settings = gateway.settings
    known = any(settings.host.endswith(domain) for domain in BANK_DOMAINS)
    findings = [
        _finding("host", CheckState.OK if known else CheckState.WARN, host=settings.host),
        _finding("bank_keys", CheckState.OK, count=len(settings.bank_public_keys), bank=settings.bank),
        _finding(
            "header_digest",
            CheckState.OK if settings.header_digest == "md5" else CheckState.WARN,
            digest=settings.header_digest,
        ),
        _finding("notify_url", CheckState.OK if settings.notify_url else CheckState.SKIP),
        _key_files(gateway),
    ]
    if settings.bank in EXPERIMENTAL_BANKS:
        return (*findings, _finding("answer", CheckState.FAIL, error="bank.experimental"))
    findings += [_sm2_engine(gateway), *(yield from _asked(gateway))]
    return tuple(findings)


def _asked(gateway: Gateway) -> Flow[list[Finding]]:
    number = yield from NewId()
    call = messages.VERIFY.call({**gateway.who, "reqNo": number, "couponCode": NOBODYS})
    asked_at = yield from Now()
    try:
        answer = yield from gateway.exchange(call)
        clock = _clock(answer, ours=asked_at.timestamp())
        reply = gateway.envelope.read_reply(answer.content)
    except CouponError as error:
        return [_finding("clock", CheckState.SKIP, skew_s="-"), _finding("answer", CheckState.FAIL, error=error.code)]
    expected = reply.error_code == "COUPON_NOT_EXIST"
    state = CheckState.OK if expected else CheckState.FAIL
    return [clock, _finding("answer", state, error=reply.error_code or "SUCCESS")]


def _clock(answer: HttpAnswer, *, ours: float) -> Finding:
    try:
        skew_s = round(ours - parsedate_to_datetime(answer.header("Date") or "").timestamp())
    except ValueError:
        return _finding("clock", CheckState.SKIP, skew_s="-")
    return _finding("clock", CheckState.OK if abs(skew_s) < CLOCK_WARN_S else CheckState.WARN, skew_s=skew_s)


def _key_files(gateway: Gateway) -> Finding:
    """Whether others on this machine may read a secret's file."""
    settings = gateway.settings
    secrets = (settings.merchant_private_key, settings.app_secret, settings.icbc_private_key)
    paths = [ref.partition(":")[2] for ref in secrets if isinstance(ref, str) and ref.startswith("file:")]
    exposed = sum(1 for path in paths if FileKeys.is_exposed(path))
    state = CheckState.WARN if exposed else CheckState.OK
    return _finding("key_files", state if paths else CheckState.SKIP, exposed=exposed)


def _sm2_engine(gateway: Gateway) -> Finding:
    """Who computes SM2 here, and whether in a time that tells nothing of the key."""
    found = engine(Backend(gateway.settings.sm2_backend))
    state = CheckState.OK if found.is_constant_time else CheckState.WARN
    return _finding("sm2_engine", state, engine=found.name.value, version=found.version)


def _finding(item: str, state: CheckState, **details: object) -> Finding:
    return Finding(f"bank.check_{item}", state, details)
