"""The wire forms of SM2 signatures and ciphertexts, read strictly and written exactly.

A form is configured, never guessed: a raw signature may look like DER by its length, and nothing tells C1C3C2 from the
older C1C2C3.
"""

from __future__ import annotations

from enum import StrEnum

from unicom_coupon_sdk.crypto.der import OCTET_STRING, SEQUENCE, DerError, Reader, element, integer

P = 0xFFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF00000000FFFFFFFFFFFFFFFF
A = P - 3
B = 0x28E9FA9E9D9F5E344D5A9E4BCF6509A7F39789F515AB8F92DDBCBD414D940E93
N = 0xFFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFF7203DF6B21C6052B53BBF40939D54123
GX = 0x32C4AE2C1F1981195F9904466A39C9948FE30BBFF2660BE1715A4589334C74C7
GY = 0xBC3736A2F4F6779C59BDCEE36B692153D0A9877CC62A474002DF32E52139F0A0
"""The curve of GM/T 0003.5, for ZA and for checking public points. Nothing here multiplies points."""

_DIGEST = 32
_NUMBER = 32


class SignatureForm(StrEnum):
    """How a signature travels: DER SEQUENCE of two INTEGERs, or r and s of 32 bytes each."""

    DER = "der"
    RAW = "raw"


class CipherForm(StrEnum):
    """How a ciphertext travels; ``bare`` forms have no ``04`` before the point."""

    ASN1 = "asn1"
    C1C3C2 = "c1c3c2"
    C1C2C3 = "c1c2c3"
    BARE_C1C3C2 = "bare_c1c3c2"
    BARE_C1C2C3 = "bare_c1c2c3"


def is_on_curve(x: int, y: int) -> bool:
    """Whether the point is a finite point of the curve with coordinates below p."""
    return 0 <= x < P and 0 <= y < P and (y * y - (x * x * x + A * x + B)) % P == 0


def signature_numbers(signature: bytes, *, form: SignatureForm) -> tuple[int, int]:
    """The numbers r and s, each in 1..n-1 and their sum not n. Raises ``DerError``."""
    if form is SignatureForm.RAW:
        if len(signature) != 2 * _NUMBER:
            raise DerError
        r, s = int.from_bytes(signature[:_NUMBER], "big"), int.from_bytes(signature[_NUMBER:], "big")
    else:
        outer = Reader(signature)
        inner = outer.inside(SEQUENCE)
        outer.end()
        r, s = inner.integer(), inner.integer()
        inner.end()
    if not (0 < r < N and 0 < s < N and r + s != N):
        raise DerError
    return r, s


def signature_der(r: int, s: int) -> bytes:
    """The signature in DER."""
    return element(SEQUENCE, integer(r), integer(s))


def signature_raw(r: int, s: int) -> bytes:
    """The signature in 64 bytes."""
    return r.to_bytes(_NUMBER, "big") + s.to_bytes(_NUMBER, "big")


def cipher_asn1(ciphertext: bytes, *, form: CipherForm) -> bytes:
    """``ciphertext`` as the strict ASN.1 form of GM/T 0009, its point checked. Raises ``DerError``."""
    x, y, c3, c2 = _cipher_parts(ciphertext, form)
    if not is_on_curve(x, y) or len(c3) != _DIGEST or not c2:
        raise DerError
    return element(SEQUENCE, integer(x), integer(y), element(OCTET_STRING, c3), element(OCTET_STRING, c2))


def cipher_of_asn1(ciphertext: bytes, *, form: CipherForm) -> bytes:
    """An ASN.1 ciphertext in ``form``. Raises ``DerError``."""
    x, y, c3, c2 = _cipher_parts(ciphertext, CipherForm.ASN1)
    if form is CipherForm.ASN1:
        return ciphertext
    point = x.to_bytes(_NUMBER, "big") + y.to_bytes(_NUMBER, "big")
    prefix = b"" if form in {CipherForm.BARE_C1C2C3, CipherForm.BARE_C1C3C2} else b"\x04"
    return prefix + point + (c2 + c3 if form in {CipherForm.C1C2C3, CipherForm.BARE_C1C2C3} else c3 + c2)


def hides_text(ciphertext: bytes, plaintext: bytes) -> bool:
    """Whether the ASN.1 ``ciphertext`` differs from ``plaintext`` at all: false where the KDF gave only zeros."""
    return _cipher_parts(ciphertext, CipherForm.ASN1)[3] != plaintext


def _cipher_parts(ciphertext: bytes, form: CipherForm) -> tuple[int, int, bytes, bytes]:
    if form is CipherForm.ASN1:
        outer = Reader(ciphertext)
        inner = outer.inside(SEQUENCE)
        outer.end()
        parts = inner.integer(), inner.integer(), inner.take(OCTET_STRING), inner.take(OCTET_STRING)
        inner.end()
        return parts
    if form in {CipherForm.C1C3C2, CipherForm.C1C2C3}:
        if ciphertext[:1] != b"\x04":
            raise DerError
        ciphertext = ciphertext[1:]
    if len(ciphertext) <= 2 * _NUMBER + _DIGEST:
        raise DerError
    x, y, rest = ciphertext[:32], ciphertext[32:64], ciphertext[64:]
    c3, c2 = rest[:_DIGEST], rest[_DIGEST:]
    if form in {CipherForm.C1C2C3, CipherForm.BARE_C1C2C3}:
        c2, c3 = rest[:-_DIGEST], rest[-_DIGEST:]
    return int.from_bytes(x, "big"), int.from_bytes(y, "big"), c3, c2
