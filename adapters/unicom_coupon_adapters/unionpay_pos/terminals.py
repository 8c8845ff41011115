"""Terminals as the acquirer and the regulator know them: one code, one serial, one merchant.

Source: 银发〔2021〕259号, in force since 2022-03-01 (sheet 13.3).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from unicom_coupon_adapters.unionpay_pos import tlv
from unicom_coupon_adapters.unionpay_pos.frame_errors import refuse
from unicom_coupon_sdk.errors import ComplianceError, ConfigurationError

SecurityChip: TypeAlias = Callable[[str], str]
"""The terminal's security chip: eight characters of ciphertext over serial and factor."""

DEVICE_TYPES: Final = {
    "01": "ATM",
    "02": "POS",
    "03": "mPOS",
    "04": "smart POS",
    "05": "phone terminal, type II",
    "06": "QuickPass phone",
    "08": "phone POS",
    "09": "face terminal",
    "10": "QR acceptance terminal",
    "11": "QR auxiliary terminal",
}
"""Device types of the 259号文 implementing specifications; 07 is reserved."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terminal:
    """One terminal of one merchant, with what every message says about it.

    ``number`` and ``merchant`` are fields 41 and 42, ``serial`` the hardware serial (TUSN). ``chip`` signs the
    terminal information; without it messages have no field 59, and only a sandbox takes them. ``code_pad`` and
    ``length_digits`` are the acquirer's dialect. Raises ``ConfigurationError`` ``unionpay_pos.terminal_shape``.
    """

    number: str
    merchant: str
    serial: str
    device: str = "04"
    software: str = "SDK00100"
    capability: str = "5"
    chip: SecurityChip | None = field(default=None, repr=False)
    code_pad: int = 0
    length_digits: int = 3

    def __post_init__(self) -> None:
        for name, text, size in (
            ("number", self.number, 8),
            ("merchant", self.merchant, 15),
            ("software", self.software, 8),
        ):
            if not (len(text) == size and text.isascii() and text.isprintable()):
                raise ConfigurationError("unionpay_pos.terminal_shape", field=name, wanted=size)
        if not (0 < len(self.serial) <= 50 and self.serial.isascii() and self.serial.isalnum()):
            raise ConfigurationError("unionpay_pos.terminal_shape", field="serial", wanted=50)
        if self.device not in DEVICE_TYPES:
            raise ConfigurationError("unionpay_pos.terminal_shape", field="device", wanted=2)
        if self.capability not in {"0", "2", "5", "6"} or self.length_digits not in {2, 3}:
            raise ConfigurationError("unionpay_pos.terminal_shape", field="capability", wanted=1)

    def information(self, code: str) -> bytes | None:
        """Field 59 with tag A2 for a message about coupon ``code``; ``None`` without a chip.

        The random factor is the last six characters of the code, everything but digits read as 0.
        """
        if self.chip is None:
            return None
        factor = "".join(character if character in "0123456789" else "0" for character in code[-6:])
        sealed = self.chip(self.serial + factor)
        if len(sealed) != 8:
            refuse("tlv", field="59.A2.04", length=len(sealed))
        parts = {"01": self.device, "02": self.serial, "03": factor, "04": sealed, "05": self.software}
        inner = tlv.pack_text(parts, length_digits=self.length_digits, field="59.A2").decode("ascii")
        return tlv.pack_text({"A2": inner}, length_digits=self.length_digits)


class TerminalRegister:
    """The terminals that are provisioned, each bound to one merchant and one serial.

    Raises ``ConfigurationError`` ``unionpay_pos.terminal_repeated`` when a terminal or a serial is given twice.
    """

    def __init__(self, terminals: Iterable[Terminal]) -> None:
        self._by_number: dict[str, Terminal] = {}
        serials: set[str] = set()
        for terminal in terminals:
            if terminal.number in self._by_number or terminal.serial in serials:
                raise ConfigurationError("unionpay_pos.terminal_repeated", field="terminals")
            self._by_number[terminal.number] = terminal
            serials.add(terminal.serial)

    def bound(self, number: str, *, merchant: str, serial: str | None = None) -> Terminal:
        """The terminal, when ``merchant`` (and ``serial``, where it is known) are its own.

        Raises ``ComplianceError`` ``unionpay_pos.terminal_unknown`` (a host answers 97) or
        ``unionpay_pos.terminal_unbound`` (a host answers 58).
        """
        terminal = self._by_number.get(number)
        if terminal is None:
            raise ComplianceError("unionpay_pos.terminal_unknown", field="41", platform="unionpay_pos")
        if terminal.merchant != merchant or serial not in {None, terminal.serial}:
            raise ComplianceError("unionpay_pos.terminal_unbound", field="42", platform="unionpay_pos")
        return terminal
