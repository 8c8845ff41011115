"""Keys: what is on disk, what is listed, and how they change (sheet §1.5 to §1.7, §7)."""

from __future__ import annotations

import base64
import hashlib
import json
import stat
import time
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from .bench import Bench, body_of, header, load_certificate, load_private, refusal_of

OAEP = padding.OAEP(mgf=padding.MGF1(hashes.SHA1()), algorithm=hashes.SHA1(), label=None)
CONTRACT = {
    "mchid",
    "appid",
    "merchant_private_key_file",
    "merchant_cert_file",
    "merchant_cert_serial",
    "apiv3_key",
    "apiv2_key",
    "platform_public_key_file",
    "platform_public_key_id",
    "platform_cert_file",
    "platform_cert_serial",
    "app_secret",
}


def test_the_credentials_are_the_contracts(bench: Bench) -> None:
    told = bench.told
    assert set(told) == CONTRACT
    assert all(Path(told[name]).is_absolute() and Path(told[name]).exists() for name in told if name.endswith("_file"))
    assert (len(told["apiv3_key"]), len(told["apiv2_key"])) == (32, 32)
    assert Path(told["merchant_private_key_file"]).read_text().startswith("-----BEGIN PRIVATE KEY-----")
    assert Path(told["platform_public_key_file"]).read_text().startswith("-----BEGIN PUBLIC KEY-----")


def test_certificates_are_valid_long_before_and_for_years(bench: Bench) -> None:
    for side in ("merchant", "platform"):
        certificate = load_certificate(Path(bench.told[f"{side}_cert_file"]))
        assert f"{certificate.serial_number:X}" == bench.told[f"{side}_cert_serial"]
        assert len(bench.told[f"{side}_cert_serial"]) == 40
        assert certificate.not_valid_before_utc < bench.frame.time - timedelta(days=365)
        assert certificate.not_valid_after_utc > bench.frame.time + timedelta(days=5 * 365)
    key = load_private(bench.told["merchant_private_key_file"]).public_key().public_numbers()
    held = load_certificate(Path(bench.told["merchant_cert_file"])).public_key()
    assert isinstance(held, RSAPublicKey)
    assert held.public_numbers() == key


def test_private_files_are_for_their_owner_only(bench: Bench) -> None:
    bench.emulator.client_settings("http://127.0.0.1:1")
    for file in bench.frame.directory.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_restart_finds_the_same_keys(bench: Bench, tmp_path: Path) -> None:
    assert Bench(tmp_path).told == bench.told


def test_a_second_sandbox_in_the_process_starts_at_once(bench: Bench, tmp_path: Path) -> None:
    started = time.perf_counter()
    Bench(tmp_path / "second")
    assert time.perf_counter() - started < 0.5


def test_the_settings_refer_to_files_by_absolute_path(bench: Bench) -> None:
    told = bench.emulator.client_settings("http://127.0.0.1:8702")
    references = [told[name] for name in ("merchant_private_key", "apiv2_key", "platform_public_key", "app_secret")]
    references += [*told["apiv3_keys"], *told["platform_certificates"]]
    assert all(one.startswith("file:/") and Path(one[5:]).exists() for one in references)
    assert Path(told["apiv3_keys"][0][5:]).read_text() == bench.told["apiv3_key"]
    assert (told["mode"], told["base_url"]) == ("mixed", "http://127.0.0.1:8702")


@pytest.mark.parametrize("query", ["", "?algorithm_type=RSA", "?algorithm_type=ALL"])
def test_the_certificate_list_opens_with_the_apiv3_key(bench: Bench, query: str) -> None:
    answer = bench.get(f"/v3/certificates{query}", serial=None)
    (entry,) = body_of(answer)["data"]
    sealed = entry["encrypt_certificate"]
    opened = AESGCM(bench.told["apiv3_key"].encode()).decrypt(
        sealed["nonce"].encode(), base64.b64decode(sealed["ciphertext"]), sealed["associated_data"].encode()
    )
    certificate = x509.load_pem_x509_certificate(opened)
    assert f"{certificate.serial_number:X}" == entry["serial_no"] == header(answer, "Wechatpay-Serial")
    assert (sealed["algorithm"], sealed["associated_data"]) == ("AEAD_AES_256_GCM", "certificate")


def test_no_certificate_is_a_404_with_code_and_message(bench: Bench) -> None:
    assert refusal_of(bench.get("/v3/certificates?algorithm_type=SM2")) == (404, "RESOURCE_NOT_EXISTS")
    bench.emulator.rotate("certificate_void")
    answer = bench.get("/v3/certificates")
    assert refusal_of(answer) == (404, "RESOURCE_NOT_EXISTS")
    assert "微信支付公钥" in body_of(answer)["message"]


def test_before_the_switch_the_certificate_signs_whatever_is_named(bench: Bench) -> None:
    bench.emulator.rotate("certificate_only")
    assert header(bench.get("/v3/certificates"), "Wechatpay-Serial") == bench.told["platform_cert_serial"]


def test_once_void_only_the_public_key_signs(bench: Bench) -> None:
    bench.emulator.rotate("certificate_void")
    for named in (None, bench.told["platform_cert_serial"]):
        assert (
            header(bench.get("/v3/nowhere", serial=named), "Wechatpay-Serial") == bench.told["platform_public_key_id"]
        )
    with pytest.raises(ValueError, match="void"):
        bench.emulator.rotate("switch_day_1")


def test_callbacks_move_to_the_public_key_day_by_day(bench: Bench) -> None:
    keys = bench.emulator._world.keys
    ids = [hashlib.sha256(bytes([number % 256, number // 256])).hexdigest() for number in range(4000)]
    shares = []
    for step in ("switch_start", *(f"switch_day_{day}" for day in range(1, 8))):
        told = bench.emulator.rotate(step)
        by_public = sum(keys.callback_signer(one).serial.startswith("PUB") for one in ids)
        assert abs(by_public / 4000 - told["callback_permille"] / 1000) < 0.03
        shares.append(by_public)
    assert shares[0] == 0
    assert shares[-1] == 4000
    assert shares == sorted(shares)


def test_the_steps_can_be_taken_in_the_order_they_are_listed(bench: Bench) -> None:
    for step in bench.emulator.key_steps():
        assert bench.emulator.rotate(step)["step"] == step


def test_a_new_platform_certificate_is_listed_then_used_then_alone(bench: Bench) -> None:
    old = bench.told["platform_cert_serial"]
    told = bench.emulator.rotate("certificate_listed")
    new = told["next_platform_cert_serial"]
    assert [one["serial_no"] for one in body_of(bench.get("/v3/certificates", serial=None))["data"]] == [old, new]
    assert header(bench.get("/v3/nowhere", serial=None), "Wechatpay-Serial") == old
    assert header(bench.get("/v3/nowhere", serial=new), "Wechatpay-Serial") == new
    with pytest.raises(ValueError, match="under way"):
        bench.emulator.rotate("switch_start")
    bench.emulator.rotate("certificate_both")
    keys = bench.emulator._world.keys
    assert {keys.callback_signer(str(number)).serial for number in range(50)} == {old, new}
    bench.told = dict(bench.emulator.rotate("certificate_new"))
    assert bench.told["platform_cert_serial"] == new
    answer = bench.get("/v3/nowhere", serial=old)
    assert header(answer, "Wechatpay-Serial") == new
    assert bench.verifies(answer)


def test_a_new_apiv3_key_counts_at_once(bench: Bench) -> None:
    old = bench.told["apiv3_key"]
    new = bench.emulator.rotate("apiv3_key_new")["apiv3_key"]
    assert new != old
    settings = bench.emulator.client_settings("http://x")
    assert [Path(one[5:]).read_text() for one in settings["apiv3_keys"]] == [new, old]


def test_an_unknown_step_is_an_error(bench: Bench) -> None:
    with pytest.raises(ValueError, match="unknown step"):
        bench.emulator.rotate("certificate_maybe")


def test_the_echo_opens_and_seals_a_secret_field(bench: Bench) -> None:
    for named in (bench.told["platform_public_key_id"], bench.told["platform_cert_serial"]):
        secret = base64.b64encode(bench.platform_key(named).encrypt("张三".encode(), OAEP)).decode()
        body = {"echo_message": "hello", "encrypted_echo_message": secret, "notify_url": "https://merchant.example/x"}
        told = body_of(bench.post("/v3/security/echo", body, serial=named))
        back = base64.b64decode(told["encrypted_echo_message"])
        assert load_private(bench.told["merchant_private_key_file"]).decrypt(back, OAEP).decode() == "张三"
    envelope, told, _ = bench.open_callback(bench.frame.sent[0])
    assert (envelope["event_type"], envelope["resource"]["original_type"]) == ("SECURITY_ECHO.SUCCESS", "security")
    assert told == {"echo_message": "hello"}


@pytest.mark.parametrize(
    ("serial", "message"), [(None, "Wechatpay-Serial"), ("PUB_KEY_ID_0000000000", "Wechatpay-Serial")]
)
def test_a_secret_field_needs_the_serial_of_its_key(bench: Bench, serial: str | None, message: str) -> None:
    body = {"echo_message": "hello", "encrypted_echo_message": "AAAA"}
    answer = bench.post("/v3/security/echo", body, serial=serial)
    assert refusal_of(answer) == (400, "PARAM_ERROR")
    assert message in body_of(answer)["message"]


def test_a_secret_field_that_does_not_open_is_named(bench: Bench) -> None:
    for wrong in ("AAAA", "no base64"):
        answer = bench.post("/v3/security/echo", {"echo_message": "hello", "encrypted_echo_message": wrong})
        assert body_of(answer)["detail"]["field"] == "/encrypted_echo_message"


def test_the_rotation_survives_a_reset_of_everything_else(bench: Bench) -> None:
    bench.told = dict(bench.emulator.rotate("merchant_certificate_new"))
    kept = {kind: told for kind, told in bench.frame.store.kinds.items() if kind == "keys"}
    bench.frame.store.kinds = json.loads(json.dumps(kept))
    assert dict(bench.emulator.credentials())["merchant_cert_serial"] == bench.told["merchant_cert_serial"]
