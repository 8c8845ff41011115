"""WeChat Pay's declared facts, with dates and sources."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import urlsplit

from unicom_coupon_adapters.wechatpay.layouts import SOURCES
from unicom_coupon_adapters.wechatpay.settings import BACKUP_URL, PRIMARY_URL, WEIXIN_URL, WechatPaySettings
from unicom_coupon_adapters.wechatpay.signing import RSA_SCHEME, SM_SCHEME
from unicom_coupon_sdk.domain.limits import Limit, Subject, Window
from unicom_coupon_sdk.domain.settlement import Cycle, DayCount, SettlementTerms
from unicom_coupon_sdk.domain.verification import Method
from unicom_coupon_sdk.platform.profile import Bilingual, Capability, PlatformProfile

ADVANCE_CONTRACT = "wechatpay-advance"
"""The merchant's contract that has funds advanced: paid the same day."""

_TERMS_SOURCE = "sheet §3.4: T+1 usual, fee 0.60 % seen in bills; industry-dependent"

PROFILE = PlatformProfile(
    name="wechatpay",
    title=Bilingual(zh="微信支付", en="WeChat Pay"),
    coupon_scope=Bilingual(
        zh="全场景通用：线上（小程序、H5、App）与线下门店；商家券由商户自行核销，商品券须关联订单",
        en="All scenes, online (mini-program, H5, app) and in shops; 商家券 are redeemed by the merchant, 商品券 with"
        " an order",
    ),
    verification=Bilingual(
        zh="小程序登录 + 设备生物识别结论（SOTER 指纹或人脸）+ 设备指纹；不愿刷脸的用户可出示动态码或仅用小程序登录",
        en="Mini-program login, the device's biometric verdict (SOTER finger or face) and a device fingerprint; who"
        " declines a face shows the rotating code or only logs in",
    ),
    coupon_kinds=frozenset({"amount_off", "percent_off", "exchange", "phone_credit", "cash"}),
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
    methods=(Method.SCAN, Method.LOGIN, Method.BIOMETRIC),
    limits=(
        Limit(
            name="single",
            subject=Subject.HOLDER,
            window=Window.ONCE,
            max_fen=10_000_000,
            source="sheet §2.1: discount_amount 1–10 000 000 fen",
        ),
        Limit(
            name="device_day",
            subject=Subject.DEVICE,
            window=Window.DAY,
            max_count=100,
            source="house rule after sheet §6: one device a day spends no more than one user may hold of a stock",
        ),
    ),
    settlement=(
        SettlementTerms(
            cycle=Cycle.T_0,
            days=DayCount.CALENDAR,
            source="merchant's contract on advanced funds; T+0 for all merchants is unconfirmed (sheet §3.4)",
            fee_bp=60,
            contract=ADVANCE_CONTRACT,
        ),
        SettlementTerms(cycle=Cycle.T_1, days=DayCount.CALENDAR, source=_TERMS_SOURCE, fee_bp=60),
    ),
    hosts=tuple(urlsplit(url).netloc for url in (PRIMARY_URL, BACKUP_URL, WEIXIN_URL)),
    signing=(RSA_SCHEME, SM_SCHEME),
    # A request is refused when its timestamp is more than 5 minutes off the platform's clock. Our clock may itself be
    # that far ahead without a call failing, so a request can take effect up to 10 minutes after we signed it.
    request_lifetime_s=600,
    send_window_s=60,
    bills=SOURCES,
)
"""The facts that hold for every merchant."""


def profile_of(settings: WechatPaySettings, *, has_secret: bool) -> PlatformProfile:
    """``PROFILE`` as it is for one merchant: own hosts, terms with advanced funds, and what the settings allow."""
    terms = PROFILE.settlement
    if settings.funds_advanced:
        terms = (replace(terms[0], contract=None), *terms[1:])
    kinds, capabilities = PROFILE.coupon_kinds, PROFILE.capabilities
    if settings.coupon_family == "product_coupon":
        kinds -= {"phone_credit"}
    if settings.transfer_scene_id is None:
        kinds -= {"cash"}
        capabilities -= {Capability.PAY_OUT}
    urls = (*settings.base_urls, settings.weixin_base_url)
    return replace(
        PROFILE,
        coupon_kinds=kinds,
        capabilities=capabilities,
        methods=PROFILE.methods if has_secret else (Method.SCAN,),
        settlement=terms,
        hosts=tuple(dict.fromkeys(urlsplit(url).netloc for url in urls)),
    )
