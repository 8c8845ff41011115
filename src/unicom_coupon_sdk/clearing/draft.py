"""A snapshot in the making: added to page by page, and at its place only when it has ended."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from unicom_coupon_sdk.clearing.snapshot import ENTRY_COLUMNS, entry_line
from unicom_coupon_sdk.domain.reconciliation import Entry


class SnapshotDraft:
    """What will be the snapshot ``path``; readable by its owner alone. One writer."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._part = path.with_name(f"{path.name}.part")

    def begin(self) -> None:
        """Start anew, with nothing in it. The folder is made if it is not there."""
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with os.fdopen(os.open(self._part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(f"{','.join(ENTRY_COLUMNS)}\n".encode("ascii"))

    def add(self, entries: Iterable[Entry]) -> None:
        """Write ``entries`` behind what is there. Raises ``ValidationError`` (``reconcile.number``)."""
        lines = [f"{entry_line(entry)}\n" for entry in entries]
        with self._part.open("ab") as file:
            file.write("".join(lines).encode("ascii"))

    def end(self) -> Path:
        """The snapshot, whole."""
        self._part.replace(self._path)
        return self._path
