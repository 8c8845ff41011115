from __future__ import annotations

import re
from pathlib import Path

import unicom_coupon_adapters.unionpay_pos as package
from unicom_coupon_sdk import texts

FOLDER = Path(str(package.__file__)).parent
RAISED = re.compile(r'"(unionpay_pos\.[a-z0-9_]+)"|(?<![_.])refuse\(\s*"([a-z0-9_]+)"|_forged\("([a-z0-9_]+)"\)')


def raised() -> set[str]:
    found: set[str] = {"unionpay_pos.frame_missing", "unionpay_pos.frame_type"}
    for path in FOLDER.rglob("*.py"):
        for whole, fault, forged in RAISED.findall(path.read_text("utf-8")):
            found.add(whole or (f"unionpay_pos.frame_{fault}" if fault else f"unionpay_pos.{forged}"))
    return found


def test_every_code_that_is_raised_is_explained_in_both_languages() -> None:
    for code in raised():
        entry = texts.find(code)
        assert entry is not None, code
        for language in texts.LANGUAGES:
            assert set(entry[language]) == {"message", "cause", "remedy"}, code


def test_every_explained_code_is_raised() -> None:
    explained = {
        line.strip('[]"') for line in (FOLDER / "texts.toml").read_text("utf-8").splitlines() if line[:1] == "["
    }
    assert explained == raised()
