"""What the command prints: a table or one JSON object on standard output, everything else on standard error.

Exit codes are part of the interface: a script decides by them.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from enum import IntEnum, StrEnum
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from unicom_coupon_sdk import texts
from unicom_coupon_sdk.domain.code import CouponCode
from unicom_coupon_sdk.domain.model import Value
from unicom_coupon_sdk.domain.sensitive import Sensitive
from unicom_coupon_sdk.errors import (
    CallerError,
    ConfigurationError,
    CouponError,
    ForgedMessage,
    LedgerError,
    PlatformError,
    PlatformUnknown,
)


class ExitCode(IntEnum):
    """How the command ended."""

    OK = 0
    BROKEN = 1  # an invariant does not hold, or a check of the doctor failed
    USAGE = 2  # the command line itself is wrong
    CONFIGURATION = 3  # settings, keys, certificates
    REFUSED = 4  # the request is wrong or the coupon cannot be used; nothing was done
    PLATFORM = 5  # the platform refused or cannot be reached; nothing was done
    UNKNOWN = 6  # not known whether it was done: run recover
    FORGED = 7  # a message is not genuine
    LEDGER = 8  # the store failed


_CODES: tuple[tuple[type[CouponError], ExitCode], ...] = (
    (ConfigurationError, ExitCode.CONFIGURATION),
    (CallerError, ExitCode.REFUSED),
    (PlatformUnknown, ExitCode.UNKNOWN),
    (PlatformError, ExitCode.PLATFORM),
    (ForgedMessage, ExitCode.FORGED),
    (LedgerError, ExitCode.LEDGER),
)


def exit_code_of(error: CouponError) -> ExitCode:
    """The exit code that stands for ``error``."""
    return next((code for kind, code in _CODES if isinstance(error, kind)), ExitCode.BROKEN)


def say(key: str, **values: object) -> str:
    """A text of the catalogue, in the chosen language."""
    return texts.text(key, values=values)


class Printer:
    """Prints results in one form or the other. ``as_json`` gives one JSON object a command."""

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json
        self.out = Console(file=sys.stdout, highlight=False, soft_wrap=False)
        self.err = Console(file=sys.stderr, highlight=False)

    def record(self, title: str, fields: Mapping[str, Any]) -> None:
        """One thing: its fields as rows, or as a JSON object."""
        if self.as_json:
            self.json(fields)
            return
        table = Table(title=title, show_header=False, title_justify="left")
        table.add_column(style="bold", no_wrap=True)
        table.add_column(overflow="fold")
        for name, value in fields.items():
            table.add_row(name, _cell(value))
        self.out.print(table)

    def rows(self, title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        """Several things of one kind, as a table."""
        table = Table(title=title, title_justify="left")
        for column in columns:
            table.add_column(column, overflow="fold")
        for row in rows:
            table.add_row(*[_cell(value) for value in row])
        self.out.print(table)

    def json(self, value: Mapping[str, Any]) -> None:
        """One JSON object on one line of standard output."""
        sys.stdout.write(json.dumps(plain(value), ensure_ascii=False) + "\n")

    def note(self, text: str) -> None:
        """A remark for people, on standard error."""
        self.err.print(Text(text))

    def error(self, error: CouponError) -> None:
        """What went wrong, why, and what to do; in JSON mode as an object with the same fields in every language."""
        told = error.diagnostics()
        if self.as_json:
            self.json({"ok": False, "error": dataclasses.asdict(told)})
            return
        self.err.print(Text(str(error), style="bold red"))
        for label, words in (("cli.cause", told.cause), ("cli.remedy", told.remedy)):
            if words:
                self.err.print(Text.assemble((say(label) + " ", "bold"), words))


def plain(value: Any, *, reveal_codes: bool = False) -> Any:
    """``value`` as JSON can hold it. Sensitive values stay masked, but for coupon codes where the caller asked."""
    if isinstance(value, Sensitive):
        return value.reveal() if reveal_codes and isinstance(value, CouponCode) else value.masked()
    if isinstance(value, CouponError):
        return {"code": value.code, "message": str(value)}
    if isinstance(value, StrEnum):
        return value.value
    if isinstance(value, str | int | float) or value is None:
        return value
    if isinstance(value, date):
        return value.isoformat()
    parts = _parts(value)
    if parts is not None:
        return {name: plain(part, reveal_codes=reveal_codes) for name, part in parts.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item, reveal_codes=reveal_codes) for item in value]
    return str(value)


def _parts(value: Any) -> dict[str, Any] | None:
    """The named parts of a value that has some."""
    if isinstance(value, Value):
        return {name: getattr(value, name) for name in type(value).model_fields}
    if isinstance(value, Mapping):
        return {str(name): item for name, item in value.items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    return None


def _cell(value: Any) -> Text:
    held = plain(value)
    if isinstance(held, dict | list):
        return Text(json.dumps(held, ensure_ascii=False))
    return Text("" if held is None else str(held))
