"""Run worlds by their seeds, over all processors."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

from unicom_coupon_sdk.platform import registry
from unicom_coupon_sdk.sandbox.simulation.world import World


def run_seed(seed: int, *, platforms: tuple[str, ...], directory: Path) -> str | None:
    """``None`` when the world held, else what broke and the command that repeats it."""
    emulators = {name: registry.load(name).emulator() for name in platforms}
    try:
        World(seed, platforms=emulators, directory=directory).run()
    except Exception as error:  # noqa: BLE001 - any fault of a world is its finding
        names = " ".join(f"--platform {name}" for name in platforms)
        return (
            f"seed {seed}: {type(error).__name__}: {error}\n"
            f"  repeat: python -m unicom_coupon_sdk.sandbox.simulation --seeds {seed} {names}"
        )
    return None


def main(arguments: list[str] | None = None) -> int:
    """The command. Exit code 1 when a world broke."""
    parser = argparse.ArgumentParser(prog="python -m unicom_coupon_sdk.sandbox.simulation", description=__doc__)
    parser.add_argument("--seeds", default="0-199", help="a seed, or first-last")
    parser.add_argument("--platform", action="append", help="a platform (may be repeated); default: all installed")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    chosen = parser.parse_args(arguments)
    first, _, last = chosen.seeds.partition("-")
    seeds = range(int(first), int(last or first) + 1)
    platforms = tuple(chosen.platform or registry.available())
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        run = partial(run_seed, platforms=platforms, directory=Path(folder))
        if len(seeds) == 1 or chosen.processes == 1:
            found = [run(seed) for seed in seeds]
        else:
            run(first_seed := seeds[0])  # make the shared keys once, before the processes start
            with ProcessPoolExecutor(chosen.processes) as pool:
                found = [run(first_seed), *pool.map(run, seeds[1:], chunksize=16)]
    broken = [text for text in found if text is not None]
    for text in broken:
        sys.stdout.write(text + "\n")
    took = time.monotonic() - started
    sys.stdout.write(f"{len(seeds)} worlds, {len(broken)} broken, {took:.1f} s, {', '.join(platforms)}\n")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
