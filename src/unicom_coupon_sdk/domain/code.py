"""Coupon codes: unguessable, unique by construction, and with a check character.

A code is 19 characters of a 31-letter alphabet (no I, L, O, U, V, which people misread). It fits every platform's
field: bank 20, POS ``VA`` 32 and the older 19, WeChat Pay 32, Alipay 64.

::

    serial (34 bits, masked) | random (55 bits)   →  18 characters, base 31
    weighted sum modulo 31                        →   1 check character

The serial is unique in the ledger and is masked with a keyed function of the random part. Unmasking is a function of
the code, so two serials never give one code: uniqueness needs no look-up. A guesser faces 2^89 codes. The check
character finds every single wrong character and every exchange of two characters (distinct weights, prime modulus).
"""

from __future__ import annotations

import hashlib
import hmac

from unicom_coupon_sdk.domain.sensitive import Sensitive
from unicom_coupon_sdk.errors import ValidationError

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTWXYZ"
LENGTH = 19
SERIAL_BITS = 34
RANDOM_BITS = 55
RANDOM_BYTES = 8
_VALUE = {letter: value for value, letter in enumerate(ALPHABET)}
_BASE = len(ALPHABET)
_WEIGHTS = tuple(pow(3, position + 1, _BASE) for position in range(LENGTH - 1))
_MISREAD = str.maketrans({"O": "0", "I": "1", "L": "1", "-": None, " ": None})


class CouponCode(Sensitive):
    """A bearer value: who has it can spend it. Shown as its first and last four characters.

    Any code a platform may use is accepted (6 to 64 printable ASCII characters without blanks), since a platform may
    issue its own; ``is_ours`` tells whether it has the form and check character of this package's codes.
    """

    __slots__ = ()
    noun = "code"
    longest = 64

    @classmethod
    def normalise(cls, text: str) -> str:
        """Our own codes in upper case with misread letters mended; others as they are."""
        text = text.strip()
        mended = text.upper().translate(_MISREAD)
        if len(mended) == LENGTH and is_well_formed(mended):
            return mended
        if not (len(text) >= 6 and text.isascii() and text.isprintable() and " " not in text):
            raise ValidationError("code.shape", field=cls.noun)
        return text

    @property
    def is_ours(self) -> bool:
        """Whether the form and the check character are those of a code made here."""
        return is_well_formed(self._text)

    def masked(self) -> str:
        """First four and last four characters; shorter codes show nothing."""
        return f"{self._text[:4]}***{self._text[-4:]}" if len(self._text) >= 16 else "***"


def make_code(serial: int, *, entropy: bytes, key: bytes) -> CouponCode | None:
    """The code for ``serial``, from eight bytes of ``entropy``; ``None`` when the draw must be repeated.

    A draw is refused when the code would end like a fault trigger of a test system (three or more digits, or 91A0 of
    the POS sheet §9.4), so a real coupon never sets one off.
    """
    if not 0 <= serial < 1 << SERIAL_BITS:
        raise ValidationError("code.serial", field="serial")
    random = int.from_bytes(entropy[:RANDOM_BYTES]) & ((1 << RANDOM_BITS) - 1)
    number = (serial ^ _mask(random, key)) << RANDOM_BITS | random
    letters = []
    for _ in range(LENGTH - 1):
        number, value = divmod(number, _BASE)
        letters.append(ALPHABET[value])
    payload = "".join(reversed(letters))
    text = payload + _check(payload)
    return None if text[-3:].isdigit() or text.endswith("91A0") else CouponCode(text)


def serial_of(code: CouponCode, *, key: bytes) -> int:
    """The serial inside a code made with ``key``. Raises ``ValidationError`` for a code of another form."""
    text = code.reveal()
    if not is_well_formed(text):
        raise ValidationError("code.check", field="code")
    number = 0
    for letter in text[:-1]:
        number = number * _BASE + _VALUE[letter]
    random = number & ((1 << RANDOM_BITS) - 1)
    return (number >> RANDOM_BITS) ^ _mask(random, key)


def is_well_formed(text: str) -> bool:
    """Whether ``text`` has our length, alphabet and check character."""
    return len(text) == LENGTH and all(letter in _VALUE for letter in text) and text[-1] == _check(text[:-1])


def _check(payload: str) -> str:
    return ALPHABET[sum(_VALUE[letter] * weight for letter, weight in zip(payload, _WEIGHTS, strict=True)) % _BASE]


def _mask(random: int, key: bytes) -> int:
    digest = hmac.digest(key, b"serial" + random.to_bytes(RANDOM_BYTES), hashlib.sha256)
    return int.from_bytes(digest[:8]) & ((1 << SERIAL_BITS) - 1)
