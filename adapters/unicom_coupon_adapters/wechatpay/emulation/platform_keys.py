"""Which keys the platform and the merchant use now, and the steps by which they change.

Sheet §1.5 (platform certificate and public key side by side, the grey switch), §1.7 (which key decrypts), §7 (merchant
certificates, APIv3 key change). The state starts mixed: the request's ``Wechatpay-Serial`` names the key of the answer,
callbacks are signed with the platform certificate until ``switch_day_1``. It lives in the store under kind ``keys``,
which a reset leaves alone, because credentials outlive it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, Final, Literal

from unicom_coupon_adapters.wechatpay.emulation.keyshelf import KeyShelf
from unicom_coupon_sdk.crypto.aead import AesGcm
from unicom_coupon_sdk.crypto.certificates import Certificate
from unicom_coupon_sdk.crypto.rsa import RsaPrivateKey
from unicom_coupon_sdk.sandbox.emulator import Store

MCHID: Final = "1900066301"
APPID: Final = "wx7a3b9c1d5e2f4a68"
BRAND_ID: Final = "120366"
PUBLIC_KEY_ID: Final = "PUB_KEY_ID_0119000663012026010100000000"

SWITCH_PERMILLE: Final[Mapping[str, int]] = {
    "switch_start": 0,
    "switch_day_1": 1,
    "switch_day_2": 10,
    "switch_day_3": 50,
    "switch_day_4": 100,
    "switch_day_5": 200,
    "switch_day_6": 500,
    "switch_day_7": 1000,
}
"""Share of callbacks signed with the public key, in permille, by step (sheet §1.5 rule 2)."""

STEPS: Final[tuple[str, ...]] = (
    "certificate_only",
    "certificate_listed",
    "certificate_both",
    "certificate_new",
    *SWITCH_PERMILLE,
    "certificate_void",
    "apiv3_key_new",
    "apiv3_key_unset",
    "merchant_certificate_new",
    "merchant_certificate_replaced",
    "merchant_certificate_revoked",
)

MerchantState = Literal["valid", "replaced", "revoked"]


@dataclass(frozen=True, slots=True)
class PlatformSigner:
    """A private key of the platform and the serial that names it to clients."""

    serial: str
    key: RsaPrivateKey


@dataclass(frozen=True, slots=True)
class CallerCertificate:
    """A certificate that a merchant or brand signs its requests with."""

    serial: str
    certificate: Certificate
    state: MerchantState


class PlatformKeys:
    """The keys in force, and the rotation. Reads the store at each call: a step counts from the next request on."""

    def __init__(self, shelf: KeyShelf, store: Store) -> None:
        self._shelf = shelf
        self._store = store
        self._signers: dict[str, PlatformSigner] = {}
        self._certificates: dict[str, Certificate] = {}
        self._secrets: dict[str, str] = {}
        self.public_signer = PlatformSigner(PUBLIC_KEY_ID, shelf.pair("platform_public").private)

    # -- what is in force ---------------------------------------------------------------------------------------

    def answer_signer(self, requested: str | None) -> PlatformSigner:
        """The key of an answer to a request that named ``requested`` in ``Wechatpay-Serial`` (sheet §1.5 rule 1)."""
        state = self._state()
        if state["switch"] == "void":
            return self.public_signer
        if state["switch"] == "on" and requested and requested.upper().startswith("PUB_KEY_ID_"):
            return self.public_signer
        named = [self._signer(name) for name in state["listed"]]
        wanted = (requested or "").upper()
        return next((signer for signer in named if signer.serial == wanted), self._signer(state["signing"]))

    def callback_signer(self, callback_id: str) -> PlatformSigner:
        """The key of a callback: the platform chooses, by its share. One callback keeps its kind over its retries."""
        state = self._state()
        draw = int.from_bytes(hashlib.sha256(callback_id.encode()).digest()[:4])
        if state["switch"] == "void" or (state["switch"] == "on" and draw % 1000 < state["permille"]):
            return self.public_signer
        names = state["listed"] if state["both"] else [state["signing"]]
        return self._signer(names[(draw >> 10) % len(names)])

    def decryptor(self, serial: str) -> RsaPrivateKey | None:
        """The private key for fields encrypted to ``serial``; ``None`` for a serial not in force (sheet §1.7)."""
        state = self._state()
        wanted = serial.upper()
        if wanted == PUBLIC_KEY_ID:
            return self.public_signer.key if state["switch"] != "off" else None
        named = [] if state["switch"] == "void" else [self._signer(name) for name in state["listed"]]
        return next((signer.key for signer in named if signer.serial == wanted), None)

    def listed_certificates(self) -> Sequence[Certificate]:
        """What ``GET /v3/certificates`` lists, oldest first; nothing once the certificates are void."""
        state = self._state()
        return [] if state["switch"] == "void" else [self._platform_certificate(name) for name in state["listed"]]

    def apiv3_key(self) -> str | None:
        """The APIv3 key in force: 32 ASCII characters; ``None`` while it is not set."""
        number = self._state()["apiv3"]
        return self._secret(f"apiv3_key_{number}") if number else None

    def apiv3_cipher(self) -> AesGcm | None:
        """AES-256-GCM under the APIv3 key."""
        key = self.apiv3_key()
        return None if key is None else _cipher(key)

    def last_apiv3_cipher(self) -> AesGcm:
        """The cipher of the newest APIv3 key that was ever set, even if it has been unset since."""
        return _cipher(self._secret(f"apiv3_key_{self._state()['apiv3_made']}"))

    def apiv2_key(self) -> str:
        """The APIv2 key, with which front ends' parameters are signed."""
        return self._secret("apiv2_key")

    def app_secret(self) -> str:
        """The secret of the appid, for the WeChat calls."""
        return self._secret("app_secret")

    def brand_key(self) -> str:
        """The brand's own API key, for its callbacks (sheet §2.4)."""
        return self._secret("brand_api_key")

    def brand_cipher(self) -> AesGcm:
        """AES-256-GCM under the brand's API key."""
        return _cipher(self.brand_key())

    def merchant_certificate(self, serial: str) -> CallerCertificate | None:
        """The merchant's certificate of that serial, in any state; serials are compared without case."""
        for name, state in self._state()["merchants"].items():
            certificate = self._merchant_certificate(name)
            if certificate.serial == serial.upper():
                return CallerCertificate(certificate.serial, certificate, state)
        return None

    def brand_certificate(self, serial: str) -> CallerCertificate | None:
        """The brand's certificate, if ``serial`` names it."""
        certificate, _ = self._shelf.certificate("brand", common_name=BRAND_ID)
        matches = certificate.serial == serial.upper()
        return CallerCertificate(certificate.serial, certificate, "valid") if matches else None

    def newest_merchant_certificate(self) -> Certificate:
        """The certificate to which fields in answers are encrypted."""
        return self._merchant_certificate(next(reversed(self._state()["merchants"])))

    # -- credentials --------------------------------------------------------------------------------------------

    def credentials(self) -> dict[str, Any]:
        """The ``wechatpay`` section of ``sandbox.json``, by the state of the rotation; files are made if missing."""
        state = self._state()
        merchant = next(reversed(state["merchants"]))
        platform_certificate, platform_file = self._shelf.certificate(state["signing"], common_name="Tenpay.com sign")
        merchant_certificate, merchant_file = self._shelf.certificate(merchant, common_name=MCHID)
        return {
            "mchid": MCHID,
            "appid": APPID,
            "merchant_private_key_file": str(self._shelf.pair(merchant).private_file),
            "merchant_cert_file": str(merchant_file),
            "merchant_cert_serial": merchant_certificate.serial,
            "apiv3_key": self.apiv3_key() or "",
            "apiv2_key": self.apiv2_key(),
            "app_secret": self.app_secret(),
            "platform_public_key_file": str(self._shelf.pair("platform_public").public_file),
            "platform_public_key_id": PUBLIC_KEY_ID,
            "platform_cert_file": str(platform_file),
            "platform_cert_serial": platform_certificate.serial,
        }

    def brand_credentials(self) -> dict[str, Any]:
        """What the sandbox's brand signs and decrypts with, for the brand variant of product coupons."""
        certificate, file = self._shelf.certificate("brand", common_name=BRAND_ID)
        self.brand_key()
        return {
            "brand_id": BRAND_ID,
            "brand_private_key_file": str(self._shelf.pair("brand").private_file),
            "brand_cert_file": str(file),
            "brand_cert_serial": certificate.serial,
            "brand_api_key_file": str(self._shelf.secret_file("brand_api_key")),
        }

    def settings(self, base_url: str) -> dict[str, Any]:
        """The section for our own client: keys by reference, this sandbox as both hosts."""
        told = self.credentials()
        state = self._state()
        listed = [self._shelf.certificate(name, common_name="Tenpay.com sign")[1] for name in state["listed"]]
        apiv3 = [self._shelf.secret_file(f"apiv3_key_{number}") for number in range(state["apiv3_made"], 0, -1)]
        return {
            "mchid": MCHID,
            "appid": APPID,
            "merchant_serial": told["merchant_cert_serial"],
            "merchant_private_key": f"file:{told['merchant_private_key_file']}",
            "merchant_cert": f"file:{told['merchant_cert_file']}",
            "apiv3_keys": [f"file:{file}" for file in apiv3],
            "apiv2_key": f"file:{self._shelf.secret_file('apiv2_key')}",
            "platform_public_key_id": PUBLIC_KEY_ID,
            "platform_public_key": f"file:{told['platform_public_key_file']}",
            "platform_certificates": [f"file:{file}" for file in listed],
            "mode": {"off": "certificate", "on": "mixed", "void": "public_key"}[state["switch"]],
            "base_url": base_url,
            "weixin_base_url": base_url,
            "app_secret": f"file:{self._shelf.secret_file('app_secret')}",
            "transfer_scene_id": "1000",
            "transfer_activity": "联通电子券",
            "transfer_reward": "现金券",
        }

    # -- rotation -----------------------------------------------------------------------------------------------

    def rotate(self, step: str) -> dict[str, Any]:
        """Take ``step``; what changed, with new credentials. Raises ``ValueError`` for a step out of its order."""
        if step not in STEPS:
            raise ValueError(f"unknown step {step!r}; one of {', '.join(STEPS)}")
        state = self._state()
        if step.startswith("switch_") or step in {"certificate_only", "certificate_void"}:
            _switch(state, step)
        elif step.startswith("certificate_"):
            _rotate_certificate(state, step)
        elif step.startswith("apiv3_"):
            state["apiv3"] = 0 if step == "apiv3_key_unset" else state["apiv3_made"] + 1
            state["apiv3_made"] = max(state["apiv3"], state["apiv3_made"])
        else:
            _rotate_merchant(state, step)
        self._store.put("keys", "rotation", state)
        names = [name for name in state["listed"] if name != state["signing"]]
        told = {"step": step, "switch": state["switch"], "callback_permille": state["permille"], **self.credentials()}
        if names:
            certificate, file = self._shelf.certificate(names[-1], common_name="Tenpay.com sign")
            told |= {"next_platform_cert_file": str(file), "next_platform_cert_serial": certificate.serial}
        return told

    def _state(self) -> dict[str, Any]:
        return self._store.get("keys", "rotation") or {
            "switch": "on",
            "permille": 0,
            "listed": ["platform_1"],
            "signing": "platform_1",
            "both": False,
            "apiv3": 1,
            "apiv3_made": 1,
            "merchants": {"merchant_1": "valid"},
        }

    def _secret(self, name: str) -> str:
        if name not in self._secrets:
            self._secrets[name] = self._shelf.secret(name, length=32)
        return self._secrets[name]

    def _signer(self, name: str) -> PlatformSigner:
        if name not in self._signers:
            serial = self._platform_certificate(name).serial
            self._signers[name] = PlatformSigner(serial, self._shelf.pair(name).private)
        return self._signers[name]

    def _platform_certificate(self, name: str) -> Certificate:
        return self._certificate(name, common_name="Tenpay.com sign")

    def _merchant_certificate(self, name: str) -> Certificate:
        return self._certificate(name, common_name=MCHID)

    def _certificate(self, name: str, *, common_name: str) -> Certificate:
        if name not in self._certificates:
            self._certificates[name] = self._shelf.certificate(name, common_name=common_name)[0]
        return self._certificates[name]


def _switch(state: dict[str, Any], step: str) -> None:
    """The grey switch. It cannot run together with a rotation of the platform certificate (sheet §1.5 rule 4)."""
    if len(state["listed"]) > 1:
        raise ValueError("a rotation of the platform certificate is under way")
    if state["switch"] == "void":
        raise ValueError("the platform certificate is void; only the public key works")
    if step == "certificate_void":
        if state["switch"] != "on":
            raise ValueError("the switch to the public key has not started")
        state |= {"switch": "void", "permille": 1000}
    elif step == "certificate_only":
        state |= {"switch": "off", "permille": 0}
    elif step != "switch_start" and state["switch"] != "on":
        raise ValueError("the switch to the public key has not started")
    else:
        state |= {"switch": "on", "permille": SWITCH_PERMILLE[step]}


def _rotate_certificate(state: dict[str, Any], step: str) -> None:
    if state["switch"] == "void" or 0 < state["permille"] < 1000:
        raise ValueError("the switch to the public key is under way")
    listed: list[str] = state["listed"]
    if step == "certificate_listed":
        if len(listed) > 1:
            raise ValueError("a new platform certificate is listed already")
        listed.append(f"platform_{int(listed[-1].rpartition('_')[2]) + 1}")
    elif len(listed) < 2:
        raise ValueError("no new platform certificate is listed")
    elif step == "certificate_both":
        state["both"] = True
    else:
        state |= {"listed": listed[1:], "signing": listed[-1], "both": False}


def _rotate_merchant(state: dict[str, Any], step: str) -> None:
    merchants: dict[str, MerchantState] = state["merchants"]
    newest = next(reversed(merchants))
    if step == "merchant_certificate_new":
        merchants[f"merchant_{len(merchants) + 1}"] = "valid"
        return
    old = [name for name in merchants if name != newest]
    if not old:
        raise ValueError("the merchant has no newer certificate")
    for name in old:
        merchants[name] = "replaced" if step == "merchant_certificate_replaced" else "revoked"


@lru_cache(maxsize=64)
def _cipher(key: str) -> AesGcm:
    return AesGcm(key.encode("ascii"), field="apiv3_key")


def is_within(certificate: Certificate, at: datetime) -> bool:
    """Whether ``certificate`` is within its dates at ``at``."""
    return certificate.not_before <= at <= certificate.not_after
