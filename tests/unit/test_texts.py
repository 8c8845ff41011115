"""Every code that the source raises has its words, in both languages, with the same blanks to fill."""

import ast
import string
import tomllib
from pathlib import Path

import pytest

import unicom_coupon_sdk
from unicom_coupon_sdk import texts

ROOT = Path(unicom_coupon_sdk.__file__).parent
ADAPTERS = Path(__file__).resolve().parents[2] / "adapters" / "unicom_coupon_adapters"
CATALOGUES = [ROOT / "texts" / "texts.toml", *sorted(ADAPTERS.glob("*/texts.toml"))]
SOURCES = [*ROOT.rglob("*.py"), *ADAPTERS.rglob("*.py")]
ERROR_NAMES = {
    "ConfigurationError", "CallerError", "ValidationError", "CouponStateError", "LimitError", "RiskError",
    "VerificationError", "ComplianceError", "UnsupportedOperation", "IdempotencyConflict", "PlatformRefused",
    "PlatformUnavailable", "PlatformUnknown", "ForgedMessage", "LedgerError", "Finding",
}  # fmt: skip


def raised_codes():
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and node.args:
                name = getattr(node.func, "id", getattr(node.func, "attr", ""))
                first = node.args[0]
                if name in ERROR_NAMES and isinstance(first, ast.Constant) and isinstance(first.value, str):
                    yield first.value


def blanks(words):
    parts = words.values() if isinstance(words, dict) else [words]
    return {name for part in parts for _, name, _, _ in string.Formatter().parse(part) if name}


@pytest.mark.parametrize("code", sorted(set(raised_codes())))
def test_every_code_in_the_source_has_its_words(code):
    assert texts.find(code) is not None


@pytest.mark.parametrize("path", CATALOGUES, ids=lambda path: path.parent.name)
def test_both_languages_say_the_same(path):
    for key, entry in tomllib.loads(path.read_text(encoding="utf-8")).items():
        assert set(entry) == {"zh", "en"}, key
        assert blanks(entry["zh"]) == blanks(entry["en"]), key
        for words in entry.values():
            if isinstance(words, dict):
                assert set(words) <= {"message", "cause", "remedy"}, key
                assert words["message"], key
