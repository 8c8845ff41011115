"""Rule → module → test, and what each platform's shim lets out, keeps and logs."""

from __future__ import annotations

import ast
import importlib
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pages.markdown import cell, code, say, table
from unicom_coupon_sdk import texts
from unicom_coupon_sdk.platform import registry
from unicom_coupon_sdk.platform.compliance import FieldRule

ROOT = Path(__file__).resolve().parents[2]
RULES = Path(__file__).with_name("compliance.toml")
SOURCES = ("src/unicom_coupon_sdk", "adapters/unicom_coupon_adapters")


def page() -> Iterator[str]:
    """The rules with where they are kept and what proves it, then the tables of fields."""
    yield say("# Compliance\n", "# 合规\n")
    yield say(
        "Each rule, the module that keeps it, and the test that fails when it is broken. Modules and tests are looked up"
        " when this page is made: a name that is gone stops the build. This is an engineering record and no legal advice.\n",
        "每条规则、落实它的模块，以及规则被破坏时会失败的测试。生成本页时会逐一核对模块与测试是否存在，名称失效则构建失败。"
        "本页是工程记录，不构成法律意见。\n",
    )
    rows = []
    for rule in tomllib.loads(RULES.read_text(encoding="utf-8"))["rule"]:
        for module in rule["modules"]:
            assert any((ROOT / source / module).exists() for source in SOURCES), module
        rows.append(
            (
                f'<div class="rule">{cell(rule[texts.current_language()])}</div>', cell(rule["source"]), "<br>".join(code(module, soft=True) for module in rule["modules"]),
                "<br>".join(_test(name) for name in rule["tests"]),
            )
        )  # fmt: skip
    yield from table((say("Rule", "规则"), say("Source", "依据"), say("Module", "模块"), say("Test", "测试")), rows)
    for name in registry.available():
        yield from _platform(name)


def _test(name: str) -> str:
    """``path::function``, checked to be there."""
    path, _, function = name.partition("::")
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    found = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    assert function in found, f"{name} is no test"
    return f"{code(function, soft=True)}<br><small>{path.replace('/', '/<wbr>')}</small>"


def _platform(name: str) -> Iterator[str]:
    shim = importlib.import_module(f"{registry.available()[name].module}.compliance").SHIM
    title = registry.load(name).profile.title.in_language(texts.current_language())
    yield f"## {title} {{ #{name} }}\n"
    yield say(
        f"From `{name}/compliance.py`. A field that is not in the table can neither be sent nor kept nor logged."
        " *Sheet* is our digest of the platform's public documents, by section.\n",
        f"取自 `{name}/compliance.py`。不在表中的字段既不能发送，也不能保存，更不能写入日志。*sheet* 指我们按章节整理的该平台公开文档摘要。\n",
    )
    groups: dict[tuple[Any, ...], list[FieldRule]] = {}
    for rule in shim.rules.values():
        groups.setdefault((rule.send, rule.keep_days, rule.log, rule.source, rule.note), []).append(rule)
    yield from table(
        [say(*column) for column in COLUMNS],
        [
            (", ".join(code(rule.field) for rule in rules), _yes(send), days or "–", _yes(log), cell(f"{source}; {note}" if note else source))
            for (send, days, log, source, note), rules in groups.items()
        ],
    )  # fmt: skip


COLUMNS = (("Fields", "字段"), ("Sent", "发送"), ("Kept, days", "保存天数"), ("Logged", "日志"), ("Source", "依据"))


def _yes(value: bool) -> str:  # noqa: FBT001
    return say("yes", "是") if value else "–"
