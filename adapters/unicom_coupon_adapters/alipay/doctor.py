"""The integration checklist: what is wrong with keys, clock and access, and what to do about it (sheet §7, §9).

``examine_keys`` works on settings that cannot be built into an adapter yet, since that is when it is needed most. The
texts of the findings name the file and the remedy; no finding shows a key or a value.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, timedelta
from email.utils import parsedate_to_datetime

from unicom_coupon_adapters.alipay import bills
from unicom_coupon_adapters.alipay.codes import BEFORE_BUSINESS
from unicom_coupon_adapters.alipay.gateway import AlipayGateway
from unicom_coupon_adapters.alipay.keys import AlipayKeys
from unicom_coupon_adapters.alipay.messages import QUERY_ACTIVITY
from unicom_coupon_adapters.alipay.requests import Call
from unicom_coupon_adapters.alipay.settings import AlipaySettings, Mode
from unicom_coupon_sdk.crypto import material as materials
from unicom_coupon_sdk.crypto.certificates import Certificate
from unicom_coupon_sdk.crypto.providers import FileKeys, Keys
from unicom_coupon_sdk.domain.times import business_date
from unicom_coupon_sdk.errors import ConfigurationError, CouponError, PlatformRefused
from unicom_coupon_sdk.platform.adapter import CheckState, Finding
from unicom_coupon_sdk.platform.effects import Flow, Now

EXPIRY_WARNING = timedelta(days=30)
CLOCK_WARNING_S = 60
_RSA_ALGORITHM = bytes.fromhex("06092a864886f70d010101")


def examine_keys(settings: AlipaySettings, keys: Keys, *, at: datetime | None = None) -> tuple[Finding, ...]:
    """What the key files are, and whether they belong where they are. Never raises for a wrong key; sends nothing.

    With ``at`` (aware) the dates of certificates are checked too.
    """
    found = [_private_key_form(settings, keys)]
    try:
        AlipayKeys.load(settings, keys)
    except ConfigurationError as error:
        return (*found, _wrong(error))
    found.append(Finding("alipay.check_keys", CheckState.OK, {"mode": settings.mode.value}))
    found += _exposed(settings)
    if settings.mode is Mode.CERTIFICATE and at is not None:
        found += _dates(settings, keys, at)
    if settings.aes_key is None:
        found.append(Finding("alipay.check_no_aes_key", CheckState.WARN))
    return tuple(found)


def diagnose(gateway: AlipayGateway, settings: AlipaySettings, keys: Keys) -> Flow[tuple[Finding, ...]]:
    """``examine_keys``, the callback address, what clearing needs, and harmless signed reads.

    Alipay must answer those signed; one asks for an activity that is not there, one for a day's bill.
    """
    now = yield from Now()
    found = [*examine_keys(settings, keys, at=now), _notify_url(settings), *_clearing(settings)]
    call = QUERY_ACTIVITY.call({"activity_id": "0" * 28, "merchant_access_mode": settings.access_mode.wire})
    round_trip = yield from _round_trip(gateway, call)
    found += round_trip
    if round_trip[-1].state is CheckState.OK:
        found.append((yield from _bills(gateway, business_date(now) - timedelta(days=2))))
    return tuple(found)


def key_form(material: bytes, *, field: str) -> str:
    """``PKCS#8``, ``PKCS#1`` or ``-``: how a private key is wrapped, whatever its armour says.

    Alipay's key tool offers PKCS#8 "for Java" and PKCS#1 "for others"; both are read here.
    """
    try:
        der, _ = materials.to_der(material, field=field)
    except ConfigurationError:
        return "-"
    if materials.read(material, field=field).kind is not materials.Kind.RSA_PRIVATE:
        return "-"
    return "PKCS#8" if _RSA_ALGORITHM in der[:32] else "PKCS#1"


def _private_key_form(settings: AlipaySettings, keys: Keys) -> Finding:
    try:
        material = keys.load(settings.app_private_key, field="app_private_key")
        form = key_form(material, field="app_private_key")
    except ConfigurationError as error:
        return _wrong(error)
    state = CheckState.OK if form != "-" or settings.sign_type == "SM2" else CheckState.FAIL
    return Finding("alipay.check_private_key", state, {"field": "app_private_key", "form": form})


def _exposed(settings: AlipaySettings) -> list[Finding]:
    found = []
    for name in ("app_private_key", "aes_key", "app_auth_token"):
        reference = getattr(settings, name)
        if isinstance(reference, str) and reference.startswith("file:"):
            try:
                is_exposed = FileKeys.is_exposed(reference.removeprefix("file:"))
            except OSError:
                continue  # gone since it was loaded; the next load says so
            if is_exposed:
                found.append(Finding("alipay.check_exposed", CheckState.WARN, {"field": name}))
    return found


def _dates(settings: AlipaySettings, keys: Keys, at: datetime) -> list[Finding]:
    found = []
    references = [("app_cert", settings.app_cert), *(("alipay_certs", item) for item in settings.alipay_certs)]
    for name, reference in references:
        if reference is None:
            continue
        certificate = Certificate.load(keys.load(reference, field=name), field=name)
        details = {"field": name, "day": certificate.not_after.date().isoformat()}
        if not certificate.valid_at(at):
            found.append(Finding("alipay.check_expired", CheckState.FAIL, details))
        elif not certificate.valid_at(at + EXPIRY_WARNING):
            found.append(Finding("alipay.check_expires", CheckState.WARN, details))
    return found


def _notify_url(settings: AlipaySettings) -> Finding:
    url = settings.notify_url
    if url is None:
        return Finding("alipay.check_notify_url", CheckState.SKIP, {"field": "notify_url"})
    state = CheckState.OK if url.startswith("https://") else CheckState.WARN
    return Finding("alipay.check_notify_url", state, {"field": "notify_url"})


def _clearing(settings: AlipaySettings) -> list[Finding]:
    """What pay-outs and profit sharing need. Who offers neither is not at fault."""
    certified = CheckState.OK if settings.mode is Mode.CERTIFICATE else CheckState.SKIP
    named = CheckState.OK if settings.seller_id is not None else CheckState.SKIP
    return [
        Finding("alipay.check_pay_out", certified, {"mode": settings.mode.value}),
        Finding("alipay.check_share", named, {"field": "seller_id"}),
    ]


def _bills(gateway: AlipayGateway, day: date) -> Flow[Finding]:
    """Whether a bill may be asked for, whatever is in it. A warning at most: coupons work without bills."""
    try:
        yield from gateway.send(bills.QUERY.call({"bill_type": "trade", "bill_date": day.isoformat()}))
    except CouponError as error:
        if error.code not in ("alipay.no_bill", "alipay.bill_missing"):
            return replace(_failed(error), state=CheckState.WARN)
    return Finding("alipay.check_bills", CheckState.OK)


def _round_trip(gateway: AlipayGateway, call: Call) -> Flow[list[Finding]]:
    """Any verified answer shows that both signatures fit; what it says of the activity does not matter."""
    try:
        exchange = yield from gateway.exchange(call)
    except CouponError as error:
        return [_failed(error)]
    found = []
    skew_s = _skew_s(exchange.date, exchange.at)
    if skew_s is not None:
        state = CheckState.OK if abs(skew_s) <= CLOCK_WARNING_S else CheckState.WARN
        found.append(Finding("alipay.check_clock", state, {"seconds": skew_s}))
    try:
        yield from gateway.read(exchange, call)
    except PlatformRefused as error:
        if error.code in BEFORE_BUSINESS:
            return [*found, _failed(error)]
    except CouponError as error:
        return [*found, _failed(error)]
    return [*found, Finding("alipay.check_round_trip", CheckState.OK)]


def _skew_s(date: str | None, at: datetime) -> int | None:
    try:
        return round((parsedate_to_datetime(date or "") - at).total_seconds())
    except (ValueError, TypeError):
        return None


def _failed(error: CouponError) -> Finding:
    details = {"platform_code": error.platform_code, "request_id": error.request_id, **error.details}
    return Finding(error.code, CheckState.FAIL, {name: value for name, value in details.items() if value})


def _wrong(error: ConfigurationError) -> Finding:
    return Finding(error.code, CheckState.FAIL, {"field": error.field, **error.details})
