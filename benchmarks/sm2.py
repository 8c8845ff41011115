"""SM2 beside its limit and its peers, interleaved in one run: only the ratios mean anything.

    python benchmarks/sm2.py [--rounds 7] [--seconds 1.0] [--json]

The limit is ``openssl speed sm2`` (a 20-byte message, C alone); the peer is the pure-Python ``gmssl``, where it is
installed. Rates count user CPU time, as ``openssl speed`` does. Each ratio is taken from the best round of either
side, because on shared machines neighbours only ever make a round slower; the median ratio is shown beside it. Two
threads are measured by wall time, because that is what threads are for, and beside two processes, because what two
processes gain over one is all that the machine has left to give at that moment.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import re
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from functools import cache, partial
from multiprocessing import get_context
from shutil import which

from unicom_coupon_sdk.crypto.sm2 import Backend, Sm2PrivateKey, engine
from unicom_coupon_sdk.errors import ConfigurationError

NUMBER = "3945208f7b2144b13f36e38ac6d39f95889393692860b51a42fb81ef4df7c5b8"
MESSAGE = b"0123456789" * 2
PURE = "gmssl, pure Python"


def cpu_rate(work: Callable[[], object], *, seconds: float) -> float:
    count, began = 0, os.times().user
    while (spent := os.times().user - began) < seconds:
        for _ in range(20):
            work()
        count += 20
    return count / spent


def wall_rate(work: Callable[[], object], *, seconds: float, threads: int) -> float:
    stop = time.perf_counter() + seconds
    counts = [0] * threads

    def run(at: int) -> None:
        while time.perf_counter() < stop:
            work()
            counts[at] += 1

    running = [threading.Thread(target=run, args=(at,)) for at in range(threads)]
    began = time.perf_counter()
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    return sum(counts) / (time.perf_counter() - began)


def signed_in(seconds: float) -> int:
    """How many signatures one process makes in ``seconds``."""
    return round(seconds * wall_rate(partial(signer().sign, MESSAGE), seconds=seconds, threads=1))


@cache
def signer() -> Sm2PrivateKey:
    return Sm2PrivateKey.from_hex(NUMBER)


def openssl_speed(seconds: float) -> tuple[float, float]:
    said = subprocess.run(
        ["openssl", "speed", "-mr", "-seconds", str(max(1, round(seconds))), "sm2"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout
    line = re.search(r"^\+F\d+:.*SM2:([\d.]+):([\d.]+)", said, re.MULTILINE)
    if line is None:
        raise SystemExit("openssl speed printed no SM2 line")
    return float(line[1]), float(line[2])


def pure_python() -> tuple[Callable[[], object], Callable[[], object]] | None:
    try:
        theirs = importlib.import_module("gmssl.sm2")
    except ImportError:
        return None
    public = Sm2PrivateKey.from_hex(NUMBER).public_key.point.hex()
    peer = theirs.CryptSM2(private_key=NUMBER, public_key=public)
    signature = peer.sign_with_sm3(MESSAGE)
    return lambda: peer.sign_with_sm3(MESSAGE), lambda: peer.verify_with_sm3(signature, MESSAGE)


def contenders() -> dict[str, tuple[Callable[[], object], Callable[[], object]]]:
    found: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {}
    public = Sm2PrivateKey.from_hex(NUMBER).public_key
    for backend in (Backend.OPENSSL, Backend.GMSSL):
        try:
            chosen = engine(backend)
        except ConfigurationError:
            continue
        other = type(public).from_hex(public.point.hex(), engine=chosen)
        key = Sm2PrivateKey.from_hex(NUMBER, engine=chosen, public_key=other)
        signature = key.sign(MESSAGE)
        found[f"ours ({backend.value})"] = partial(key.sign, MESSAGE), partial(other.verify, signature, MESSAGE)
    peer = pure_python()
    if peer is not None:
        found[PURE] = peer
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if which("openssl") is None:
        raise SystemExit("the openssl command is needed for the limit")

    names = contenders()
    rows: dict[str, tuple[list[float], list[float]]] = {"openssl speed": ([], [])}
    rows.update({name: ([], []) for name in names})
    threads: list[float] = []
    processes: list[float] = []
    with get_context("spawn").Pool(2) as pool:
        pool.map(signed_in, [0.1, 0.1], chunksize=1)
        for _ in range(options.rounds):
            sign, verify = openssl_speed(options.seconds)
            rows["openssl speed"][0].append(sign)
            rows["openssl speed"][1].append(verify)
            for name, (signs, verifies) in names.items():
                rows[name][0].append(cpu_rate(signs, seconds=options.seconds))
                rows[name][1].append(cpu_rate(verifies, seconds=options.seconds))
            alone = wall_rate(partial(signer().sign, MESSAGE), seconds=options.seconds, threads=1)
            threads.append(wall_rate(partial(signer().sign, MESSAGE), seconds=options.seconds, threads=2) / alone)
            both = sum(pool.map(signed_in, [options.seconds] * 2, chunksize=1))
            processes.append(both / options.seconds / alone)

    limit = rows["openssl speed"]
    result = {
        name: {
            what: {
                "per_s": round(max(rates)),
                "ratio": round(max(rates) / max(limits), 3),
                "median_ratio": round(statistics.median(a / b for a, b in zip(rates, limits, strict=True)), 3),
            }
            for what, rates, limits in (("sign", sign, limit[0]), ("verify", verify, limit[1]))
        }
        for name, (sign, verify) in rows.items()
    }
    gains = {
        "two_threads_gain": round(statistics.median(threads), 2),
        "two_processes_gain": round(statistics.median(processes), 2),
        "threads_of_processes": round(statistics.median(t / p for t, p in zip(threads, processes, strict=True)), 2),
    }
    if PURE in result:
        ours = result[f"ours ({engine().name.value})"]["sign"]["per_s"]
        gains["times_pure_python"] = round(ours / result[PURE]["sign"]["per_s"], 1)
    if options.json:
        json.dump({"rates": result, **gains, "engine": engine().version}, sys.stdout, indent=2)
        print()
        return
    print(f"engine: {engine().name.value} {engine().version}")
    for name, row in result.items():
        parts = [
            f"{what} {told['per_s']:>6}/s, {told['ratio']:5.3f} of openssl (median {told['median_ratio']:5.3f})"
            for what, told in row.items()
        ]
        print(f"{name:20} " + "   ".join(parts))
    if PURE in result:
        print(f"signing is {gains['times_pure_python']} times as fast as {PURE}")
    print(
        f"two threads sign {gains['two_threads_gain']} times as fast as one, two processes "
        f"{gains['two_processes_gain']} times: threads have {gains['threads_of_processes']} of it"
    )


if __name__ == "__main__":
    main()
