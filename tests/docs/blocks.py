"""The code blocks of the documentation, found and run as a reader would run them.

A page's blocks run in order and share names, a folder and exported variables. What a block needs and a reader has
anyway (a scanned code, a bound coupon) is made by an invisible block before it::

    <!-- hidden
    scanned = till.scan()
    -->

``python`` runs here; with a file name as its first comment it is written to that file instead, and run by pytest when
that is a test. ``console`` lines that begin with ``$`` run in bash. ``toml`` and ``json`` must parse, and are written
to the file that their first comment names. ``sh`` blocks set a machine up: ``.ci/run`` runs them, not we.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unicom_coupon_sdk import Settings
from unicom_coupon_sdk.platform import registry

FENCE = re.compile(
    r"^(?P<ticks>```)(?P<kind>\w*)[^\n]*\n(?P<text>.*?)^```$|^<!-- hidden\n(?P<hidden>.*?)^-->$",
    re.MULTILINE | re.DOTALL,
)
FILE_NAME = re.compile(r"# (?P<name>[\w/.-]+\.(?:py|toml|json))\n")
KINDS = frozenset({"python", "console", "toml", "json", "sh", "text"})
LONG = ("unicom-coupon demo",)
"""What takes too long for the quick set; ``.ci/run`` runs it."""


@dataclass(frozen=True)
class Block:
    """One fenced block: what it is, its text, the line it begins on."""

    kind: str
    text: str
    line: int

    @property
    def file_name(self) -> str | None:
        match = FILE_NAME.match(self.text)
        return match["name"] if match else None


def blocks_of(page: Path) -> Iterator[Block]:
    """The blocks of a Markdown file in order."""
    text = page.read_text(encoding="utf-8")
    for match in FENCE.finditer(text):
        line = text.count("\n", 0, match.start()) + 2
        if match["hidden"] is not None:
            yield Block("python", match["hidden"], line)
        else:
            yield Block(match["kind"], match["text"], line)


class Reader:
    """Somebody who follows one page in ``folder``. ``names`` are those that its Python blocks begin with."""

    def __init__(self, page: Path, *, folder: Path, names: dict[str, Any]) -> None:
        self.page = page
        self.folder = folder
        self.names = {"__name__": "__main__", **names}
        self.environment = dict(os.environ)
        self.environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{self.environment['PATH']}"
        self.environment["UNICOM_COUPON_LANG"] = "zh" if ".zh." in page.name else "en"
        self._started: list[subprocess.Popen[str]] = []

    def follow(self) -> None:
        """Run every block of the page."""
        for block in blocks_of(self.page):
            assert block.kind in KINDS, f"{self.page.name}:{block.line}: a block of kind {block.kind!r}"
            getattr(self, f"_{block.kind}")(block)

    def close(self) -> None:
        """Stop what was left running."""
        for process in self._started:
            process.terminate()
            process.communicate(timeout=30)

    def _python(self, block: Block) -> None:
        if block.file_name is None:
            # Empty lines in front make a traceback show the line of the page.
            source = "\n" * (block.line - 1) + block.text
            exec(compile(source, str(self.page), "exec"), self.names)
            return
        path = self._write(block)
        if path.name.startswith("test_"):
            self._bash(block, f"python -m pytest -q -p no:cacheprovider {path}")

    def _console(self, block: Block) -> None:
        commands = [line.removeprefix("$ ") for line in _logical_lines(block.text) if line.startswith("$ ")]
        assert commands, f"{self.page.name}:{block.line}: nothing to run"
        for command in commands:
            if command.startswith("unicom-coupon sandbox up"):
                self._start(block, command)
            elif not command.startswith(LONG):
                self._bash(block, command)

    def _toml(self, block: Block) -> None:
        data = tomllib.loads(block.text)
        if "ledger" in data:
            settings = Settings.parse(data)
            for name, section in settings.platforms.items():
                registry.load(name).settings.parse(section)
        if block.file_name is not None:
            self._write(block)

    def _json(self, block: Block) -> None:
        json.loads(block.text)

    def _sh(self, block: Block) -> None:
        """Left to ``.ci/run``."""

    def _text(self, block: Block) -> None:
        """Something to look at."""

    def _write(self, block: Block) -> Path:
        assert block.file_name is not None
        path = self.folder / block.file_name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block.text, encoding="utf-8")
        return path

    def _bash(self, block: Block, command: str) -> None:
        script = f"set -euo pipefail\n{command}\nenv -0 > .environment\n"
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{self.page.name}:{block.line}: {command}\n{done.stdout}{done.stderr}"
        exported = (self.folder / ".environment").read_text(encoding="utf-8").split("\0")
        self.environment = dict(pair.split("=", 1) for pair in exported if pair)

    def _start(self, block: Block, command: str) -> None:
        """Leave the command running once it says that it is ready; on free ports, since others run tests too."""
        process = subprocess.Popen(
            [*command.split(), "--port-base", "0"],
            cwd=self.folder, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        self._started.append(process)
        assert process.stdout is not None
        said = process.stdout.readline()
        assert said.startswith("ready "), f"{self.page.name}:{block.line}: {said!r}"


def _logical_lines(text: str) -> Iterator[str]:
    """Lines, with those that end in a backslash joined to the next."""
    yield from text.replace("\\\n", "").splitlines()
