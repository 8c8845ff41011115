"""The settings of one merchant's terminals at one acquirer, checked before anything is sent.

::

    [platforms.unionpay_pos]
    host = "10.1.2.3"
    port = 8583
    tpdu = "6000030000"
    merchant_no = "999290054110001"

    [platforms.unionpay_pos.terminals.10000001]
    serial = "N7000001"
    tmk = "file:/etc/shop/10000001.tmk"    # 32 hexadecimal digits, or 16 bytes

The same section serves both ends: with ``role = "terminal"`` this program is the terminal (or the gateway in front of
many) and sends; with ``role = "host"`` it is the acquirer's or the partner's host, whose register these terminals are,
and redeems in its own ledger what they ask for.

``[platforms.unionpay_pos.acp]`` adds UnionPay's online gateway: see ``acp.settings``. A merchant who has that alone
needs no terminals.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, StringConstraints, model_validator

from unicom_coupon_adapters.unionpay_pos.acp.settings import AcpSettings
from unicom_coupon_adapters.unionpay_pos.batch_book import VoidTotals
from unicom_coupon_adapters.unionpay_pos.keys import Cipher, MasterKey
from unicom_coupon_adapters.unionpay_pos.mac import MacAlgorithm
from unicom_coupon_adapters.unionpay_pos.messages import SignOn
from unicom_coupon_adapters.unionpay_pos.references import KeyReference
from unicom_coupon_adapters.unionpay_pos.terminals import SecurityChip, Terminal, TerminalRegister
from unicom_coupon_sdk.crypto.providers import Keys
from unicom_coupon_sdk.domain.model import Value
from unicom_coupon_sdk.errors import ConfigurationError, ValidationError

TerminalNumber = Annotated[str, StringConstraints(pattern=r"^[0-9A-Za-z]{8}$")]
MerchantNumber = Annotated[str, StringConstraints(pattern=r"^[0-9A-Za-z]{15}$")]

_BY_MAC: Final = {
    SignOn.SINGLE: frozenset({MacAlgorithm.ECB, MacAlgorithm.X99}),
    SignOn.DOUBLE: frozenset(MacAlgorithm) - {MacAlgorithm.SM4},
    SignOn.DOUBLE_WITH_TRACK_KEY: frozenset(MacAlgorithm) - {MacAlgorithm.SM4},
    SignOn.SM4: frozenset({MacAlgorithm.SM4}),
}
"""Which MACs the keys of a sign-on can make."""

_ANY_DAYS: Final = ("20260520", "20260521")


class TerminalSettings(Value):
    """One terminal: its hardware serial (TUSN), its master key, and its merchant where that is another one."""

    serial: Annotated[str, StringConstraints(pattern=r"^[0-9A-Za-z]{1,50}$")]
    tmk: KeyReference
    merchant_no: MerchantNumber | None = None


class UnionPayPosSettings(Value):
    """One acquirer's line. Times are in seconds.

    ``verify_decline_mac``: a decline without a right MAC is not believed, because on a line without TLS anybody could
    have sent it; switch it off only for a host that sends no MAC with declines, inside TLS. ``sign_on`` and ``mac`` are
    what the acquirer gave the terminals. ``terminals`` may be empty only where there is ``acp``. ``void_in_totals``: a
    batch's totals count a void as a credit, or with ``removed`` take its redemption out of the debits.

    The acquirer's files ``UCP_<merchant>_<day>.csv`` are taken from the folder ``bill_inbox``, where something else
    (SFTP) puts them, or fetched from ``bill_url``, in which ``{merchant}`` and ``{day}`` (YYYYMMDD) are filled in, with
    ``bill_token`` as bearer token where there is one.
    """

    role: Literal["terminal", "host"] = "terminal"
    host: Annotated[str, StringConstraints(min_length=1, max_length=253)] = "127.0.0.1"
    port: Annotated[int, Field(strict=True, ge=1, le=65_535)] = 8583
    tls: bool = True
    server_name: str | None = None
    ca_file: str | None = None
    tpdu: Annotated[str, StringConstraints(pattern=r"^60[0-9A-Fa-f]{8}$")] = "6000030000"
    software: Annotated[str, StringConstraints(pattern=r"^[0-9A-F]{6}$")] = "310100"
    merchant_no: MerchantNumber
    terminals: dict[TerminalNumber, TerminalSettings] = Field(default_factory=dict)
    sign_on: SignOn = SignOn.DOUBLE_WITH_TRACK_KEY
    mac: MacAlgorithm = MacAlgorithm.ECB
    response_timeout_s: Annotated[float, Field(gt=0, le=60)] = 60.0
    verify_decline_mac: bool = True
    va_code_pad: Annotated[int, Field(strict=True, ge=0, le=32)] = 0
    f59_len_digits: Literal[2, 3] = 3
    device: Annotated[str, StringConstraints(pattern=r"^[0-9]{2}$")] = "04"
    licence: Annotated[str, StringConstraints(pattern=r"^[0-9]{4}$")] = "3125"
    bill_inbox: Path | None = None
    bill_url: str | None = None
    bill_token: KeyReference | None = None
    acp: AcpSettings | None = None
    void_in_totals: VoidTotals = "credit"

    @model_validator(mode="after")
    def _checked(self) -> Self:
        if self.mac not in _BY_MAC[self.sign_on]:
            raise ValidationError("unionpay_pos.mac_sign_on", field="mac", platform="unionpay_pos")
        if not self.terminals and (self.acp is None or self.role == "host"):
            raise ValidationError("unionpay_pos.terminals_missing", field="terminals", platform="unionpay_pos")
        if self.bill_inbox is not None and self.bill_url is not None:
            raise ValidationError("unionpay_pos.bill_places", field="bill_url", platform="unionpay_pos")
        if self.bill_url is not None:
            _check_bill_url(self.bill_url, merchants=self.merchants)
        return self

    @property
    def merchants(self) -> tuple[str, ...]:
        """The merchants of the terminals, each once; our own where there are no terminals."""
        told = dict.fromkeys(one.merchant_no or self.merchant_no for one in self.terminals.values())
        return tuple(told) or (self.merchant_no,)

    @property
    def cipher(self) -> Cipher:
        """What the master keys are for."""
        return Cipher.SM4 if self.sign_on is SignOn.SM4 else Cipher.DES

    def register(self, *, chip: SecurityChip | None = None) -> TerminalRegister:
        """The terminals, each bound to its merchant. Raises ``ConfigurationError`` (``unionpay_pos.terminal_…``)."""
        return TerminalRegister(self.terminal(number, chip=chip) for number in self.terminals)

    def terminal(self, number: str, *, chip: SecurityChip | None = None) -> Terminal:
        """One terminal as messages want it."""
        told = self.terminals[number]
        return Terminal(
            number=number,
            merchant=told.merchant_no or self.merchant_no,
            serial=told.serial,
            device=self.device,
            chip=chip,
            code_pad=self.va_code_pad,
            length_digits=self.f59_len_digits,
        )


def _check_bill_url(template: str, *, merchants: Sequence[str]) -> None:
    """Raises ``ValidationError`` for a template that names no address, or one address for several files."""
    try:
        first, *others = {template.format(merchant=merchant, day=day) for merchant in merchants for day in _ANY_DAYS}
        parts = urlsplit(first)
        is_sent_safely = parts.scheme == "https" or (parts.scheme == "http" and _is_local(parts.hostname or ""))
        is_fixed = "{" not in urlsplit(template).netloc
    except (ValueError, LookupError, AttributeError):
        is_sent_safely = is_fixed = False
        others = []
    if not (is_sent_safely and is_fixed and len(others) + 1 == len(merchants) * len(_ANY_DAYS)):
        raise ValidationError("unionpay_pos.bill_url", field="bill_url", platform="unionpay_pos")


def _is_local(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def master_key_bytes(material: bytes, *, field: str) -> bytes:
    """A TMK from its file: 16 (or 8) bytes, or their hexadecimal digits.

    Raises ``ConfigurationError`` ``unionpay_pos.key_length``.
    """
    stripped = material.strip()
    if len(stripped) in {16, 32} and re.fullmatch(rb"[0-9A-Fa-f]+", stripped):
        return bytes.fromhex(stripped.decode("ascii"))
    if len(material) in {8, 16}:
        return material
    raise ConfigurationError("unionpay_pos.key_length", field=field, length=len(material), wanted="16")


def load_master_keys(settings: UnionPayPosSettings, keys: Keys) -> dict[str, bytes]:
    """Each terminal's TMK in the clear, none of them weak.

    Raises ``ConfigurationError``: a key that cannot be read, has another length, or protects nothing.
    """
    found: dict[str, bytes] = {}
    for number, told in settings.terminals.items():
        field = f"terminals.{number}.tmk"
        key = master_key_bytes(keys.load(told.tmk, field=field), field=field)
        MasterKey.load(key, field=field, cipher=settings.cipher)
        found[number] = key
    return found
