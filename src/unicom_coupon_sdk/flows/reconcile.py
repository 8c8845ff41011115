"""Reconcile: a platform's day, ledger against bills, and against the platform's own word where no bill has it.

The bills are fetched, or found where an earlier fetch kept them; our side is read in pages into a snapshot; the two are
compared in files. What no bill lists is asked about, one by one. Then it is written down: which operations were shown
and by what, which settlements have come with that, and every discrepancy, with both sides and a proposal. Nothing else
is changed: no coupon, no redemption, no limit. Everything may be repeated; the same inputs find the same.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date
from functools import partial
from pathlib import Path

from unicom_coupon_sdk.clearing.draft import SnapshotDraft
from unicom_coupon_sdk.clearing.findings import discrepancy_id
from unicom_coupon_sdk.clearing.matching import Carried
from unicom_coupon_sdk.clearing.outcome import Outcome, discrepancy_line, read_outcome
from unicom_coupon_sdk.clearing.reconciliation import reconcile as compare
from unicom_coupon_sdk.domain.bill import BillFile, BillKind, BillNotReady, NoBill, RowKind, RowState
from unicom_coupon_sdk.domain.reconciliation import (
    Action,
    Cause,
    Discrepancy,
    DiscrepancyClass,
    Entry,
    MatchedBy,
    Tally,
)
from unicom_coupon_sdk.domain.settlement import Settlement
from unicom_coupon_sdk.errors import CouponError, Effected, ValidationError
from unicom_coupon_sdk.flows.expected import Expectations, Span
from unicom_coupon_sdk.flows.fetch_bill import fetch_bill, known_bill
from unicom_coupon_sdk.flows.pay_out import asked_of
from unicom_coupon_sdk.flows.setting import Setting
from unicom_coupon_sdk.ledger import OperationKind
from unicom_coupon_sdk.ledger.entries import LedgerEntry
from unicom_coupon_sdk.ledger.reconciliations import Finding
from unicom_coupon_sdk.platform.bill import BillSource
from unicom_coupon_sdk.platform.effects import Flow, Local, NewId, Now, Transact
from unicom_coupon_sdk.platform.profile import Capability

PAGE = 1_000
_MONEY = frozenset({RowKind.REDEMPTION, RowKind.REVERSAL, RowKind.PAYMENT})
"""The kinds that settlements are made of."""

Bills = Sequence[tuple[BillFile | NoBill, BillSource]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciliation:
    """A platform's day, compared.

    ``tallies`` count what agreed and what did not, by kind of row; ``shown_by`` counts operations by what showed them;
    ``discrepancies`` by class; ``unasked`` are operations that no bill lists and about which the platform could not be
    asked: the next run asks again. ``settled`` are the settlements that came with it. ``folder`` has the whole lists.
    ``is_final`` is false while a bill is one that another will follow.
    """

    platform: str
    day: date
    folder: Path
    tallies: tuple[Tally, ...]
    shown_by: Mapping[MatchedBy, int]
    discrepancies: Mapping[DiscrepancyClass, int]
    unasked: int
    settled: tuple[Settlement, ...]
    is_final: bool

    @property
    def is_clean(self) -> bool:
        """Whether everything was compared, and nothing differs but what was met in another day's bill."""
        return not self.unasked and not set(self.discrepancies) - {DiscrepancyClass.DATE_DIFFERS}


@dataclass(slots=True)
class _Asked:
    """What asking about unlisted entries gave."""

    shown: list[str] = field(default_factory=list)
    discrepancies: list[Discrepancy] = field(default_factory=list)
    unasked: int = 0


def reconcile(platform: str, day: date, *, setting: Setting) -> Flow[Reconciliation | BillNotReady]:
    """The comparison of a Beijing ``day``; ``BillNotReady`` when the platform has yet to make one of its bills.

    May be repeated, by many at once: findings keep their ids and their first date. Raises what ``fetch_bill`` raises,
    ``ValidationError`` (``bill.…``) for bills that cannot be read, ``ConfigurationError`` for files too large without
    the extra ``recon``.
    """
    adapter = setting.adapter(platform)
    adapter.profile.require(Capability.FETCH_BILL)
    bills = []
    for source in adapter.profile.bills:
        bill = yield from _bill(platform, source, day, setting=setting)
        if isinstance(bill, BillNotReady):
            return bill
        bills.append((bill, source))
    folder = setting.bills / platform / day.isoformat()
    ours = yield from _snapshot(platform, day, folder=folder, setting=setting)
    carried = yield from _carried(platform, day, setting=setting)
    outcome = yield from Local(lambda: _compare(ours, bills, carried, day=day, folder=folder / "runs"))
    asked = yield from _ask(outcome, setting=setting)
    return (yield from _write_down(outcome, asked, bills, setting=setting))


def _bill(platform: str, source: BillSource, day: date, *, setting: Setting) -> Flow[BillFile | NoBill | BillNotReady]:
    known = yield from known_bill(platform, source.kind, day, setting=setting)
    if isinstance(known, NoBill) or (isinstance(known, BillFile) and known.is_final):
        return known
    fetched = yield from fetch_bill(platform, source.kind, day, setting=setting)
    return known if isinstance(fetched, BillNotReady) and known is not None else fetched


def _compare(ours: Path, bills: Bills, carried: Carried, *, day: date, folder: Path) -> Outcome:
    try:
        return compare(ours, bills, carried, day=day, folder=folder)
    finally:
        ours.unlink(missing_ok=True)


def _snapshot(platform: str, day: date, *, folder: Path, setting: Setting) -> Flow[Path]:
    """Our side, on disk: every entry of the day, kind by kind, in the order of ids."""
    profile = setting.adapter(platform).profile
    span = Span.of(day, profile=profile, contracts=setting.contracts)
    expectations = Expectations(profile, span)
    draft = SnapshotDraft(folder / f"ours-{(yield from NewId())}.csv")
    yield from Local(draft.begin)
    for kind in OperationKind:
        last: LedgerEntry | None = None
        while True:
            page = yield from Transact(
                setting.ledger.entries_of_day(
                    kind,
                    merchant_id=setting.merchant_id,
                    platform=platform,
                    begins=span.begins,
                    ends=span.ends,
                    after=last,
                    limit=PAGE,
                )
            )
            if not page:
                break
            last = page[-1]
            entries = [entry for found in page for entry in expectations.of(found)]
            yield from Local(partial(draft.add, entries))
    return (yield from Local(draft.end))


def _carried(platform: str, day: date, *, setting: Setting) -> Flow[Carried]:
    """What the last reconciled day before left open."""
    run = yield from Transact(setting.ledger.reconciliation_before(setting.merchant_id, platform, day))
    if run is None:
        return Carried()
    folder = setting.bills / json.loads(run.content)["folder"]
    try:
        outcome = yield from Local(lambda: read_outcome(folder))
    except FileNotFoundError:
        raise ValidationError("reconcile.run_gone", field="clearing.directory", day=run.day.isoformat()) from None
    return outcome.carried


def _ask(outcome: Outcome, *, setting: Setting) -> Flow[_Asked]:
    """Ask the platform about what no bill of the day lists, unless the order's own row has shown it."""
    asked = _Asked()
    by_order = yield from Local(lambda: _shown_by_order(outcome))
    at: int | None = 0
    while at is not None and outcome.unlisted_count:
        page = yield from Local(partial(outcome.unlisted, at, limit=PAGE))
        for entry in page.items:
            if entry.operation_id not in by_order or entry.kind is not RowKind.REDEMPTION:
                yield from _ask_about(entry, asked, outcome=outcome, setting=setting)
        at = page.next
    return asked


def _shown_by_order(outcome: Outcome) -> frozenset[str]:
    found: set[str] = set()
    at: int | None = 0
    while at is not None and outcome.unlisted_count:
        page = outcome.pairs(at)
        found.update(pair.operation_id for pair in page.items if pair.matched_by is MatchedBy.TRADE_BILL)
        at = page.next
    return frozenset(found)


def _ask_about(entry: Entry, asked: _Asked, *, outcome: Outcome, setting: Setting) -> Flow[None]:
    if entry.state is RowState.UNDONE:  # how it stands now says nothing of it; its reversal is asked about by itself
        asked.shown.append(entry.operation_id)
        return
    try:
        effected = yield from _effected(entry, platform=outcome.platform, setting=setting)
    except CouponError:
        asked.unasked += 1
        return
    if effected is Effected.UNKNOWN:
        asked.unasked += 1
        return
    difference = _difference(entry.state, effected)
    if difference is None:
        if entry.state is RowState.DONE:
            asked.shown.append(entry.operation_id)
        return
    found, cause, action = difference
    asked.discrepancies.append(
        Discrepancy(
            discrepancy_id=discrepancy_id(outcome.platform, BillKind.COUPON, found, entry.kind, key=entry.operation_id),
            platform=outcome.platform,
            bill=BillKind.COUPON,
            found=found,
            kind=entry.kind,
            number=entry.number,
            since=entry.day,
            open_days=0,
            ours=entry,
            theirs=None,
            cause=cause,
            action=action,
        )
    )


def _effected(entry: Entry, *, platform: str, setting: Setting) -> Flow[Effected]:
    """What the platform says of one operation."""
    adapter, ledger = setting.adapter(platform), setting.ledger
    match entry.kind:
        case RowKind.REDEMPTION | RowKind.PAY_OUT:
            held = yield from Transact(ledger.held(entry.operation_id))
            return (yield from asked_of(held, adapter)).effected
        case RowKind.REVERSAL:
            back = yield from Transact(ledger.held_reversal(entry.operation_id))
            return (yield from adapter.query_reversal(back)).effected
        case RowKind.SHARE:
            share = yield from Transact(ledger.held_share(entry.number))
            lines = (yield from adapter.query_share(share)).lines
            line = lines.get(int(entry.operation_id.rpartition(".")[2]))
            return line.effected if line is not None else Effected.UNKNOWN
        case RowKind.SHARE_RETURN:
            returned = yield from Transact(ledger.held_return(entry.operation_id))
            return (yield from adapter.query_share_return(returned)).effected
        case _:
            return Effected.UNKNOWN


def _difference(state: RowState, effected: Effected) -> tuple[DiscrepancyClass, Cause, Action] | None:
    """What is to be said where the ledger has ``state`` and the platform answers ``effected``."""
    is_done = effected is Effected.DONE
    match state:
        case RowState.DONE if not is_done:
            return DiscrepancyClass.MISSING_THERE, Cause.NEVER_ARRIVED, Action.ASK_PLATFORM
        case RowState.OPEN if is_done:
            return DiscrepancyClass.STATE_DIFFERS, Cause.OPEN_HERE, Action.RECOVER
        case RowState.FAILED if is_done:
            return DiscrepancyClass.STATE_DIFFERS, Cause.DONE_THERE, Action.CHECK_LEDGER
    return None


def _write_down(outcome: Outcome, asked: _Asked, bills: Bills, *, setting: Setting) -> Flow[Reconciliation]:
    platform, day, ledger, merchant_id = outcome.platform, outcome.day, setting.ledger, setting.merchant_id
    is_final = all(isinstance(bill, NoBill) or bill.is_final for bill, _ in bills)
    now = yield from Now()
    yield from Transact(ledger.begin_reconciliation(merchant_id, platform, day, now=now))
    classes = yield from _keep(outcome, asked.discrepancies, setting=setting)
    shown_by = yield from _show(outcome, asked.shown, is_final=is_final, setting=setting)
    now = yield from Now()
    settled = yield from Transact(ledger.finish_settlements(merchant_id, platform, now=now))
    content = {
        "folder": outcome.folder.relative_to(setting.bills).as_posix(),
        "is_final": is_final,
        "tallies": [asdict(tally) for tally in outcome.tallies],
        "shown_by": shown_by,
        "discrepancies": classes,
        "unasked": asked.unasked,
    }
    yield from Transact(
        ledger.save_reconciliation(
            merchant_id=merchant_id,
            platform=platform,
            day=day,
            inputs=outcome.digest,
            content=json.dumps(content),
            now=now,
        )
    )
    return Reconciliation(
        platform=platform,
        day=day,
        folder=outcome.folder,
        tallies=tuple(outcome.tallies),
        shown_by=shown_by,
        discrepancies=classes,
        unasked=asked.unasked,
        settled=settled,
        is_final=is_final,
    )


def _keep(outcome: Outcome, asked: Sequence[Discrepancy], *, setting: Setting) -> Flow[Counter[DiscrepancyClass]]:
    """Write every discrepancy down; how many there are of each class."""
    counts: Counter[DiscrepancyClass] = Counter()
    at: int | None = 0
    more = tuple(asked)
    while at is not None or more:
        if at is not None:
            page = yield from Local(partial(outcome.discrepancies, at, limit=PAGE))
            items, at = page.items, page.next
        else:
            items, more = more[:PAGE], more[PAGE:]
        counts.update(one.found for one in items)
        now = yield from Now()
        yield from Transact(
            setting.ledger.keep_findings(
                [_finding(one, day=outcome.day) for one in items],
                merchant_id=setting.merchant_id,
                platform=outcome.platform,
                day=outcome.day,
                now=now,
            )
        )
    return counts


def _finding(one: Discrepancy, *, day: date) -> Finding:
    return Finding(
        discrepancy_id=one.discrepancy_id,
        difference=one.found.value,
        since=one.since,
        content=discrepancy_line(one),
        met_on=day if one.found is DiscrepancyClass.DATE_DIFFERS else None,
        resolves=one.resolves,
    )


def _show(outcome: Outcome, asked: Sequence[str], *, is_final: bool, setting: Setting) -> Flow[Counter[MatchedBy]]:
    """Mark what was shown, so that settlements come; how many operations by what. Only final bills mark anything."""
    counts: Counter[MatchedBy] = Counter()
    at: int | None = 0
    while at is not None:
        page = yield from Local(partial(outcome.pairs, at, limit=PAGE))
        counts.update(pair.matched_by for pair in page.items)
        at = page.next
        if is_final:
            for by in MatchedBy:
                found = [pair.operation_id for pair in page.items if pair.matched_by is by and pair.kind in _MONEY]
                yield from _mark(found, by, setting=setting)
    counts[MatchedBy.QUERY] += len(asked)
    for start in range(0, len(asked), PAGE):
        yield from _mark(asked[start : start + PAGE], MatchedBy.QUERY, setting=setting)
    return +counts


def _mark(operation_ids: Iterable[str], by: MatchedBy, *, setting: Setting) -> Flow[None]:
    found = tuple(operation_ids)
    if found:
        now = yield from Now()
        yield from Transact(setting.ledger.match_items(found, by=by.value, now=now))
