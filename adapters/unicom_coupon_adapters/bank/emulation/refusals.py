"""How the bank says no: a code, the level it is told at, and what the reply carries beside it (sheet §3.10)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

PROTOCOL: Final = frozenset(
    {
        "SIGN_ERROR", "VERSION_ERROR", "ENCODING_ERROR", "SIGNMETHOD_ERROR", "JSON_FORMAT_ERROR", "POST_DATA_EMPTY",
        "UNDEFINED_PRAM", "APPID_INVALID", "APISIGN_ERROR", "TIMESTAMP_EXPIRED", "FIELD_NOT_ENCRYPTED", "DECRYPT_ERROR",
        "MERID_NOT_EXIST", "USERID_NOT_EXIST", "USERID_CHECK_FAILED",
    }
)  # fmt: skip
"""Told as returnCode FAIL: the message itself was not taken, and no order exists."""


class Refusal(Exception):
    """The bank's no. ``extra`` goes into the reply; nothing of the request does."""

    def __init__(self, code: str, **extra: Any) -> None:
        super().__init__(code)
        self.code = code
        self.extra: Mapping[str, Any] = extra

    @property
    def is_protocol(self) -> bool:
        """Whether the message itself is refused."""
        return self.code in PROTOCOL

    @property
    def is_final(self) -> bool:
        """Whether the same request is refused for ever; a wrong one-time code may be followed by a right one."""
        return not self.code.startswith(("SMS_", "SYSTERM_"))
