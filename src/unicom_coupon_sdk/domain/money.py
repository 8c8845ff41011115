"""Money is an integer number of fen. Floats never touch it.

Yuan appear only as text at the edges: on a wire that wants ``"12.34"``, in a bill, on a screen.
"""

from __future__ import annotations

import re
from decimal import Decimal
from enum import StrEnum
from typing import Annotated

from pydantic import BeforeValidator, Field

from unicom_coupon_sdk.errors import ValidationError

MAX_FEN = 10**12
"""Ten thousand million yuan: above any platform's field, so a slip of digits is caught here."""

_YUAN = re.compile(r"(?P<sign>-?)(?P<yuan>\d{1,10})(?:\.(?P<fen>\d{1,2}))?", re.ASCII)


class Currency(StrEnum):
    """What the fen are of. Every platform here settles in CNY."""

    CNY = "CNY"


def _whole_fen(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValidationError("money.not_fen", field="amount_fen", shape=type(value).__name__)
    return value


Fen = Annotated[int, BeforeValidator(_whole_fen), Field(ge=0, le=MAX_FEN)]
"""An amount of money, in fen, zero or more."""

PositiveFen = Annotated[int, BeforeValidator(_whole_fen), Field(gt=0, le=MAX_FEN)]
"""An amount of money, in fen, more than zero."""


def fen_of_yuan(text: str, *, field: str = "amount") -> int:
    """``"12.34"`` → ``1234``. Raises ``ValidationError`` for anything but digits with at most two decimals."""
    match = _YUAN.fullmatch(text.strip()) if isinstance(text, str) else None
    if match is None:
        raise ValidationError("money.not_yuan", field=field)
    fen = int(match["yuan"]) * 100 + int((match["fen"] or "0").ljust(2, "0"))
    return -fen if match["sign"] else fen


def yuan_text(fen: int) -> str:
    """``1234`` → ``"12.34"``."""
    whole, rest = divmod(abs(fen), 100)
    return f"{'-' if fen < 0 else ''}{whole}.{rest:02d}"


def portion(fen: int, basis_points: int) -> int:
    """``basis_points`` ten-thousandths of ``fen``, rounded half up to a whole fen."""
    return int((Decimal(fen) * basis_points / 10_000).quantize(Decimal(1), rounding="ROUND_HALF_UP"))
