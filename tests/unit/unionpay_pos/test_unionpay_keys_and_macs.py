from __future__ import annotations

import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unicom_coupon_adapters.unionpay_pos.blocks import Des, Sm4
from unicom_coupon_adapters.unionpay_pos.frame_errors import FrameError
from unicom_coupon_adapters.unionpay_pos.keys import (
    Cipher,
    KeyKind,
    MasterKey,
    WrappedKey,
    check_value,
    is_weak,
    load_working_keys,
    pack_key_download,
    parse_key_download,
)
from unicom_coupon_adapters.unionpay_pos.mac import MacAlgorithm, MacKey, fold
from unicom_coupon_sdk.errors import ConfigurationError

GOOD = bytes.fromhex("9D3B61C8F24EA7150C86D9732B54EF18")
OTHER = bytes.fromhex("5E17A4C90B3D8862F1704BDE92356CA8")
MASTER = MasterKey.load(GOOD, field="tmk")


def download(code: str, master: MasterKey, mak: bytes) -> bytes:
    clear = {KeyKind.PIK: OTHER[: 8 if code == "001" else 16], KeyKind.MAK: mak}
    if code in {"004", "006"}:
        clear[KeyKind.TDK] = OTHER[::-1]
    keys = tuple(
        WrappedKey(kind, master.wrap(key), check_value(key, cipher=master.cipher)) for kind, key in clear.items()
    )
    return pack_key_download(keys, network_code=code)


@pytest.mark.parametrize(
    ("code", "cipher", "mak", "size"),
    [
        ("001", Cipher.DES, GOOD[:8], 24),
        ("003", Cipher.DES, GOOD[:8], 40),
        ("003", Cipher.DES, GOOD, 40),
        ("004", Cipher.DES, GOOD[:8], 60),
        ("006", Cipher.SM4, GOOD, 60),
    ],
)
def test_every_sign_on_kind_brings_its_keys(code: str, cipher: Cipher, mak: bytes, size: int) -> None:
    master = MasterKey.load(GOOD, field="tmk", cipher=cipher)
    field62 = download(code, master, mak)
    keys = load_working_keys(field62, network_code=code, master=master)
    assert (len(field62), keys.mak, keys.tdk is None) == (size, mak, code in {"001", "003"})
    assert pack_key_download(parse_key_download(field62, network_code=code), network_code=code) == field62


def test_a_sign_on_of_another_cipher_is_a_wrong_setting() -> None:
    field62 = download("004", MASTER, GOOD[:8])
    with pytest.raises(ConfigurationError) as caught:
        load_working_keys(field62, network_code="006", master=MASTER)
    assert caught.value.code == "unionpay_pos.key_cipher"


@pytest.mark.parametrize(
    "kinds", [(), (KeyKind.PIK,), (KeyKind.PIK, KeyKind.MAK, KeyKind.TDK), (KeyKind.MAK, KeyKind.MAK)]
)
def test_a_download_with_other_keys_than_its_code_is_not_written(kinds: tuple[KeyKind, ...]) -> None:
    keys = tuple(WrappedKey(kind, bytes(16), bytes(4)) for kind in kinds)
    with pytest.raises(FrameError):
        pack_key_download(keys, network_code="003")


@pytest.mark.parametrize(
    "key",
    [
        "11" * 16,
        "31" * 16,
        "00" * 16,
        "0123456789ABCDEF" * 2,
        "0123456789ABCDEFFEDCBA9876543210",
        "9D3B61C8F24EA715" * 2,
        "01FE" * 8,
    ],
)
def test_a_key_that_anyone_could_guess_is_refused_outside_the_sandbox(key: str) -> None:
    assert is_weak(bytes.fromhex(key))
    with pytest.raises(ConfigurationError) as caught:
        MasterKey.load(bytes.fromhex(key), field="tmk")
    assert (caught.value.code, caught.value.field) == ("unionpay_pos.key_weak", "tmk")
    MasterKey.for_sandbox(bytes.fromhex(key), field="tmk")


def test_parity_bits_do_not_hide_equal_halves() -> None:
    assert is_weak(GOOD[:8] + bytes(byte ^ 1 for byte in GOOD[:8]))
    assert not is_weak(GOOD)


@pytest.mark.parametrize("size", [0, 7, 15, 17, 24, 32])
def test_a_key_of_another_length_is_refused(size: int) -> None:
    key = (GOOD + OTHER)[:size]
    for make in (Des, Sm4, lambda k: MasterKey.for_sandbox(k, field="tmk"), MacKey):
        with pytest.raises(ConfigurationError) as caught:
            make(key)
        assert caught.value.code == "unionpay_pos.key_length"


@pytest.mark.parametrize("wrapped", [b"", bytes(7), bytes(20)])
def test_what_is_not_whole_blocks_is_no_wrapped_key(wrapped: bytes) -> None:
    for change in (MASTER.unwrap, MASTER.wrap):
        with pytest.raises(FrameError):
            change(wrapped)


@pytest.mark.parametrize("check", [b"", bytes(3), bytes(5)])
def test_a_shortened_check_value_is_not_accepted(check: bytes) -> None:
    with pytest.raises(FrameError):
        MASTER.unwrap_checked(MASTER.wrap(OTHER), check)


def xor_of_blocks(message: bytes, block: int) -> bytes:
    padded = message + bytes(-len(message) % block)
    total = bytearray(block)
    for at, byte in enumerate(padded):
        total[at % block] ^= byte
    return bytes(total)


@given(st.binary(max_size=600), st.sampled_from([8, 16]))
@settings(max_examples=200, deadline=None)
def test_folding_is_the_xor_of_all_blocks(message: bytes, block: int) -> None:
    assert fold(message, block) == xor_of_blocks(message, block).hex().upper().encode()


@pytest.mark.parametrize("algorithm", list(MacAlgorithm))
def test_a_message_of_any_length_has_a_mac_of_eight_bytes(algorithm: MacAlgorithm) -> None:
    size = 8 if algorithm in {MacAlgorithm.ECB, MacAlgorithm.X99} else 16
    key = MacKey(GOOD[:size], algorithm=algorithm)
    for length in (0, 1, 7, 8, 9, 15, 16, 17, 1000):
        assert len(key.sign(bytes(length))) == 8


def test_two_blocks_that_change_places_keep_the_mac_which_is_why_tls_is_asked_for() -> None:
    key = MacKey(GOOD[:8])
    assert key.sign(b"A" * 8 + b"B" * 8) == key.sign(b"B" * 8 + b"A" * 8)
    assert MacKey(GOOD[:8], algorithm=MacAlgorithm.X99).sign(b"A" * 8 + b"B" * 8) != MacKey(
        GOOD[:8], algorithm=MacAlgorithm.X99
    ).sign(b"B" * 8 + b"A" * 8)


def test_threads_share_a_key_without_harm() -> None:
    key, wrong = MacKey(GOOD[:8]), []
    wanted = {size: key.sign(bytes(range(size))) for size in range(1, 200)}

    def work() -> None:
        wrong.extend(size for size in range(1, 200) if key.sign(bytes(range(size))) != wanted[size])

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_no_key_is_shown() -> None:
    keys = load_working_keys(download("004", MASTER, GOOD[:8]), network_code="004", master=MASTER)
    for thing in (MASTER, keys, MacKey(GOOD[:8]), Des(GOOD), Sm4(GOOD), WrappedKey(KeyKind.MAK, GOOD, bytes(4))):
        assert GOOD[:8].hex() not in repr(thing).lower()
        assert repr(GOOD[:8])[2:-1] not in repr(thing)
