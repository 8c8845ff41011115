"""``alipay.open.app.alipaycert.download``: a platform certificate by its number (sheet §1.8)."""

from __future__ import annotations

import base64
from typing import Final

from unicom_coupon_adapters.alipay.emulation.refusals import Refusal
from unicom_coupon_adapters.alipay.emulation.world import Call, Reply, Route


def download(call: Call) -> Reply:
    """The certificate as base64 of its PEM; old ones too. An unknown number is an invalid parameter (unconfirmed)."""
    serial = call.fields().needed("alipay_cert_sn", longest=64)
    found = call.world.keys.platform_certificate(serial)
    if found is None:
        raise Refusal("isv.invalid-parameter", "支付宝公钥证书不存在")
    return {"alipay_cert_content": base64.b64encode(found.pem).decode("ascii")}


ROUTES: Final = (Route("alipay.open.app.alipaycert.download", download),)
