"""Every error code, from the catalogues: what happened, why, what to do."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import unicom_coupon_sdk
from pages.markdown import say, table
from unicom_coupon_sdk import errors, texts
from unicom_coupon_sdk.errors import CouponError
from unicom_coupon_sdk.platform import registry

CORE = Path(unicom_coupon_sdk.__file__).parent


def page() -> Iterator[str]:
    """The tree, the classes, then every code by its family."""
    yield say("# Errors\n", "# 错误参考\n")
    yield say(
        "Every error has a stable `code`, an `outcome` (`not_done`, `unknown`) and says whether the same request may be"
        " sent again (`retryable`). `str(error)` is `code: message [platform code, request id]`; `error.diagnostics()`"
        " gives message, cause and remedy in Chinese or English.\n",
        "每个错误都有稳定的 `code`、`outcome`（`not_done` 未发生 / `unknown` 未知），并说明同一请求能否原样重发（`retryable`）。"
        "`str(error)` 的格式是 `code: 说明 [平台码, 请求号]`；`error.diagnostics()` 以中文或英文给出说明、原因与处理办法。\n",
    )
    tree = inspect.cleandoc(errors.__doc__ or "").split("::\n")[1]
    block = "\n".join(line[4:] for line in tree.split("\n") if line.startswith("    "))
    yield f"```text\n{block.replace('``', '')}\n```\n"
    rows = [
        (f"`{name}`", f"`{kind.outcome.value}`", say("yes", "是") if kind.retryable else say("no", "否"))
        for name, kind in vars(errors).items()
        if isinstance(kind, type) and issubclass(kind, CouponError)
    ]
    yield from table((say("Class", "类"), "`outcome`", "`retryable`"), rows)
    catalogue = dict(_catalogue())
    for family in sorted({key.partition(".")[0] for key in catalogue}):
        yield f"## {family}\n"
        for key in sorted(key for key in catalogue if key.partition(".")[0] == family):
            yield from _entry(key, catalogue[key][texts.current_language()])


def _entry(key: str, words: dict[str, str]) -> Iterator[str]:
    kinds = ", ".join(f"`{kind}`" for kind in sorted(_kinds().get(key, ())))
    yield f"### {key} {{ #{key.replace('.', '-')} }}\n"
    yield (f"{kinds}: " if kinds else "") + _plain(words["message"]) + "\n"
    for part, label in (("cause", say("Why", "原因")), ("remedy", say("What to do", "处理"))):
        if words.get(part):
            yield f"- **{label}**{say(': ', '：')}{_plain(words[part])}"
    yield ""


def _plain(words: str) -> str:
    return words.replace("<", "&lt;").replace("*", "\\*").replace("_", "\\_")


def _homes() -> Iterator[Path]:
    yield CORE
    for name in registry.available():
        spec = importlib.util.find_spec(registry.available()[name].module)
        assert spec is not None
        assert spec.origin is not None
        yield Path(spec.origin).parent


def _catalogue() -> Iterator[tuple[str, dict[str, Any]]]:
    """The entries that have a cause or a remedy: errors and findings. Labels of the command have none."""
    for home in _homes():
        path = home / "texts" / "texts.toml" if home == CORE else home / "texts.toml"
        for key, entry in tomllib.loads(path.read_text(encoding="utf-8")).items():
            if isinstance(entry["en"], dict):
                yield key, entry


@cache
def _kinds() -> dict[str, set[str]]:
    """Which classes are raised with which code, as far as the source says it in so many words."""
    found: dict[str, set[str]] = {}
    for path in (path for home in _homes() for path in home.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not (isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant)):
                continue
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            kind = getattr(errors, name, None)
            if isinstance(kind, type) and issubclass(kind, CouponError) and isinstance(node.args[0].value, str):
                found.setdefault(node.args[0].value, set()).add(name)
    return found
