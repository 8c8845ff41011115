"""500 random keys, ids and messages, both ways through the ``openssl`` command.

All files are written first and one shell runs all commands, so that the run costs seconds and not minutes.
"""

from __future__ import annotations

import random
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from shutil import which

import pytest

from unicom_coupon_sdk.crypto import sm2_keys
from unicom_coupon_sdk.crypto.material import pem
from unicom_coupon_sdk.crypto.sm2 import CipherForm, Sm2PrivateKey
from unicom_coupon_sdk.crypto.sm2_forms import N

pytestmark = pytest.mark.skipif(which("openssl") is None or which("sh") is None, reason="needs openssl and a shell")


@dataclass
class Case:
    at: int
    number: int
    key: Sm2PrivateKey
    user_id: bytes
    message: bytes
    secret: bytes


def cases(count: int, *, seed: int) -> Iterator[Case]:
    draw = random.Random(seed)
    for at in range(count):
        number = max(1, draw.randrange(1, N - 1) >> draw.choice([0, 0, 0, 8, 16, 200]))
        user_id = draw.choice([b"1234567812345678", b"", draw.randbytes(draw.randrange(1, 60))])
        message = draw.randbytes(draw.choice([0, 1, 20, 31, 32, 33, 55, 64, 600]))
        key = Sm2PrivateKey.from_hex(f"{number:064x}")
        yield Case(at, number, key, user_id, message, draw.randbytes(draw.randrange(1, 256)))


def written(case: Case, folder: Path) -> None:
    at = case.at
    (folder / f"{at}.key").write_bytes(pem(sm2_keys.pkcs8(case.number), label="PRIVATE KEY"))
    (folder / f"{at}.pub").write_bytes(case.key.public_key.pem)
    (folder / f"{at}.msg").write_bytes(case.message)
    (folder / f"{at}.sig").write_bytes(case.key.sign(case.message, user_id=case.user_id))
    (folder / f"{at}.sealed").write_bytes(case.key.public_key.encrypt(case.secret))
    (folder / f"{at}.secret").write_bytes(case.secret)


def commands(case: Case) -> str:
    at = case.at
    # an empty id is openssl's default, and it takes no empty option
    ident = f"-sigopt hexdistid:{case.user_id.hex()}" if case.user_id else ""
    dgst = f"openssl dgst -sm3 {ident}"
    return (
        f"{dgst} -verify {at}.pub -signature {at}.sig {at}.msg >>said 2>&1\n"
        f"{dgst} -sign {at}.key -out {at}.theirs {at}.msg\n"
        f"openssl pkeyutl -decrypt -inkey {at}.key -in {at}.sealed -out {at}.opened\n"
        f"openssl pkeyutl -encrypt -pubin -inkey {at}.pub -in {at}.secret -out {at}.resealed\n"
    )


def cross_check(folder: Path, *, count: int, seed: int) -> None:
    all_cases = list(cases(count, seed=seed))
    for case in all_cases:
        written(case, folder)
    script = "set -e\n" + "".join(map(commands, all_cases))
    subprocess.run(["sh"], input=script.encode(), cwd=folder, check=True, timeout=300, capture_output=True)
    assert (folder / "said").read_text().split("\n")[:-1] == ["Verified OK"] * count
    for case in all_cases:
        at, public = case.at, case.key.public_key
        theirs = (folder / f"{at}.theirs").read_bytes()
        assert public.verify(theirs, case.message, user_id=case.user_id)
        assert not public.verify(theirs, case.message + b"!", user_id=case.user_id)
        assert not public.verify(theirs, case.message, user_id=case.user_id + b"!")
        assert (folder / f"{at}.opened").read_bytes() == case.secret
        assert case.key.decrypt((folder / f"{at}.resealed").read_bytes(), form=CipherForm.ASN1) == case.secret


def test_twelve_random_keys_agree_with_openssl(tmp_path: Path) -> None:
    cross_check(tmp_path, count=12, seed=20261122)


@pytest.mark.slow
def test_five_hundred_random_keys_agree_with_openssl(tmp_path: Path) -> None:
    cross_check(tmp_path, count=500, seed=4500)
