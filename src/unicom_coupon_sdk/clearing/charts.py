"""Bar charts as inline SVG: horizontal, one row a name, so that long names and long numbers have room.

Names come as markup, escaped by the caller, so that one may be there in two languages.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from html import escape

WIDTH = 340
ROW = 26
BAR = 14
NAMES = 118
NUMBERS = 96


def bars(values: Mapping[str, int]) -> str:
    """One bar a name."""
    most = max(values.values(), default=0) or 1
    rows = [
        _row(at, name, [("ours", value, most)], label=f"{value:,}", height=ROW)
        for at, (name, value) in enumerate(values.items())
    ]
    return _drawing(rows, height=ROW * len(values))


def pairs(values: Mapping[str, tuple[int, int]], *, label: Callable[[int], str]) -> str:
    """Two bars a name, ours above theirs; the number beside them is ours, and theirs under it."""
    most = max((abs(one) for pair in values.values() for one in pair), default=0) or 1
    height = 2 * ROW - 8
    rows = [
        _row(
            at,
            name,
            [("ours", ours, most), ("theirs", theirs, most)],
            label=f"{label(ours)}\n{label(theirs)}",
            height=height,
        )
        for at, (name, (ours, theirs)) in enumerate(values.items())
    ]
    return _drawing(rows, height=height * len(values))


def _row(at: int, name: str, drawn: list[tuple[str, int, int]], *, label: str, height: int) -> str:
    top = at * height
    middle = top + height / 2
    parts = [f'<text x="0" y="{middle + 4:.0f}">{name}</text>']
    room = WIDTH - NAMES - NUMBERS
    for number, (kind, value, most) in enumerate(drawn):
        y = middle + (number - len(drawn) / 2) * (BAR + 2) + 1
        long = max(1.0, abs(value) / most * room) if value else 0
        parts.append(f'<rect class="{kind}" x="{NAMES}" y="{y:.1f}" width="{long:.1f}" height="{BAR}" rx="2"/>')
    lines = label.split("\n")
    for number, line in enumerate(lines):
        y = middle + 4 + (number - (len(lines) - 1) / 2) * (BAR + 2)
        parts.append(f'<text class="dim" x="{WIDTH}" y="{y:.1f}" text-anchor="end">{escape(line)}</text>')
    return "".join(parts)


def _drawing(rows: list[str], *, height: int) -> str:
    return f'<svg viewBox="0 0 {WIDTH} {max(height, ROW)}" role="img">{"".join(rows)}</svg>'
