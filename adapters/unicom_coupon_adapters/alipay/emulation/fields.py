"""Reading business content member by member, and refusing the first that is not right.

Numbers may come as JSON numbers or as text; money comes as yuan with two decimals at most and leaves as fen. Members
that a call does not know are ignored, as the platform does.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from unicom_coupon_adapters.alipay.emulation.moments import parse_moment
from unicom_coupon_adapters.alipay.emulation.refusals import Refusal, invalid

NUMBER: Final = r"[0-9A-Za-z_]{1,64}"
"""An ``out_trade_no`` (sheet §2.11)."""
OUT_BIZ_NO: Final = r"[0-9A-Za-z_-]{1,64}"
"""An ``out_biz_no``. Its letters are unconfirmed (sheet §2.1); a hyphen is taken, since clients number by UUIDs."""
CODE: Final = r"[0-9A-Za-z\-_+=|]{1,64}"
"""The alphabet of voucher codes (sheet §2.3)."""
_MONEY: Final = re.compile(r"(0|[1-9][0-9]{0,9})(\.[0-9]{1,2})?")
_WHOLE: Final = re.compile(r"[0-9]{1,15}")


class Fields:
    """An object of business content. ``at`` is its path; ``prefix`` goes before ``INVALID_PARAMETER``."""

    def __init__(self, content: Mapping[str, Any], *, at: str = "", prefix: str = "") -> None:
        self.content = content
        self.at = at
        self.prefix = prefix

    def refusal(self, name: str, why: str) -> Refusal:
        """``INVALID_PARAMETER`` that names a member of this object."""
        return invalid(self.at + name, why, prefix=self.prefix)

    def has(self, name: str) -> bool:
        """Whether the member is there with something in it."""
        return self.content.get(name) not in (None, "", [], {})

    def text(self, name: str, *, longest: int = 128, pattern: str | None = None) -> str | None:
        """A text, or ``None`` where it is absent or empty."""
        value = self.content.get(name)
        if value is None or value == "":
            return None
        if isinstance(value, bool) or not isinstance(value, str | int):
            raise self.refusal(name, "类型错误")
        told = str(value)
        if len(told) > longest:
            raise self.refusal(name, "长度超限")
        if pattern is not None and not re.fullmatch(pattern, told):
            raise self.refusal(name, "格式错误")
        return told

    def needed(self, name: str, *, longest: int = 128, pattern: str | None = None) -> str:
        """A text that must be there."""
        value = self.text(name, longest=longest, pattern=pattern)
        if value is None:
            raise self.refusal(name, "不能为空")
        return value

    def choice(self, name: str, *words: str, default: str | None = None) -> str:
        """One of ``words``; must be there unless there is a default."""
        value = self.text(name)
        if value is None:
            if default is None:
                raise self.refusal(name, "不能为空")
            return default
        if value not in words:
            raise self.refusal(name, "取值错误")
        return value

    def whole(self, name: str, *, least: int = 0, most: int = 999_999, default: int | None = None) -> int:
        """A whole number; must be there unless there is a default."""
        value = self.content.get(name)
        if value is None or value == "":
            if default is None:
                raise self.refusal(name, "不能为空")
            return default
        if isinstance(value, str) and _WHOLE.fullmatch(value):
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            raise self.refusal(name, "类型错误")
        if not least <= value <= most:
            raise self.refusal(name, "超出范围")
        return value

    def flag(self, name: str, *, default: bool = False) -> bool:
        """``true`` or ``false``, also as text."""
        value = self.content.get(name)
        if value is None or value == "":
            return default
        if isinstance(value, str) and value in {"true", "false"}:
            return value == "true"
        if not isinstance(value, bool):
            raise self.refusal(name, "类型错误")
        return value

    def money(self, name: str, *, least: int, most: int) -> int:
        """Yuan text as fen, within limits in fen; must be there."""
        value = self.maybe_money(name, least=least, most=most)
        if value is None:
            raise self.refusal(name, "不能为空")
        return value

    def maybe_money(self, name: str, *, least: int, most: int) -> int | None:
        """Yuan text as fen, within limits in fen; ``None`` where absent."""
        value = self.content.get(name)
        if value is None or value == "":
            return None
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise self.refusal(name, "类型错误")
        told = str(value)
        if not _MONEY.fullmatch(told):
            raise self.refusal(name, "金额格式错误")
        yuan, _, decimals = told.partition(".")
        fen = int(yuan) * 100 + int(decimals.ljust(2, "0") or 0)
        if not least <= fen <= most:
            raise self.refusal(name, "金额超出范围")
        return fen

    def moment(self, name: str) -> datetime:
        """A Beijing time that must be there, as UTC."""
        found = parse_moment(self.needed(name, longest=19))
        if found is None:
            raise self.refusal(name, "时间格式应为yyyy-MM-dd HH:mm:ss")
        return found

    def sub(self, name: str) -> Fields:
        """An object that must be there."""
        found = self.maybe(name)
        if found is None:
            raise self.refusal(name, "不能为空")
        return found

    def maybe(self, name: str) -> Fields | None:
        """An object, or ``None`` where it is absent."""
        value = self.content.get(name)
        if value is None or value in ("", {}):
            return None
        if not isinstance(value, dict):
            raise self.refusal(name, "类型错误")
        return Fields(value, at=f"{self.at}{name}.", prefix=self.prefix)

    def rows(self, name: str, *, least: int = 1, most: int = 100) -> list[Fields]:
        """A list of objects."""
        value = self._listed(name, least=least, most=most)
        if not all(isinstance(one, dict) for one in value):
            raise self.refusal(name, "类型错误")
        return [Fields(one, at=f"{self.at}{name}.{index}.", prefix=self.prefix) for index, one in enumerate(value)]

    def texts(self, name: str, *, least: int = 1, most: int = 100) -> list[str]:
        """A list of texts."""
        value = self._listed(name, least=least, most=most)
        if not all(isinstance(one, str) for one in value):
            raise self.refusal(name, "类型错误")
        return [str(one) for one in value]

    def _listed(self, name: str, *, least: int, most: int) -> list[Any]:
        value = self.content.get(name)
        if value is None or value == "":
            value = []
        if not isinstance(value, list):
            raise self.refusal(name, "类型错误")
        if not least <= len(value) <= most:
            raise self.refusal(name, "元素个数错误" if value else "不能为空")
        return value
