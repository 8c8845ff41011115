"""The base of every value of the domain: frozen, closed, and honest about what is wrong.

Pydantic validates; its errors become ours, which name the field and never show the value.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any, Self

import pydantic
from pydantic import BaseModel, ConfigDict

from unicom_coupon_sdk.errors import ValidationError

_nested: ContextVar[bool] = ContextVar("unicom_coupon_nested_value", default=False)


class Value(BaseModel):
    """An immutable value. Unknown fields are refused; a bad field raises our ``ValidationError``."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    def __init__(self, **data: Any) -> None:
        if _nested.get():  # pydantic builds inner values through here too, and must see its own error to add the path
            super().__init__(**data)
            return
        token = _nested.set(True)
        try:
            super().__init__(**data)
        except pydantic.ValidationError as error:
            raise ValidationError.of(error) from None
        finally:
            _nested.reset(token)

    @classmethod
    def parse(cls, data: object, *, within: str = "") -> Self:
        """Build from plain data (a parsed JSON or TOML value). ``within`` is put before field names in errors."""
        token = _nested.set(True)
        try:
            return cls.model_validate(data)
        except pydantic.ValidationError as error:
            raise ValidationError.of(error, within=within) from None
        finally:
            _nested.reset(token)

    @classmethod
    def parse_json(cls, data: bytes | str, *, within: str = "") -> Self:
        """Build from JSON text."""
        token = _nested.set(True)
        try:
            return cls.model_validate_json(data)
        except pydantic.ValidationError as error:
            raise ValidationError.of(error, within=within) from None
        finally:
            _nested.reset(token)

    def replaced(self, **changes: Any) -> Self:
        """A copy with ``changes``, validated again."""
        return type(self)(**{**{name: getattr(self, name) for name in type(self).model_fields}, **changes})
