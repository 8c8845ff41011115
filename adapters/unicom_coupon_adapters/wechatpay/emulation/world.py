"""What every part of the emulator works with: the frame, the keys in force, and small drawings and namings."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any, Final, Protocol, TypeAlias

from unicom_coupon_adapters.wechatpay.emulation.authentication import Caller
from unicom_coupon_adapters.wechatpay.emulation.fields import Members, Rule, without_nulls
from unicom_coupon_adapters.wechatpay.emulation.platform_keys import APPID, PlatformKeys
from unicom_coupon_adapters.wechatpay.emulation.refusals import Refusal, bad_field
from unicom_coupon_sdk.platform.wire import HttpAnswer
from unicom_coupon_sdk.sandbox.emulator import Frame, Received, Store

BEIJING: Final = timezone(timedelta(hours=8))
"""The platform's time zone: business days and printed times."""


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

    def today(self) -> date:
        """The business day in Beijing."""
        return self.frame.now().astimezone(BEIJING).date()

    def digits(self, count: int) -> str:
        """Drawn decimal digits."""
        return str(int.from_bytes(self.frame.random_bytes(count)) % 10**count).zfill(count)

    def hexadecimal(self, count: int) -> str:
        """Drawn lower-case hex digits."""
        return self.frame.random_bytes((count + 1) // 2).hex()[:count]


@dataclass(frozen=True)
class Call:
    """One authenticated request on its way to a handler. ``arguments`` come from the path, decoded."""

    world: World
    caller: Caller
    request: Received
    arguments: Mapping[str, str]
    query: Mapping[str, str]

    @property
    def store(self) -> Store:
        """Where all state lives."""
        return self.world.store

    def body(self, shape: Members) -> dict[str, Any]:
        """The JSON body, checked against ``shape``, without nulls. Raises 400 for the first fault."""
        try:
            text = self.request.content.decode("utf-8")
            parsed = json.loads(text or "{}", parse_constant=_no_constant)
        except (ValueError, RecursionError):
            raise Refusal("PARAM_ERROR", "请求体不是合法的JSON", "The body is not JSON.") from None
        shape.check(parsed, "", "body")
        cleaned: dict[str, Any] = without_nulls(parsed)
        return cleaned

    def query_value(self, name: str, rule: Rule) -> str | None:
        """A query parameter, checked as text; ``None`` when absent or empty. Raises 400."""
        value = self.query.get(name) or None
        if value is None:
            if rule.required:
                raise bad_field(name, "缺少必填参数", "is required", location="query")
            return None
        rule.check(value, name, "query")
        return value

    def query_number(self, name: str, *, default: int, most: int) -> int:
        """A query parameter that is a number from 0 to ``most``."""
        value = self.query.get(name)
        if not value:
            return default
        if not (value.isascii() and value.isdigit() and int(value[:12]) <= most):
            raise bad_field(name, f"应为0-{most}的整数", f"must be 0-{most}", value=value, location="query")
        return int(value)


Reply: TypeAlias = Mapping[str, Any] | HttpAnswer | None
"""What a handler hands back: the JSON of a 200, ``None`` for a 204, or a finished (unsigned) answer."""


class Handler(Protocol):
    """One operation of the platform."""

    def __call__(self, call: Call, /) -> Reply:
        """Do it and answer, or raise ``Refusal`` before writing anything."""


@dataclass(frozen=True, slots=True)
class Route:
    """Method and path template (``{name}`` for a segment) of an operation."""

    method: str
    template: str
    handler: Handler


def moment_text(at: datetime) -> str:
    """RFC 3339 in Beijing time, to the second."""
    return at.astimezone(BEIJING).replace(microsecond=0).isoformat()


def moment_of(text: str) -> datetime:
    """The UTC time of a text that this platform printed or has checked."""
    return datetime.fromisoformat(text).astimezone(UTC)


def check_appid(appid: str, *, location: str = "body") -> None:
    """400 ``APPID_MCHID_NOT_MATCH`` unless the appid is bound to the merchant (sheet §2.1)."""
    if appid != APPID:
        raise Refusal(
            "APPID_MCHID_NOT_MATCH",
            "appid与mchid不匹配",
            "The appid is not bound to the merchant.",
            detail={"field": "appid", "value": appid, "issue": "appid未绑定", "location": location},
        )


def _no_constant(name: str) -> float:
    raise ValueError(name)
