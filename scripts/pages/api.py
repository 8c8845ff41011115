"""The whole API on one page, from ``unicom_coupon_sdk.__all__``."""

from __future__ import annotations

import dataclasses
import enum
import inspect
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

import unicom_coupon_sdk
from pages.markdown import code, first_line, prose, say, table

ROOMS = {
    "client": ("The clients", "客户端"),
    "config": ("Settings", "配置"),
    "domain.requests": ("Requests", "请求"),
    "domain.coupon": ("Coupons", "电子券"),
    "domain.code": ("Codes", "券码"),
    "domain.token": ("Rotating tokens", "动态码"),
    "domain.order": ("Orders and holders", "订单与持券人"),
    "domain.redemption": ("Redemptions and reversals", "核销与退券"),
    "guard.screening": ("Screening of payees", "收款人名单筛查"),
    "domain.sharing": ("Profit sharing", "分账"),
    "domain.bill": ("Bills", "账单"),
    "domain.reconciliation": ("Reconciliation", "对账"),
    "domain.settlement": ("Settlement", "结算"),
    "domain.verification": ("Verification", "身份核验"),
    "domain.sensitive": ("Values that are masked", "脱敏类型"),
    "domain.state": ("States", "状态"),
    "domain.events": ("Events and notifications", "事件与通知"),
    "domain.money": ("Money", "金额"),
    "flows.expire": ("Results of verbs", "各操作的结果"),
    "flows.notify": ("", ""),
    "flows.recover": ("", ""),
    "flows.settle": ("", ""),
    "flows.reconcile": ("", ""),
    "errors": ("Errors", "错误"),
}


def page() -> Iterator[str]:
    """Every public name with its signature and what it gives."""
    yield say("# API", "# API 参考\n")
    yield say(
        "\nEverything that `unicom_coupon_sdk` exports, and nothing else is public. A test pins the list; names leave only"
        " with a major version. The sandbox's names are in `unicom_coupon_sdk.sandbox`.\n",
        "`unicom_coupon_sdk` 导出的全部名称；除此之外均非公开接口。名称清单由测试固定，只有主版本升级才会移除。沙箱的名称在"
        " `unicom_coupon_sdk.sandbox`。签名与说明取自代码中的文档字符串，故为英文。\n",
    )
    for room, (en, zh) in ROOMS.items():
        if en:
            yield f"## {say(en, zh)}\n"
        for name in unicom_coupon_sdk.__all__:
            value = getattr(unicom_coupon_sdk, name)
            if getattr(value, "__module__", "") == f"unicom_coupon_sdk.{room}":
                yield from _described(name, value)
    known = {f"unicom_coupon_sdk.{room}" for room in ROOMS}
    left = [name for name in unicom_coupon_sdk.__all__ if getattr(_named(name), "__module__", None) not in known]
    assert left == ["__version__"], f"no room on the page for {left}"


def _named(name: str) -> Any:
    return getattr(unicom_coupon_sdk, name)


def _described(name: str, value: Any) -> Iterator[str]:
    yield f"### {name}\n"
    if inspect.isfunction(value):
        yield f"```text\n{name}{_signature(value)}\n```\n"
        yield prose(value.__doc__) + "\n"
        return
    bases = [base.__name__ for base in value.__bases__ if base.__module__.startswith("unicom_coupon_sdk")]
    public = [base for base in bases if base in unicom_coupon_sdk.__all__]
    if public:
        yield say("A kind of ", "继承自 ") + ", ".join(f"[{base}](#{base.lower()})" for base in public) + "\n"
    own = value.__dict__.get("__doc__")
    if own and not own.startswith(f"{name}("):
        yield prose(own) + "\n"
    yield from _members(name, value)


def _members(name: str, value: Any) -> Iterator[str]:
    if issubclass(value, enum.Enum):
        yield ", ".join(f"`{name}.{member.name}` (`{member.value}`)" for member in value) + "\n"
        return
    if issubclass(value, BaseModel):
        annotations = inspect.get_annotations(value)
        rows = [
            (code(field), code(annotations.get(field, about.annotation)), code(_default(about.default)))
            for field, about in value.model_fields.items()
        ]
        yield from _fields(rows)
    elif dataclasses.is_dataclass(value):
        rows = [(code(f.name), code(f.type), code(_default(f.default))) for f in dataclasses.fields(value)]
        yield from _fields(rows)
    methods = list(_methods(value))
    if methods:
        yield from table((say("Member", "成员"), say("What it gives", "说明")), methods)


def _methods(value: Any) -> Iterator[tuple[str, str]]:
    for name, member in vars(value).items():
        if name.startswith("_"):
            continue
        if isinstance(member, property):
            yield code(name), first_line(member.__doc__)
        elif isinstance(member, classmethod):
            yield code(f"{name}{_signature(getattr(value, name))}"), first_line(member.__doc__)
        elif inspect.isfunction(member) and member.__doc__:
            prefix = "await " if inspect.iscoroutinefunction(member) else ""
            yield code(f"{prefix}{name}{_signature(member)}"), first_line(member.__doc__)


def _fields(rows: list[tuple[str, str, str]]) -> Iterator[str]:
    yield from table((say("Field", "字段"), say("Type", "类型"), say("Default", "默认值")), rows)


def _signature(function: Any) -> str:
    signature = inspect.signature(function)
    kept = [p.replace(annotation=_bare(p.annotation)) for p in signature.parameters.values() if p.name != "self"]
    return str(signature.replace(parameters=kept, return_annotation=_bare(signature.return_annotation))).replace(
        "'", ""
    )


def _bare(annotation: Any) -> Any:
    return annotation


def _default(value: Any) -> str:
    if value is PydanticUndefined or value is dataclasses.MISSING:
        return ""
    return repr(value.value) if isinstance(value, enum.Enum) else repr(value)
