"""Every setting, from the models that check them."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any, get_args, get_origin

from pages.markdown import code, prose, say, table
from unicom_coupon_sdk import config
from unicom_coupon_sdk.domain.model import Value
from unicom_coupon_sdk.platform import registry

SECTIONS = {
    "merchant": config.MerchantSettings,
    "ledger": config.LedgerSettings,
    "calendar": config.CalendarSettings,
    "runtime": config.RuntimeSettings,
}


def page() -> Iterator[str]:
    """The core's sections, then one for each installed adapter."""
    yield say("# Settings\n", "# 配置项\n")
    yield say(
        "One TOML file: `unicom-coupon.toml` in the current folder, or the file that `UNICOM_COUPON_CONFIG` names, or"
        " the path given to `from_config` or `--config`. A variable `UNICOM_COUPON__LEDGER__URL` sets `ledger.url` and"
        " wins over the file. Keys are never written here but referred to: `file:PATH` or `env:NAME`.\n",
        "一个 TOML 文件：当前目录的 `unicom-coupon.toml`，或 `UNICOM_COUPON_CONFIG` 指定的文件，或传给 `from_config`、`--config` 的路径。"
        "环境变量 `UNICOM_COUPON__LEDGER__URL` 对应 `ledger.url`，优先于文件。密钥从不直接写入，只写引用：`file:路径` 或 `env:变量名`。\n",
    )
    for name, model in SECTIONS.items():
        yield f"## [{name}] {{ #{name} }}\n"
        yield from _section(model)
    for name in registry.available():
        model = registry.load(name).settings
        yield f"## [platforms.{name}] {{ #platforms-{name} }}\n"
        yield from _section(model)
        for part, inner in _parts(model):
            yield f"### [platforms.{name}.{part}] {{ #platforms-{name}-{part.partition('.')[0]} }}\n"
            yield from _section(inner)


def _parts(model: type[Any]) -> Iterator[tuple[str, type[Any]]]:
    """The sections within a section: their names, with a star where each entry has one of its own, and models."""
    for name, about in model.model_fields.items():
        outer = get_origin(about.annotation)
        for inner in get_args(about.annotation):
            if isinstance(inner, type) and issubclass(inner, Value):
                yield f"{name}.*" if outer is dict else name, inner


def _section(model: type[Any]) -> Iterator[str]:
    yield prose(model.__doc__) + "\n"
    annotations = inspect.get_annotations(model)
    rows = [
        (
            code(name),
            code(annotations.get(name, about.annotation)),
            say("required", "必填")
            if about.is_required()
            else code(repr(about.get_default(call_default_factory=True))),
        )
        for name, about in model.model_fields.items()
    ]
    yield from table((say("Setting", "配置项"), say("Type", "类型"), say("Default", "默认值")), rows)
