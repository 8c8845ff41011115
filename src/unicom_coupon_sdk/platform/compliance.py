"""Compliance shims: for each field, whether it may be sent, kept and logged, for how long, and by what rule.

A shim is a table. The adapter passes what it is about to send through ``outgoing`` and what it wants stored through
``kept``; a field that is not in the table may do neither, so a new field is a decision and not an accident.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from unicom_coupon_sdk.errors import ComplianceError


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldRule:
    """The rule of one field. ``keep_days`` 0 means: never stored. ``source`` names the sheet section or the law."""

    field: str
    send: bool
    keep_days: int
    log: bool
    source: str
    note: str = ""


class ComplianceShim:
    """The rules of one platform."""

    def __init__(self, platform: str, rules: Iterable[FieldRule]) -> None:
        self.platform = platform
        self.rules: Mapping[str, FieldRule] = {rule.field: rule for rule in rules}

    def outgoing(self, body: Mapping[str, Any], *, within: str = "") -> Mapping[str, Any]:
        """``body`` unchanged, when every field in it (nested ones too) may be sent.

        Raises ``ComplianceError`` that names the first field that may not.
        """
        for name, value in body.items():
            rule = self.rules.get(name)
            if rule is None or not rule.send:
                raise ComplianceError("compliance.not_sent", field=f"{within}{name}", platform=self.platform)
            for nested in value if isinstance(value, list) else [value]:
                if isinstance(nested, Mapping):
                    self.outgoing(nested, within=f"{within}{name}.")
        return body

    def kept(self, refs: Mapping[str, str]) -> dict[str, str]:
        """Those of ``refs`` that may be stored."""
        return {name: value for name, value in refs.items() if (rule := self.rules.get(name)) and rule.keep_days > 0}

    def loggable(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Those of ``fields`` that may be logged."""
        return {name: value for name, value in fields.items() if (rule := self.rules.get(name)) and rule.log}
