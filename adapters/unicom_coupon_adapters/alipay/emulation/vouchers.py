"""The vouchers that users hold: documents, look-ups by code, number and user, and the passing of time.

A voucher is a document of kind ``voucher`` under ``activity|code``, with an entry of its code, its number, its holder
and the hour in which it ends, so that nothing ever searches all vouchers. Life: SENDED → USED when its uses are spent
→ SENDED by a refund if it is still valid; SENDED → EXPIRED by time or by ``invalid`` (how a void one reads is
unconfirmed).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal

from unicom_coupon_adapters.alipay.emulation import acts
from unicom_coupon_adapters.alipay.emulation.callbacks import send_message
from unicom_coupon_adapters.alipay.emulation.moments import millis, moment_of, moment_text
from unicom_coupon_adapters.alipay.emulation.world import Person, World

State = Literal["SENDED", "USED", "EXPIRED"]
_NEWS: Final = {"use": "used"}


@dataclass(frozen=True, slots=True)
class Voucher:
    """A voucher as it stands now: ``told`` is its document, ``state`` what it reads as at this moment."""

    key: str
    told: dict[str, Any]
    state: State

    @property
    def code(self) -> str:
        """The voucher's code."""
        return str(self.told["voucher_code"])

    @property
    def person(self) -> Person:
        """Its holder."""
        return Person(self.told["user_id"], self.told["open_id"])

    @property
    def left(self) -> int:
        """How many uses are left."""
        return int(self.told["max_times"]) - int(self.told["used_times"])

    @property
    def valid_begin(self) -> datetime:
        """Its first moment, UTC."""
        return moment_of(self.told["valid_begin_time"])

    @property
    def valid_end(self) -> datetime:
        """Its last second, UTC."""
        return moment_of(self.told["valid_end_time"])


def add(
    world: World,
    activity: Mapping[str, Any],
    *,
    code: str,
    person: Person,
    valid: tuple[datetime, datetime],
    number: str,
) -> Voucher:
    """A new voucher in its holder's wallet; the merchant is told. The caller has seen that the key is free."""
    activity_id = activity["activity_id"]
    key = f"{activity_id}|{code}"
    told = {
        "activity_id": activity_id,
        "voucher_id": f"{world.day()}00073{world.digits(9)}{world.number('voucher', digits=6)}",
        "voucher_code": code,
        "voucher_name": activity["voucher_name"],
        "owner": activity["owner"],
        **person.names,
        "status": "SENDED",
        "max_times": activity["max_times"],
        "used_times": 0,
        "valid_begin_time": moment_text(valid[0]),
        "valid_end_time": moment_text(valid[1]),
        "create_time": world.now_text(),
        "trade_no": None,
        "history": [_entry(world, "receive", number)],
    }
    store = world.store
    store.put("voucher", key, told)
    store.put(f"code|{code}", key, {})
    store.put("voucher-id", told["voucher_id"], {"key": key})
    store.put(f"holder|{person.user_id}", key, {})
    hour = _hour(valid[1] + timedelta(seconds=1))
    if store.get("ending-hours", hour) is None:
        store.put("ending-hours", hour, {})
    store.put(f"ending|{hour}", key, {})
    acts.note(world, activity, told, acts.Act(acts.GIVEN, number))
    content = {"id": f"ORDERSEND_{told['voucher_id']}", **_news(world, told), "receive_user_id": person.user_id}
    send_message(world, "received", content)
    return Voucher(key, told, "SENDED")


def find(world: World, activity_id: str, code: str) -> Voucher | None:
    """The voucher of that activity and code."""
    return at_key(world, f"{activity_id}|{code}")


def find_by_id(world: World, voucher_id: str) -> Voucher | None:
    """The voucher of that number."""
    kept = world.store.get("voucher-id", voucher_id)
    return at_key(world, kept["key"]) if kept else None


def vouchers_of_code(world: World, code: str) -> list[Voucher]:
    """Every voucher with that code, oldest first; codes are unique inside an activity only."""
    found = [at_key(world, key) for key, _ in world.store.all(f"code|{code}")]
    return [voucher for voucher in found if voucher is not None]


def vouchers_of_holder(world: World, person: Person) -> list[Voucher]:
    """The user's vouchers, latest first."""
    found = [at_key(world, key) for key, _ in reversed(world.store.all(f"holder|{person.user_id}"))]
    return [voucher for voucher in found if voucher is not None]


def at_key(world: World, key: str) -> Voucher | None:
    """The voucher under its key, with its state as of now."""
    told = world.store.get("voucher", key)
    return None if told is None else Voucher(key, told, state_now(told, now=world.now()))


def state_now(told: Mapping[str, Any], *, now: datetime) -> State:
    """What a document reads as: one that is not spent is EXPIRED after its last second."""
    state: State = told["status"]
    return "EXPIRED" if state == "SENDED" and now > moment_of(told["valid_end_time"]) + timedelta(seconds=1) else state


def record(world: World, voucher: Voucher, *, event: str, number: str | None, **changes: Any) -> Voucher:
    """Write the voucher's next state with its history, and tell of it where the family has a message for it."""
    history = [*voucher.told["history"], _entry(world, event, number)]
    told = {**voucher.told, **changes, "history": history}
    world.store.put("voucher", voucher.key, told)
    if event in _NEWS:
        content = {"id": f"ORDERUSE_{told['voucher_id']}_{len(history)}", **_news(world, told)}
        send_message(world, _NEWS[event], content | {"user_id": told["user_id"]})
    return Voucher(voucher.key, told, state_now(told, now=world.now()))


def expire_if_due(world: World, key: str) -> None:
    """Write EXPIRED down, with history and message, if the voucher's last second is over."""
    told = world.store.get("voucher", key)
    if told is None or told["status"] != "SENDED" or state_now(told, now=world.now()) != "EXPIRED":
        return
    history = [*told["history"], {"at": moment_of(told["valid_end_time"]).isoformat(), "event": "expire"}]
    world.store.put("voucher", key, told | {"status": "EXPIRED", "history": history})
    content = {
        "id": f"expired_{told['voucher_id']}",
        "activity_id": told["activity_id"],
        "event_time": millis(moment_of(told["valid_end_time"])),
        "voucher_id": told["voucher_id"],
        "user_id": told["user_id"],
    }
    send_message(world, "expired", content)


def expire_due(world: World) -> None:
    """Write down every expiry that is due; called after each move of the clock."""
    this_hour = _hour(world.now())
    for hour, _ in world.store.all("ending-hours"):
        if hour > this_hour:
            continue
        for key, _ in world.store.all(f"ending|{hour}"):
            expire_if_due(world, key)
        if hour < this_hour:
            for key, _ in world.store.all(f"ending|{hour}"):
                world.store.delete(f"ending|{hour}", key)
            world.store.delete("ending-hours", hour)


def _news(world: World, told: Mapping[str, Any]) -> dict[str, str]:
    return {
        "activity_id": told["activity_id"],
        "event_time": millis(world.now()),
        "voucher_id": told["voucher_id"],
        "voucher_code": told["voucher_code"],
    }


def _hour(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y%m%d%H")


def _entry(world: World, event: str, number: str | None) -> dict[str, Any]:
    entry = {"at": world.now().replace(microsecond=0).isoformat(), "event": event}
    return entry | ({"request_no": number} if number else {})
