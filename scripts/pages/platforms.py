"""The capability table and the dated limits and terms, from the profiles of the installed adapters."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Any

from pages.markdown import cell, say, table
from unicom_coupon_sdk import texts
from unicom_coupon_sdk.cli.capabilities import facts
from unicom_coupon_sdk.domain.money import yuan_text
from unicom_coupon_sdk.platform import registry

ROWS = (
    "name", "coupon_scope", "coupon_kinds", "capabilities", "methods", "verification", "signing", "hosts",
    "experimental",
)  # fmt: skip
EVER = (date(2000, 1, 1), date(9999, 12, 31))


def page() -> Iterator[str]:
    """What each platform offers, then its limits and its settlement terms with their dates and sources."""
    profiles = [registry.load(name).profile for name in registry.available()]
    yield say("# Platforms\n", "# 平台能力\n")
    yield say(
        "From the profiles of the adapters in this distribution. `unicom-coupon adapters` prints the same for what is"
        " installed with you. What a platform does not offer raises `UnsupportedOperation` before anything is sent.\n",
        "取自本发行包内各适配器的平台档案；`unicom-coupon adapters` 会列出你实际安装的适配器。平台不支持的操作在发送任何请求之前即抛出"
        " `UnsupportedOperation`。\n",
    )
    described = [facts(profile, on=date(2026, 1, 1)) for profile in profiles]
    rows = [[texts.text(f"adapters.{row}", values={}), *(_words(fact[row]) for fact in described)] for row in ROWS]
    yield from table(("", *(f"`{profile.name}`" for profile in profiles)), rows)
    yield say("## Limits\n", "## 限额\n")
    yield from table(
        [say(*c) for c in LIMIT_COLUMNS],
        [
            (
                f"`{profile.name}`", f"`{limit.name}`", f"`{limit.subject.value}`", f"`{limit.window.value}`",
                f"¥{yuan_text(limit.max_fen)}" if limit.max_fen is not None else "",
                limit.max_count if limit.max_count is not None else "", _dates(limit), cell(limit.source),
            )
            for profile in profiles
            for limit in profile.limits
        ],
    )  # fmt: skip
    yield say("## Settlement\n", "## 结算\n")
    yield from table(
        [say(*c) for c in TERMS_COLUMNS],
        [
            (
                f"`{profile.name}`", f"`{terms.cycle.value}`", f"`{terms.days.value}`", f"{terms.fee_bp / 100:.2f} %",
                f"`{terms.contract}`" if terms.contract else "", _dates(terms), cell(terms.source),
            )
            for profile in profiles
            for terms in profile.settlement
        ],
    )  # fmt: skip
    yield say("## How long an open operation stays open\n", "## 未决操作最长保留多久\n")
    yield say(
        '`recover` believes a platform\'s "not done" only after the deadline for sending, the life of a signed request'
        " and 60 s for our own clocks. See [why](../why/unknown.md).\n",
        "平台答“未发生”时，`recover` 只有在发送期限、已签名请求的有效期以及 60 秒时钟余量都过去之后才会采信。原因见[未知也是一种结果](../why/unknown.md)。\n",
    )
    yield from table(
        (say("Platform", "平台"), say("may be sent for", "可发送"), say("lives for", "请求有效"), say("so at most", "合计")),
        [
            (f"`{p.name}`", f"{p.send_window_s} s", f"{p.request_lifetime_s} s", f"{p.send_window_s + p.request_lifetime_s + 60} s")
            for p in profiles
        ],
    )  # fmt: skip


LIMIT_COLUMNS = (
    ("Platform", "平台"), ("Limit", "限额"), ("Counted for", "计数对象"), ("Window", "窗口"), ("Amount", "金额"),
    ("Times", "次数"), ("In force", "生效期"), ("Source", "依据"),
)  # fmt: skip
TERMS_COLUMNS = (
    ("Platform", "平台"), ("Cycle", "周期"), ("Days", "日历"), ("Fee", "费率"), ("Contract", "合同"),
    ("In force", "生效期"), ("Source", "依据"),
)  # fmt: skip


def _words(value: Any) -> str:
    if isinstance(value, bool):
        return say("yes", "是") if value else say("no", "否")
    return "<br>".join(f"`{item}`" for item in value) if isinstance(value, list) else cell(value)


def _dates(dated: Any) -> str:
    since = "" if dated.since == EVER[0] else dated.since.isoformat()
    until = "" if dated.until == EVER[1] else dated.until.isoformat()
    return f"{since} – {until}" if since or until else say("always", "始终")
