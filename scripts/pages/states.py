"""The state machines, from their tables: a picture and the whole matrix."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from enum import StrEnum
from typing import Any

from pages.markdown import say, table
from unicom_coupon_sdk.domain.state import COUPON_MOVES, OPERATION_MOVES, CouponState, Moves, OperationState

WIDTH, HEIGHT, GAP_X, GAP_Y = 132, 40, 104, 68

COUPON_PLACES = {
    CouponState.ISSUED: (0, 0), CouponState.AVAILABLE: (1, 0), CouponState.HELD: (2, 0), CouponState.REDEEMED: (3, 0),
    CouponState.REVERSING: (2, 2), CouponState.EXPIRED: (0, 1), CouponState.VOID: (1, 1),
}  # fmt: skip
OPERATION_PLACES = {
    OperationState.HELD: (0, 0), OperationState.DONE: (1, 0), OperationState.REVERSING: (2, 0),
    OperationState.REVERSED: (3, 0), OperationState.UNKNOWN: (0, 1), OperationState.RELEASED: (2, 1),
    OperationState.PENDING: (1, 2),
}  # fmt: skip


def page() -> Iterator[str]:
    """Both machines."""
    yield say("# States\n", "# 状态机\n")
    yield say(
        "A row moves only along these tables, by compare-and-set on its version. Every other"
        " move is refused, and a test tries them all.\n",
        "账本中的每一行只能沿下表移动，并以版本号做比较并交换（compare-and-set）。表外的移动一律拒绝，测试会逐一尝试。\n",
    )
    yield from _machine(say("A coupon", "电子券"), COUPON_MOVES, CouponState, COUPON_PLACES)
    yield from _machine(
        say("A redemption or a reversal", "核销与退券"), OPERATION_MOVES, OperationState, OPERATION_PLACES
    )


def _machine(
    title: str, moves: Moves[Any, Any], states: type[StrEnum], places: dict[Any, tuple[int, int]]
) -> Iterator[str]:
    assert set(places) == set(states), "a state has no place in the picture"
    yield f"## {title}\n"
    yield _picture(title, moves, places)
    yield ""
    named = _meanings(states)
    yield from table((say("State", "状态"), say("Meaning", "含义")), [(f"`{s.value}`", named[s.name]) for s in states])
    order = list(moves.table)
    rows = [
        (f"`{origin.value}`", f"`{move.value}`", f"`{moves.table[origin, move].value}`")
        for state in states
        for origin, move in order
        if origin is state
    ]
    yield from table((say("From", "起始状态"), say("Move", "移动"), say("To", "到达状态")), rows)


ZH = {
    "exists, belongs to nobody yet": "已生成，尚无持券人",
    "bound to a holder, may be redeemed": "已绑定持券人，可核销",
    "a redemption is under way": "核销进行中",
    "spent": "已核销",
    "a reversal is under way": "退券进行中",
    "its last day is over": "已过有效期",
    "withdrawn by the issuer": "已被发行方作废",
    "of a redemption: its reversal is under way": "（核销）其退券进行中",
    "of a redemption: its reversal is done": "（核销）其退券已完成",
}
OF_OPERATIONS = {
    "HELD": ("written down; the platform may have been told", "已记账；平台可能已收到请求"),
    "DONE": ("the platform has done it", "平台已完成"),
    "RELEASED": ("definitely not done; what was held is free again", "确定未发生；占用已释放"),
    "PENDING": (
        "taken on by the platform; the user or a receiver there has yet to act",
        "平台已受理，等待用户或接收方操作",
    ),
    "UNKNOWN": ("the platform has yet to tell; `recover` asks", "结果未知，等待平台答复；由 `recover` 查询"),
}


def _meanings(states: type[StrEnum]) -> dict[str, str]:
    """The comments beside the states, which the language keeps out of reach of ``inspect`` but not of the source."""
    found = {name: say(*words) for name, words in OF_OPERATIONS.items()} if states is OperationState else {}
    source = inspect.getsource(states)
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            comment = source.splitlines()[node.lineno - 1].partition("# ")[2]
            if comment:
                found[node.targets[0].id] = say(comment, ZH.get(comment, comment))
    return found


def _picture(title: str, moves: Moves[Any, Any], places: dict[Any, tuple[int, int]]) -> str:
    """An SVG with the states in their places. Moves between the same two states share one line."""
    columns = max(x for x, _ in places.values()) + 1
    rows = max(y for _, y in places.values()) + 1
    width, height = columns * WIDTH + (columns - 1) * GAP_X + 4, rows * HEIGHT + (rows - 1) * GAP_Y + 4
    joined: dict[tuple[Any, Any], list[str]] = {}
    for (origin, move), end in moves.table.items():
        joined.setdefault((origin, end), []).append(move.value)
    parts = [_arrow(places[a], places[b], " / ".join(names), (b, a) in joined) for (a, b), names in joined.items()]
    parts += [_box(name.value, *places[name], start=name is moves.start) for name in places]
    return (
        f'<svg class="states" role="img" aria-label="{title}" viewBox="-2 -18 {width} {height + 20}"'
        f' style="max-width:{width}px">'
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0 8 4 0 8z" fill="currentColor"/></marker></defs>' + "".join(parts) + "</svg>"
    )


def _corner(place: tuple[int, int]) -> tuple[int, int]:
    return place[0] * (WIDTH + GAP_X), place[1] * (HEIGHT + GAP_Y)


def _box(name: str, column: int, row: int, *, start: bool) -> str:
    x, y = _corner((column, row))
    weight = 2.5 if start else 1.2
    return (
        f'<rect x="{x}" y="{y}" width="{WIDTH}" height="{HEIGHT}" rx="8" fill="none" stroke="currentColor"'
        f' stroke-width="{weight}"/><text x="{x + WIDTH / 2}" y="{y + HEIGHT / 2 + 5}" text-anchor="middle"'
        f' font-size="15" fill="currentColor">{name}</text>'
    )


def _arrow(origin: tuple[int, int], end: tuple[int, int], label: str, two_ways: bool) -> str:  # noqa: FBT001
    (x1, y1), (x2, y2) = _corner(origin), _corner(end)
    shift = 9 if two_ways else 0
    if y1 == y2:
        right = x2 > x1
        ax, bx = (x1 + WIDTH, x2) if right else (x1, x2 + WIDTH)
        ay = by = y1 + HEIGHT / 2 + (-shift if right else shift)
        tx, ty, anchor = (ax + bx) / 2, ay + (-5 if right or not two_ways else 15), "middle"
    elif x1 == x2:
        down = y2 > y1
        ax = bx = x1 + WIDTH / 2 + (-shift if down else shift)
        ay, by = (y1 + HEIGHT, y2) if down else (y1, y2 + HEIGHT)
        tx, ty, anchor = ax + 6, (ay + by) / 2 + 4, "start"
    else:
        down, right = y2 > y1, x2 > x1
        beside = shift if down else -shift
        ax, bx = x1 + WIDTH * (0.75 if right else 0.25) + beside, x2 + WIDTH * (0.25 if right else 0.75) + beside
        ay, by = (y1 + HEIGHT, y2) if down else (y1, y2 + HEIGHT)
        near = 0.25 if abs(origin[1] - end[1]) == 1 else (0.3 if down else 0.55)
        left = two_ways and not down
        tx, ty = ax + (bx - ax) * near + (-8 if left else 8), ay + (by - ay) * near + 4
        anchor = "end" if left else "start"
    return (
        f'<line x1="{ax}" y1="{ay}" x2="{bx}" y2="{by}" stroke="currentColor" marker-end="url(#tip)"/>'
        f'<text x="{tx}" y="{ty}" text-anchor="{anchor}" font-size="12" fill="currentColor">{label}</text>'
    )
