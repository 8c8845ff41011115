"""SM2 keys in their encodings: hex, points, PKCS#8, SEC1, SubjectPublicKeyInfo.

They are read here because the X.509 library refuses the curve. Length decides what a hex or raw key is, never its
first digits: a coordinate may begin with ``04`` or with zeros.
"""

from __future__ import annotations

from unicom_coupon_sdk.crypto import material as materials
from unicom_coupon_sdk.crypto.der import (
    BIT_STRING,
    FIRST_TAGGED,
    OBJECT_ID,
    OCTET_STRING,
    SEQUENCE,
    DerError,
    Reader,
    element,
    integer,
)
from unicom_coupon_sdk.crypto.material import Kind
from unicom_coupon_sdk.crypto.sm2_forms import A, B, N, P, is_on_curve
from unicom_coupon_sdk.errors import ConfigurationError

_EC_KEY = bytes.fromhex("2a8648ce3d0201")
_SM2_CURVE = bytes.fromhex("2a811ccf5501822d")
_ALGORITHM = element(SEQUENCE, element(OBJECT_ID, _EC_KEY), element(OBJECT_ID, _SM2_CURVE))


def number_of_hex(text: str, *, field: str) -> int:
    """A private key of 64 hex digits. Raises ``ConfigurationError`` ``sm2.hex`` or ``sm2.private_range``."""
    return checked_number(int.from_bytes(_unhex(text, lengths=(64,), field=field), "big"), field=field)


def point_of_hex(text: str, *, field: str) -> bytes:
    """A public key of 128 (x, y), 130 (``04`` x y) or 66 hex digits (compressed), as 64 bytes.

    Raises ``ConfigurationError`` ``sm2.hex`` or ``sm2.point``.
    """
    return checked_point(_unhex(text, lengths=(128, 130, 66), field=field), field=field)


def checked_number(number: int, *, field: str) -> int:
    """``number``, if it is in 1..n-2. Raises ``ConfigurationError`` ``sm2.private_range``."""
    if not 1 <= number <= N - 2:
        raise ConfigurationError("sm2.private_range", field=field)
    return number


def checked_point(point: bytes, *, field: str) -> bytes:
    """``point`` of 64, 65 or 33 bytes as 64 bytes, on the curve. Raises ``ConfigurationError`` ``sm2.point``."""
    x, y = -1, -1
    if len(point) == 64 or (len(point) == 65 and point[0] == 4):
        x, y = int.from_bytes(point[-64:-32], "big"), int.from_bytes(point[-32:], "big")
    elif len(point) == 33 and point[0] in {2, 3}:
        x = int.from_bytes(point[1:], "big")
        y = pow((x * x * x + A * x + B) % P, (P + 1) // 4, P)  # p = 3 mod 4; not a root: the check below sees it
        y = y if y & 1 == point[0] & 1 else P - y
    if not is_on_curve(x, y):
        raise ConfigurationError("sm2.point", field=field)
    return x.to_bytes(32, "big") + y.to_bytes(32, "big")


def read_private(material: bytes, *, field: str) -> tuple[int, bytes | None]:
    """The number of a private key, and its point where the encoding has one.

    Takes PKCS#8 and SEC1, in PEM, DER or naked base64. Raises ``ConfigurationError``: ``key.not_sm2``,
    ``key.is_public``, ``key.is_certificate``, ``key.password``, ``sm2.private_range``, ``sm2.point``,
    ``key.unreadable``.
    """
    der, _ = materials.to_der(material, field=field)
    try:
        return _private_of(der, field=field)
    except DerError:
        raise _wrong(der, field=field, wanted="an SM2 private key") from None


def read_public(material: bytes, *, field: str) -> bytes:
    """The 64-byte point of a SubjectPublicKeyInfo in PEM, DER or naked base64.

    Raises ``ConfigurationError``: ``key.not_sm2``, ``key.is_private``, ``key.is_certificate``, ``sm2.point``,
    ``key.unreadable``.
    """
    der, _ = materials.to_der(material, field=field)
    try:
        outer = Reader(der)
        body = outer.inside(SEQUENCE)
        outer.end()
        _expect_sm2(body)
        bits = body.take(BIT_STRING)
        body.end()
    except DerError:
        raise _wrong(der, field=field, wanted="an SM2 public key") from None
    return _point_of_bits(bits, field=field)


def is_encrypted(material: bytes, *, field: str) -> bool:
    """Whether ``material`` is an encrypted PKCS#8 key (SEQUENCE of an algorithm and the sealed bytes)."""
    body = Reader(materials.to_der(material, field=field)[0])
    try:
        inner = body.inside(SEQUENCE)
        inner.take(SEQUENCE)
        inner.take(OCTET_STRING)
        inner.end()
    except DerError:
        return False
    return True


def spki(point: bytes) -> bytes:
    """SubjectPublicKeyInfo of a 64-byte point: 91 bytes."""
    return element(SEQUENCE, _ALGORITHM, element(BIT_STRING, b"\x00\x04", point))


def pkcs8(number: int) -> bytes:
    """PKCS#8 of a private number, without the public half; the library that reads it works that out."""
    inner = element(SEQUENCE, integer(1), element(OCTET_STRING, number.to_bytes(32, "big")))
    return element(SEQUENCE, integer(0), _ALGORITHM, element(OCTET_STRING, inner))


def _private_of(der: bytes, *, field: str) -> tuple[int, bytes | None]:
    outer = Reader(der)
    body = outer.inside(SEQUENCE)
    outer.end()
    version = body.integer()
    if body.tag == SEQUENCE and version in {0, 1}:  # PKCS#8; what may follow the key are attributes
        _expect_sm2(body)
        wrapped = Reader(body.take(OCTET_STRING))
        body = wrapped.inside(SEQUENCE)
        wrapped.end()
        version = body.integer()
        needs_curve = False
    else:
        needs_curve = True
    secret = body.take(OCTET_STRING)
    if version != 1 or not 0 < len(secret) <= 32:
        raise DerError
    if body.tag == FIRST_TAGGED:
        if _only(body, FIRST_TAGGED, OBJECT_ID) != _SM2_CURVE:
            raise DerError
    elif needs_curve:
        raise DerError
    point = None
    if body.tag == FIRST_TAGGED + 1:
        point = _point_of_bits(_only(body, FIRST_TAGGED + 1, BIT_STRING), field=field)
    body.end()
    return checked_number(int.from_bytes(secret, "big"), field=field), point


def _expect_sm2(body: Reader) -> None:
    algorithm = body.inside(SEQUENCE)
    if algorithm.take(OBJECT_ID) != _EC_KEY or algorithm.take(OBJECT_ID) != _SM2_CURVE:
        raise DerError
    algorithm.end()


def _only(body: Reader, outer: int, tag: int) -> bytes:
    """The content of the one element with ``tag`` in the element with ``outer``."""
    inner = body.inside(outer)
    content = inner.take(tag)
    inner.end()
    return content


def _point_of_bits(bits: bytes, *, field: str) -> bytes:
    """The point in a BIT STRING: no unused bits, and always with its first byte."""
    if len(bits) not in {34, 66} or bits[0] != 0:
        raise ConfigurationError("sm2.point", field=field)
    return checked_point(bits[1:], field=field)


def _unhex(text: str, *, lengths: tuple[int, ...], field: str) -> bytes:
    digits = text.strip()
    wanted = ", ".join(str(length) for length in lengths)
    if len(digits) not in lengths:
        raise ConfigurationError("sm2.hex", field=field, length=len(digits), wanted=wanted)
    try:
        found = bytes.fromhex(digits)
    except ValueError:
        found = b""
    if 2 * len(found) != len(digits):  # fromhex skips blanks between digits
        raise ConfigurationError("sm2.hex", field=field, length=len(digits), wanted=wanted)
    return found


def _wrong(der: bytes, *, field: str, wanted: str) -> ConfigurationError:
    """The error for key material of another kind than ``wanted``."""
    if _is_public(der):
        return ConfigurationError("key.is_public", field=field, found="an SM2 public key", wanted=wanted)
    if _is_private(der, field=field):
        return ConfigurationError("key.is_private", field=field, found="an SM2 private key", wanted=wanted)
    kind = materials.read(der, field=field).kind
    code = "key.is_certificate" if kind in {Kind.CERTIFICATE, Kind.REQUEST} else "key.not_sm2"
    return ConfigurationError(code, field=field, found=kind.value, wanted=wanted)


def _is_public(der: bytes) -> bool:
    try:
        body = Reader(der).inside(SEQUENCE)
        _expect_sm2(body)
        body.take(BIT_STRING)
    except DerError:
        return False
    return True


def _is_private(der: bytes, *, field: str) -> bool:
    try:
        _private_of(der, field=field)
    except DerError:
        return False
    return True
