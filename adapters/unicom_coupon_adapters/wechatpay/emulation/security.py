"""Platform certificates and the self-test call (sheet §1.6, §1.7, §1.10)."""

from __future__ import annotations

import base64
import binascii
from typing import Any, Final

from unicom_coupon_adapters.wechatpay.emulation.callbacks import notify
from unicom_coupon_adapters.wechatpay.emulation.fields import Choice, Members, Text, Url
from unicom_coupon_adapters.wechatpay.emulation.refusals import Refusal, bad_field, not_there
from unicom_coupon_adapters.wechatpay.emulation.world import Call, Reply, Route, World, moment_text
from unicom_coupon_sdk.crypto.certificates import Certificate
from unicom_coupon_sdk.errors import ForgedMessage

_ECHO: Final = Members(
    {"echo_message": Text(1024, required=True), "encrypted_echo_message": Text(1024), "notify_url": Url()}
)


def certificates(call: Call) -> Reply:
    """``GET /v3/certificates``: the certificates, encrypted with the APIv3 key; 404 when there are none.

    None means: void after the switch to the public key, as for most new merchants, or none of the algorithm asked for.
    """
    algorithm = call.query_value("algorithm_type", Choice(("RSA", "SM2", "ALL"))) or "RSA"
    cipher = call.world.keys.apiv3_cipher()
    listed = [] if algorithm == "SM2" or cipher is None else call.world.keys.listed_certificates()
    if not listed or cipher is None:
        raise not_there(
            "无可用的平台证书，请在商户平台-API安全申请使用微信支付公钥。",
            "No platform certificate is available; apply for the WeChat Pay public key in the console.",
        )
    data = []
    for certificate in listed:
        nonce = call.world.hexadecimal(12)
        sealed = cipher.encrypt(certificate.pem, nonce=nonce.encode(), aad=b"certificate")
        data.append(_entry(certificate, nonce=nonce, ciphertext=base64.b64encode(sealed).decode()))
    return {"data": data}


def echo(call: Call) -> Reply:
    """``POST /v3/security/echo``: the text back, the secret one re-encrypted to the merchant, a callback if wanted."""
    body = call.body(_ECHO)
    serial = call.request.header("Wechatpay-Serial")
    if not serial:
        raise missing_serial()
    told: dict[str, Any] = {"echo_message": body["echo_message"]}
    if "encrypted_echo_message" in body:
        plaintext = opened_field(call, body["encrypted_echo_message"], at="/encrypted_echo_message")
        told["encrypted_echo_message"] = sealed_field(call.world, plaintext)
    if "notify_url" in body:
        notify(
            call.world,
            "SECURITY_ECHO.SUCCESS",
            {"echo_message": body["echo_message"]},
            original_type="security",
            associated_data="security",
            url=body["notify_url"],
        )
    return told


def opened_field(call: Call, ciphertext: str, *, at: str) -> bytes:
    """A sensitive field in clear, with the key that ``Wechatpay-Serial`` names (sheet §1.7). Raises 400."""
    serial = call.request.header("Wechatpay-Serial")
    if not serial:
        raise missing_serial()
    key = call.world.keys.decryptor(serial)
    if key is None:
        raise Refusal("PARAM_ERROR", "Wechatpay-Serial错误", "Wechatpay-Serial error")
    try:
        return key.decrypt_oaep_sha1(base64.b64decode(ciphertext, validate=True))
    except (ForgedMessage, binascii.Error, ValueError):
        raise bad_field(at, "敏感信息解密失败", "cannot be decrypted with the named key") from None


def sealed_field(world: World, plaintext: bytes) -> str:
    """A sensitive field of an answer, encrypted to the merchant's newest certificate."""
    key = world.keys.newest_merchant_certificate().public_key
    return base64.b64encode(key.encrypt_oaep_sha1(plaintext)).decode()


def missing_serial() -> Refusal:
    """400 where an encrypted field comes without the header that names its key."""
    return Refusal("PARAM_ERROR", "缺少Wechatpay-Serial", "missing serial")


def _entry(certificate: Certificate, *, nonce: str, ciphertext: str) -> dict[str, Any]:
    return {
        "serial_no": certificate.serial,
        "effective_time": moment_text(certificate.not_before),
        "expire_time": moment_text(certificate.not_after),
        "encrypt_certificate": {
            "algorithm": "AEAD_AES_256_GCM",
            "nonce": nonce,
            "associated_data": "certificate",
            "ciphertext": ciphertext,
        },
    }


ROUTES: Final = (
    Route("GET", "/v3/certificates", certificates),
    Route("POST", "/v3/security/echo", echo),
)
