"""Alipay as declared facts, with dates and sources. Judged by the version in force on the day of a redemption."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from urllib.parse import urlsplit

from unicom_coupon_adapters.alipay.bill_layouts import SOURCES
from unicom_coupon_adapters.alipay.settings import AlipaySettings, Family, Mode
from unicom_coupon_sdk.domain.bill import BillKind
from unicom_coupon_sdk.domain.limits import Limit, Subject, Window
from unicom_coupon_sdk.domain.settlement import Cycle, DayCount, SettlementTerms
from unicom_coupon_sdk.domain.verification import Method
from unicom_coupon_sdk.platform.profile import Bilingual, Capability, PlatformProfile

NAME = "alipay"

FAST_SETTLEMENT = "alipay-fast-settlement"
"""Name this contract in ``merchant.contracts`` where the merchant has agreed fast settlement with Alipay."""

LOWEST_TIER = "primary"
"""The tier of a holder whose member grade is not known (sheet §6.1: a missing grade counts as the lowest)."""

REQUEST_LIFETIME_S = 1800
"""How long after its timestamp a lost request may still take effect, in seconds.

Alipay publishes neither the tolerance of its timestamp nor how long a request may wait inside (sheet §11.7), so this is
reasoned, not quoted. A request is one TLS record stream on a connection that we close after the read time-out (15 s);
nobody can deliver it later on another one, and TCP lets segments live two minutes. What is left is the queues of
proxies and of Alipay itself, for which this allows the rest of half an hour. Were that wrong, no coupon would be spent
twice: the ledger decides, and Alipay is only told. A use that it learned too late makes its next ``use`` of that code
fail, and the bill shows it.
"""

_TIERS = (
    # tier, a day in fen, a day in count. Ours, not Alipay's: see ``_member_limits``.
    ("primary", 100_000, 10),
    ("golden", 200_000, 20),
    ("platinum", 300_000, 30),
    ("diamond", 500_000, 50),
)


def _member_limits() -> tuple[Limit, ...]:
    """Limits by member level (大众, 黄金, 铂金, 钻石).

    Alipay names the levels but publishes no limit for any (sheet §6.1). These figures are the issuer's own risk rule
    from 2026-01-01, kept as dated data so that a change is a new row and old redemptions are judged by the old one.
    """
    source = "own rule of 2026-01-01; Alipay publishes none (sheet §6.1)"
    return tuple(
        Limit(
            name=f"alipay.member_day.{tier}",
            subject=Subject.HOLDER,
            window=Window.DAY,
            max_fen=max_fen,
            max_count=max_count,
            tier=tier,
            source=source,
            since=date(2026, 1, 1),
        )
        for tier, max_fen, max_count in _TIERS
    )


PROFILE = PlatformProfile(
    name=NAME,
    title=Bilingual(zh="支付宝", en="Alipay"),
    coupon_scope=Bilingual(
        zh="支付宝生态内商户（商家券；本地生活售卖的凭证）",
        en="merchants in the Alipay ecosystem (merchant coupons; certificates sold as local-life goods)",
    ),
    verification=Bilingual(
        zh="扫动态码，加小程序手机号（my.getPhoneNumber）或小程序登录",
        en="rotating QR code scanned, with the mini-program's phone number (my.getPhoneNumber) or its login",
    ),
    coupon_kinds=frozenset({"amount_off", "percent_off", "exchange", "cash"}),
    capabilities=frozenset(
        {
            Capability.ISSUE,
            Capability.BIND,
            Capability.CHALLENGE,
            Capability.VERIFY,
            Capability.REDEEM,
            Capability.QUERY,
            Capability.REVERSE,
            Capability.VOID,
            Capability.NOTIFY,
            Capability.PAY_OUT,
            Capability.SHARE,
            Capability.FETCH_BILL,
        }
    ),
    methods=(Method.SCAN, Method.PHONE, Method.LOGIN),
    limits=(
        Limit(
            name="alipay.single",
            subject=Subject.HOLDER,
            window=Window.ONCE,
            max_fen=1_500_000,
            source="sheet §2.2: the largest ceiling of any voucher type, 15 000 yuan",
        ),
        *_member_limits(),
    ),
    settlement=(
        SettlementTerms(
            cycle=Cycle.REAL_TIME,
            days=DayCount.CALENDAR,
            contract=FAST_SETTLEMENT,
            source="contract data (sheet §3.3: conditions of fast settlement are not published)",
        ),
        SettlementTerms(
            cycle=Cycle.T_1,
            days=DayCount.CALENDAR,
            source="default without fast settlement (sheet §3.3: withdrawal cycle is contract data)",
        ),
    ),
    hosts=("openapi.alipay.com", "openapi-sandbox.dl.alipaydev.com", "dwbillcenter.alipay.com"),
    signing=("RSA2 (SHA256withRSA)", "SM2 (SM3withSM2)", "ALIPAY-SHA256withRSA (v3)", "AES-128-CBC content"),
    request_lifetime_s=REQUEST_LIFETIME_S,
    send_window_s=60,
    bills=SOURCES,
)
"""The facts that hold for every merchant."""


def profile_of(settings: AlipaySettings) -> PlatformProfile:
    """``PROFILE`` as it is for one application: own hosts, and only what its keys and family can do.

    Without a content key no phone proof can be read; sold certificates are withdrawn by refunding their sale, and the
    marketing bill does not list them (§4.2); fund APIs take certificate mode alone (§1.8), and a share that could not
    be fetched back, for want of our own account's number, is not begun.
    """
    lacking = set()
    sources = PROFILE.bills
    if settings.coupon_family is Family.CERTIFICATE:
        lacking.add(Capability.VOID)
        sources = tuple(source for source in sources if source.kind is not BillKind.COUPON)
    if settings.mode is not Mode.CERTIFICATE:
        lacking.add(Capability.PAY_OUT)
    if settings.seller_id is None:
        lacking.add(Capability.SHARE)
    hosts = (urlsplit(url).netloc for url in (settings.gateway_url, settings.v3_url))
    return replace(
        PROFILE,
        hosts=tuple(dict.fromkeys((*hosts, *sorted(settings.bill_hosts)))),
        bills=sources,
        capabilities=PROFILE.capabilities - lacking,
        coupon_kinds=PROFILE.coupon_kinds - ({"cash"} if Capability.PAY_OUT in lacking else set()),
        methods=tuple(method for method in PROFILE.methods if method is not Method.PHONE or settings.aes_key),
    )
