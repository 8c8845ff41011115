"""Field encryption at rest: what is sealed opens, in its own context and under its own key only."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unicom_coupon_sdk.crypto.fields import FieldCipher, derive_key
from unicom_coupon_sdk.errors import ConfigurationError, LedgerError

FIRST, SECOND, INDEX = b"1" * 32, b"2" * 32, b"i" * 32
CIPHER = FieldCipher({"2026a": FIRST, "2026b": SECOND}, current="2026b", index_key=INDEX)
texts = st.text(max_size=80)
contexts = st.text(max_size=30)


@given(texts, contexts)
def test_what_is_sealed_opens(text: str, context: str) -> None:
    assert CIPHER.open(CIPHER.seal(text, context=context), context=context) == text


@given(texts, contexts)
def test_two_seals_of_one_text_differ(text: str, context: str) -> None:
    assert CIPHER.seal(text, context=context) != CIPHER.seal(text, context=context)


@given(texts, contexts, contexts)
def test_a_value_cannot_be_moved_to_another_context(text: str, context: str, other: str) -> None:
    blob = CIPHER.seal(text, context=context)
    if other != context:
        with pytest.raises(LedgerError) as caught:
            CIPHER.open(blob, context=other)
        assert caught.value.code == "field.tampered"


@given(texts, st.data())
def test_any_changed_bit_is_noticed(text: str, data: st.DataObject) -> None:
    blob = bytearray(CIPHER.seal(text, context="c"))
    blob[data.draw(st.integers(0, len(blob) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises((LedgerError, ConfigurationError)):
        CIPHER.open(bytes(blob), context="c")


@given(st.binary(max_size=120))
def test_random_bytes_never_open_and_never_crash(blob: bytes) -> None:
    with pytest.raises((LedgerError, ConfigurationError)):
        CIPHER.open(blob, context="c")


@given(texts, st.integers(0, 60))
def test_a_cut_value_is_refused(text: str, cut: int) -> None:
    blob = CIPHER.seal(text, context="c")
    with pytest.raises((LedgerError, ConfigurationError)):
        CIPHER.open(blob[: max(0, len(blob) - 1 - cut)], context="c")


def test_the_layout_is_version_key_id_nonce_and_ciphertext() -> None:
    blob = CIPHER.seal("abc", context="c")
    assert blob[:7] == b"\x01\x052026b"
    assert len(blob) == 7 + 12 + 3 + 16


def test_a_memory_view_from_a_database_driver_opens() -> None:
    assert CIPHER.open(memoryview(CIPHER.seal("券", context="c")), context="c") == "券"  # type: ignore[arg-type]


class TestRotation:
    old = FieldCipher({"2026a": FIRST}, current="2026a", index_key=INDEX)

    def test_a_value_under_an_older_key_opens(self) -> None:
        assert CIPHER.open(self.old.seal("x", context="c"), context="c") == "x"

    def test_only_values_under_the_current_key_are_current(self) -> None:
        assert CIPHER.is_current(CIPHER.seal("x", context="c"))
        assert not CIPHER.is_current(self.old.seal("x", context="c"))

    def test_a_missing_key_is_named_in_the_error(self) -> None:
        with pytest.raises(ConfigurationError) as caught:
            self.old.open(CIPHER.seal("x", context="coupon.code"), context="coupon.code")
        assert caught.value.code == "field_key.missing"
        assert "2026b" in str(caught.value)

    def test_the_index_stays_when_the_key_changes(self) -> None:
        assert CIPHER.index("x", context="c") == self.old.index("x", context="c")


class TestIndex:
    @given(texts, contexts)
    def test_equal_texts_have_equal_indexes_of_16_bytes(self, text: str, context: str) -> None:
        index = CIPHER.index(text, context=context)
        assert len(index) == 16
        assert index == CIPHER.index(text, context=context)

    @given(st.tuples(texts, contexts), st.tuples(texts, contexts))
    def test_other_texts_or_contexts_have_other_indexes(self, first: tuple[str, str], second: tuple[str, str]) -> None:
        same = CIPHER.index(first[0], context=first[1]) == CIPHER.index(second[0], context=second[1])
        assert same == (first == second)

    def test_text_cannot_be_shifted_between_context_and_value(self) -> None:
        assert CIPHER.index("bc", context="a") != CIPHER.index("c", context="ab")

    def test_another_key_gives_another_index(self) -> None:
        other = FieldCipher({"2026b": SECOND}, current="2026b", index_key=b"j" * 32)
        assert other.index("x", context="c") != CIPHER.index("x", context="c")


class TestDerive:
    def test_one_master_gives_one_cipher(self) -> None:
        blob = FieldCipher.derive(FIRST).seal("x", context="c")
        assert FieldCipher.derive(FIRST).open(blob, context="c") == "x"
        with pytest.raises(LedgerError):
            FieldCipher.derive(SECOND).open(blob, context="c")

    @pytest.mark.parametrize("length", [0, 16, 31, 33])
    def test_a_master_of_another_length_is_refused(self, length: int) -> None:
        for make in (FieldCipher.derive, lambda master: derive_key(master, label="x")):
            with pytest.raises(ConfigurationError) as caught:
                make(b"m" * length)
            assert caught.value.code == "field_key.length"

    def test_each_label_gives_another_key(self) -> None:
        labels = ["qr-token", "coupon-code", "field-seal-1", "field-index-1", ""]
        assert len({derive_key(FIRST, label=label) for label in labels}) == len(labels)

    def test_a_derived_key_never_changes_between_releases(self) -> None:
        known = "76f2c396b7ba3ad8ce1dbfcf7686da66"  # HKDF worked out with two HMACs
        assert derive_key(bytes(32), label="coupon-code").hex()[:32] == known


@pytest.mark.parametrize(
    ("keys", "current", "index_key", "code"),
    [
        ({"a": b"short"}, "a", INDEX, "field_key.length"),
        ({"a": FIRST}, "b", INDEX, "field_key.missing"),
        ({"": FIRST}, "", INDEX, "field_key.id"),
        ({"x" * 33: FIRST}, "x" * 33, INDEX, "field_key.id"),
        ({"券": FIRST}, "券", INDEX, "field_key.id"),
        ({"a": FIRST}, "a", b"short", "field_key.length"),
    ],
)
def test_unusable_keys_are_refused_at_the_start(
    keys: dict[str, bytes], current: str, index_key: bytes, code: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        FieldCipher(keys, current=current, index_key=index_key)
    assert caught.value.code == code
    assert "short" not in str(caught.value)


def test_no_key_is_shown() -> None:
    assert repr(CIPHER) == "FieldCipher(2 keys)"
