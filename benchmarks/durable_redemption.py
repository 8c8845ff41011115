"""Durable redemptions a second, beside their physical limit: the very same statements in bare sqlite3.

One redemption is a hold and a conclusion: two transactions, each on disk (WAL, synchronous=FULL) before it counts. The
statements and their values are recorded while the ledger redeems on one copy of a database; then the ledger redeems on
further copies and bare sqlite3 replays the recording on one of its own, in turns, so that all meet the same disk. The
bare run encrypts nothing, decodes nothing and checks nothing: what is left between them is the price of the ledger.

    python benchmarks/durable_redemption.py [redemptions] [directory]
"""

from __future__ import annotations

import gc
import os
import shutil
import sqlite3
import statistics
import sys
import tempfile
import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from unicom_coupon_sdk.crypto.fields import FieldCipher
from unicom_coupon_sdk.domain.admission import Admission
from unicom_coupon_sdk.domain.coupon import AmountOff, CouponTemplate
from unicom_coupon_sdk.domain.limits import Consumption
from unicom_coupon_sdk.domain.order import Holder, Order
from unicom_coupon_sdk.domain.redemption import Binding, Listing, Outcome, RedeemRequest
from unicom_coupon_sdk.domain.sensitive import PlatformUser, Secret
from unicom_coupon_sdk.domain.verification import LoginProof, Method, VerifiedHolder
from unicom_coupon_sdk.errors import Effected
from unicom_coupon_sdk.ledger import IssueWish, Ledger, open_engine, prepare
from unicom_coupon_sdk.ledger import statement as statements

NOW = datetime(2026, 5, 20, 4, tzinfo=UTC)
PLATFORM = "wechatpay"
ROUND = 50


def build(path: Path, count: int):
    """A ledger with ``count`` coupons that can be redeemed."""
    ledger = Ledger(FieldCipher.derive(bytes(32)), code_key=bytes(32))
    engine = open_engine(f"sqlite:///{path}")
    prepare(engine)
    template = CouponTemplate(
        template_id="bench",
        name="bench",
        benefit=AmountOff(off_fen=500),
        valid_from=NOW - timedelta(days=1),
        valid_until=NOW + timedelta(days=30),
        platforms=frozenset({PLATFORM}),
    )
    wish = IssueWish(
        merchant_id="M1",
        idempotency_key="issue",
        batch_id="B1",
        template=template,
        count=count,
        entropy=os.urandom(16 * count),
        now=NOW,
    )
    with engine.begin() as connection:
        batch = ledger.issue(wish)(connection)
        listing = Listing("bench", PLATFORM, {"stock_id": "1234567890"})
        ledger.save_listing(listing, batch_id="B1", now=NOW)(connection)
        for number, coupon in enumerate(batch.coupons):
            user = PlatformUser(f"openid-{number}")
            holder = Holder(user=user)
            ledger.start_binding(coupon.coupon_id, PLATFORM, holder, binding_no=f"N{number}", now=NOW)(connection)
            binding = Binding(coupon.coupon_id, PLATFORM, user, {"coupon_code": "kept"})
            ledger.finish_binding(binding, holder=holder, now=NOW)(connection)
    engine.dispose()
    return ledger, batch.coupons


def wish_for(number: int, coupon):
    """What the guard hands over for one redemption, with one day's limit."""
    request = RedeemRequest(
        idempotency_key=f"order-{number}",
        platform=PLATFORM,
        coupon=coupon.code,
        order=Order(order_no=f"O{number}", amount_fen=2000, store_no="S1", terminal_no="T1"),
        proof=LoginProof(login_code=Secret("0123456789")),
    )
    limit = Consumption("day", PLATFORM, "holder", f"{number:032x}", "2026-05-20", 500, 5_000_000, None)
    admission = Admission(
        coupon_id=coupon.coupon_id,
        verified=VerifiedHolder(coupon.coupon_id, Method.LOGIN, NOW),
        value_fen=500,
        consumptions=(limit,),
        deadline=NOW + timedelta(seconds=60),
    )
    return request, admission


def redeem(ledger, begin, number, wish):
    """One durable redemption; ``begin()`` gives a connection in a transaction."""
    request, admission = wish
    with begin() as connection:
        hold = ledger.hold(request, admission, merchant_id="M1", redemption_id=f"R{number}", now=NOW)(connection)
    outcome = Outcome(Effected.DONE, at=NOW, platform_no=f"P{number}", refs={"transaction_id": f"P{number}"})
    with begin() as connection:
        ledger.conclude(hold.held, outcome, settles_on=NOW.date(), fee_fen=3, now=NOW)(connection)


@contextmanager
def kept(connection):
    """A transaction on a connection that stays open, as bare sqlite3 has it."""
    with connection.begin():
        yield connection


def record(ledger, path, wishes):
    """The texts and values of each transaction, as the ledger sends them."""
    engine = open_engine(f"sqlite:///{path}")
    taken = []
    arguments = statements._Statement._arguments  # noqa: SLF001 - the one place that sees them all

    def noting(self, connection, values):
        text, found = arguments(self, connection, values)
        taken[-1].append((text, found))
        return text, found

    @contextmanager
    def begin():
        taken.append([])
        with engine.begin() as connection:
            yield connection

    statements._Statement._arguments = noting  # noqa: SLF001
    try:
        for number, wish in enumerate(wishes):
            redeem(ledger, begin, number, wish)
    finally:
        statements._Statement._arguments = arguments  # noqa: SLF001
    engine.dispose()
    return taken


def replay(connection, transactions):
    for transaction in transactions:
        connection.execute("BEGIN IMMEDIATE")
        for text, values in transaction:
            connection.execute(text, values).fetchall()
        connection.execute("COMMIT")


def bare_connection(path):
    connection = sqlite3.connect(path, isolation_level=None, cached_statements=256)
    for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
        connection.execute(f"PRAGMA {pragma}")
    return connection


def measure(count: int, folder: Path):
    """Redemptions a second of each contestant, round by round."""
    ledger, coupons = build(folder / "recorded.db", count)
    for name in ("kept.db", "pooled.db", "bare.db"):
        shutil.copy(folder / "recorded.db", folder / name)
    wishes = [wish_for(number, coupon) for number, coupon in enumerate(coupons)]
    recording = record(ledger, folder / "recorded.db", wishes)
    engine, pooled = open_engine(f"sqlite:///{folder / 'kept.db'}"), open_engine(f"sqlite:///{folder / 'pooled.db'}")
    connection, bare = engine.connect(), bare_connection(folder / "bare.db")
    contestants = {
        "kept": lambda number: redeem(ledger, lambda: kept(connection), number, wishes[number]),
        "pooled": lambda number: redeem(ledger, pooled.begin, number, wishes[number]),
        "bare": lambda number: replay(bare, recording[2 * number : 2 * number + 2]),
    }
    speeds = {name: [] for name in contestants}
    gc.disable()
    for start in range(0, count, ROUND):
        for name, act in contestants.items():
            begun = time.perf_counter()
            for number in range(start, start + ROUND):
                act(number)
            speeds[name].append(ROUND / (time.perf_counter() - begun))
    gc.enable()
    with kept(connection):
        assert ledger.audit()(connection) == ()
        assert ledger.statistics()(connection)["redemption.done"] == count
    return speeds, len(recording[0]) + len(recording[1])


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    parent = sys.argv[2] if len(sys.argv) > 2 else None
    with tempfile.TemporaryDirectory(dir=parent) as folder:
        speeds, each = measure(count - count % ROUND or ROUND, Path(folder))
    print(f"{each} statements and 2 commits a redemption, {len(speeds['bare'])} rounds of {ROUND}")
    for name, title in (("kept", "ledger, connection kept"), ("pooled", "ledger, connection from the pool")):
        ratio = statistics.median(mine / bare for mine, bare in zip(speeds[name], speeds["bare"], strict=True))
        print(f"{title:34}{statistics.median(speeds[name]):7.0f} redemptions/s {ratio:6.2f} of bare")
    print(f"{'bare sqlite3':34}{statistics.median(speeds['bare']):7.0f} redemptions/s")


if __name__ == "__main__":
    main()
