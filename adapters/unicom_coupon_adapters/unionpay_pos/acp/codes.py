"""``respCode`` as our errors (sheet 10.5). Asked last: a code is believed only from a verified answer.

Success is a whitelist. A code that is not in the table falls to the family of 99, "ask": nobody knows what was done.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType
from typing import Any, Final

from unicom_coupon_sdk.errors import PlatformError, PlatformRefused, PlatformUnavailable, PlatformUnknown

PLATFORM: Final = "unionpay_pos"
_PAUSE_S: Final = 5.0
"""How long to wait after "busy" and "queried too often": the sheet says to back off, and no figure."""


class Meaning(Enum):
    """What a code says about a request; in a query, about the transaction that was asked about."""

    DONE = "done"
    REFUSED = "refused"  # definitely not done
    LATER = "later"  # not done; later it may be
    OPEN = "open"  # accepted, busy or unclear: ask
    ABSENT = "absent"  # no such transaction, which may still arrive


_DECLINED: Final = "01 30 38 39 40 41 60 61 62 63 64 65 66 67 68 69 70 71 73 76 77 78 79 80"
_TABLE: Final[Mapping[str, tuple[Meaning, str]]] = MappingProxyType(
    dict.fromkeys(("00", "A6", "00A6"), (Meaning.DONE, ""))
    | dict.fromkeys(("03", "04", "05", "99"), (Meaning.OPEN, "unionpay_pos.acp_open"))
    | dict.fromkeys(("06", "37"), (Meaning.OPEN, "unionpay_pos.acp_busy"))
    | dict.fromkeys(("10", "13", "14"), (Meaning.REFUSED, "unionpay_pos.acp_format"))
    | dict.fromkeys(("31", "32", "72"), (Meaning.REFUSED, "unionpay_pos.acp_merchant"))
    | dict.fromkeys(("35", "36"), (Meaning.REFUSED, "unionpay_pos.acp_original"))
    # Money has moved, or may have: a person looks at these.
    | dict.fromkeys(("42", "74", "75"), (Meaning.OPEN, "unionpay_pos.acp_reconcile"))
    | dict.fromkeys(_DECLINED.split(), (Meaning.REFUSED, "unionpay_pos.acp_declined"))
    | {
        "02": (Meaning.LATER, "unionpay_pos.acp_closed"),
        "11": (Meaning.REFUSED, "unionpay_pos.acp_our_signature"),
        "12": (Meaning.OPEN, "unionpay_pos.acp_duplicate"),  # an earlier request of this number may have been done
        "33": (Meaning.REFUSED, "unionpay_pos.acp_amount"),
        "34": (Meaning.ABSENT, "unionpay_pos.acp_absent"),
        "45": (Meaning.REFUSED, "unionpay_pos.acp_undone"),
        "98": (Meaning.LATER, "unionpay_pos.acp_no_file"),
    }
)
_ASK: Final = (Meaning.OPEN, "unionpay_pos.acp_open")


def meaning_of(code: str) -> Meaning:
    """What ``code`` says."""
    return _TABLE.get(code, _ASK)[0]


def error_of(code: str, *, is_write: bool, query_id: str | None = None) -> PlatformError:
    """The error that a verified ``code`` stands for. Only for codes that mean no success.

    What may have been done is ``PlatformUnknown`` after a write; a read has no effect, so after one it is
    ``PlatformUnavailable``.
    """
    meaning, ours = _TABLE.get(code, _ASK)
    told: dict[str, Any] = {"platform": PLATFORM, "platform_code": code, "request_id": query_id}
    if meaning in {Meaning.REFUSED, Meaning.ABSENT}:
        return PlatformRefused(ours, **told)
    if meaning is Meaning.LATER:
        return PlatformUnavailable(ours, **told)
    pause_s = _PAUSE_S if ours == "unionpay_pos.acp_busy" else None
    kind = PlatformUnknown if is_write else PlatformUnavailable
    return kind(ours, retry_after_s=pause_s, **told)


def untrusted(code: str, *, is_write: bool, **details: Any) -> PlatformError:
    """The error for an answer that settles nothing: unknown after a write, not done after a read."""
    kind = PlatformUnknown if is_write else PlatformUnavailable
    return kind(code, platform=PLATFORM, **details)
