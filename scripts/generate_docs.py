"""The pages of the site that are made from code: API, errors, states, platforms, settings, command line, compliance.

Run ``python scripts/generate_docs.py`` after a change, ``--check`` to see whether that was done. What the pages say is
in the code (docstrings, tables, catalogues); only their headings are here, in both languages.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from pages import api, command, compliance, errors, platforms, settings, states

from unicom_coupon_sdk import texts

ROOT = Path(__file__).resolve().parent.parent
MARK = "<!-- Made by scripts/generate_docs.py. Change the code that it reads, not this page. -->\n\n"
PAGES: dict[str, Callable[[], Iterator[str]]] = {
    "reference/api": api.page,
    "reference/errors": errors.page,
    "reference/states": states.page,
    "reference/platforms": platforms.page,
    "reference/settings": settings.page,
    "reference/command": command.page,
    "compliance": compliance.page,
}


def rendered() -> Iterator[tuple[Path, str]]:
    """Each generated file with its text."""
    for name, page in PAGES.items():
        for language in texts.LANGUAGES:
            with texts.use_language(language):
                body = "\n".join(page())
            suffix = ".zh.md" if language == "zh" else ".md"
            yield ROOT / "docs" / f"{name}{suffix}", MARK + body.rstrip() + "\n"


def main() -> int:
    """Write the pages, or with ``--check`` name those that are out of date and return 1."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; fail when a page is out of date")
    check = parser.parse_args().check
    stale = [(path, text) for path, text in rendered() if not path.exists() or path.read_text(encoding="utf-8") != text]
    for path, text in stale:
        sys.stdout.write(f"{'out of date' if check else 'written'}: {path.relative_to(ROOT)}\n")
        if not check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
