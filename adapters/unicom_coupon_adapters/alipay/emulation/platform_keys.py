"""Which keys Alipay and the application use now, and the steps by which they change.

One application serves public-key and certificate mode (sandbox contract): a request that carries ``app_cert_sn`` is in
certificate mode, any other in public-key mode. News has no mode and is signed with the key of public-key mode, whose
certificate stays in force. The state lives in the store under kind ``keys``, which a reset leaves alone.
"""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import urlsplit

from unicom_coupon_adapters.alipay.emulation.keyshelf import KeyShelf
from unicom_coupon_adapters.alipay.emulation.serials import bundle_serial, serial_of
from unicom_coupon_sdk.crypto.certificates import Certificate
from unicom_coupon_sdk.crypto.rsa import RsaPrivateKey, RsaPublicKey
from unicom_coupon_sdk.sandbox.emulator import Store

APP_ID: Final = "2021004117390042"
SELLER_ID: Final = "2088421117390042"

STEPS: Final = (
    "alipay_certificate_new",
    "app_key_new",
    "app_key_old_void",
    "alipay_public_key_new",
    "content_key_new",
)
"""Rotation: Alipay's certificate (clients fetch the new one), the application's key pair with its certificate, the end
of the old pair, Alipay's key of public-key mode and of news, the content key."""

AppState = Literal["valid", "void"]


class PlatformKeys:
    """The keys in force, and the rotation. Reads the store at each call: a step counts from the next request on."""

    def __init__(self, shelf: KeyShelf, store: Store) -> None:
        self._shelf = shelf
        self._store = store
        self._serials: dict[str, str] = {}
        self._public: dict[str, RsaPublicKey] = {}
        self._root_serial = ""
        self._content: dict[int, str] = {}

    # -- Alipay's side ------------------------------------------------------------------------------------------

    def answer_key(self, *, certified: bool) -> RsaPrivateKey:
        """The private key that signs answers in the request's mode."""
        state = self._state()
        return self._shelf.pair(state["certificates"][-1] if certified else state["public"]).private

    def answer_serial(self) -> str:
        """The number of the certificate that signs in certificate mode."""
        return self._serial(self._state()["certificates"][-1])

    def news_key(self) -> RsaPrivateKey:
        """The private key that signs notifies, messages and front-end payloads."""
        return self._shelf.pair(self._state()["public"]).private

    def stranger_key(self) -> RsaPrivateKey:
        """A key that is nobody's here, for answers that must not verify."""
        return self._shelf.pair("stranger").private

    def platform_certificate(self, serial: str) -> Certificate | None:
        """The platform certificate of that number, old ones too: they stay valid until they expire (sheet §7)."""
        for name in self._state()["certificates"]:
            if self._serial(name) == serial.lower():
                return self._certificate(name)
        return None

    # -- the application's side ---------------------------------------------------------------------------------

    def app_keys(self) -> list[RsaPublicKey]:
        """The application's public keys in force, newest first."""
        apps = self._state()["apps"]
        return [self._public_key(name) for name in reversed(apps) if apps[name] == "valid"]

    def app_key(self, serial: str) -> tuple[RsaPublicKey, Certificate, AppState] | None:
        """The key, certificate and state behind an ``app_cert_sn``."""
        for name, state in self._state()["apps"].items():
            if self._serial(name) == serial.lower():
                return self._public_key(name), self._certificate(name), state
        return None

    def root_serial(self) -> str:
        """What clients send as ``alipay_root_cert_sn``."""
        if not self._root_serial:
            self._root_serial = bundle_serial(self._shelf.root_bundle()[0])
        return self._root_serial

    def content_keys(self) -> list[str]:
        """The content keys, base64: the one in force, and the one before while requests under it may be under way."""
        number = self._state()["content"]
        return [self._content_key(one) for one in range(number, max(0, number - 2), -1)]

    # -- credentials --------------------------------------------------------------------------------------------

    def credentials(self) -> dict[str, Any]:
        """The ``alipay`` section of ``sandbox.json``; files are made where they are missing."""
        state = self._state()
        app = next(reversed(state["apps"]))
        pair = self._shelf.pair(app)
        return {
            "app_id": APP_ID,
            "seller_id": SELLER_ID,
            "app_private_key_file": str(pair.private_file),
            "app_public_key_file": str(pair.public_file),
            "alipay_public_key_file": str(self._shelf.pair(state["public"]).public_file),
            "aes_key": self.content_keys()[0],
            "app_cert_file": str(self._shelf.certificate(app, common_name=_app_name())[1]),
            "alipay_cert_file": str(self._shelf.certificate(state["certificates"][-1], common_name=_PLATFORM_NAME)[1]),
            "alipay_root_cert_file": str(self._shelf.root_bundle()[1]),
        }

    def settings(self, base_url: str) -> dict[str, Any]:
        """The section for our own client, in public-key mode, with what certificate mode needs beside it."""
        told = self.credentials()
        state = self._state()
        public = [f"file:{self._shelf.pair(name).public_file}" for name in reversed(state["publics"])]
        return {
            "app_id": APP_ID,
            "seller_id": SELLER_ID,
            "app_private_key": f"file:{told['app_private_key_file']}",
            "mode": "public_key",
            "alipay_public_keys": public,
            "app_cert": f"file:{told['app_cert_file']}",
            "alipay_certs": [
                f"file:{self._shelf.certificate(name, common_name=_PLATFORM_NAME)[1]}"
                for name in reversed(state["certificates"])
            ],
            "alipay_root_cert": f"file:{told['alipay_root_cert_file']}",
            "aes_key": f"file:{self._content_file(state['content'])}",
            "gateway_url": f"{base_url}/gateway.do",
            "v3_url": base_url,
            "bill_hosts": [urlsplit(base_url).hostname or ""],
        }

    # -- rotation -----------------------------------------------------------------------------------------------

    def rotate(self, step: str) -> dict[str, Any]:
        """Take ``step``; what changed, with new credentials. Raises ``ValueError`` for a step out of its order."""
        state = self._state()
        if step == "alipay_certificate_new":
            state["certificates"].append(f"platform_{self._next_platform(state)}")
        elif step == "app_key_new":
            state["apps"][f"app_{len(state['apps']) + 1}"] = "valid"
        elif step == "app_key_old_void":
            *old, newest = state["apps"]
            if all(state["apps"][name] == "void" for name in old):
                raise ValueError("there is no older application key; take app_key_new first")
            state["apps"] = {**dict.fromkeys(old, "void"), newest: "valid"}
        elif step == "alipay_public_key_new":
            state["public"] = f"platform_{self._next_platform(state)}"
            state["publics"].append(state["public"])
            # News is signed with it, so clients in certificate mode must be able to fetch its certificate as well.
            state["certificates"].append(state["public"])
        elif step == "content_key_new":
            state["content"] += 1
        else:
            raise ValueError(f"unknown step {step!r}; one of {', '.join(STEPS)}")
        self._store.put("keys", "rotation", state)
        return {"step": step, **self.credentials()}

    @staticmethod
    def _next_platform(state: dict[str, Any]) -> int:
        return len(set(state["certificates"]) | set(state["publics"])) + 1

    def _state(self) -> dict[str, Any]:
        return self._store.get("keys", "rotation") or {
            "certificates": ["platform_1"],
            "public": "platform_1",
            "publics": ["platform_1"],
            "apps": {"app_1": "valid"},
            "content": 1,
        }

    def _certificate(self, name: str) -> Certificate:
        common_name = _app_name() if name.startswith("app_") else _PLATFORM_NAME
        return self._shelf.certificate(name, common_name=common_name)[0]

    def _serial(self, name: str) -> str:
        if name not in self._serials:
            self._serials[name] = serial_of(self._certificate(name))
        return self._serials[name]

    def _public_key(self, name: str) -> RsaPublicKey:
        if name not in self._public:
            self._public[name] = self._shelf.pair(name).private.public_key
        return self._public[name]

    def _content_key(self, number: int) -> str:
        if number not in self._content:
            self._content[number] = self._content_file(number).read_text(encoding="ascii")
        return self._content[number]

    def _content_file(self, number: int) -> Path:
        return self._shelf.secret_file(
            f"content_key_{number}", make=lambda: base64.b64encode(self._shelf.random_bytes(16))
        )


_PLATFORM_NAME: Final = "Sandbox Alipay public certificate"


def _app_name() -> str:
    return f"Sandbox Merchant-{APP_ID}"
