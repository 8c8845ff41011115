"""A ledger with coupons in it, and short words for what is done to them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count

from unicom_coupon_sdk.crypto.fields import FieldCipher
from unicom_coupon_sdk.domain.admission import Admission
from unicom_coupon_sdk.domain.coupon import AmountOff, CouponTemplate
from unicom_coupon_sdk.domain.limits import Consumption
from unicom_coupon_sdk.domain.order import Holder, Order
from unicom_coupon_sdk.domain.redemption import Binding, Listing, Outcome, RedeemRequest, ReverseRequest
from unicom_coupon_sdk.domain.sensitive import PhoneNumber, PlatformUser, Secret
from unicom_coupon_sdk.domain.sharing import LineResult, Receiver, ShareLine, ShareOutcome, ShareRequest, ShareRole
from unicom_coupon_sdk.domain.verification import LoginProof, Method, VerifiedHolder
from unicom_coupon_sdk.errors import Effected, LedgerError, PlatformRefused, PlatformUnknown
from unicom_coupon_sdk.ledger import IssueWish, Ledger

NOW = datetime(2026, 5, 20, 4, 0, tzinfo=UTC)
DAY = timedelta(days=1)
MERCHANT = "M1"
PAY = "testpay"
ALSO = "otherpay"
USER = PlatformUser("openid-of-somebody")
HOLDER = Holder(user=USER, phone=PhoneNumber("13800138000"))
LEDGER = Ledger(FieldCipher.derive(b"k" * 32), code_key=b"c" * 32)

DONE = Outcome(Effected.DONE, at=NOW, platform_no="P1", refs={"trade_no": "T1"})
NOT_DONE = Outcome(Effected.NOT_DONE, error=PlatformRefused("platform.refused", platform_code="NO", request_id="Q1"))
UNKNOWN = Outcome(Effected.UNKNOWN, error=PlatformUnknown("platform.no_answer"))


def template(**changes):
    facts = {
        "template_id": "T1",
        "name": "five off",
        "benefit": AmountOff(off_fen=500),
        "valid_from": NOW - DAY,
        "valid_until": NOW + 30 * DAY,
        "platforms": frozenset({PAY, ALSO}),
    }
    return CouponTemplate(**{**facts, **changes})


def entropy(coupons, *, seed=0):
    return bytes((seed * 31 + place * 7 + place // 251) % 256 for place in range(16 * coupons))


def day_limit(amount_fen, *, subject="holder-1", window="2026-05-20", max_fen=10_000, max_count=None):
    return Consumption("day", PAY, "holder", subject, window, amount_fen, max_fen, max_count)


class House:
    """One ledger and its engine. ``now`` may be set; ids are counted."""

    def __init__(self, engine, *, ledger=LEDGER):
        self.engine = engine
        self.ledger = ledger
        self.now = NOW
        self._ids = count(1)

    def run(self, work):
        """What ``work`` gives. Run again at once when somebody else was faster, as a runtime does."""
        while True:
            try:
                with self.engine.begin() as connection:
                    return work(connection)
            except LedgerError as error:
                if error.code != "ledger.moved":
                    raise

    def id(self, letter):
        return f"{letter}{next(self._ids)}"

    def wish(self, coupons=1, *, key="issue-1", seed=0, of=None):
        return IssueWish(
            merchant_id=MERCHANT,
            idempotency_key=key,
            batch_id=self.id("B"),
            template=of or template(),
            count=coupons,
            entropy=entropy(coupons, seed=seed),
            now=self.now,
        )

    def issue(self, coupons=1, **how):
        return self.run(self.ledger.issue(self.wish(coupons, **how)))

    def listed(self, coupons=1, *, of=None, **how):
        """A batch that every platform of its template knows."""
        batch = self.issue(coupons, of=of, **how)
        for platform in sorted(batch.template.platforms):
            listing = Listing(batch.template.template_id, platform, {"stock_id": f"S-{platform}"})
            self.run(self.ledger.save_listing(listing, batch_id=batch.batch_id, now=self.now))
        return batch

    def bind(self, coupon_id, *, platform=PAY, holder=HOLDER, user=USER, pending=False):
        ticket = self.start(coupon_id, platform=platform, holder=holder)
        binding = Binding(ticket.coupon.coupon_id, platform, user, {"card_id": "K1"}, pending=pending)
        return self.run(self.ledger.finish_binding(binding, holder=holder, now=self.now))

    def start(self, coupon_id, *, platform=PAY, holder=HOLDER, binding_no="N1"):
        return self.run(self.ledger.start_binding(coupon_id, platform, holder, binding_no=binding_no, now=self.now))

    def bound(self, **how):
        """A coupon that can be redeemed."""
        batch = self.listed(key=self.id("issue-"), seed=next(self._ids), **how)
        return self.bind(batch.coupons[0].coupon_id)

    def request(self, coupon, *, key="order-1", order_no="O1", amount_fen=2000, platform=PAY):
        return RedeemRequest(
            idempotency_key=key,
            platform=platform,
            coupon=coupon.code,
            order=Order(order_no=order_no, amount_fen=amount_fen),
            proof=LoginProof(login_code=Secret("proof-of-somebody")),
        )

    def admission(self, coupon, *, value_fen=500, consumptions=(), challenge_id=None):
        return Admission(
            coupon_id=coupon.coupon_id,
            verified=VerifiedHolder(coupon.coupon_id, Method.LOGIN, self.now),
            value_fen=value_fen,
            consumptions=tuple(consumptions),
            deadline=self.now + timedelta(seconds=60),
            challenge_id=challenge_id,
        )

    def hold(self, coupon, *, key="order-1", admission=None, platform=PAY, redemption_id=None, **how):
        return self.run(
            self.ledger.hold(
                self.request(coupon, key=key, platform=platform),
                admission or self.admission(coupon, **how),
                merchant_id=MERCHANT,
                redemption_id=redemption_id or self.id("R"),
                now=self.now,
            )
        )

    def conclude(self, held, outcome=DONE, *, fee_fen=3, advance_fee_fen=0, settles_on=None):
        return self.run(
            self.ledger.conclude(
                held,
                outcome,
                settles_on=settles_on,
                fee_fen=fee_fen,
                advance_fee_fen=advance_fee_fen,
                now=self.now,
            )
        )

    def redeem(self, coupon, *, outcome=DONE, fee_fen=3, **how):
        return self.conclude(self.hold(coupon, **how).held, outcome, fee_fen=fee_fen)

    def hold_reversal(self, redemption, *, key="reverse-1", **how):
        return self.run(
            self.ledger.hold_reversal(
                ReverseRequest(idempotency_key=key, redemption_id=redemption.redemption_id, **how),
                merchant_id=MERCHANT,
                reversal_id=self.id("V"),
                deadline=self.now + timedelta(seconds=60),
                now=self.now,
            )
        )

    def conclude_reversal(self, held, outcome=DONE):
        return self.run(self.ledger.conclude_reversal(held, replace(outcome, at=self.now), now=self.now))

    def reverse(self, redemption, *, outcome=DONE, **how):
        return self.conclude_reversal(self.hold_reversal(redemption, **how).held, outcome)

    def share(self, redemption, *, key="share-1", fen=(100, 50), results=(Effected.DONE, Effected.NOT_DONE)):
        """A share of two lines, concluded by what the platform said of each."""
        receiver = Receiver(merchant_account="1900000109")
        lines = tuple(ShareLine(number, ShareRole.PLATFORM, receiver, part) for number, part in enumerate(fen, start=1))
        request = ShareRequest(
            idempotency_key=key, redemption_id=redemption.redemption_id, rule="r1", amount_fen=sum(fen)
        )
        share_id = self.id("S")
        deadline = self.now + timedelta(seconds=60)
        self.run(
            self.ledger.hold_share(
                request, lines, merchant_id=MERCHANT, share_id=share_id, deadline=deadline, now=self.now
            )
        )
        told = {number: LineResult(result) for number, result in enumerate(results, start=1)}
        outcome = ShareOutcome(Effected.DONE, lines=told, at=self.now)
        return self.run(self.ledger.conclude_share(share_id, outcome, now=self.now))

    def settle(self, day):
        """What is due by ``day``, in a settlement."""
        return self.run(
            self.ledger.settle(
                merchant_id=MERCHANT, platform=PAY, day=day, settlement_id=self.id("N"), limit=99, now=self.now
            )
        )

    def state(self, coupon):
        return self.run(self.ledger.coupon(coupon.coupon_id)).state.value

    def kinds(self, coupon):
        return [
            event.kind.value.removeprefix("coupon.") for event in self.run(self.ledger.coupon_path(coupon.coupon_id))
        ]

    def audit(self):
        return self.run(self.ledger.audit())

    def balance(self):
        return {account: fen for account, fen in self.run(self.ledger.trial_balance()).items() if fen}

    def counters(self):
        with self.engine.begin() as connection:
            rows = connection.exec_driver_sql(
                "SELECT subject_index, window_name, used_fen, used_count FROM counter"
            ).all()
        return {(row[0], row[1]): (row[2], row[3]) for row in rows if row[3]}
