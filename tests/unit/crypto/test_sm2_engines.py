"""Finding, checking and sharing the libraries that do SM2."""

from __future__ import annotations

import ctypes
import gc
import os
import subprocess
import sys
import threading
import types
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from unicom_coupon_sdk.crypto import libcrypto, sm2_engines
from unicom_coupon_sdk.crypto.sm2 import Backend, Sm2PrivateKey, Sm2PublicKey, engine
from unicom_coupon_sdk.crypto.sm2_engines import GmsslEngine, OpensslEngine
from unicom_coupon_sdk.errors import ConfigurationError

NUMBER = "3945208f7b2144b13f36e38ac6d39f95889393692860b51a42fb81ef4df7c5b8"


@pytest.fixture
def fresh() -> Iterator[None]:
    """Searches start anew in the test and after it."""
    for kept in (libcrypto.find, sm2_engines._search):
        kept.cache_clear()
    yield
    for kept in (libcrypto.find, sm2_engines._search):
        kept.cache_clear()


class TestSearch:
    def test_the_copy_that_pythons_ssl_links_comes_first(self) -> None:
        import _ssl

        if sys.platform == "win32":
            pytest.skip("there the DLL beside the module is named")
        assert next(libcrypto.candidates()) == _ssl.__file__

    def test_what_was_found_is_openssl_3_or_newer_and_says_where(self) -> None:
        found = libcrypto.find()
        assert int(found.version.split(".")[0]) >= 3
        assert found.origin
        assert libcrypto.find() is found

    def test_the_variable_names_the_only_candidate(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv(libcrypto.OVERRIDE, "/opt/ssl/libcrypto.so.3")
        assert list(libcrypto.candidates()) == ["/opt/ssl/libcrypto.so.3"]

    @pytest.mark.usefixtures("fresh")
    def test_a_candidate_that_will_not_do_is_passed_over(self, monkeypatch: pytest.MonkeyPatch) -> None:
        good = list(libcrypto.candidates())
        monkeypatch.setattr(libcrypto, "candidates", lambda: iter(["/nowhere/libcrypto.so.3", *good]))
        assert libcrypto.find().origin in good

    @pytest.mark.usefixtures("fresh")
    def test_when_none_will_do_each_is_listed_with_its_reason(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(libcrypto, "candidates", lambda: iter(["/a/libcrypto.so.3", "/b/libcrypto.so.3"]))
        with pytest.raises(libcrypto.LibcryptoMissing, match=r"/a/.*cannot be opened; /b/.*cannot be opened"):
            libcrypto.find()

    def test_a_file_that_is_no_library_is_refused(self, tmp_path: Path) -> None:
        path = tmp_path / "libcrypto.so.3"
        path.write_bytes(b"no library")
        with pytest.raises(libcrypto.LibcryptoMissing, match="cannot be opened"):
            libcrypto.open_library(str(path))

    @pytest.mark.skipif(sys.platform != "linux", reason="names a Linux library")
    def test_a_library_of_another_kind_is_refused(self) -> None:
        with pytest.raises(libcrypto.LibcryptoMissing, match="is not OpenSSL 3"):
            libcrypto.open_library("libc.so.6")

    @pytest.mark.parametrize(
        ("major", "context", "reason"), [(1, 1, "is older than OpenSSL 3"), (3, None, "was built without SM2")]
    )
    def test_an_old_version_and_a_build_without_sm2_are_refused(
        self, monkeypatch: pytest.MonkeyPatch, major: int, context: int | None, reason: str
    ) -> None:
        class Library:
            def __getattr__(self, name: str) -> object:
                if name not in libcrypto._FUNCTIONS:
                    raise AttributeError(name)
                answers = {"OPENSSL_version_major": major, "EVP_PKEY_CTX_new_from_name": context}
                return _Function(answers.get(name))

        monkeypatch.setattr(ctypes, "CDLL", lambda path: Library())
        with pytest.raises(libcrypto.LibcryptoMissing, match=reason):
            libcrypto.open_library("libcrypto.so.3")


class _Function:
    def __init__(self, answer: object) -> None:
        self.answer = answer

    def __call__(self, *arguments: object) -> object:
        return self.answer


class TestOtherSystems:
    def pretend(self, monkeypatch: pytest.MonkeyPatch, platform: str, module: Path) -> None:
        monkeypatch.setattr(sys, "platform", platform)
        for name in ("prefix", "base_prefix", "base_exec_prefix"):
            monkeypatch.setattr(sys, name, str(module.parent.parent))
        for name in ("_ssl", "_hashlib"):
            fake = types.ModuleType(name)
            fake.__file__ = str(module)
            monkeypatch.setitem(sys.modules, name, fake)

    def test_windows_finds_the_dll_beside_pythons_own_module(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        folder = tmp_path / "DLLs"
        folder.mkdir()
        (folder / "libcrypto-3-x64.dll").touch()
        self.pretend(monkeypatch, "win32", folder / "_ssl.pyd")
        monkeypatch.setattr(libcrypto.ctypes.util, "find_library", lambda _: None)
        found = list(libcrypto.candidates())
        assert found[0] == str(folder / "libcrypto-3-x64.dll")
        assert "libcrypto-3-arm64.dll" in found

    def test_macos_never_opens_the_unversioned_system_library(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        asked: list[str] = []
        self.pretend(monkeypatch, "darwin", tmp_path / "lib-dynload" / "_ssl.so")
        monkeypatch.setattr(libcrypto.ctypes.util, "find_library", asked.append)
        (tmp_path / "lib").mkdir()
        (tmp_path / "lib" / "libcrypto.3.dylib").touch()
        (tmp_path / "lib" / "libcrypto.dylib").touch()
        found = list(libcrypto.candidates())
        assert str(tmp_path / "lib" / "libcrypto.3.dylib") in found
        assert not [path for path in found if path.endswith("/libcrypto.dylib")]
        assert asked == []

    def test_modules_built_into_the_interpreter_do_not_stop_the_search(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("_ssl", "_hashlib"):
            monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
        assert list(libcrypto.candidates())

    def test_a_python_without_ssl_does_not_stop_the_search(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("_ssl", "_hashlib"):
            monkeypatch.setitem(sys.modules, name, None)
        assert list(libcrypto.candidates())


@pytest.mark.usefixtures("fresh")
class TestChoice:
    def hide(self, monkeypatch: pytest.MonkeyPatch, *, openssl: bool = False, gmssl: bool = False) -> None:
        if openssl:
            monkeypatch.setenv(libcrypto.OVERRIDE, "/nowhere/libcrypto.so.3")
        if gmssl:
            monkeypatch.setitem(sys.modules, "gmssl_pyx", None)

    def test_openssl_is_the_first_choice(self) -> None:
        assert engine().name is Backend.OPENSSL

    def test_with_neither_the_error_says_what_to_install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.hide(monkeypatch, openssl=True, gmssl=True)
        with pytest.raises(ConfigurationError) as caught:
            Sm2PrivateKey.from_hex(NUMBER)
        assert caught.value.code == "sm2.no_engine"
        for language in ("en", "zh"):
            told = caught.value.diagnostics(language)
            assert "openssl: /nowhere/libcrypto.so.3: cannot be opened; gmssl: " in told.cause
            for hint in ("OpenSSL 3", libcrypto.OVERRIDE, "unicom-coupon-sdk[sm]"):
                assert hint in told.remedy

    @pytest.mark.parametrize("backend", [Backend.OPENSSL, Backend.GMSSL])
    def test_a_named_engine_that_is_absent_fails_loudly(
        self, monkeypatch: pytest.MonkeyPatch, backend: Backend
    ) -> None:
        self.hide(monkeypatch, openssl=True, gmssl=True)
        with pytest.raises(ConfigurationError) as caught:
            engine(backend)
        assert caught.value.code == "sm2.engine_absent"
        assert backend.value in str(caught.value)

    def test_a_search_in_vain_is_not_repeated(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.hide(monkeypatch, gmssl=True)
        searches: list[None] = []
        monkeypatch.setattr(libcrypto, "candidates", lambda: searches.append(None) or iter(()))
        for _ in range(3):
            with pytest.raises(ConfigurationError):
                engine()
        assert len(searches) == 1

    @pytest.mark.parametrize("fault", ["accepts all", "refuses all", "raises", "decrypts wrongly"])
    def test_an_engine_that_fails_its_self_test_is_not_used(self, monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
        module = types.ModuleType("gmssl_pyx")
        module.GmsslInnerError = type("GmsslInnerError", (Exception,), {})  # type: ignore[attr-defined]

        def verify(point: bytes, digest: bytes, signature: bytes) -> bool:
            if fault == "raises":
                raise module.GmsslInnerError
            right = digest[0] == 0xF0
            return {"accepts all": True, "refuses all": False}.get(fault, right)

        module.sm2_verify_sm3_digest = verify  # type: ignore[attr-defined]
        module.sm2_sign_sm3_digest = lambda number, digest: b"signature"  # type: ignore[attr-defined]
        module.sm2_encrypt = lambda point, text: text  # type: ignore[attr-defined]
        module.sm2_decrypt = lambda number, text: text[::-1]  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "gmssl_pyx", module)
        with pytest.raises(ConfigurationError) as caught:
            engine(Backend.GMSSL)
        assert caught.value.code == "sm2.engine_failed"
        assert engine().name is Backend.OPENSSL

    def test_a_key_can_be_bound_to_an_engine(self) -> None:
        chosen = engine(Backend.OPENSSL)
        assert isinstance(chosen, OpensslEngine)
        assert Sm2PrivateKey.from_hex(NUMBER, engine=chosen).public_key.point


@pytest.mark.parametrize(
    ("version", "machine", "constant"),
    [
        ("3.0.19", "x86_64", True),
        ("3.6.1", "AMD64", True),
        ("3.0.19", "aarch64", True),
        ("3.1.8", "arm64", True),
        ("3.2.0", "arm64", False),
        ("3.5.4", "aarch64", False),
        ("4.0.3", "riscv64", False),
    ],
)
def test_where_openssl_has_sm2_code_of_its_own_it_is_not_called_constant_time(
    version: str, machine: str, *, constant: bool
) -> None:
    assert sm2_engines.is_constant_time(version, machine=machine) is constant


@pytest.mark.clients
class TestGmssl:
    @pytest.fixture
    def gmssl(self) -> GmsslEngine:
        pytest.importorskip("gmssl_pyx")
        chosen = engine(Backend.GMSSL)
        assert isinstance(chosen, GmsslEngine)
        return chosen

    def test_it_needs_the_public_key_and_says_so(self, gmssl: GmsslEngine) -> None:
        with pytest.raises(ConfigurationError) as caught:
            Sm2PrivateKey.from_hex(NUMBER, engine=gmssl)
        assert caught.value.code == "sm2.public_needed"

    def test_halves_of_two_pairs_are_found_by_signing_once(self, gmssl: GmsslEngine) -> None:
        other = Sm2PublicKey(Sm2PrivateKey.from_hex(f"{7:064x}").public_key.point, engine=gmssl)
        with pytest.raises(ConfigurationError) as caught:
            Sm2PrivateKey.from_hex(NUMBER, engine=gmssl, public_key=other)
        assert caught.value.code == "key.not_a_pair"

    def test_both_engines_understand_each_other(self, gmssl: GmsslEngine) -> None:
        ours = Sm2PrivateKey.from_hex(NUMBER)
        public = Sm2PublicKey(ours.public_key.point, engine=gmssl)
        theirs = Sm2PrivateKey.from_hex(NUMBER, engine=gmssl, public_key=public)
        assert public.verify(ours.sign(b"m", user_id=b"x"), b"m", user_id=b"x")
        assert ours.public_key.verify(theirs.sign(b"m", user_id=b"x"), b"m", user_id=b"x")
        assert ours.decrypt(public.encrypt(b"k" * 16)) == b"k" * 16
        assert theirs.decrypt(ours.public_key.encrypt(b"k" * 16)) == b"k" * 16


class TestSharing:
    def test_calls_release_the_interpreter_lock(self) -> None:
        library = libcrypto.find().functions
        assert isinstance(library, ctypes.CDLL)
        assert not isinstance(library, ctypes.PyDLL)

    def test_threads_share_one_key_for_everything(self) -> None:
        key = Sm2PrivateKey.from_hex(NUMBER)
        start = threading.Barrier(4)

        def work(thread: int) -> bool:
            start.wait(10)
            good = True
            for number in range(25):
                message, user_id = f"{thread} {number}".encode(), str(thread).encode()
                signature = key.sign(message, user_id=user_id)
                good &= key.public_key.verify(signature, message, user_id=user_id)
                good &= not key.public_key.verify(signature, message)
                good &= key.decrypt(key.public_key.encrypt(message)) == message
            return good

        with ThreadPoolExecutor(4) as pool:
            assert all(pool.map(work, range(4)))

    def test_one_thread_at_a_time_needs_one_context(self) -> None:
        key = Sm2PrivateKey.from_hex(NUMBER)
        for _ in range(5):
            key.sign(b"m")
        assert len(key._handle._signing._free) == 1

    def test_dropped_keys_give_their_memory_back_to_the_library(self, monkeypatch: pytest.MonkeyPatch) -> None:
        engine()  # whose self-test makes keys of its own
        freed: list[int] = []
        release = sm2_engines._release

        def counted(lib: ctypes.CDLL, key: int, pools: tuple[sm2_engines._Pool, ...]) -> None:
            freed.append(key)
            release(lib, key, pools)

        monkeypatch.setattr(sm2_engines, "_release", counted)
        key = Sm2PrivateKey.from_hex(NUMBER)
        key.public_key.verify(key.sign(b"m"), b"m")
        del key
        gc.collect()
        assert len(freed) == 2

    def test_a_refused_signature_leaves_no_error_behind_for_ssl(self) -> None:
        library = ctypes.CDLL(libcrypto.find().origin)
        library.ERR_peek_error.restype = ctypes.c_ulong
        key = Sm2PrivateKey.from_hex(NUMBER)
        assert not key.public_key._handle.verify_digest(b"\x30\x00", bytes(32))
        assert library.ERR_peek_error() == 0

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
    def test_a_forked_child_never_repeats_the_nonces_of_its_parent(self) -> None:
        script = (
            "import os\n"
            "from unicom_coupon_sdk.crypto.sm2 import Sm2PrivateKey\n"
            f"key = Sm2PrivateKey.from_hex({NUMBER!r})\n"
            "key.sign(b'before')\n"
            "child = os.fork()\n"
            "os.write(1, b'\\n'.join(key.sign(b'm').hex().encode() for _ in range(3)) + b'\\n')\n"
            "if child:\n"
            "    os.waitpid(child, 0)\n"
            "else:\n"
            "    os._exit(0)\n"
        )
        said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
        assert len(set(said.stdout.split())) == 6
