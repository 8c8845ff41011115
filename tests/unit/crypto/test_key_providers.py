"""Key references, and key files that change while the process runs."""

from __future__ import annotations

import json
import logging
import os
import threading
from pathlib import Path

import pytest

from unicom_coupon_sdk.crypto.certificates import Certificate
from unicom_coupon_sdk.crypto.providers import EnvironmentKeys, FileKeys, Keys, KeySource, Rotating
from unicom_coupon_sdk.crypto.rsa import RsaPrivateKey
from unicom_coupon_sdk.domain.sensitive import Secret
from unicom_coupon_sdk.errors import ConfigurationError, CouponError

KEYS = json.loads((Path(__file__).parents[2] / "vectors" / "wechatpay.json").read_text("utf-8"))["keys"]
FIRST, SECOND = (KEYS[who]["private_key_pem"].encode() for who in ("merchant", "platform"))
FIRST_CERT, SECOND_CERT = (KEYS[who]["certificate_pem"].encode() for who in ("merchant", "platform"))


class TestReferences:
    def test_a_file_is_read(self, tmp_path: Path) -> None:
        (tmp_path / "k.pem").write_bytes(FIRST)
        assert Keys.default().load(f"file:{tmp_path / 'k.pem'}", field="k") == FIRST

    def test_the_home_folder_is_understood(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.setenv("USERPROFILE", str(tmp_path))
        (tmp_path / "k").write_bytes(b"key")
        assert Keys().load("file:~/k", field="k") == b"key"

    def test_a_variable_is_read(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SHOP_KEY", " secret\n")
        assert Keys().load("env:SHOP_KEY", field="k") == b" secret\n"
        assert Keys().text("env:SHOP_KEY", field="k") == "secret"

    def test_a_secret_built_in_code_is_the_key_itself(self) -> None:
        assert Keys().load(Secret("abc"), field="k") == b"abc"
        assert Keys().load(Secret("inline:abc"), field="k") == b"abc"

    def test_a_source_of_ones_own_serves_its_scheme(self) -> None:
        class Vault:
            def load(self, reference: str, *, field: str) -> bytes:
                return f"{reference} for {field}".encode()

        assert isinstance(Vault(), KeySource)
        assert Keys({"kms": Vault()}).load("kms:shop/7:v2", field="k") == b"shop/7:v2 for k"

    @pytest.mark.parametrize(
        ("reference", "code"),
        [
            ("inline:abc", "key.inline"),
            ("text:abc", "key.inline"),
            (FIRST.decode(), "key.inline"),
            ("abc", "key.reference"),
            ("", "key.reference"),
            ("file:", "key.reference"),
            ("kms:abc", "key.reference"),
            (r"C:\keys\k.pem", "key.reference"),
            ("/etc/k.pem", "key.reference"),
            ("env:SURELY_NOT_SET", "key.variable_missing"),
            ("file:/surely/not/there", "key.file_missing"),
            ("file:a\0b", "key.file_unreadable"),
            ("file:~nobody-of-that-name/k", "key.file_unreadable"),
        ],
    )
    def test_a_bad_reference_is_named_with_its_setting_and_never_shown(self, reference: str, code: str) -> None:
        with pytest.raises(ConfigurationError) as caught:
            Keys().load(reference, field="apiv3_key")
        assert (caught.value.code, caught.value.field) == (code, "apiv3_key")
        shown = f"{caught.value!r}{caught.value.details}"
        assert "abc" not in shown
        assert "MII" not in shown

    def test_an_empty_variable_is_missing(self) -> None:
        with pytest.raises(ConfigurationError) as caught:
            EnvironmentKeys({"A": ""}).load("A", field="k")
        assert caught.value.code == "key.variable_missing"

    @pytest.mark.parametrize("content", [b"", b"x" * ((1 << 20) + 1)])
    def test_an_empty_or_huge_file_is_unreadable(self, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "k").write_bytes(content)
        with pytest.raises(ConfigurationError) as caught:
            FileKeys().load(str(tmp_path / "k"), field="k")
        assert caught.value.code == "key.file_unreadable"

    def test_a_folder_is_unreadable(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigurationError) as caught:
            FileKeys().load(str(tmp_path), field="k")
        assert caught.value.code == "key.file_unreadable"

    def test_a_password_that_is_not_text_is_unreadable(self) -> None:
        class Bytes:
            def load(self, reference: str, *, field: str) -> bytes:
                return b"\xff\xfe"

        with pytest.raises(ConfigurationError) as caught:
            Keys({"b": Bytes()}).text("b:x", field="k")
        assert caught.value.code == "key.unreadable"

    @pytest.mark.skipif(os.name != "posix", reason="file modes are POSIX")
    @pytest.mark.parametrize(("mode", "exposed"), [(0o600, False), (0o400, False), (0o640, True), (0o604, True)])
    def test_a_file_that_others_may_read_is_exposed_but_loads(
        self, tmp_path: Path, mode: int, *, exposed: bool
    ) -> None:
        path = tmp_path / "k"
        path.write_bytes(b"key")
        path.chmod(mode)
        assert FileKeys.is_exposed(str(path)) is exposed
        assert FileKeys().load(str(path), field="k") == b"key"


class Ticks:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.at = 100.0

    def __call__(self) -> float:
        return self.at


def pair(key: bytes, certificate: bytes) -> tuple[RsaPrivateKey, str]:
    private = RsaPrivateKey.load(key, field="merchant_private_key")
    public = Certificate.load(certificate, field="merchant_cert")
    if not public.public_key.matches(private):
        raise ConfigurationError("key.not_a_pair", field="merchant_private_key")
    return private, public.serial


class TestRotation:
    @pytest.fixture
    def clock(self) -> Ticks:
        return Ticks()

    @pytest.fixture
    def reports(self) -> list[CouponError]:
        return []

    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        (tmp_path / "k.pem").write_bytes(FIRST)
        return tmp_path / "k.pem"

    @pytest.fixture
    def key(self, path: Path, clock: Ticks, reports: list[CouponError]) -> Rotating[RsaPrivateKey]:
        return Rotating(
            lambda content: RsaPrivateKey.load(content, field="k"),
            paths=[path],
            field="k",
            report=reports.append,
            monotonic=clock,
        )

    def replace(self, path: Path, content: bytes) -> None:
        fresh = path.with_suffix(".new")
        fresh.write_bytes(content)
        fresh.replace(path)

    def test_a_replaced_file_is_taken_over_without_a_restart(
        self, key: Rotating[RsaPrivateKey], path: Path, clock: Ticks
    ) -> None:
        before = key.current()
        self.replace(path, SECOND)
        clock.at += 6
        assert key.current().public_key != before.public_key
        assert key.current().sign_sha256(b"m") == RsaPrivateKey.load(SECOND, field="k").sign_sha256(b"m")

    def test_the_file_is_not_looked_at_before_its_time(
        self, key: Rotating[RsaPrivateKey], path: Path, clock: Ticks
    ) -> None:
        before = key.current()
        self.replace(path, SECOND)
        clock.at += 4.9
        assert key.current() is before

    def test_an_unchanged_file_keeps_the_same_object(self, key: Rotating[RsaPrivateKey], clock: Ticks) -> None:
        before = key.current()
        clock.at += 1000
        assert key.current() is before

    @pytest.mark.parametrize("bad", [b"", b"not a key", FIRST[:500], FIRST_CERT])
    def test_a_bad_file_is_reported_once_and_the_old_key_kept(
        self, key: Rotating[RsaPrivateKey], path: Path, clock: Ticks, reports: list[CouponError], bad: bytes
    ) -> None:
        before = key.current()
        self.replace(path, bad)
        for _ in range(3):
            clock.at += 6
            assert key.current() is before
        assert len(reports) == 1

    def test_a_fault_in_the_build_itself_is_reported_and_the_old_key_kept(
        self, path: Path, clock: Ticks, reports: list[CouponError]
    ) -> None:
        rotating = Rotating(
            lambda content: {FIRST: "first"}[content], paths=[path], field="k", report=reports.append, monotonic=clock
        )
        self.replace(path, SECOND)
        clock.at += 6
        assert rotating.current() == "first"
        assert [(report.code, report.details["reason"]) for report in reports] == [("key.unreadable", "KeyError")]

    def test_a_good_file_after_a_bad_one_is_taken_over(
        self, key: Rotating[RsaPrivateKey], path: Path, clock: Ticks
    ) -> None:
        before = key.current()
        self.replace(path, FIRST[:500])
        clock.at += 6
        key.current()
        self.replace(path, SECOND)
        clock.at += 6
        assert key.current().public_key != before.public_key

    def test_a_file_that_vanishes_is_reported_and_taken_over_when_it_comes_back(
        self, key: Rotating[RsaPrivateKey], path: Path, clock: Ticks, reports: list[CouponError]
    ) -> None:
        before = key.current()
        path.unlink()
        clock.at += 6
        assert key.current() is before
        assert [report.code for report in reports] == ["key.file_missing"]
        path.write_bytes(SECOND)
        clock.at += 6
        assert key.current().public_key != before.public_key

    def test_a_bad_file_at_the_start_is_an_error(self, tmp_path: Path) -> None:
        (tmp_path / "k").write_bytes(b"nonsense")
        with pytest.raises(ConfigurationError) as caught:
            Rotating(lambda content: RsaPrivateKey.load(content, field="k"), paths=[tmp_path / "k"], field="k")
        assert caught.value.code == "key.unreadable"

    def test_half_a_pair_is_never_taken_over(self, tmp_path: Path, clock: Ticks, reports: list[CouponError]) -> None:
        key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
        key.write_bytes(FIRST)
        certificate.write_bytes(FIRST_CERT)
        both = Rotating(pair, paths=[key, certificate], field="k", report=reports.append, monotonic=clock)
        old_serial = both.current()[1]
        self.replace(key, SECOND)
        clock.at += 6
        assert both.current()[1] == old_serial
        assert [report.code for report in reports] == ["key.not_a_pair"]
        self.replace(certificate, SECOND_CERT)
        clock.at += 6
        assert both.current()[1] == KEYS["platform"]["certificate_serial_no"]

    def test_while_one_thread_reads_the_file_the_others_get_the_old_key(self, path: Path, clock: Ticks) -> None:
        reading, go_on = threading.Event(), threading.Event()

        def slow(content: bytes) -> bytes:
            if content == SECOND:
                reading.set()
                assert go_on.wait(10)
            return content

        rotating = Rotating(slow, paths=[path], field="k", monotonic=clock)
        self.replace(path, SECOND)
        clock.at += 6
        reader = threading.Thread(target=rotating.current)
        reader.start()
        assert reading.wait(10)
        assert rotating.current() == FIRST
        go_on.set()
        reader.join()
        assert rotating.current() == SECOND

    def test_without_a_report_hook_it_is_logged_by_code_and_setting(
        self, path: Path, clock: Ticks, caplog: pytest.LogCaptureFixture
    ) -> None:
        rotating = Rotating(
            lambda content: RsaPrivateKey.load(content, field="merchant_private_key"),
            paths=[path],
            field="merchant_private_key",
            monotonic=clock,
        )
        self.replace(path, b"c4n4ry")
        clock.at += 6
        with caplog.at_level(logging.WARNING):
            rotating.current()
        assert "key.unreadable (merchant_private_key)" in caplog.text
        assert "c4n4ry" not in caplog.text
