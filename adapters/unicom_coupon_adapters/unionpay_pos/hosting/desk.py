"""The host's desk: coupon transactions, verified against the ledger through the flows of everywhere (sheet 5.3, 9.2).

Once, whatever happens: the ledger's idempotency key is made from merchant and tag 03 (or terminal, batch, trace), so
two copies of a message, two connections or two processes redeem once and say the same. Nothing is answered before it is
durable, and whatever the host promises to undo is a written job before the promise goes out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from unicom_coupon_adapters.unionpay_pos.coupon_block import CouponState, Tag
from unicom_coupon_adapters.unionpay_pos.hosting import book
from unicom_coupon_adapters.unionpay_pos.hosting.asked import Asked, Told
from unicom_coupon_adapters.unionpay_pos.hosting.book import Stage
from unicom_coupon_adapters.unionpay_pos.hosting.cancels import is_past, run_cancels
from unicom_coupon_adapters.unionpay_pos.iso_message import Message
from unicom_coupon_adapters.unionpay_pos.messages import COUPON_CONDITION
from unicom_coupon_adapters.unionpay_pos.subfields import Original
from unicom_coupon_sdk.domain import state as states
from unicom_coupon_sdk.domain.code import CouponCode
from unicom_coupon_sdk.domain.coupon import Coupon
from unicom_coupon_sdk.domain.order import Order
from unicom_coupon_sdk.domain.redemption import RedeemRequest, Redemption, Reversal, ReverseRequest
from unicom_coupon_sdk.domain.state import OperationState
from unicom_coupon_sdk.domain.times import BEIJING
from unicom_coupon_sdk.domain.verification import TerminalProof
from unicom_coupon_sdk.errors import CouponError, CouponStateError, IdempotencyConflict
from unicom_coupon_sdk.platform.notebook import Notebook

if TYPE_CHECKING:
    from unicom_coupon_sdk.client import AsyncCouponClient

BUDGET_S: Final = 20.0
"""Seconds that a verification may take; it must end well before a terminal gives up at 60 (sheet 1.3)."""

MOST_WRONG: Final = 5
WRONG_S: Final = 600.0

_TAG_82: Final = {
    states.CouponState.AVAILABLE: CouponState.USABLE,
    states.CouponState.REDEEMED: CouponState.USED,
    states.CouponState.EXPIRED: CouponState.EXPIRED,
    states.CouponState.HELD: CouponState.LOCKED,
    states.CouponState.REVERSING: CouponState.LOCKED,
    states.CouponState.VOID: CouponState.RETURNED,
}


class Desk:
    """Carries out coupon messages with one client whose POS settings have ``role = "host"``."""

    def __init__(self, client: AsyncCouponClient, *, budget_s: float = BUDGET_S) -> None:
        self._client = client
        self._budget_s = budget_s
        self._late: set[asyncio.Task[Redemption]] = set()

    def handler(self, asked: Asked) -> Callable[[Asked], Awaitable[Told]] | None:
        """What carries a message out; ``None`` when it is no coupon transaction."""
        message = asked.message
        if message.fields.get(25) != COUPON_CONDITION:
            return None
        kinds: Mapping[tuple[str, str, str], Callable[[Asked], Awaitable[Told]]] = {
            ("0200", "310000", "03"): self._enquire,
            ("0200", "310000", "61"): self._outcome,
            ("0200", "000000", "22"): self._redeem,
            ("0200", "200000", "23"): self._void,
            ("0220", "200000", "25"): self._void,
            ("0400", "000000", "22"): self._reverse,
            ("0400", "200000", "23"): self._reverse,
        }
        return kinds.get((message.mti, str(message.fields.get(3)), asked.kind.kind))

    async def _noted(self, work: Callable[[Notebook], Any]) -> Any:
        return await self._client.run(book.written(work))

    # --- asking ---

    async def _coupon(self, asked: Asked) -> Coupon:
        """The coupon of a message. A terminal that asks for wrong codes again and again is told 62."""
        name = book.terminal_name(asked.merchant, asked.terminal)
        at = asked.now.timestamp()
        card = await self._noted(lambda notes: notes.opened(name, first=book.first_terminal()))
        if len([one for one in card["wrong"] if one > at - WRONG_S]) >= MOST_WRONG:
            raise CouponStateError("coupon.held", field="coupon")
        try:
            return await self._client.read(self._client.setting.ledger.coupon_of_code(CouponCode(asked.code)))
        except CouponStateError:

            def count(notes: Notebook) -> None:
                known = notes.opened(name, first=book.first_terminal())
                known["wrong"] = [*(one for one in known["wrong"] if one > at - WRONG_S), at][-MOST_WRONG:]
                notes.put(name, known)

            await self._noted(count)
            raise

    async def _enquire(self, asked: Asked) -> Told:
        coupon = await self._coupon(asked)
        refusal = coupon.refusal_at(asked.now)
        state = _TAG_82.get(coupon.state, CouponState.NOT_VALID_HERE)
        if state is CouponState.USABLE and refusal is not None:
            state = CouponState.EXPIRED if refusal.code == "coupon.expired" else CouponState.NOT_VALID_HERE
        tags = {Tag.STATE: state.value, Tag.NAME: coupon.template.name}
        tags[Tag.VALID_UNTIL] = f"{coupon.template.valid_until.astimezone(BEIJING):%Y%m%d}"
        face = coupon.template.face_fen
        if face is not None:
            tags[Tag.FACE_VALUE] = f"{face:012d}"
            tags[Tag.REMAINING] = f"{face if state is CouponState.USABLE else 0:012d}"
        return Told(tags=tags)

    async def _outcome(self, asked: Asked) -> Told:
        def find(notes: Notebook) -> dict[str, Any] | None:
            found = book.by_wish(notes, asked.merchant, asked.wish) if Tag.KEY in asked.block else None
            if found is None and 61 in asked.message:
                named = Original.parse(asked.message.text(61))
                found = book.transaction(notes, book.key_of(asked.merchant, asked.terminal, named.batch, named.trace))
            return found

        found = await self._noted(find)
        if found is not None:
            found = await self._resolved(asked, found)
        if found is None or found["stage"] == Stage.TOMBSTONE:
            return Told.no("25")
        if found["stage"] == Stage.RECEIVED:
            return Told(tags={Tag.ORIGINAL_RESPONSE: "98"})
        fields = {number: found[name] for number, name in _NAMED if found.get(name)}
        tags = {Tag.ORIGINAL_RESPONSE: found["response"]}
        if found.get("unicom_no"):
            tags[Tag.UNICOM_NO] = found["unicom_no"]
        undone = found["stage"] in {Stage.CANCELLING, Stage.CANCELLED, Stage.VOIDED}
        return Told("22" if undone else "00", fields=fields, tags=tags)

    # --- redeeming ---

    async def _redeem(self, asked: Asked) -> Told:
        known = await self._noted(lambda notes: self._received(notes, asked))
        if known["stage"] != Stage.RECEIVED:
            return _repeated(known)
        try:
            request = await self._request(asked)
        except CouponError as error:
            return await self._declined(asked, Told.of(error))
        task = asyncio.ensure_future(self._client.redeem(request))
        try:
            redemption = await asyncio.wait_for(asyncio.shield(task), self._budget_s)
        except TimeoutError:
            self._late.add(task)
            task.add_done_callback(self._forgotten)
            return await self._given_up(asked)
        except IdempotencyConflict as error:
            if error.code == "idempotency.in_progress":  # another copy of this message is being verified
                return Told(is_silent=True)
            return Told.of(error)
        except CouponError as error:
            return await self._declined(asked, Told.of(error))
        if redemption.state is not OperationState.DONE:
            return await self._given_up(asked)
        told = await self._approved(asked, redemption)
        if told.code != "00":  # reversed meanwhile, and its job may have found nothing to undo yet
            await self._noted(lambda notes: self._owe_again(notes, asked))
        return told

    def _owe_again(self, notes: Notebook, asked: Asked) -> None:
        known = book.transaction(notes, asked.key)
        if known is not None and known["stage"] == Stage.CANCELLED:
            book.keep(notes, asked.key, {**known, "stage": Stage.CANCELLING})
            book.owe_cancel(notes, asked.key)

    def _received(self, notes: Notebook, asked: Asked) -> dict[str, Any]:
        known = book.transaction(notes, asked.key)
        if known is not None:
            return known
        told = {"stage": Stage.RECEIVED, "wish": asked.wish, "type": asked.kind.kind, "amount": asked.amount}
        about = {"idem": asked.idempotency_key, "at": asked.now.timestamp()}
        return book.keep(notes, asked.key, {**told, **asked.dated(), **about})

    async def _request(self, asked: Asked) -> RedeemRequest:
        """The wish as the ledger knows it. Raises ``CouponError`` when code or value cannot be."""
        coupon = await self._coupon(asked)
        total = int(asked.block.get(Tag.ORDER_AMOUNT, "0")) or asked.amount
        value = coupon.template.value_at(total)
        if asked.amount != value:
            raise CouponStateError("unionpay_pos.value", field="4")
        return RedeemRequest(
            idempotency_key=asked.idempotency_key,
            platform=book.PLATFORM,
            coupon=coupon.code,
            order=Order(order_no=_order_no(asked), amount_fen=total, terminal_no=asked.terminal),
            proof=TerminalProof(terminal_no=asked.terminal, merchant_no=asked.merchant),
        )

    async def _approved(self, asked: Asked, redemption: Redemption) -> Told:
        """Answer 00, unless a reversal came while the coupon was verified."""

        def conclude(notes: Notebook) -> dict[str, Any] | None:
            known = book.transaction(notes, asked.key)
            assert known is not None
            if known["stage"] == Stage.APPROVED:
                return known
            if known["stage"] != Stage.RECEIVED:
                if known["stage"] == Stage.DECLINED:  # the terminal was told no, so the coupon must not stay spent
                    book.keep(notes, asked.key, {**known, "stage": Stage.CANCELLING})
                    book.owe_cancel(notes, asked.key)
                return None
            number = book.next_number(notes, "reference")
            told = {
                "stage": Stage.APPROVED,
                "response": "00",
                "reference": f"{known['date']}{number % 10**8:08d}",
                "authorization": f"U{number % 10**5:05d}",
                "unicom_no": redemption.redemption_id,
                "coupon_id": redemption.coupon_id,
                "redemption_id": redemption.redemption_id,
                "order_no": redemption.order.order_no,
                "order_fen": redemption.order.amount_fen,
            }
            self._list(notes, asked)
            return book.keep(notes, asked.key, {**known, **told})

        concluded = await self._noted(conclude)
        return Told.no("94") if concluded is None else _repeated(concluded)

    def _list(self, notes: Notebook, asked: Asked) -> None:
        name = book.terminal_name(asked.merchant, asked.terminal)
        card = notes.opened(name, first=book.first_terminal())
        notes.put(name, {**card, "open": [*card["open"], asked.key]})

    async def _declined(self, asked: Asked, told: Told) -> Told:
        def conclude(notes: Notebook) -> None:
            known = book.transaction(notes, asked.key)
            if known is not None and known["stage"] == Stage.RECEIVED:
                state = told.tags.get(Tag.STATE, "")
                kept = {"stage": Stage.DECLINED, "response": told.code, "coupon_state": state}
                book.keep(notes, asked.key, {**known, **kept})

        await self._noted(conclude)
        return told

    async def _given_up(self, asked: Asked) -> Told:
        """98: the outcome is open, and the host cancels. The job is durable before the terminal hears of it.

        What another copy of the message was told meanwhile stays told.
        """

        def owe(notes: Notebook) -> dict[str, Any] | None:
            known = book.transaction(notes, asked.key)
            assert known is not None
            if known["stage"] == Stage.APPROVED:
                return known
            book.keep(notes, asked.key, {**known, "stage": Stage.CANCELLING, "response": "98"})
            book.owe_cancel(notes, asked.key)
            return None

        known = await self._noted(owe)
        return Told.no("98", state=CouponState.UNKNOWN) if known is None else _repeated(known)

    def _forgotten(self, task: asyncio.Task[Redemption]) -> None:
        self._late.discard(task)
        if not task.cancelled():
            task.exception()  # its cancel job finds out what came of it

    # --- giving back ---

    async def _void(self, asked: Asked) -> Told:
        """A void in the same batch and clearing day, or a return later; both reverse the redemption in full."""
        known = await self._noted(lambda notes: self._received(notes, asked))
        if known["stage"] != Stage.RECEIVED:
            return _repeated(known)
        original = await self._noted(lambda notes: self._original(notes, asked))
        refusal = await self._unvoidable(asked, original)
        if refusal is not None:
            return await self._declined(asked, Told.no(refusal))
        await self._noted(lambda notes: self._name_original(notes, asked, original["key"]))
        request = ReverseRequest(idempotency_key=asked.idempotency_key, redemption_id=original["redemption_id"])
        try:
            reversal = await self._client.reverse(request)
        except IdempotencyConflict:  # another copy of this message is being carried out, and will be answered
            return Told(is_silent=True)
        except CouponError as error:
            return await self._declined(asked, Told.of(error))
        if reversal.state is not OperationState.DONE:
            return Told(is_silent=True)
        voided = await self._noted(lambda notes: self._voided(notes, asked, reversal))
        if voided["stage"] != Stage.APPROVED:  # so late that somebody was told meanwhile: not done
            await self._restored(asked)
        return _repeated(voided)

    def _name_original(self, notes: Notebook, asked: Asked, original: str) -> None:
        known = book.transaction(notes, asked.key)
        assert known is not None
        book.keep(notes, asked.key, {**known, "original": original})

    def _voided(self, notes: Notebook, asked: Asked, reversal: Reversal) -> dict[str, Any]:
        """Write down that a void or return was carried out, unless it was reversed before that."""
        known = book.transaction(notes, asked.key)
        assert known is not None
        original = book.transaction(notes, known["original"])
        assert original is not None
        if known["stage"] == Stage.RECEIVED:
            known |= {
                "stage": Stage.APPROVED,
                "response": "00",
                "reference": f"{known['date']}{book.next_number(notes, 'reference') % 10**8:08d}",
                "unicom_no": reversal.reversal_id,
            }
            self._list(notes, asked)
            book.keep(notes, asked.key, known)
            book.keep(notes, original["key"], {**original, "stage": Stage.VOIDED})
        return known

    def _original(self, notes: Notebook, asked: Asked) -> dict[str, Any] | None:
        if asked.kind.kind == "25":
            return book.by_reference(notes, asked.merchant, asked.message.text(37))
        named = Original.parse(asked.message.text(61))
        return book.transaction(notes, book.key_of(asked.merchant, asked.terminal, named.batch, named.trace))

    async def _unvoidable(self, asked: Asked, original: Mapping[str, Any] | None) -> str | None:
        if original is None or original["type"] != "22" or original.get("reference") != asked.message.text(37):
            return "25"
        if original["stage"] != Stage.APPROVED:
            return "22"
        is_same = original["clearing"] == asked.clearing and original["key"].split("|")[2] == asked.kind.batch
        if asked.kind.kind == "23" and not is_same:
            return "25"
        if asked.amount != original["amount"]:
            return "64"
        try:
            coupon = await self._coupon(asked)
        except CouponError:
            return "14"
        return None if coupon.coupon_id == original["coupon_id"] else "14"

    # --- reversals ---

    async def _reverse(self, asked: Asked) -> Told:
        """Undo: what never came leaves a tombstone, what was approved or is under way a cancel job; both are 00.

        The reversal of a void is answered when it is done, because somebody else may have used the coupon since.
        """
        known = await self._noted(lambda notes: book.transaction(notes, asked.key))
        if known is not None:
            await self._resolved(asked, known)
        code = await self._noted(lambda notes: self._reversed(notes, asked))
        if code == "restore":
            return await self._restored(asked)
        if code == "wait":
            return Told(is_silent=True)
        return Told.no(code) if code != "00" else Told()

    def _reversed(self, notes: Notebook, asked: Asked) -> str:
        known = book.transaction(notes, asked.key)
        if known is None:
            told = {"stage": Stage.TOMBSTONE, "type": asked.kind.kind, "amount": asked.amount, "response": ""}
            book.keep(notes, asked.key, {**told, **asked.dated()})
            return "00"
        if known["stage"] not in {Stage.RECEIVED, Stage.APPROVED}:
            return "00"
        if known["amount"] != asked.amount or known["type"] != asked.kind.kind:
            return "64"
        if known["clearing"] != asked.clearing or known.get("is_settled"):
            return "25"
        if known["type"] != "22":
            return "restore" if known["stage"] == Stage.APPROVED else "wait"
        book.keep(notes, asked.key, {**known, "stage": Stage.CANCELLING})
        book.owe_cancel(notes, asked.key)
        return "00"

    async def _restored(self, asked: Asked) -> Told:
        """The reversal of a void: the coupon is redeemed again, as far as nobody else has it."""
        void = await self._noted(lambda notes: book.transaction(notes, asked.key))
        original = await self._noted(lambda notes: book.transaction(notes, void["original"]))
        request = RedeemRequest(
            idempotency_key=f"{void['idem'][:56]}.again",
            platform=book.PLATFORM,
            coupon=CouponCode(asked.code),
            order=Order(order_no=original["order_no"], amount_fen=original["order_fen"], terminal_no=asked.terminal),
            proof=TerminalProof(terminal_no=asked.terminal, merchant_no=asked.merchant),
        )
        try:
            redemption = await self._client.redeem(request)
        except IdempotencyConflict:  # another copy of this message is at it
            return Told(is_silent=True)
        except CouponError:
            return Told.no("22", state=CouponState.LOCKED)
        if redemption.state is not OperationState.DONE:
            return Told(is_silent=True)

        def conclude(notes: Notebook) -> None:
            book.keep(notes, void["key"], {**void, "stage": Stage.CANCELLED})
            again = {"stage": Stage.APPROVED, "redemption_id": redemption.redemption_id}
            book.keep(notes, original["key"], {**original, **again})

        await self._noted(conclude)
        return Told()

    # --- what a crash left behind ---

    async def _resolved(self, asked: Asked, found: dict[str, Any]) -> dict[str, Any]:
        """``found`` as the ledger knows it, when the process that received it cannot be at it any more.

        What never reached the ledger is declined with 91, "not done". ``asked`` may be of another terminal.
        """
        if found["stage"] != Stage.RECEIVED or not is_past(found, at=asked.now):
            return found
        merchant, terminal, batch, trace = found["key"].split("|")
        message = Message(asked.message.mti, {**asked.message.fields, 11: trace})
        kind = replace(asked.kind, batch=batch)
        received = replace(asked, message=message, kind=kind, merchant=merchant, terminal=terminal)
        redemption = await self._redemption_of(found)
        state = None if redemption is None else redemption.state
        is_done = OperationState.DONE if found["type"] == "22" else OperationState.REVERSED
        if redemption is not None and state is is_done:
            await self._finish(received, found, redemption)
        elif state in {None, OperationState.RELEASED, OperationState.DONE, OperationState.REVERSED}:
            await self._declined(received, Told.no("91"))
        resolved: dict[str, Any] = await self._noted(lambda notes: book.transaction(notes, found["key"]))
        return resolved

    async def _redemption_of(self, found: Mapping[str, Any]) -> Redemption | None:
        """The redemption that a transaction made, or that a void or return takes back."""
        ledger, merchant = self._client.setting.ledger, self._client.setting.merchant_id
        if found["type"] == "22":
            return await self._client.read(ledger.redemption_of_key(merchant, found["idem"]))
        if "original" not in found:
            return None
        original = await self._noted(lambda notes: book.transaction(notes, found["original"]))
        return await self._client.read(ledger.redemption(original["redemption_id"], merchant_id=merchant))

    async def _finish(self, received: Asked, found: Mapping[str, Any], redemption: Redemption) -> None:
        if found["type"] == "22":
            await self._approved(received, redemption)
            return
        request = ReverseRequest(idempotency_key=found["idem"], redemption_id=redemption.redemption_id)
        try:
            reversal = await self._client.reverse(request)  # under its key: what it did then, once more
        except CouponError as error:  # somebody else has taken the redemption back
            await self._declined(received, Told.of(error))
            return
        await self._noted(lambda notes: self._voided(notes, received, reversal))

    async def run_cancels(self) -> int:
        """Carry out the cancel jobs that can be; how many are left. None while a late verification is under way."""
        if any(not task.done() for task in self._late):  # it may still hold its coupon
            return len(await self._noted(book.cancels))
        return await run_cancels(self._client)


_NAMED: Final = ((12, "time"), (13, "date"), (15, "clearing"), (37, "reference"), (38, "authorization"))


def _repeated(known: Mapping[str, Any]) -> Told:
    """The answer that a transaction got, once more. What was undone since is told 94, never 00."""
    if known["stage"] == Stage.DECLINED:
        state = known.get("coupon_state")
        return Told(known["response"], tags={Tag.STATE: state} if state else {})
    if known["stage"] != Stage.APPROVED:
        return Told.no("94")
    fields = {number: known[name] for number, name in _NAMED if known.get(name)}
    tags = {Tag.UNICOM_NO: known["unicom_no"]}
    if known["type"] == "22":
        tags[Tag.STATE] = CouponState.USED.value
    return Told(fields=fields, tags=tags)


def _order_no(asked: Asked) -> str:
    """The merchant's order number where it has the ledger's characters, else the transaction's own name."""
    told = asked.block.get(Tag.ORDER_NO, "")
    fits = 0 < len(told) <= 32 and all(one.isascii() and (one.isalnum() or one == "_") for one in told)
    return told if fits else asked.wish
