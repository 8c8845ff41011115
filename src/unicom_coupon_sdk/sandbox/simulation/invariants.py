"""What must hold after every step of every world.

1. at most one live redemption a coupon
2. each platform success has exactly one local redemption, or an open one that is not known
3. postings sum to zero
4. no step backwards without a reversal record
5. counters equal their redemptions
6. one event a change, in order by coupon
7. one key, one answer
8. every hold ends
9. nothing verified by an unknown key

1, 3, 4, 5 and 6 are the ledger's own audit; 2 and 9 compare it with the platforms; 7 and 8 watch the answers.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from unicom_coupon_sdk.domain.redemption import Redemption
from unicom_coupon_sdk.domain.state import OperationState
from unicom_coupon_sdk.ledger import Ledger

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from unicom_coupon_sdk.sandbox.emulator import Emulator

OPEN_OR_DONE = frozenset(OperationState) - {OperationState.RELEASED}


class Broken(AssertionError):
    """An invariant does not hold."""


def check_ledger(ledger: Ledger, connection: Connection) -> None:
    """The ledger's audit. Raises ``Broken``."""
    violations = ledger.audit()(connection)
    if violations:
        raise Broken("; ".join(str(violation) for violation in violations))


def check_platform(ledger: Ledger, connection: Connection, *, emulator: Emulator, codes: Iterable[str]) -> None:
    """Each redemption that the platform carried out and has not undone is one of ours, done or still open."""
    for code in codes:
        view = emulator.view(code)
        if view is None or view["state"] not in {"USED", "used"}:
            continue
        numbers = [step["request_no"] for step in view["history"] if step["event"] == "use"]
        redemption = ledger.redemption(numbers[-1])(connection)
        if redemption.state not in OPEN_OR_DONE:
            raise Broken(f"{emulator.name} carried out {redemption.redemption_id}, which is {redemption.state} here")


class Answers:
    """Remembers what each idempotency key was told."""

    def __init__(self) -> None:
        self._ids: dict[str, str] = {}
        self._done: set[str] = set()

    def note(self, redemption: Redemption) -> None:
        """One key means one redemption, and what was once done is never released. Raises ``Broken``."""
        key = redemption.idempotency_key
        known = self._ids.setdefault(key, redemption.redemption_id)
        if known != redemption.redemption_id:
            raise Broken(f"key {key} was answered with {known} and {redemption.redemption_id}")
        if redemption.state is OperationState.DONE:
            self._done.add(key)
        if redemption.state is OperationState.RELEASED and key in self._done:
            raise Broken(f"key {key} was done and is released")
