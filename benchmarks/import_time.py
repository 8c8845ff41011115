"""How long the imports take that a user waits for, beside the libraries beneath.

Run: ``python benchmarks/import_time.py [rounds]``. Each import happens in a fresh interpreter, in turns; each figure is
the best of its rounds, less that of an interpreter that imports nothing. At most 250 ms for ``unicom_coupon_sdk`` is
wanted; what is not needed at once (adapters, SQLAlchemy, alembic, aiohttp, the command) is imported where it is used.
"""

from __future__ import annotations

import subprocess
import sys
import time

LIMIT_MS = 250
MODULES = (
    "unicom_coupon_sdk",
    "unicom_coupon_sdk.runtime",
    "pydantic",
    "httpx",
    "sqlalchemy",
    "aiohttp",
    "cryptography.x509",
)
LATER = ("aiohttp", "alembic", "sqlalchemy", "typer", "unicom_coupon_adapters.wechatpay.adapter")


def seconds(code: str) -> float:
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    return time.perf_counter() - started


def too_early(module: str) -> str:
    code = f"import sys, {module}; print(*[name for name in {LATER!r} if name in sys.modules])"
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.strip()


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 9
    codes = {"": "pass", **{module: f"import {module}" for module in MODULES}}
    best = dict.fromkeys(codes, float("inf"))
    for _ in range(rounds):
        for module, code in codes.items():
            best[module] = min(best[module], seconds(code))
    for module in MODULES:
        print(f"{module:28}{(best[module] - best['']) * 1000:8.0f} ms")
    for module in MODULES[:2]:
        early = too_early(module)
        print(f"{module} imports at once: {early or 'nothing that can wait'}")
    spent = (best["unicom_coupon_sdk"] - best[""]) * 1000
    print(f"limit {LIMIT_MS} ms: {'kept' if spent <= LIMIT_MS else 'exceeded'}")


if __name__ == "__main__":
    main()
