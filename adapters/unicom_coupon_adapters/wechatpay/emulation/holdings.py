"""The coupons that users hold: documents, look-ups by code and by user, and the passing of time.

Kept for all families, 商家券, 商品券 and 代金券: a document of kind ``coupon`` under ``family|stock|code``, an entry
of its code, one of its holder, and one of the hour in which it ends, so that nothing ever searches all coupons.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal

from unicom_coupon_adapters.wechatpay.emulation.world import World, moment_of, moment_text

Family = Literal["busifavor", "product", "favor"]
LIVE_STATES: Final[Mapping[str, frozenset[str]]] = {
    "busifavor": frozenset({"SENDED"}),
    "product": frozenset({"CONFIRMING", "PENDING", "EFFECTIVE"}),
    "favor": frozenset({"SENDED"}),
}
"""States that time ends."""

_END: Final = {"busifavor": "expire_time", "product": "valid_end_time", "favor": "available_end_time"}


@dataclass(frozen=True, slots=True)
class Coupon:
    """A coupon as it stands now: ``told`` is its document, ``state`` what it reads as at this moment."""

    key: str
    told: dict[str, Any]
    state: str

    @property
    def code(self) -> str:
        """The coupon code."""
        return str(self.told["coupon_code"])

    @property
    def stock_id(self) -> str:
        """Its stock."""
        return str(self.told["stock_id"])

    @property
    def openid(self) -> str:
        """Its holder."""
        return str(self.told["openid"])


def add(world: World, told: dict[str, Any], *, family: Family, event: str, number: str) -> Coupon:
    """A new coupon into its holder's pocket. The caller has made sure that the key is free."""
    key = f"{family}|{told['stock_id']}|{told['coupon_code']}"
    document = {**told, "family": family, "history": [_entry(world, event, number)]}
    world.store.put("coupon", key, document)
    world.store.put(f"code|{told['coupon_code']}", key, {})
    world.store.put(f"holder|{told['openid']}", key, {})
    _remember_end(world, key, moment_of(told[_END[family]]))
    return Coupon(key, document, document["state"])


def find(world: World, stock_id: str, code: str, *, family: Family = "busifavor") -> Coupon | None:
    """The coupon of that stock and code."""
    return at_key(world, f"{family}|{stock_id}|{code}")


def coupons_of_code(world: World, code: str, *, family: Family | None = "busifavor") -> list[Coupon]:
    """Every coupon with that code; codes that merchants give are unique inside a stock only."""
    keys = [key for key, _ in world.store.all(f"code|{code}")]
    found = [at_key(world, key) for key in keys if family is None or key.startswith(f"{family}|")]
    return [coupon for coupon in found if coupon is not None]


def coupons_of_holder(world: World, openid: str, *, family: Family = "busifavor") -> list[Coupon]:
    """The user's coupons, latest first."""
    keys = [key for key, _ in world.store.all(f"holder|{openid}") if key.startswith(f"{family}|")]
    found = [at_key(world, key) for key in reversed(keys)]
    return [coupon for coupon in found if coupon is not None]


def at_key(world: World, key: str) -> Coupon | None:
    """The coupon under its key, with its state as of now."""
    told = world.store.get("coupon", key)
    if told is None:
        return None
    return Coupon(key, told, state_now(told, now=world.now()))


def state_now(told: Mapping[str, Any], *, now: datetime) -> str:
    """The state a document reads as: a live one is EXPIRED after its last moment; a pending one takes effect."""
    state = str(told["state"])
    if state not in LIVE_STATES[told["family"]]:
        return state
    if now > moment_of(told[_END[told["family"]]]):
        return "EXPIRED"
    if state == "PENDING" and now >= moment_of(told["valid_begin_time"]):
        return "EFFECTIVE"
    return state


def record(
    world: World,
    coupon: Coupon,
    *,
    state: str,
    event: str,
    number: str | None,
    set_to: Mapping[str, Any],
    drop: Sequence[str] = (),
) -> Coupon:
    """Write the coupon's next state with its history; ``set_to`` and ``drop`` are members of the document."""
    kept = {name: value for name, value in coupon.told.items() if name not in drop}
    told = {**kept, **set_to, "state": state, "history": [*coupon.told["history"], _entry(world, event, number)]}
    world.store.put("coupon", coupon.key, told)
    return Coupon(coupon.key, told, state_now(told, now=world.now()))


def expire_if_due(world: World, key: str) -> None:
    """Write EXPIRED down, with its history, if the coupon's last moment is over."""
    told = world.store.get("coupon", key)
    if told is None or state_now(told, now=world.now()) != "EXPIRED" or told["state"] == "EXPIRED":
        return
    end = moment_text(moment_of(told[_END[told["family"]]]))
    told |= {"state": "EXPIRED", "history": [*told["history"], {"at": end, "event": "expire"}]}
    world.store.put("coupon", key, told)


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


def _remember_end(world: World, key: str, end: datetime) -> None:
    hour = _hour(end + timedelta(seconds=1))
    if world.store.get("ending-hours", hour) is None:
        world.store.put("ending-hours", hour, {})
    world.store.put(f"ending|{hour}", key, {})


def _hour(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y%m%d%H")


def _entry(world: World, event: str, number: str | None) -> dict[str, Any]:
    entry = {"at": world.now_text(), "event": event}
    return entry | ({"request_no": number} if number else {})
