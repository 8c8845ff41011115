"""Values that must not be seen: coupon codes, phone numbers, platform users, one-time codes, keys.

Each is a type, so a signature says what it takes; ``repr`` and ``str`` are masked, so a log line, a traceback or an
f-string shows nothing; only ``reveal`` hands the text out, and a reader can search for it.
"""

from __future__ import annotations

import hmac
from typing import Any, ClassVar, Self

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from unicom_coupon_sdk.errors import ValidationError


class Sensitive:
    """A text that is masked wherever it would be printed. Equality takes constant time."""

    __slots__ = ("_text",)

    noun: ClassVar[str] = "value"
    longest: ClassVar[int] = 512

    def __init__(self, text: str) -> None:
        if not isinstance(text, str) or not 0 < len(text) <= self.longest:
            raise ValidationError("sensitive.shape", field=self.noun, longest=self.longest)
        self._text = self.normalise(text)

    @classmethod
    def normalise(cls, text: str) -> str:
        """The text in its one stored form; raises ``ValidationError`` for a shape that cannot be right."""
        return text

    @classmethod
    def of(cls, value: Self | str) -> Self:
        """``value`` itself, or a text made into this type."""
        return value if isinstance(value, cls) else cls(value)  # type: ignore[arg-type]

    def reveal(self) -> str:
        """The text itself. For the wire and the user's own screen; never for a log."""
        return self._text

    def masked(self) -> str:
        """What may be shown to support staff."""
        return "***"

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return hmac.compare_digest(self._text.encode(), other._text.encode())

    def __hash__(self) -> int:
        return hash((type(self), self._text))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.masked()})"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return format(repr(self), spec)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            cls.of, serialization=core_schema.plain_serializer_function_ser_schema(lambda value: value.masked())
        )


class PhoneNumber(Sensitive):
    """A mainland mobile number, eleven digits that begin with 1. ``+86`` and spaces are accepted and dropped."""

    __slots__ = ()
    noun = "phone"
    longest = 20

    @classmethod
    def normalise(cls, text: str) -> str:
        """Eleven ASCII digits."""
        digits = text.replace(" ", "").replace("-", "").removeprefix("+86").removeprefix("0086")
        if not (len(digits) == 11 and digits.isascii() and digits.isdigit() and digits[0] == "1"):
            raise ValidationError("phone.shape", field=cls.noun)
        return digits

    def masked(self) -> str:
        """The first three and last four digits, as regulators mask it (JR/T 0171)."""
        return f"{self._text[:3]}****{self._text[-4:]}"


class PlatformUser(Sensitive):
    """A platform's own name for a person: an openid, a user id, a mobile, a wallet id."""

    __slots__ = ()
    noun = "user"
    longest = 128


class OneTimeCode(Sensitive):
    """A code a user received and typed."""

    __slots__ = ()
    noun = "one_time_code"
    longest = 16


class Secret(Sensitive):
    """A key or password, as text."""

    __slots__ = ()
    noun = "secret"
    longest = 65_536
