"""The sandbox bank's keys and names.

The SM2 pairs are the published test keys of the sheet (§8, "merchant" and "bank") and of GM/T 0003.5, so a world
starts at once and a recorded exchange can be checked with any tool; they protect nothing. RSA pairs of the ICBC face
are made at first use, and shared by folders in the machine's temporary directory for the life of the process.

Rotation: ``bank_key`` makes the bank sign with its next key, which clients were given in advance; fields encrypted to
either are opened. ``bank_key_old_void`` stops opening those to the old one.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from unicom_coupon_sdk.crypto.rsa import RsaPrivateKey, RsaPublicKey
from unicom_coupon_sdk.crypto.sm2 import Sm2PrivateKey, Sm2PublicKey
from unicom_coupon_sdk.sandbox.emulator import Frame

APP_ID: Final = "8ab74856-8772-45c9-96db-54cb30ab9f74"
APP_SECRET: Final = "5b96f20a-011f-4254-8be8-9a5ceb2f317f"  # noqa: S105 - printed in the bank's own document
MER_ID: Final = "3089991701207X7"
OTHER_MER_ID: Final = "3089991701207X8"
"""A merchant of the bank that does not take part in the coupons."""
USER_ID: Final = "N003109945"
ICBC_APP_ID: Final = "sandboxie_10000000000000001234"
STEPS: Final = ("bank_key", "bank_key_old_void")

_PAIRS: Final[Mapping[str, tuple[str, str]]] = {
    "merchant": (
        "D5F2AFA24E6BA9071B54A8C9AD735F9A1DE9C4657FA386C09B592694BC118B38",
        "d713eadc1dc2c3653eb7e47b15bd09089bf2f3bfcb0db5031629468e4414f3d54b979ee96d43cb294c0fda39c0c8e10a9894bd512b33f95c1735de3f6e374814",
    ),
    "bank": (
        "9422F3D9F443902A34D233F7360767CA418F715FEF6C36CE9788D3558A293080",
        "8142fce1b66a0c4c0242f1859ea49399ca9c0bd194345e0685969140de1448061ab2f306d04f771810dfd495d7836ff93f1358baa12c56329ed6bfbf8afb8cd4",
    ),
    "bank_next": (
        "3945208f7b2144b13f36e38ac6d39f95889393692860b51a42fb81ef4df7c5b8",
        "09f9df311e5421a150dd7d161e4bc5c672179fad1833fc076bb08ff356f35020ccea490ce26775a52dc6ea718cc1aa600aed05fbf35e084a6632f6072da9ad13",
    ),
}


@lru_cache(maxsize=8)
def sm2_pair(name: str) -> Sm2PrivateKey:
    """A fixed pair, loaded once a process."""
    private, public = _PAIRS[name]
    return Sm2PrivateKey.from_hex(private, field=f"sandbox {name}", public_key=Sm2PublicKey.from_hex(public))


@lru_cache(maxsize=8)
def _shared_rsa(name: str) -> bytes:
    assert name
    return _new_rsa()


def _new_rsa() -> bytes:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


@lru_cache(maxsize=32)
def _loaded(pem: bytes) -> RsaPrivateKey:
    return RsaPrivateKey.load(pem, field="sandbox key")


@dataclass(frozen=True)
class BankKeys:
    """The keys of one emulated bank, in its folder, and where their rotation stands."""

    frame: Frame

    @property
    def signer(self) -> Sm2PrivateKey:
        """What the bank signs with now."""
        return sm2_pair("bank_next" if self._step() >= 1 else "bank")

    @property
    def openers(self) -> tuple[Sm2PrivateKey, ...]:
        """What opens fields encrypted to the bank."""
        return (sm2_pair("bank_next"),) if self._step() >= 2 else (sm2_pair("bank"), sm2_pair("bank_next"))

    @property
    def merchant(self) -> Sm2PublicKey:
        """The merchant's registered key."""
        return sm2_pair("merchant").public_key

    @property
    def icbc_merchant(self) -> RsaPublicKey:
        """The merchant's registered key at the ICBC face."""
        return self._rsa("icbc_merchant").public_key

    @property
    def icbc_signer(self) -> RsaPrivateKey:
        """What the ICBC face signs with."""
        return self._rsa("icbc_bank")

    @cached_property
    def server_key(self) -> bytes:
        """The key of stored one-time codes; outlives a reset."""
        told = self.frame.store.get("keys", "server")
        if told is None:
            told = {"hex": self.frame.random_bytes(32).hex()}
            self.frame.store.put("keys", "server", told)
        return bytes.fromhex(told["hex"])

    def credentials(self) -> dict[str, Any]:
        """The ``bank`` row of the sandbox contract. Writes the key files at first start."""
        self._write("bank_app_secret.txt", APP_SECRET.encode())
        self._write("bank_merchant_private_key.hex", _PAIRS["merchant"][0].encode())
        return {
            "app_id": APP_ID,
            "app_secret": APP_SECRET,
            "mer_id": MER_ID,
            "user_id": USER_ID,
            "merchant_private_key_hex": _PAIRS["merchant"][0],
            "bank_public_key_file": str(self._public("bank")),
            "bank_next_public_key_file": str(self._public("bank_next")),
            "icbc_app_id": ICBC_APP_ID,
            "icbc_private_key_file": str(self._rsa_file("icbc_merchant")),
            "icbc_public_key_file": str(self._write("icbc_bank_public_key.pem", self.icbc_signer.public_key.pem)),
        }

    def settings(self, base_url: str) -> dict[str, Any]:
        """The client's section: the CMB envelope, with the bank's present and next key."""
        told = self.credentials()
        folder = self.frame.directory.absolute()
        return {
            "bank": "cmb",
            "base_url": base_url,
            "domestic_hosts": [urlsplit(base_url).hostname or ""],
            "app_id": APP_ID,
            "app_secret": f"file:{folder / 'bank_app_secret.txt'}",
            "mer_id": MER_ID,
            "user_id": USER_ID,
            "merchant_private_key": f"file:{folder / 'bank_merchant_private_key.hex'}",
            "merchant_public_key": f"file:{self._public('merchant')}",
            "bank_public_keys": [
                f"file:{told[name]}" for name in ("bank_public_key_file", "bank_next_public_key_file")
            ],
        }

    def icbc_settings(self, base_url: str) -> dict[str, Any]:
        """The client's section for the ICBC envelope."""
        told = self.credentials()
        shared = {
            name: value
            for name, value in self.settings(base_url).items()
            if not name.startswith(("merchant", "app_secret"))
        }
        return {
            **shared,
            "bank": "icbc",
            "app_id": ICBC_APP_ID,
            "icbc_private_key": f"file:{told['icbc_private_key_file']}",
            "icbc_public_key": f"file:{told['icbc_public_key_file']}",
        }

    def rotate(self, step: str) -> dict[str, Any]:
        """Take a step. Raises ``ValueError`` for one out of its order."""
        done = self._step()
        if done >= len(STEPS) or STEPS[done] != step:
            raise ValueError(f"the next step is {STEPS[done] if done < len(STEPS) else 'none'}")
        self.frame.store.put("keys", "rotation", {"done": done + 1})
        return {"step": step, "bank_public_key_file": str(self._public("bank_next"))}

    def _step(self) -> int:
        told = self.frame.store.get("keys", "rotation")
        return int(told["done"]) if told else 0

    def _public(self, name: str) -> Path:
        return self._write(f"sm2_{name}_public_key.pem", sm2_pair(name).public_key.pem)

    def _rsa(self, name: str) -> RsaPrivateKey:
        return _loaded(self._rsa_file(name).read_bytes())

    def _rsa_file(self, name: str) -> Path:
        file = (self.frame.directory / f"{name}_key.pem").absolute()
        if not file.exists():
            temporary = self.frame.directory.resolve().is_relative_to(Path(tempfile.gettempdir()).resolve())
            self._write(file.name, _shared_rsa(name) if temporary else _new_rsa())
        return file

    def _write(self, name: str, content: bytes) -> Path:
        """Whole or not at all, for the owner only; what is there stays."""
        file = (self.frame.directory / name).absolute()
        if not file.exists():
            draft = file.with_name(f"{file.name}.{os.getpid()}.new")
            with os.fdopen(os.open(draft, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "wb") as opened:
                opened.write(content)
            draft.replace(file)
        return file
