"""Signatures of APIv3 and of the older front-end scheme: what is signed, by which algorithms, and how it is checked.

The message layout, the headers and the clock rule are the same whatever the algorithms (sheet 1.3, 1.4, 1.9), so they
are written once; a ``Suite`` says which algorithms stand behind them. Everything here works on bytes as sent or as
received and does no I/O.
"""

from __future__ import annotations

import hashlib
import hmac
from binascii import Error as BadBase64
from binascii import a2b_base64, b2a_base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from unicom_coupon_sdk.crypto.keyring import KeyRing
from unicom_coupon_sdk.domain.times import rfc3339
from unicom_coupon_sdk.errors import ForgedMessage
from unicom_coupon_sdk.platform.wire import Headers

PLATFORM = "wechatpay"
RSA_SCHEME = "WECHATPAY2-SHA256-RSA2048"
SM_SCHEME = "WECHATPAY2-SM2-WITH-SM3"
BRAND_SCHEME = "WECHATPAY-BRAND-SHA256-RSA2048"
CLOCK_WINDOW_S = 300
PROBE_PREFIX = "WECHATPAY/SIGNTEST/"

_TIMESTAMP = "Wechatpay-Timestamp"
_NONCE = "Wechatpay-Nonce"
_SERIAL = "Wechatpay-Serial"
_SIGNATURE = "Wechatpay-Signature"
_TYPE = "Wechatpay-Signature-Type"


@dataclass(frozen=True, slots=True)
class MerchantKey:
    """The merchant's private key, as what it does: sign requests, and decrypt fields that were meant for us."""

    sign: Callable[[bytes], bytes]
    decrypt_field: Callable[[bytes], bytes]


@dataclass(frozen=True, slots=True)
class PlatformKey:
    """A public key of the platform, as what it does: check signatures, and encrypt fields for the platform."""

    verify: Callable[[bytes, bytes], bool]
    encrypt_field: Callable[[bytes], bytes]


def signed_lines(*lines: str, body: bytes | None = None) -> bytes:
    """The message to sign: each line ended by LF, also the last, also one that is empty or ends in LF itself.

    ``body`` is a last line of raw bytes. Serves requests (sheet 1.3), answers and callbacks (1.4) and the four-line
    signature of the payment front end.
    """
    head = ("\n".join(lines) + "\n").encode()
    return head if body is None else head + body + b"\n"


class RequestSigner:
    """Makes the ``Authorization`` header. ``identity`` is ``mchid``, or ``brand_id`` in the brand scheme."""

    __slots__ = ("_head", "_sign", "_tail", "serial")

    def __init__(
        self,
        sign: Callable[[bytes], bytes],
        *,
        caller: str,
        serial: str,
        scheme: str = RSA_SCHEME,
        identity: str = "mchid",
    ) -> None:
        self._sign = sign
        self.serial = serial
        self._head = f'{scheme} {identity}="{caller}",nonce_str="'
        self._tail = f'",serial_no="{serial}",signature="'

    def authorization(self, method: str, *, target: str, body: bytes, timestamp: int, nonce: str) -> str:
        """The header's value. ``target`` is path and query as transmitted, ``timestamp`` Unix seconds.

        ``body`` is the exact bytes sent; for a multipart upload only those of its ``meta`` part (sheet 1.3).
        """
        message = b"%b\n%d\n%b\n%b\n" % (f"{method}\n{target}".encode(), timestamp, nonce.encode(), body)
        signature = b2a_base64(self._sign(message), newline=False).decode()
        return f'{self._head}{nonce}",timestamp="{timestamp}{self._tail}{signature}"'


class AnswerVerifier:
    """Checks answers and callbacks: four headers, the clock, the serial, the signature over the received bytes.

    There is no switch to skip any of it. ``ring`` holds platform certificates and public keys side by side; the
    serial in the header chooses, so both kinds are accepted during a switch (sheet 1.5).
    """

    __slots__ = ("_ring", "_scheme")

    def __init__(self, ring: KeyRing[PlatformKey], *, scheme: str = RSA_SCHEME) -> None:
        self._ring = ring
        self._scheme = scheme

    def check(self, headers: Headers, *, body: bytes, now: datetime) -> None:
        """Return when the message is genuine and fresh at ``now``.

        Raises ``ForgedMessage``: ``wechatpay.header_missing``, ``wechatpay.signature_type``, ``wechatpay.clock`` (300 s
        or more off, either way), ``wechatpay.serial_unknown`` (refresh the certificates once, then refuse),
        ``message.key_not_in_force``, ``wechatpay.signature_base64``, ``wechatpay.signature_wrong``. A signature
        probe is refused like any other bad signature (sheet 1.8).
        """
        found = dict(headers)
        if _SIGNATURE not in found:  # a server on the way changed the case of names
            found = {name.title(): value for name, value in headers}
        try:
            stamp, nonce = found[_TIMESTAMP], found[_NONCE]
            serial, signature = found[_SERIAL], found[_SIGNATURE]
        except KeyError as error:
            raise _forged("wechatpay.header_missing", header=str(error.args[0])) from None
        if found.get(_TYPE, self._scheme) != self._scheme:
            raise _forged("wechatpay.signature_type", wanted=self._scheme)
        try:
            age_s = now.timestamp() - int(stamp)
        except (ValueError, OverflowError):
            raise _forged("wechatpay.header_missing", header=_TIMESTAMP) from None
        if not -CLOCK_WINDOW_S < age_s < CLOCK_WINDOW_S:
            raise _forged("wechatpay.clock", message_time=_time_text(int(stamp)), local_time=rfc3339(now))
        try:
            key = self._ring.find(serial, now)
        except ForgedMessage as error:
            if error.code != "message.unknown_key":
                raise
            known = ", ".join(self._ring.serials()) or "-"
            raise _forged("wechatpay.serial_unknown", serial=serial[:64], known=known) from None
        try:
            raw = a2b_base64(signature, strict_mode=True)
        except (BadBase64, ValueError):
            raise _forged("wechatpay.signature_base64", is_probe=signature.startswith(PROBE_PREFIX)) from None
        message = b"%b\n%b\n" % (f"{stamp}\n{nonce}".encode(), body)
        if not key.verify(raw, message):
            raise _forged(
                "wechatpay.signature_wrong",
                serial=serial[:64],
                is_probe=signature.startswith(PROBE_PREFIX),
                digest=hashlib.sha256(message).hexdigest()[:16],
            )


def _time_text(moment: int) -> str:
    try:
        return rfc3339(datetime.fromtimestamp(moment, UTC))
    except (ValueError, OverflowError, OSError):
        return "?"


def _forged(code: str, **details: Any) -> ForgedMessage:
    return ForgedMessage(code, platform=PLATFORM, **details)


def sign_v2(fields: Mapping[str, str], *, key: str) -> str:
    """The upper-case hex HMAC-SHA256 of the front-end sending scheme (sheet 2.2), keyed with the **APIv2** key.

    Names in ASCII order, empty values left out, values raw and not URL-encoded.
    """
    pairs = "&".join(f"{name}={fields[name]}" for name in sorted(fields) if fields[name] != "")
    message = f"{pairs}&key={key}"
    return hmac.digest(key.encode(), message.encode(), hashlib.sha256).hex().upper()
