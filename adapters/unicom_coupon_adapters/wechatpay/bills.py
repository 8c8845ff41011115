"""Trade bills as received: asked for, downloaded, and checked (sheet 4). What their rows mean is not read here."""

from __future__ import annotations

import gzip
import hashlib
import hmac
import zlib
from datetime import date

from unicom_coupon_adapters.wechatpay import messages
from unicom_coupon_adapters.wechatpay.gateway import Gateway
from unicom_coupon_sdk.errors import ForgedMessage, PlatformRefused, PlatformUnavailable
from unicom_coupon_sdk.platform.effects import Flow

PLATFORM = "wechatpay"


def trade_bill(gateway: Gateway, *, day: date) -> Flow[bytes]:
    """The bytes of the trade bill of a Beijing day, UTF-8 with BOM; empty when nothing was traded that day.

    Ready after 10:00 Beijing time of the next day; before, ``PlatformUnavailable`` (``wechatpay.statement_creating``).
    Raises ``ForgedMessage`` (``wechatpay.bill_digest``) when the file is not the one that was announced.
    """
    query = {"bill_date": day.isoformat(), "bill_type": "ALL", "tar_type": "GZIP"}
    try:
        answer = yield from gateway.call(messages.TRADE_BILL.call(query=query))
    except PlatformRefused as error:
        if error.code == "wechatpay.no_statement":
            return b""
        raise
    url, digest = answer.text("download_url"), answer.text("hash_value")
    if url is None or digest is None:
        raise PlatformUnavailable("wechatpay.answer_malformed", platform=PLATFORM, request_id=answer.request_id)
    content = yield from gateway.download(url)
    return unpacked_bill(content, digest=digest)


def unpacked_bill(content: bytes, *, digest: str) -> bytes:
    """The bill inside a downloaded file, gzip or plain, whose SHA-1 (of the uncompressed bytes) is ``digest``.

    The download carries no signature: the digest, which came in a signed answer, is its proof.
    Raises ``ForgedMessage`` (``wechatpay.bill_digest``).
    """
    try:
        plain = gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
    except (OSError, EOFError, zlib.error):
        raise ForgedMessage("wechatpay.bill_digest", platform=PLATFORM) from None
    found = hashlib.sha1(plain, usedforsecurity=False).hexdigest()
    if not hmac.compare_digest(found, digest.lower()):
        raise ForgedMessage("wechatpay.bill_digest", platform=PLATFORM)
    return plain
