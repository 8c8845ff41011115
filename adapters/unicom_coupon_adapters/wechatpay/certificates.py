"""``GET /v3/certificates``: opening the answer, and knowing when to ask again.

Trust comes from two sides (sheet 1.6): each certificate is decrypted with the APIv3 key, which only the platform and we
know, and the answer that carried them is then verified with the certificate it names, found inside itself if need be.
Old certificates stay beside new ones until their dates end.
"""

from __future__ import annotations

import threading
from binascii import Error as BadBase64
from binascii import a2b_base64
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import pydantic_core

from unicom_coupon_adapters.wechatpay.credentials import Credentials
from unicom_coupon_adapters.wechatpay.signing import AnswerVerifier, PlatformKey
from unicom_coupon_adapters.wechatpay.suites import PlatformCertificate
from unicom_coupon_sdk.crypto.keyring import KeyRing
from unicom_coupon_sdk.errors import ConfigurationError, ForgedMessage
from unicom_coupon_sdk.platform.wire import HttpAnswer

REFRESH_AFTER = timedelta(hours=11)
"""Certificates are asked for again within the 12 h that the platform wants (sheet 1.6)."""

SHORTEST_PAUSE = timedelta(seconds=60)
"""Messages with invented serials make us ask at most this often."""


class RefreshGate:
    """Decides who asks for certificates, and when: one flow at a time, at most once a minute.

    Flows run in threads or in tasks, so the decision is a claim under a lock that is never held while waiting.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._claimed: datetime | None = None
        self._fetched: datetime | None = None

    def claim(self, now: datetime) -> bool:
        """Whether the caller shall ask now. A claim lapses after a minute, so a flow that died blocks nobody."""
        with self._lock:
            if self._claimed is not None and abs(now - self._claimed) < SHORTEST_PAUSE:
                return False
            self._claimed = now
            return True

    def done(self, now: datetime) -> None:
        """The certificates were fetched at ``now``."""
        with self._lock:
            self._fetched = now

    def is_under_way(self, now: datetime) -> bool:
        """Whether somebody claimed within the last seconds and has not finished."""
        with self._lock:
            claimed, fetched = self._claimed, self._fetched
        return claimed is not None and now - claimed < timedelta(seconds=10) and (fetched is None or fetched < claimed)

    def is_due(self, now: datetime) -> bool:
        """Whether what was fetched is getting old. Never before the first fetch, which is made only when needed."""
        with self._lock:
            return self._fetched is not None and now - self._fetched >= REFRESH_AFTER


def take_certificates(
    answer: HttpAnswer, *, credentials: Credentials, now: datetime
) -> tuple[PlatformCertificate, ...]:
    """The certificates of a 200 ``answer``, verified and added to the ring.

    Raises ``ForgedMessage`` when one cannot be decrypted, when a certificate's serial is not the one it is listed
    under, or when the answer is not signed by a key that was known or is listed in it.
    """
    found = tuple(_open(entry, credentials) for entry in _entries(answer.content))
    ring: KeyRing[PlatformKey] = KeyRing()
    for certificate in found:
        ring.add(certificate.serial, certificate.key, certificate.not_before, certificate.not_after)
    try:
        credentials.verifier.check(answer.headers, body=answer.content, now=now)
    except ForgedMessage as error:
        if error.code != "wechatpay.serial_unknown":
            raise
        AnswerVerifier(ring, scheme=credentials.suite.scheme).check(answer.headers, body=answer.content, now=now)
    current = tuple(certificate for certificate in found if certificate.not_after > now)
    for certificate in current:
        credentials.add_certificate(certificate)
    credentials.ring.drop_expired(now)
    return current


def refuse_certificates(answer: HttpAnswer, *, code: str) -> None:
    """Raises ``ConfigurationError`` when ``answer`` says that this merchant has no platform certificates.

    New merchants have none and get 404, whose code is RESOURCE_NOT_EXISTS or NOT_FOUND (sheet 1.6; 9, no. 3).
    """
    if answer.status == 404 and code in {"RESOURCE_NOT_EXISTS", "NOT_FOUND"}:
        raise ConfigurationError("wechatpay.no_platform_certificate", field="mode", platform="wechatpay")


def _entries(content: bytes) -> tuple[Mapping[str, Any], ...]:
    try:
        entries = pydantic_core.from_json(content)["data"]
    except (ValueError, KeyError, TypeError):
        raise _malformed() from None
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise _malformed()
    return tuple(entries)


def _open(entry: Mapping[str, Any], credentials: Credentials) -> PlatformCertificate:
    sealed = entry.get("encrypt_certificate")
    try:
        if not isinstance(sealed, dict) or sealed["algorithm"] != _algorithm(credentials):
            raise _malformed()
        plain = credentials.decrypt(
            a2b_base64(sealed["ciphertext"], strict_mode=True),
            nonce=sealed["nonce"].encode(),
            aad=(sealed.get("associated_data") or "").encode(),
        )
    except (KeyError, AttributeError, TypeError, BadBase64, ValueError):
        raise _malformed() from None
    try:
        certificate = credentials.suite.platform_certificate(plain, "platform_certificates")
    except ConfigurationError:
        raise _malformed() from None
    serial = entry.get("serial_no")
    if not isinstance(serial, str) or serial.upper().lstrip("0") != certificate.serial.upper().lstrip("0"):
        raise ForgedMessage("wechatpay.certificate_serial", platform="wechatpay", serial=certificate.serial)
    return certificate


def _algorithm(credentials: Credentials) -> str:
    return credentials.suite.aead_name


def _malformed() -> ForgedMessage:
    return ForgedMessage("wechatpay.certificates_malformed", platform="wechatpay")
