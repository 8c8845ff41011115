"""The one error of the wire: a frame that is not what the sheet says.

It tells where (field and byte offset) and why (a code of the catalogue), and never what was there, because a frame
holds card and coupon numbers.
"""

from __future__ import annotations

from typing import NoReturn

from unicom_coupon_sdk.errors import ValidationError


class FrameError(ValidationError):
    """A frame or one of its fields is malformed. Nothing of it was believed.

    ``code`` begins with ``unionpay_pos.frame_``; ``field`` is the data element's number (``"60"``, ``"62.VA.01"``) or
    the name of the part (``tpdu``, ``bitmap``); ``details["offset"]`` is the first bad byte, counted from the start of
    the part that was being read, or ``None`` when a value was being written.
    """

    default_code = "unionpay_pos.frame_malformed"


def refuse(fault: str, *, field: str, offset: int | None = None, **details: object) -> NoReturn:
    """Raises ``FrameError`` ``unionpay_pos.frame_<fault>``, without the cause: a cause would show the input."""
    error = FrameError(f"unionpay_pos.frame_{fault}", field=field, platform="unionpay_pos", offset=offset)
    error.details.update(details)
    raise error from None
