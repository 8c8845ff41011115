"""The doctor: keys and check values, what the terminals still owe, line and clock (sheet 13, 16)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from stat import S_IWOTH
from typing import Final
from urllib.parse import urlsplit

from unicom_coupon_adapters.unionpay_pos.answers import PLATFORM, Answer
from unicom_coupon_adapters.unionpay_pos.hosting import book
from unicom_coupon_adapters.unionpay_pos.profile import date_of
from unicom_coupon_adapters.unionpay_pos.settings import UnionPayPosSettings
from unicom_coupon_adapters.unionpay_pos.transactions import Transactions
from unicom_coupon_sdk.crypto.providers import FileKeys
from unicom_coupon_sdk.domain.times import BEIJING
from unicom_coupon_sdk.errors import CouponError, ValidationError
from unicom_coupon_sdk.platform.adapter import CheckState, Finding
from unicom_coupon_sdk.platform.effects import Flow, Local, Now
from unicom_coupon_sdk.platform.notebook import noting

CLOCK_WARN_S: Final = 30
CLOCK_FAIL_S: Final = 300
"""A terminal sets its clock by the host; a gateway whose clock is this far off is broken."""


def diagnose(settings: UnionPayPosSettings, *, terminals: Mapping[str, Transactions]) -> Flow[tuple[Finding, ...]]:
    """The findings, in order: what can be seen here, then the line. Nothing is raised: what fails is a finding.

    Of each master key the check value is shown, to be compared with the acquirer's letter.
    """
    now = yield from Now()
    findings = [
        # Loading has refused weak and unreadable keys already; a bad one never gets here.
        _finding("unionpay_pos.check_terminals", CheckState.OK, count=len(terminals)),
        *(
            _finding("unionpay_pos.check_master_key", CheckState.OK, terminal=number, check=one.line.master_check)
            for number, one in terminals.items()
        ),
        _key_files(settings),
        _finding(
            "unionpay_pos.check_channel",
            CheckState.OK if settings.tls else CheckState.WARN,
            mac=settings.mac.value,
            tls="on" if settings.tls else "off",
        ),
        (yield from _bills(settings)),
    ]
    if settings.role == "host":
        owed = yield from noting(PLATFORM, book.cancels)
        state = CheckState.WARN if owed else CheckState.OK
        findings.append(_finding("unionpay_pos.check_cancels", state, owed=len(owed)))
        return (*findings, _finding("unionpay_pos.check_line", CheckState.SKIP, error="-"))
    for transactions in terminals.values():
        signed_on = yield from _sign_on(transactions, now=now)
        findings.append(signed_on)
    findings.append((yield from _owed(terminals, now=now)))
    findings.append((yield from _batches(terminals)))
    return (*findings, *(yield from _line(next(iter(terminals.values())))))


def _line(first: Transactions) -> Flow[tuple[Finding, ...]]:
    """Whether the host answers, and how far our clock is from its own."""
    try:
        answer = yield from first.line.echo()
    except CouponError as error:
        return (_finding("unionpay_pos.check_line", CheckState.FAIL, error=error.code),)
    now = yield from Now()
    state = CheckState.OK if answer.code == "00" else CheckState.FAIL
    return _finding("unionpay_pos.check_line", state, error=answer.code), _clock(answer, now=now)


def _finding(item: str, state: CheckState, **details: object) -> Finding:
    return Finding(item, state, details)


def _key_files(settings: UnionPayPosSettings) -> Finding:
    """Whether others on this machine may read a master key's file."""
    references = [told.tmk for told in settings.terminals.values()]
    paths = [ref.partition(":")[2] for ref in references if isinstance(ref, str) and ref.startswith("file:")]
    exposed = sum(1 for path in paths if FileKeys.is_exposed(path))
    state = CheckState.WARN if exposed else CheckState.OK
    return _finding("unionpay_pos.check_key_files", state if paths else CheckState.SKIP, exposed=exposed)


def _bills(settings: UnionPayPosSettings) -> Flow[Finding]:
    """Where the acquirer's files come from: a folder that may be read, and that not everybody may write to."""
    inbox = settings.bill_inbox
    if inbox is None:
        place = urlsplit(settings.bill_url).hostname if settings.bill_url else None
        state = CheckState.OK if place else CheckState.SKIP
        return _finding("unionpay_pos.check_bills", state, place=place or "-")
    state = yield from Local(lambda: _inbox_state(inbox))
    return _finding("unionpay_pos.check_bills", state, place=str(inbox))


def _inbox_state(inbox: Path) -> CheckState:
    if not (inbox.is_dir() and os.access(inbox, os.R_OK | os.X_OK)):
        return CheckState.FAIL
    return CheckState.WARN if inbox.stat().st_mode & S_IWOTH else CheckState.OK


def _clock(answer: Answer, *, now: datetime) -> Finding:
    """Our clock against fields 12 and 13 of the echo's answer."""
    try:
        day = date_of(answer.field(13) or "", near=now)
        clock = datetime.strptime(answer.field(12) or "", "%H%M%S").time()  # noqa: DTZ007 - Beijing's time of day
    except (ValidationError, ValueError):
        return _finding("unionpay_pos.check_clock", CheckState.SKIP, skew_s="-")
    theirs = datetime.combine(day, clock, tzinfo=BEIJING).astimezone(UTC)
    skew_s = round((now - theirs).total_seconds())
    state = CheckState.OK if abs(skew_s) < CLOCK_WARN_S else CheckState.WARN
    return _finding(
        "unionpay_pos.check_clock", CheckState.FAIL if abs(skew_s) >= CLOCK_FAIL_S else state, skew_s=skew_s
    )


def _sign_on(transactions: Transactions, *, now: datetime) -> Flow[Finding]:
    """Whether the terminal has working keys of today whose check values are right."""
    number = transactions.line.terminal.number
    keys = yield from transactions.line.book.keys(now=now)
    if keys is None:
        return _finding("unionpay_pos.check_sign_on", CheckState.SKIP, terminal=number, error="-")
    try:
        transactions.line.mac_key(keys)
    except CouponError as error:
        return _finding("unionpay_pos.check_sign_on", CheckState.FAIL, terminal=number, error=error.code)
    return _finding("unionpay_pos.check_sign_on", CheckState.OK, terminal=number, error="-")


def _owed(terminals: Mapping[str, Transactions], *, now: datetime) -> Flow[Finding]:
    owed = 0
    for transactions in terminals.values():
        owed += len((yield from transactions.line.book.owed(now=now)))
    return _finding("unionpay_pos.check_reversals", CheckState.WARN if owed else CheckState.OK, owed=owed)


def _batches(terminals: Mapping[str, Transactions]) -> Flow[Finding]:
    """Whether a settlement has stopped half-way: its terminal takes no transactions until it is carried on."""
    settling = []
    for number, transactions in terminals.items():
        if (yield from transactions.line.book.state())["settling"]:
            settling.append(number)
    state = CheckState.WARN if settling else CheckState.OK
    return _finding("unionpay_pos.check_batches", state, settling=", ".join(settling) or "-")
