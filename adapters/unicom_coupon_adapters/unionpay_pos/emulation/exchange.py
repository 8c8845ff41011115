"""One frame in, one answer out: the host's checks in the order of sheet 9.1.

Before the MAC has passed nothing is looked up or changed, and only 03, 58, 77, 97 and A0 are said, without field 64.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from unicom_coupon_adapters.unionpay_pos import tlv
from unicom_coupon_adapters.unionpay_pos.codec import pack, pack_unsealed, unpack
from unicom_coupon_adapters.unionpay_pos.coupon_block import MAGIC, CouponBlock, Tag
from unicom_coupon_adapters.unionpay_pos.emulation import management, receipts, redemptions
from unicom_coupon_adapters.unionpay_pos.emulation.cards import MERCHANT, serial_of
from unicom_coupon_adapters.unionpay_pos.emulation.triggers import Trigger
from unicom_coupon_adapters.unionpay_pos.emulation.world import Decline, Request, Told, World, answer_to
from unicom_coupon_adapters.unionpay_pos.frame_errors import FrameError
from unicom_coupon_adapters.unionpay_pos.framing import Frame
from unicom_coupon_adapters.unionpay_pos.iso_message import Message
from unicom_coupon_adapters.unionpay_pos.mac import MacKey
from unicom_coupon_adapters.unionpay_pos.subfields import TransactionType
from unicom_coupon_sdk.sandbox.emulator import FrameAnswer

_FINANCIAL: Final = frozenset({"0100", "0200", "0220", "0400"})
_DROPPED: Final = FrameAnswer(0, (), b"", is_dropped=True)


def serve(world: World, content: bytes) -> FrameAnswer:
    """The answer to a frame. What cannot be read is not answered: the connection closes."""
    try:
        frame = Frame.parse(content)
        message = unpack(frame.body)
        terminal, merchant = message.text(41), message.text(42)
        message.text(11)
        kind = TransactionType.parse(message.text(60))
        message.answer_type()
    except FrameError:
        return _DROPPED
    redemptions.run_cancels(world)
    request = Request(world, message, kind, terminal, merchant)
    refused = _registered(request)
    if refused is not None:
        return plain(request, frame, Told(refused))
    if message.mti in management.TYPES and not receipts.is_receipt(request):
        return _managed(request, frame)
    if message.mti not in _FINANCIAL and not receipts.is_receipt(request):
        return _DROPPED
    return _financial(request, frame)


def plain(request: Request, frame: Frame, told: Told) -> FrameAnswer:
    """An answer without a MAC."""
    return FrameAnswer.of(frame.answer(pack(answer_to(request.world, request.message, told))).content)


def sealed(request: Request, frame: Frame, told: Told, *, key: MacKey) -> FrameAnswer:
    """An answer with a MAC."""
    body = key.seal(pack_unsealed(answer_to(request.world, request.message, told)))
    return FrameAnswer.of(frame.answer(body, requirement=told.requirement).content)


def verified(request: Request, frame: Frame) -> MacKey | None:
    """The key that the message is under; ``None`` when it is under none of the terminal's."""
    body = frame.body
    if not body[9] & 1:
        return None
    for key in request.world.cards.mac_keys(request.terminal):
        if key.verify(body[:-8], body[-8:]):
            return key
    return None


def _registered(request: Request) -> str | None:
    card = request.world.cards.card(request.terminal)
    if card is None:
        return "97"
    if request.merchant != MERCHANT:
        return "03"
    return "58" if card.get("is_inactive") else None


def _managed(request: Request, frame: Frame) -> FrameAnswer:
    try:
        told = management.serve(request)
    except Decline as no:
        told = Told(no.code)
    except FrameError:
        told = Told("30")
    answer = answer_to(request.world, request.message, told)
    if request.message.mti == "0500" and told.code == "00":  # its verdict is in field 48
        answer = Message(answer.mti, {number: value for number, value in answer.fields.items() if number != 39})
    return FrameAnswer.of(frame.answer(pack(answer)).content)


def _financial(request: Request, frame: Frame) -> FrameAnswer:
    if not request.world.cards.mac_keys(request.terminal):
        return plain(request, frame, Told("77"))
    key = verified(request, frame)
    if key is None:
        return plain(request, frame, Told("A0"))
    try:
        request = replace(request, block=_block(request.message))
        _check_terminal(request)
    except FrameError:
        return sealed(request, frame, Told("30"), key=key)
    except Decline as no:
        return sealed(request, frame, Told(no.code), key=key)
    if receipts.is_receipt(request):
        return sealed(request, frame, _receipt(request), key=key)
    operation = redemptions.operation_of(request)
    if operation is None:
        return sealed(request, frame, Told("40"), key=key)
    trigger = _trigger(request)
    if request.message.mti == "0400":
        return _reversal(request, frame, trigger, key=key)
    card = request.world.cards.card(request.terminal) or {}
    if int(request.kind.batch) != card["batch"] or card.get("is_settled"):
        return sealed(request, frame, Told("77"), key=key)
    if operation.is_kept:
        known = redemptions.kept(request.world, request.key)
        if known is not None:
            return _repeated(request, frame, known, key=key)
    return _carried_out(request, frame, operation, trigger, key=key)


def _receipt(request: Request) -> Told:
    try:
        return receipts.take(request)
    except Decline as no:
        return Told(no.code)
    except FrameError:
        return Told("30")


def _carried_out(
    request: Request, frame: Frame, operation: redemptions.Operation, trigger: Trigger, *, key: MacKey
) -> FrameAnswer:
    if trigger.response == "A0":
        return plain(request, frame, Told("A0"))
    if trigger.is_undone:
        return trigger.played(frame, answer_to(request.world, request.message, Told()), key=key)
    try:
        if trigger.response is not None:
            raise Decline(trigger.response)
        told = operation.handler(request)
    except Decline as no:
        tags = no.tags()
        if tags:
            tags = {Tag.CODE: request.block[Tag.CODE], **tags} if Tag.CODE in request.block else tags
        told = Told(no.code, tags=tags)
    except FrameError:
        told = Told("30")
    told = _twisted(request, told, trigger)
    answer = answer_to(request.world, request.message, told)
    if operation.is_kept:
        _remember(request, answer, told)
    return trigger.played(frame, answer, key=key)


def _twisted(request: Request, told: Told, trigger: Trigger) -> Told:
    """Triggers that change what is said of a redemption that was carried out."""
    done = redemptions.kept(request.world, request.key) if told.code == "00" else None
    if done is None or trigger.name not in {"9010", "9011"}:
        return told
    if trigger.name == "9011":
        return Told("94", fields={37: done["reference"]})
    redemptions.cancel(request.world, done, number=done["wish"], after_s=redemptions.CANCEL_AFTER_S)
    return Told("98", fields={37: done["reference"]})


def _remember(request: Request, answer: Message, told: Told) -> None:
    """Keep the answer, so that a repeat is told the same."""
    known = redemptions.kept(request.world, request.key)
    if known is None:
        known = redemptions.keep(
            request, state=redemptions.DECLINED, response=told.code, reference=answer.fields.get(37, "")
        )
        link = f"{request.merchant}|{request.wish}"
        if request.store.get(redemptions.WISH, link) is None:
            request.store.put(redemptions.WISH, link, {"key": request.key})
    redemptions.change(request.world, known, answer=pack_unsealed(answer).hex())


def _repeated(request: Request, frame: Frame, known: dict[str, object], *, key: MacKey) -> FrameAnswer:
    stands = known["state"] in {redemptions.SUCCESS, redemptions.DECLINED} and "answer" in known
    if not stands or request.world.mode("duplicate") != "replay":
        return sealed(request, frame, Told("94"), key=key)
    body = key.seal(bytes.fromhex(str(known["answer"])))
    return FrameAnswer.of(frame.answer(body).content)


def _reversal(request: Request, frame: Frame, trigger: Trigger, *, key: MacKey) -> FrameAnswer:
    if trigger.name == "9012":
        seen = request.store.get("unheard", request.key) or {"count": 0}
        if seen["count"] < 2:
            request.store.put("unheard", request.key, {"count": seen["count"] + 1})
            return FrameAnswer(0, (), b"", is_silent=True)
    try:
        told = redemptions.reverse(request)
    except Decline as no:
        told = Told(no.code, tags=no.tags())
    return sealed(request, frame, told, key=key)


def _trigger(request: Request) -> Trigger:
    message = request.message
    code = request.block.get(Tag.CODE, "")
    is_enquiry = message.fields.get(3) == "310000"
    if message.fields.get(3) == "200000" or (is_enquiry and request.kind.kind != "03"):
        return Trigger()
    amount = message.fields.get(4)
    found = Trigger.of(amount=amount if isinstance(amount, str) else None, code=code)
    return found if not is_enquiry or found.response is not None else Trigger()


def _block(message: Message) -> CouponBlock:
    private = message.fields.get(62)
    if isinstance(private, bytes) and private.startswith(MAGIC):
        return CouponBlock.parse(private)
    carried = message.fields.get(59)
    if isinstance(carried, bytes):
        tags = tlv.parse_text(carried, length_digits=3)
        if "AV" in tags:
            return CouponBlock.parse_alternative(tags["AV"])
    return CouponBlock({})


def _check_terminal(request: Request) -> None:
    """259号文: where the message says which device it comes from, it must be the one that was bound."""
    carried = request.message.fields.get(59)
    if not isinstance(carried, bytes):
        return
    told = tlv.parse_text(carried, length_digits=3).get("A2")
    if told is None:
        return
    serial = tlv.parse_text(told.encode("gbk"), length_digits=3).get("02")
    if serial is not None and serial != serial_of(request.terminal):
        raise Decline("97")
