"""The doctor for the online gateway: whose names are taken, dates, the key file, and one signed question.

Loading has refused a wrong password, a foreign certificate and a broken chain already.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from unicom_coupon_adapters.unionpay_pos.acp.gateway import AcpGateway
from unicom_coupon_adapters.unionpay_pos.acp.payment import TIME
from unicom_coupon_adapters.unionpay_pos.acp.settings import AcpSettings
from unicom_coupon_sdk.crypto.providers import FileKeys
from unicom_coupon_sdk.domain.times import BEIJING
from unicom_coupon_sdk.errors import CouponError
from unicom_coupon_sdk.platform.adapter import CheckState, Finding
from unicom_coupon_sdk.platform.effects import Flow, NewId, Now

EXPIRY_WARNING: Final = timedelta(days=30)
_ABSENT: Final = "34"


def diagnose(gateway: AcpGateway) -> Flow[tuple[Finding, ...]]:
    """The findings, in order. Nothing is raised: what fails is a finding with its error's code."""
    now = yield from Now()
    found = [_names(gateway.settings), _notices(gateway.settings), *_key_files(gateway.settings)]
    found += [
        _dates(name, certificate.not_before, certificate.not_after, now)
        for name, certificate in gateway.keys.certificates
    ]
    found.append((yield from _round_trip(gateway)))
    return tuple(found)


def _names(settings: AcpSettings) -> Finding:
    state = CheckState.WARN if settings.accept_test_names else CheckState.OK
    return Finding("unionpay_pos.check_acp_names", state, {"test": "yes" if settings.accept_test_names else "no"})


def _notices(settings: AcpSettings) -> Finding:
    url = settings.back_url
    if url is None:
        return Finding("unionpay_pos.check_acp_notices", CheckState.SKIP, {"field": "acp.back_url"})
    state = CheckState.OK if url.startswith("https://") else CheckState.WARN
    return Finding("unionpay_pos.check_acp_notices", state, {"field": "acp.back_url"})


def _key_files(settings: AcpSettings) -> list[Finding]:
    found = []
    for name in ("signing_pfx", "signing_pfx_password", "signing_key"):
        reference = getattr(settings, name)
        if isinstance(reference, str) and reference.startswith("file:"):
            state = CheckState.WARN if FileKeys.is_exposed(reference.removeprefix("file:")) else CheckState.OK
            found.append(Finding("unionpay_pos.check_acp_key_file", state, {"field": f"acp.{name}"}))
    return found


def _dates(name: str, first: datetime, last: datetime, now: datetime) -> Finding:
    state = CheckState.OK
    if not first <= now <= last:
        state = CheckState.FAIL
    elif now + EXPIRY_WARNING > last:
        state = CheckState.WARN
    details = {"field": name, "first": f"{first:%Y-%m-%d}", "last": f"{last:%Y-%m-%d}"}
    return Finding("unionpay_pos.check_acp_dates", state, details)


def _round_trip(gateway: AcpGateway) -> Flow[Finding]:
    """A question about an order that does not exist: "no such transaction", signed, shows that both keys are right."""
    now = yield from Now()
    number = yield from NewId()
    call = gateway.messages.query(number, f"{now.astimezone(BEIJING):{TIME}}")
    try:
        yield from gateway.send(call)
    except CouponError as error:
        told = error.platform_code or error.code
        state = CheckState.OK if error.platform_code == _ABSENT else CheckState.FAIL
    else:
        told, state = "00", CheckState.FAIL
    return Finding("unionpay_pos.check_acp_round_trip", state, {"error": told})
