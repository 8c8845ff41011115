"""UnionPay POS's declared facts, with dates and sources."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Final

from unicom_coupon_adapters.unionpay_pos.bill_layouts import GATEWAY_SOURCES, statement_source
from unicom_coupon_adapters.unionpay_pos.settings import UnionPayPosSettings
from unicom_coupon_sdk.domain.limits import Limit, Subject, Window
from unicom_coupon_sdk.domain.settlement import Cycle, DayCount, SettlementTerms
from unicom_coupon_sdk.domain.times import BEIJING
from unicom_coupon_sdk.domain.verification import Method
from unicom_coupon_sdk.errors import ValidationError
from unicom_coupon_sdk.platform.bill import BillSource
from unicom_coupon_sdk.platform.profile import Bilingual, Capability, PlatformProfile

SAME_DAY_CONTRACT: Final = "unionpay-d0"
"""The contract by which the acquirer or payment institution advances the money (D+0)."""

CUT_OFF: Final = time(23, 0)
"""The clearing day runs from 23:00 to 23:00, Beijing time (sheet 11.1)."""

_CONTACTLESS: Final = "sheet §12: 小额免密免签, UnionPay International notice"
_CODES: Final = "sheet §12: 银发〔2017〕296号"

PROFILE = PlatformProfile(
    name="unionpay_pos",
    title=Bilingual(zh="银联 POS", en="UnionPay POS"),
    coupon_scope=Bilingual(
        zh="线下收单机构终端实时核销；仅限已在收单机构登记并绑定商户的终端",
        en="Real-time redemption at acquirers' terminals in shops; only terminals that are registered and bound to"
        " their merchant",
    ),
    verification=Bilingual(
        zh="POS 终端联机核验：终端扫码或键入券码，经 MAC 与终端绑定校验后由主机实时核销；不采集卡号、磁道与 PIN",
        en="POS online check: the terminal scans or keys the code, the host checks MAC and terminal binding and redeems"
        " at once; no card number, track or PIN is taken",
    ),
    coupon_kinds=frozenset({"amount_off", "exchange", "cash"}),
    capabilities=frozenset(
        {
            Capability.ISSUE,
            Capability.BIND,
            Capability.VERIFY,
            Capability.REDEEM,
            Capability.QUERY,
            Capability.REVERSE,
            Capability.VOID,
            Capability.FETCH_BILL,
        }
    ),
    methods=(Method.TERMINAL, Method.SCAN),
    limits=(
        Limit(
            name="coupon_once",
            subject=Subject.TERMINAL,
            window=Window.ONCE,
            max_fen=50_000,
            source="house rule, sheet §12: 500 CNY a coupon",
        ),
        Limit(
            name="contactless_once",
            subject=Subject.HOLDER,
            window=Window.ONCE,
            max_fen=30_000,
            tier="contactless",
            until=date(2018, 6, 1),
            source=_CONTACTLESS,
        ),
        Limit(
            name="contactless_once",
            subject=Subject.HOLDER,
            window=Window.ONCE,
            max_fen=100_000,
            tier="contactless",
            since=date(2018, 6, 1),
            source=_CONTACTLESS,
        ),
        *(
            Limit(
                name=f"{tier}_day",
                subject=Subject.HOLDER,
                window=Window.DAY,
                max_fen=max_fen,
                tier=tier,
                since=date(2018, 4, 1),
                source=_CODES,
            )
            for tier, max_fen in (("qr_static", 50_000), ("qr_dynamic_b", 500_000), ("qr_dynamic_c", 100_000))
        ),
    ),
    settlement=(
        SettlementTerms(
            cycle=Cycle.D_0,
            days=DayCount.CALENDAR,
            cut_off=CUT_OFF,
            contract=SAME_DAY_CONTRACT,
            advance_fee_bp=20,
            source="sheet §11.1: by the acquirer's contract; one page quotes about 0.2 %",
        ),
        SettlementTerms(
            cycle=Cycle.T_1,
            days=DayCount.WORKING,
            cut_off=CUT_OFF,
            source="sheet §11.1: working day after the clearing day; a coupon's fee is the acquirer's contract",
        ),
    ),
    hosts=(),  # the acquirer's address is the merchant's setting
    signing=("UNIONPAY-ECB-MAC", "ANSI-X9.9", "ANSI-X9.19", "SM4-MAC"),
    # A frame has no timestamp. It is dead when it can no longer lie anywhere: 60 s in a host's idle connection, 60 s
    # for the terminal's own wait, 20 s for the host's call to the coupon system (sheet 1.3, 13.4), rounded up.
    request_lifetime_s=180,
    send_window_s=60,
    bills=(statement_source("terminal"),),
    experimental=True,
)
"""The facts that hold for every merchant. Experimental: the coupon profile UCP-1 is ours, not UnionPay's."""


def profile_of(settings: UnionPayPosSettings) -> PlatformProfile:
    """The facts that hold for one merchant.

    The acquirer's bills are offered where the settings say where they are delivered. The online gateway brings bills,
    notices and UnionPay's hosts. A merchant who has that alone has no terminal to redeem at.
    """
    is_delivered = settings.bill_inbox is not None or settings.bill_url is not None
    bills: tuple[BillSource, ...] = (statement_source(settings.role),) if is_delivered and settings.terminals else ()
    bills += GATEWAY_SOURCES if settings.acp is not None else ()
    capabilities = PROFILE.capabilities - {Capability.FETCH_BILL} if settings.terminals else frozenset()
    capabilities |= {Capability.FETCH_BILL} if bills else set()
    if settings.acp is None:
        return replace(PROFILE, capabilities=capabilities, bills=bills)
    return replace(
        PROFILE,
        capabilities=capabilities | {Capability.NOTIFY},
        bills=bills,
        hosts=settings.acp.hosts,
        signing=(*PROFILE.signing, "ACP 5.1.0 SHA256-RSA"),
    )


def clearing_date(at: datetime) -> date:
    """The clearing day that ``at`` (aware) belongs to, from 23:00 to 23:00 Beijing time.

    Field 15 of an answer wins over it; this is what to expect. Raises ``ValidationError`` ``time.naive``.
    """
    if at.tzinfo is None:
        raise ValidationError("time.naive", field="at")
    return (at.astimezone(BEIJING) + timedelta(hours=1)).date()


def date_of(month_and_day: str, *, near: datetime) -> date:
    """The full date of an ``MMDD`` field: the one closest to ``near`` (aware), because no year travels.

    Raises ``ValidationError`` ``unionpay_pos.frame_subfield`` for four digits that are no day.
    """
    if near.tzinfo is None:
        raise ValidationError("time.naive", field="near")
    today = near.astimezone(UTC).astimezone(BEIJING).date()
    candidates: list[date] = []
    if len(month_and_day) == 4 and month_and_day.isascii() and month_and_day.isdigit():
        for year in (today.year - 1, today.year, today.year + 1):
            try:
                candidates.append(date(year, int(month_and_day[:2]), int(month_and_day[2:])))
            except ValueError:
                continue
    if not candidates:
        raise ValidationError("unionpay_pos.frame_subfield", field="15")
    return min(candidates, key=lambda day: abs(day - today))
