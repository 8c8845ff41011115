"""The shapes of request bodies, as data, and the check that names the first wrong field.

The platform checks one request from top to bottom and reports the first fault with its JSON pointer (sheet §6). A key
the call does not know is refused as well: the sheet says *can be*, and the stricter reading is taken for typed calls.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

from unicom_coupon_adapters.wechatpay.emulation.refusals import bad_field, unknown_key

_MOMENT: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:\d\d)")
_LARGEST: Final = 2**53


class Rule(Protocol):
    """What a value must be. ``required`` is read by the object that holds it."""

    @property
    def required(self) -> bool:
        """Whether it must be there."""

    def check(self, value: Any, at: str, location: str) -> None:
        """Raise a refusal that names ``at`` if ``value`` is not right."""


@dataclass(frozen=True, slots=True)
class Text:
    """A string: length in characters, a pattern it matches whole, and no astral characters unless ``emoji``."""

    longest: int
    required: bool = False
    shortest: int = 1
    pattern: str | None = None
    emoji: bool = False

    def check(self, value: Any, at: str, location: str) -> None:
        """Raise for another type, length, alphabet or plane (UTF-8 of one to three bytes, sheet §1.1)."""
        if not isinstance(value, str):
            raise bad_field(at, "类型应为string", "must be a string", value=value, location=location)
        if not self.shortest <= len(value) <= self.longest:
            limits = f"{self.shortest}-{self.longest}"
            raise bad_field(at, f"字符串长度应为{limits}", f"length must be {limits}", value=value, location=location)
        if not value.isascii() and any(_is_odd(letter, emoji=self.emoji) for letter in value):
            raise bad_field(at, "含有不支持的字符", "characters outside the supported plane", location=location)
        if self.pattern is not None and not re.fullmatch(self.pattern, value):
            raise bad_field(at, "格式不正确", "does not have the right form", value=value, location=location)


@dataclass(frozen=True, slots=True)
class Integer:
    """A whole number within limits, both included."""

    least: int = 0
    most: int = _LARGEST
    required: bool = False

    def check(self, value: Any, at: str, location: str) -> None:
        """Raise for another type (a boolean too) or a number outside."""
        if isinstance(value, bool) or not isinstance(value, int):
            raise bad_field(at, "类型应为integer", "must be an integer", value=value, location=location)
        if not self.least <= value <= self.most:
            limits = f"{self.least}-{self.most}"
            raise bad_field(at, f"数值应在{limits}之间", f"must be within {limits}", value=value, location=location)


@dataclass(frozen=True, slots=True)
class Flag:
    """``true`` or ``false``."""

    required: bool = False

    def check(self, value: Any, at: str, location: str) -> None:
        """Raise for another type."""
        if not isinstance(value, bool):
            raise bad_field(at, "类型应为boolean", "must be a boolean", value=value, location=location)


@dataclass(frozen=True, slots=True)
class Choice:
    """One of some words."""

    words: tuple[str, ...]
    required: bool = False

    def check(self, value: Any, at: str, location: str) -> None:
        """Raise for any other value."""
        if value not in self.words:
            listed = "、".join(self.words)
            raise bad_field(at, f"应为{listed}之一", f"must be one of {listed}", value=value, location=location)


@dataclass(frozen=True, slots=True)
class Moment:
    """An RFC 3339 time with offset, to the second; fractions are accepted (sheet §2)."""

    required: bool = False

    def check(self, value: Any, at: str, location: str) -> None:
        """Raise for anything that is not such a time."""
        if not isinstance(value, str) or not _MOMENT.fullmatch(value) or parse_moment(value) is None:
            issue = "时间格式应为YYYY-MM-DDTHH:mm:ss+TIMEZONE"
            raise bad_field(at, issue, "must be an RFC 3339 time with offset", value=value, location=location)


@dataclass(frozen=True, slots=True)
class Url:
    """An absolute http(s) address with a path and no query, at most 256 characters (sheet §1.8)."""

    required: bool = False
    query_allowed: bool = False

    def check(self, value: Any, at: str, location: str) -> None:
        """Raise for an address that a platform could not or would not call."""
        Text(256).check(value, at, location)
        parts = urlsplit(value)
        good = parts.scheme in {"http", "https"} and bool(parts.hostname) and not parts.fragment
        if not good or (not self.query_allowed and ("?" in value or not parts.path)):
            raise bad_field(
                at, "回调地址无效", "must be an http(s) address without a query", value=value, location=location
            )


@dataclass(frozen=True, slots=True)
class Many:
    """A list of one kind of thing."""

    of: Rule
    most: int = 1000
    least: int = 0
    required: bool = False

    def check(self, value: Any, at: str, location: str) -> None:
        """Raise for another type or count, or for the first wrong element."""
        if not isinstance(value, list):
            raise bad_field(at, "类型应为array", "must be an array", location=location)
        if not self.least <= len(value) <= self.most:
            limits = f"{self.least}-{self.most}"
            raise bad_field(at, f"元素个数应为{limits}", f"must have {limits} elements", location=location)
        for index, element in enumerate(value):
            self.of.check(element, f"{at}/{index}", location)


@dataclass(frozen=True, slots=True)
class Members:
    """An object with these members and, unless ``open``, no other. ``null`` counts as absent."""

    members: Mapping[str, Rule]
    required: bool = False
    open: bool = False

    def check(self, value: Any, at: str, location: str) -> None:
        """Raise for the first missing, unknown or wrong member."""
        if not isinstance(value, dict):
            raise bad_field(at or "/", "类型应为object", "must be an object", location=location)
        for name, rule in self.members.items():
            found = value.get(name)
            if found is None:
                if rule.required:
                    raise bad_field(f"{at}/{name}", "缺少必填参数", "is required", location=location)
                continue
            rule.check(found, f"{at}/{name}", location)
        if not self.open:
            extra = next((name for name in value if name not in self.members), None)
            if extra is not None:
                raise unknown_key(f"{at}/{extra}")


@dataclass(frozen=True, slots=True)
class Anything:
    """A member whose inner form the sheet does not fix."""

    required: bool = False

    def check(self, value: Any, at: str, location: str) -> None:
        """Nothing to find wrong."""


def _is_odd(letter: str, *, emoji: bool) -> bool:
    return "\ud800" <= letter <= "\udfff" or (letter > "\uffff" and not emoji)


def parse_moment(text: str) -> datetime | None:
    """The time of an RFC 3339 text, aware; ``None`` where it is none."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo is not None else None


def without_nulls(value: Any) -> Any:
    """The same JSON with members that are ``null`` left out: they count as absent (sheet §1.1)."""
    if isinstance(value, dict):
        return {name: without_nulls(member) for name, member in value.items() if member is not None}
    if isinstance(value, list):
        return [without_nulls(member) for member in value]
    return value
