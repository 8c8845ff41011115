"""Small helpers for Markdown in the language in use."""

from __future__ import annotations

import html
import inspect
import re
from collections.abc import Iterable, Iterator, Sequence

from unicom_coupon_sdk import texts


def say(en: str, zh: str) -> str:
    """``en`` or ``zh``, by the language in use."""
    return zh if texts.current_language() == "zh" else en


def cell(value: object) -> str:
    """``value`` as the content of a table's cell."""
    return str(value).replace("|", "\\|").replace("<", "&lt;").replace("\n", "<br>")


def code(value: object, *, soft: bool = False) -> str:
    """``value`` as code in a table's cell. ``soft``: a line may end after each ``_`` and ``/``."""
    text = str(value)
    if not (soft or "|" in text):
        return f"`{text}`" if text else ""
    # A pipe in backticks is written differently by every Markdown; as HTML it is the same for all.
    text = html.escape(text, quote=False).replace("|", "&#124;")
    if soft:
        text = re.sub(r"([_/])", r"\1<wbr>", text)
    return f"<code>{text}</code>"


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterator[str]:
    """A table with an empty line after it. Cells come as they should stand."""
    yield f"| {' | '.join(columns)} |"
    yield f"|{'---|' * len(columns)}"
    for row in rows:
        yield f"| {' | '.join(str(value) for value in row)} |"
    yield ""


def prose(docstring: str | None) -> str:
    """A docstring as Markdown: double backticks become single ones, indented blocks stay code."""
    text = inspect.cleandoc(docstring or "")
    text = re.sub(r"::\n", ":\n", text)
    text = re.sub(r"^:\n", "", text, flags=re.MULTILINE)
    return text.replace("``", "`")


def first_line(docstring: str | None) -> str:
    """The first paragraph of a docstring, on one line."""
    return " ".join(prose(docstring).split("\n\n")[0].split())
