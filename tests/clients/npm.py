"""Node packages for tests of other people's clients: installed once, whole or not at all."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest


def node_modules_of(package: str) -> Path:
    """Where ``package`` (``name@version``) is installed with what it needs, in the user's cache folder.

    Skips the test without node, or where npm cannot install it. An install that is cut short leaves nothing behind:
    it is made beside the place and moved there.
    """
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        pytest.skip("node or npm is not installed")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "unicom-coupon-clients"
    place = cache / f"{package}.whole"
    if not place.is_dir():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache, prefix="installing-") as room:
            made = Path(room, "made")
            _install(npm, package, made)
            try:
                made.rename(place)
            except OSError:
                if not place.is_dir():  # else another run was quicker
                    raise
    return place / "node_modules"


def _install(npm: str, package: str, place: Path) -> None:
    command = [npm, "install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", str(place), package]
    try:
        done = subprocess.run(command, capture_output=True, timeout=180, check=False)
    except subprocess.TimeoutExpired:
        pytest.skip(f"npm did not install {package} in time")
    if done.returncode != 0:
        pytest.skip(f"npm could not install {package}: exit {done.returncode}")
