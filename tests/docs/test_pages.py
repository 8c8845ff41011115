"""Every code block of the README and of the site runs, and the two languages keep step."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from unicom_coupon_sdk import texts

from .blocks import Reader, blocks_of

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "README.zh.md", *sorted((ROOT / "docs").rglob("*.md"))]
WITH_BLOCKS = [page for page in PAGES if any(block.kind not in {"sh", "text"} for block in blocks_of(page))]
ENGLISH = [page for page in PAGES if not page.name.endswith(".zh.md")]
LINK = re.compile(r"\]\((?P<target>[^)#:]+\.md)(?:#[^)]*)?\)")


def name_of(page):
    return str(page.relative_to(ROOT))


def runs(page):
    """A case; what a Chinese page shares with the English one and takes long is left to the slow set."""
    takes_long = page.name in {"start.zh.md", "unknown.zh.md", "test.zh.md"}
    return pytest.param(page, marks=pytest.mark.slow if takes_long else (), id=name_of(page))


@pytest.mark.parametrize("page", [runs(page) for page in WITH_BLOCKS])
def test_every_block_of_the_page_runs(page, till, folder):
    reader = Reader(page, folder=folder, names={"till": till})
    try:
        with texts.use_language(reader.environment["UNICOM_COUPON_LANG"]):
            reader.follow()
    finally:
        reader.close()


def shape(page):
    """The page's code without comments and texts, which may be in the page's language."""
    for block in blocks_of(page):
        code = re.sub(r"#.*|\"[^\"\n]*\"", "", block.text)
        yield block.kind, "" if block.kind == "text" else re.sub(r"\s+", " ", code)


@pytest.mark.parametrize("page", ENGLISH, ids=name_of)
def test_both_languages_show_the_same_code(page):
    assert list(shape(page)) == list(shape(page.with_suffix(".zh.md")))


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_a_link_to_another_page_leads_somewhere(page):
    for match in LINK.finditer(page.read_text(encoding="utf-8")):
        assert (page.parent / match["target"]).exists(), match["target"]


def test_the_generated_pages_are_up_to_date():
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "generate_docs.py", "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
