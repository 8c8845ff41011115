"""The command line with its exit codes, from the command itself."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import typer

from pages.markdown import cell, code, say, table
from unicom_coupon_sdk.cli import (
    capabilities,
    clearing,
    demo,
    doctor,
    pos_host,
    pos_settle,
    reconcile,
    sandbox,
    verbs,
)
from unicom_coupon_sdk.cli.app import app
from unicom_coupon_sdk.cli.output import ExitCode

REGISTERED = (capabilities, clearing, demo, doctor, pos_host, pos_settle, reconcile, sandbox, verbs)
"""The modules whose import puts the commands into ``app``."""

EXIT_CODES = {
    ExitCode.OK: ("Done.", "成功。"),
    ExitCode.BROKEN: (
        "An invariant does not hold, or a check of the doctor failed.",
        "不变量被破坏，或体检有不合格项。",
    ),
    ExitCode.USAGE: ("The command line itself is wrong.", "命令行用法错误。"),
    ExitCode.CONFIGURATION: ("Settings, keys or certificates are wrong.", "配置、密钥或证书有误。"),
    ExitCode.REFUSED: (
        "The request is wrong or the coupon cannot be used; nothing was done.",
        "请求有误或该券不可用；什么都没有发生。",
    ),
    ExitCode.PLATFORM: (
        "The platform refused or cannot be reached; nothing was done.",
        "平台拒绝或无法连接；什么都没有发生。",
    ),
    ExitCode.UNKNOWN: (
        "Not known whether it was done: keep the goods, run `recover`.",
        "结果未知：先不要放货，运行 `recover`。",
    ),
    ExitCode.FORGED: ("A message is not genuine.", "消息不真实（验签失败）。"),
    ExitCode.LEDGER: ("The ledger failed.", "账本读写失败。"),
}


def page() -> Iterator[str]:
    """Each command with its options; then the exit codes."""
    assert set(EXIT_CODES) == set(ExitCode)
    yield say("# Command line\n", "# 命令行\n")
    yield say(
        "Results go to standard output, a table or with `--json` one JSON object; everything else goes to standard error."
        " `--lang` or `UNICOM_COUPON_LANG` chooses `zh` or `en`.\n",
        "结果写到标准输出：默认是表格，加 `--json` 则是一个 JSON 对象；其余内容写到标准错误。用 `--lang` 或 `UNICOM_COUPON_LANG` 选择 `zh` 或 `en`。\n",
    )
    yield say("## Exit codes\n", "## 退出码\n")
    yield from table(
        (say("Code", "退出码"), say("Meaning", "含义")),
        [(int(number), say(*words)) for number, words in EXIT_CODES.items()],
    )
    yield from _commands(typer.main.get_command(app), "unicom-coupon")


def _commands(command: Any, path: str) -> Iterator[str]:
    if hasattr(command, "commands"):
        for name, child in command.commands.items():
            yield from _commands(child, f"{path} {name}")
        return
    yield f"## {path}\n"
    yield _in_language(command.help) + "\n"
    rows = [
        (code(_spelled(item)), cell(_in_language(getattr(item, "help", None) or "")), _default(item))
        for item in command.params
        if "--help" not in item.opts
    ]
    yield from table((say("Argument", "参数"), say("Meaning", "说明"), say("Default", "默认值")), rows)


def _spelled(item: Any) -> str:
    return ", ".join(item.opts) if item.param_type_name == "option" else str(item.name).upper()


def _default(item: Any) -> str:
    if item.required:
        return say("required", "必填")
    shown = item.default is not None and item.default is not False and item.default != [] and not callable(item.default)
    return code(item.default) if shown and "Sentinel" not in repr(item.default) else ""


def _in_language(words: str) -> str:
    """The half of a text in two languages: English sentences first, then Chinese ones."""
    words = " ".join((words or "").split())
    match = re.search(r"(?:(?<=[.:;] )|(?<=\. ))[^ -~]*[\u4e00-\u9fff].*$", words)
    if match is None:
        return words
    return say(words[: match.start()].strip(), match.group().strip())
