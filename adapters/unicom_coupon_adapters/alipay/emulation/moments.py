"""Times and sums as Alipay prints them: Beijing time to the second, yuan with two decimals."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from typing import Final

BEIJING: Final = timezone(timedelta(hours=8))
_FORM: Final = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d")


def moment_text(at: datetime) -> str:
    """``yyyy-MM-dd HH:mm:ss`` in Beijing."""
    return at.astimezone(BEIJING).strftime("%Y-%m-%d %H:%M:%S")


def parse_moment(text: str) -> datetime | None:
    """The UTC time of such a text; ``None`` for any other."""
    if not _FORM.fullmatch(text) or not text.isascii():
        return None
    try:
        return datetime.fromisoformat(text).replace(tzinfo=BEIJING).astimezone(UTC)
    except ValueError:
        return None


def moment_of(text: str) -> datetime:
    """The UTC time of a text that this emulator wrote."""
    found = parse_moment(text)
    assert found is not None
    return found


def millis(at: datetime) -> str:
    """Milliseconds since 1970 as text."""
    return str(int(at.timestamp() * 1000))


def yuan(fen: int) -> str:
    """``1234`` → ``12.34``; negative sums keep their sign."""
    sign = "-" if fen < 0 else ""
    return f"{sign}{abs(fen) // 100}.{abs(fen) % 100:02d}"


def fen_of(text: str) -> int:
    """The fen of a yuan text that was checked before."""
    whole, _, decimals = text.partition(".")
    return int(whole) * 100 + int(decimals.ljust(2, "0") or 0)
