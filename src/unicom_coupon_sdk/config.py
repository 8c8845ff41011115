"""Settings: one TOML file, or environment variables, into typed values.

::

    [merchant]
    id = "m1"
    contracts = ["wechatpay-advance"]        # terms that hold only where agreed, see ``unicom-coupon adapters``

    [ledger]
    url = "sqlite:////var/lib/shop/coupons.db"
    master_key = "file:/etc/shop/ledger.key" # 32 random bytes as base64, made by ``openssl rand -base64 32``

    [platforms.wechatpay]
    mchid = "1900009191"
    …

A variable ``UNICOM_COUPON__LEDGER__URL`` sets ``ledger.url`` and wins over the file. Keys are never written here but
referred to, ``file:PATH`` or ``env:NAME``; whoever logs this file logs no secret.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, StringConstraints

from unicom_coupon_sdk.domain.coupon import PlatformName
from unicom_coupon_sdk.domain.model import Value
from unicom_coupon_sdk.domain.redemption import IdempotencyKey
from unicom_coupon_sdk.domain.sharing import ShareRule
from unicom_coupon_sdk.errors import ConfigurationError, ValidationError

ENVIRONMENT_PREFIX = "UNICOM_COUPON__"
FILE_VARIABLE = "UNICOM_COUPON_CONFIG"
DEFAULT_FILE = "unicom-coupon.toml"

KeyReference = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9+.-]*:.+$")]


class MerchantSettings(Value):
    """Who we act for. ``id`` separates the merchants of one ledger; idempotency keys are per merchant."""

    id: IdempotencyKey = "default"
    contracts: frozenset[str] = frozenset()


class LedgerSettings(Value):
    """Where the coupons are. ``url`` is SQLAlchemy's; ``master_key`` refers to 32 bytes in base64."""

    url: str = "sqlite:///unicom-coupon.db"
    master_key: KeyReference


class CalendarSettings(Value):
    """``file`` overrides the working days that are built in; see ``docs``."""

    file: Path | None = None


class ClearingSettings(Value):
    """``directory`` keeps bills as received and what reconciling them found; it holds business secrets."""

    directory: Path = Path("unicom-coupon-bills")


class RuntimeSettings(Value):
    """``clock_url`` follows a sandbox's simulated clock. Only loopback addresses are accepted."""

    clock_url: str | None = None


class Settings(Value):
    """Everything a client needs. ``platforms`` holds each adapter's own section, checked by the adapter.

    ``sharing`` are the rules of profit sharing; one name may stand for several versions, each with its dates.
    """

    merchant: MerchantSettings = MerchantSettings()
    ledger: LedgerSettings
    calendar: CalendarSettings = CalendarSettings()
    clearing: ClearingSettings = ClearingSettings()
    sharing: tuple[ShareRule, ...] = ()
    runtime: RuntimeSettings = RuntimeSettings()
    platforms: dict[PlatformName, dict[str, Any]] = Field(default_factory=dict)

    @classmethod
    def load(cls, path: Path | str | None = None, *, environment: Mapping[str, str] | None = None) -> Settings:
        """From ``path``, else the file named by ``UNICOM_COUPON_CONFIG``, else ``unicom-coupon.toml`` if it is there.

        Raises ``ConfigurationError`` that names the file and the field.
        """
        environment = os.environ if environment is None else environment
        chosen = path or environment.get(FILE_VARIABLE) or (DEFAULT_FILE if Path(DEFAULT_FILE).exists() else None)
        data = _read(Path(chosen)) if chosen else {}
        _overlay(data, environment)
        try:
            return cls.parse(data)
        except ValidationError as error:
            raise ConfigurationError(
                "config.invalid", field=error.field, path=str(chosen or "-"), reason=_reason(error)
            ) from None


def _reason(error: ValidationError) -> str:
    return str(error.details.get("reason") or error.diagnostics().message)


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigurationError("config.missing", field="config", path=str(path)) from None
    except OSError as error:
        raise ConfigurationError(
            "config.unreadable", field="config", path=str(path), reason=error.strerror or "?"
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        # A TOML error names line and column and quotes nothing of the file.
        where = str(error) if isinstance(error, tomllib.TOMLDecodeError) else "not UTF-8"
        raise ConfigurationError("config.unreadable", field="config", path=str(path), reason=where) from None


def _overlay(data: dict[str, Any], environment: Mapping[str, str]) -> None:
    for name, value in environment.items():
        if not name.startswith(ENVIRONMENT_PREFIX):
            continue
        *sections, last = name.removeprefix(ENVIRONMENT_PREFIX).lower().split("__")
        table = data
        for section in sections:
            table = table.setdefault(section, {})
            if not isinstance(table, dict):
                raise ConfigurationError("config.variable", field=name)
        table[last] = _typed(value)


def _typed(text: str) -> Any:
    """Lists, numbers and booleans as TOML writes them; anything else is the text itself."""
    if text[:1] in "[{" or text in {"true", "false"}:
        try:
            return tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            return text
    return text
