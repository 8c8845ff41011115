"""What every part of the emulator works with: the frame, the keys in force, and small drawings and namings."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Protocol, TypeAlias

from unicom_coupon_adapters.alipay.emulation.fields import Fields
from unicom_coupon_adapters.alipay.emulation.moments import BEIJING, moment_text
from unicom_coupon_adapters.alipay.emulation.platform_keys import PlatformKeys
from unicom_coupon_adapters.alipay.emulation.refusals import Refusal
from unicom_coupon_sdk.sandbox.emulator import Frame, Store

Reply: TypeAlias = Mapping[str, Any]
"""The business members of a success, in the platform's order. A ``code`` among them replaces 10000."""


@dataclass(frozen=True)
class World:
    """One emulated platform."""

    frame: Frame
    keys: PlatformKeys

    @property
    def store(self) -> Store:
        """Where all state lives."""
        return self.frame.store

    def now(self) -> datetime:
        """The simulated time, UTC."""
        return self.frame.now()

    def now_text(self) -> str:
        """The simulated time as the platform prints it: Beijing, to the second."""
        return moment_text(self.frame.now())

    def day(self) -> str:
        """The day in Beijing, ``yyyyMMdd``."""
        return self.frame.now().astimezone(BEIJING).strftime("%Y%m%d")

    def digits(self, count: int) -> str:
        """Drawn decimal digits."""
        return str(int.from_bytes(self.frame.random_bytes(count)) % 10**count).zfill(count)

    def hexadecimal(self, count: int) -> str:
        """Drawn lower-case hex digits."""
        return self.frame.random_bytes((count + 1) // 2).hex()[:count]

    def number(self, name: str, *, digits: int = 12) -> str:
        """The next number called ``name``, zero-padded."""
        return f"{self.store.next_number(name):0{digits}d}"

    def trace_id(self) -> str:
        """A number of one exchange, as support asks for it."""
        return self.hexadecimal(30)


@dataclass(frozen=True)
class Call:
    """One verified request on its way to a handler. ``content`` is the business content, decrypted and parsed."""

    world: World
    method: str
    content: Mapping[str, Any] = field(repr=False)
    base_url: str = ""
    notify_url: str | None = None
    is_rest: bool = False
    is_certified: bool = False

    @property
    def store(self) -> Store:
        """Where all state lives."""
        return self.world.store

    def fields(self, *, prefix: str = "") -> Fields:
        """The content, for reading with checks."""
        return Fields(self.content, prefix=prefix)


class Handler(Protocol):
    """One operation of the platform."""

    def __call__(self, call: Call, /) -> Reply:
        """Do it and answer, or raise ``Refusal`` before writing anything."""


@dataclass(frozen=True, slots=True)
class Route:
    """A method of the platform. ``flat``: its business parameters stand beside ``biz_content``, not inside.

    ``codeless``: its success has no ``code`` member (sheet §5.2). ``certified``: certificate mode alone (§1.8).
    """

    method: str
    handler: Handler
    flat: bool = False
    codeless: bool = False
    certified: bool = False

    def perform(self, call: Call) -> Reply:
        """Do it and answer. Raises ``Refusal`` before anything was written."""
        if self.certified and not call.is_certified:
            raise Refusal("isv.missing-app-cert-sn", "缺少应用公钥证书SN")
        return self.handler(call)


@dataclass(frozen=True, slots=True)
class Person:
    """A user under both names: ``user_id`` (2088 and twelve digits) and the application's ``open_id``."""

    user_id: str
    open_id: str

    @property
    def names(self) -> dict[str, str]:
        """Both names, as answers have them."""
        return {"user_id": self.user_id, "open_id": self.open_id}


_LETTERS: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_-"


def person_of(world: World, name: str) -> Person:
    """Who is called ``name``, by either name; whoever has no second name yet is given one that depends on the first."""
    known = world.store.get("person", name)
    if known is not None:
        return Person(known["user_id"], known["open_id"])
    digest = hashlib.sha256(b"alipay person " + name.encode()).digest()
    is_user_id = name.isascii() and name.isdigit() and name.startswith("2088") and len(name) == 16
    if is_user_id:
        person = Person(name, "0" + "".join(_LETTERS[byte % 64] for byte in digest))
    else:
        person = Person("2088" + str(int.from_bytes(digest) % 10**12).zfill(12), name)
    for one in (person.user_id, person.open_id):
        world.store.put("person", one, person.names)
    return person
