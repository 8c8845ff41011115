"""How settings refer to a key: by name of a place, never by the key itself."""

from __future__ import annotations

import re
from typing import Annotated, Final

from pydantic import BeforeValidator, ValidationInfo

from unicom_coupon_sdk.domain.sensitive import Secret
from unicom_coupon_sdk.errors import ValidationError

_REFERENCE: Final = re.compile(r"[a-z][a-z0-9+.-]*:.")


def _key_reference(value: object, about: ValidationInfo) -> object:
    if isinstance(value, Secret) or (isinstance(value, str) and _REFERENCE.match(value)):
        return value
    raise ValidationError("key.reference", field=about.field_name or "key", schemes="file, env")


KeyReference = Annotated[str | Secret, BeforeValidator(_key_reference)]
"""``file:PATH`` or ``env:NAME``; a ``Secret`` only where settings are built in code."""
