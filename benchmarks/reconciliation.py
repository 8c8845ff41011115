"""A day's trade bill against the ledger: the columnar engine beside pandas and plain Python, each in its own process.

    pip install -e '.[recon]' pandas
    python benchmarks/reconciliation.py [--rows 1000000] [--rounds 3] [--folder DIR] [--only columnar] [--json]

The bill is Alipay's trade layout: 25 columns, GBK, a tab behind each text, names with rare characters, one refund in
ten; 284 bytes a row. The ledger has a row for each, and some of either side differ or are missing. All three read the
same two files, compare amounts and fees, write the pairs that agree, and must find the same numbers. The engine does
more besides: it checks every cell's form, keeps the order of the bill, and explains what differs.

Time is that of the work without starting Python and importing libraries; memory is the peak of the whole process. The
rounds are interleaved. On a machine that others use too only the ratios mean anything.
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import date
from datetime import time as clock
from pathlib import Path

from unicom_coupon_sdk.domain.bill import BillFile, BillKind, RowKind
from unicom_coupon_sdk.platform.bill import BillLayout, BillSource, Delimited, RowRule, Unit

DAY = date(2026, 5, 20)
COLUMNS = [
    "支付宝交易号",
    "商户订单号",
    "业务类型",
    "商品名称",
    "创建时间",
    "完成时间",
    "门店编号",
    "门店名称",
    "操作员",
    "终端号",
    "对方账户",
    "订单金额（元）",
    "商家实收（元）",
    "支付宝红包（元）",
    "集分宝（元）",
    "支付宝优惠（元）",
    "商家优惠（元）",
    "券核销金额（元）",
    "券名称",
    "商家红包消费金额（元）",
    "卡消费金额（元）",
    "退款批次号/请求号",
    "服务费（元）",
    "分润（元）",
    "备注",
]
_ORDER = {"platform_no": "支付宝交易号", "amount": "商家实收（元）", "fee": "服务费（元）", "fee_sign": -1}
SOURCE = BillSource(
    kind=BillKind.TRADE,
    layout=BillLayout(
        name="trade",
        encoding="gbk",
        form=Delimited(),
        unit=Unit.YUAN,
        source="benchmark",
        rules=(
            RowRule(
                kind=RowKind.PAYMENT,
                when={"业务类型": frozenset({"交易"})},
                number="商户订单号",
                at=("完成时间",),
                **_ORDER,
            ),
            RowRule(
                kind=RowKind.REFUND,
                when={"业务类型": frozenset({"退款"})},
                number="退款批次号/请求号",
                at=("完成时间",),
                **_ORDER,
            ),
        ),
    ),
    ready_at=clock(9),
    lists=frozenset({RowKind.REFUND}),
)
NAMES = ("联通电子券满三十减五元", "流量日包十元抵扣券（全国通用）", "沃派校园卡充值优惠券", "智慧家庭宽带续费券喆镕")
CONTESTANTS = ("columnar", "pandas", "python")


def write_files(folder: Path, rows: int) -> None:
    """``bill.rows`` and ``ours.csv``: of each 10 000 rows one has another amount, and one is missing on either side."""
    rng = random.Random(1)
    with (
        (folder / "bill.rows").open("w", encoding="gbk", newline="\n") as bill,
        (folder / "ours.csv").open("w", encoding="ascii", newline="\n") as ours,
    ):
        ours.write("bill,kind,number,platform_no,amount_fen,fee_fen,state,day,settles_on,operation_id\n")
        for at in range(rows):
            refund, fen, fault = at % 10 == 7, rng.randrange(100, 100_000), at % 10_000
            fen, fee = (-fen, -((fen * 60 + 5_000) // 10_000)) if refund else (fen, (fen * 60 + 5_000) // 10_000)
            kind, number, platform_no = "refund" if refund else "payment", f"R{at:025d}", f"2026052022001{at:015d}"
            if fault != 17:
                bill.write(bill_line(at, number, platform_no, fen, fee, at * 86_399 // rows, refund))
            if fault != 27:
                fen += fault == 3
                ours.write(f",{kind},{number},{platform_no},{fen},{fee},done,{DAY},2026-05-21,01J{at:023d}\n")


def bill_line(at, number, platform_no, fen, fee, second, refund) -> str:
    at_clock = f"{DAY} {second // 3600:02d}:{second // 60 % 60:02d}:{second % 60:02d}"
    order, request, word = (f"R{at - 1:025d}", number, "退款") if refund else (number, "", "交易")
    texts = [platform_no, order, word, NAMES[at % 4], at_clock, at_clock, f"BJ{at % 500:04d}", "北京朝阳门营业厅"]
    texts += ["", "T0001", "联通用户(*三)"]
    sums = [yuan(fen), yuan(fen), "0.00", "0.00", "0.00", "0.00", "5.00"]
    cells = [f"{text}\t" for text in texts] + sums + [f"{NAMES[at % 4]}\t", "0.00", "0.00", f"{request}\t", yuan(-fee)]
    return ",".join([*cells, "0.00", "联通电子券\t"]) + "\n"


def yuan(fen: int) -> str:
    return f"{'-' if fen < 0 else ''}{abs(fen) // 100}.{abs(fen) % 100:02d}"


def columnar(folder: Path):
    """Ours, through ``reconcile``."""
    import duckdb  # noqa: F401 - imported before the clock starts, as pandas is

    from unicom_coupon_sdk.clearing.columnar import Columnar
    from unicom_coupon_sdk.clearing.matching import Carried
    from unicom_coupon_sdk.clearing.reconciliation import reconcile

    path = folder / "bill.rows"
    bill = BillFile(
        platform="alipay",
        kind=BillKind.TRADE,
        day=DAY,
        layout="trade",
        original=path,
        rows=path,
        columns=tuple(COLUMNS),
        sha256="0" * 64,
    )

    def work():
        outcome = reconcile(
            folder / "ours.csv",
            [(bill, SOURCE)],
            Carried(),
            day=DAY,
            folder=folder / "columnar",
            engine=Columnar(),
        )
        found = {"agree": 0, "amount_differs": 0, "missing_there": 0}
        for tally in outcome.tallies:
            key = tally.found or "agree"
            found[key] = found.get(key, 0) + tally.rows
        return {name: found[name] for name in ("agree", "amount_differs", "missing_there")}

    return work


def pandas(folder: Path):
    """As one would write it with pandas: columns by name, whole files in memory, one merge."""
    import pandas as pd

    def work():
        used = ["商户订单号", "业务类型", "商家实收（元）", "退款批次号/请求号", "服务费（元）"]
        bill = pd.read_csv(
            folder / "bill.rows",
            encoding="gbk",
            header=None,
            names=COLUMNS,
            usecols=used,
            dtype=str,
            keep_default_na=False,
        )
        for name in used:
            bill[name] = bill[name].str.strip(" \t`")
        is_refund = bill["业务类型"] == "退款"
        theirs = pd.DataFrame(
            {
                "kind": is_refund.map({True: "refund", False: "payment"}),
                "number": bill["退款批次号/请求号"].where(is_refund, bill["商户订单号"]),
                "fen": (bill["商家实收（元）"].astype(float) * 100).round().astype("int64"),
                "fee": (bill["服务费（元）"].astype(float) * -100).round().astype("int64"),
            }
        )
        ours = pd.read_csv(
            folder / "ours.csv",
            usecols=["kind", "number", "amount_fen", "fee_fen", "operation_id"],
            dtype={"kind": str, "number": str, "operation_id": str},
        )
        met = ours.merge(theirs, on=["kind", "number"], how="left")
        missing = met["fen"].isna()
        agree = (met["fen"] == met["amount_fen"]) & (met["fee"] == met["fee_fen"])
        met[agree][["operation_id", "kind", "fee"]].to_csv(folder / "pandas.csv", index=False, header=False)
        return {
            "agree": int(agree.sum()),
            "amount_differs": int((~agree & ~missing).sum()),
            "missing_there": int(missing.sum()),
        }

    return work


def python(folder: Path):
    """The csv module and a dictionary, and no more than that."""

    def work():
        ours = {}
        with (folder / "ours.csv").open(encoding="ascii", newline="") as file:
            for _, kind, number, _, fen, fee, *_, operation_id in csv.reader(file):
                ours[kind, number] = fen, fee, operation_id
        del ours["kind", "number"]
        order, word, amount, request, charge = (
            COLUMNS.index(name)
            for name in ("商户订单号", "业务类型", "商家实收（元）", "退款批次号/请求号", "服务费（元）")
        )
        found = {"agree": 0, "amount_differs": 0, "missing_there": 0}
        with (
            (folder / "bill.rows").open(encoding="gbk", newline="") as file,
            (folder / "python.csv").open("w", encoding="ascii", newline="") as pairs,
        ):
            writer = csv.writer(pairs)
            for row in csv.reader(file):
                is_refund = row[word].strip(" \t`") == "退款"
                key = ("refund", row[request].strip(" \t`")) if is_refund else ("payment", row[order].strip(" \t`"))
                entry = ours.pop(key, None)
                if entry is None:
                    continue
                fen, fee = fen_of(row[amount]), -fen_of(row[charge])
                if int(entry[0]) == fen and int(entry[1]) == fee:
                    found["agree"] += 1
                    writer.writerow((entry[2], key[0], fee))
                else:
                    found["amount_differs"] += 1
        return found | {"missing_there": len(ours)}

    return work


def fen_of(text: str) -> int:
    whole, _, rest = text.strip(" \t`").partition(".")
    return int(whole) * 100 + int(rest) * (-1 if whole.startswith("-") else 1)


def run_one(contestant: str, folder: Path) -> None:
    """Run in a process of its own, and print what was found, how long it took, and the most memory it had."""
    work = {"columnar": columnar, "pandas": pandas, "python": python}[contestant](folder)
    began = time.perf_counter()
    found = work()
    seconds = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    spent = resource.getrusage(resource.RUSAGE_SELF)
    cpu = spent.ru_utime + spent.ru_stime
    json.dump({"found": found, "seconds": seconds, "cpu_seconds": cpu, "peak_mib": peak / 2**20}, sys.stdout)


def rounds(folder: Path, contestants, count: int) -> dict[str, list[dict]]:
    told: dict[str, list[dict]] = {name: [] for name in contestants}
    for _ in range(count):
        for name in contestants:
            shutil.rmtree(folder / "columnar", ignore_errors=True)
            said = subprocess.run(
                [sys.executable, __file__, "--one", name, "--folder", str(folder)], check=True, capture_output=True
            ).stdout
            told[name].append(json.loads(said))
    return told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="where the files go; a temporary folder otherwise")
    parser.add_argument("--only", choices=CONTESTANTS, action="append")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--one", choices=CONTESTANTS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        run_one(options.one, options.folder)
        return
    with tempfile.TemporaryDirectory(dir=options.folder) as made:
        folder = Path(made)
        write_files(folder, options.rows)
        size = (folder / "bill.rows").stat().st_size
        told = rounds(folder, options.only or CONTESTANTS, options.rounds)
    found = {json.dumps(one["found"]) for runs in told.values() for one in runs}
    if len(found) > 1:
        raise SystemExit(f"the contestants do not agree: {sorted(found)}")
    result = {
        name: {
            "rows_per_s": round(options.rows / statistics.median(one["seconds"] for one in runs)),
            "best_rows_per_s": round(options.rows / min(one["seconds"] for one in runs)),
            "cpu_seconds": round(statistics.median(one["cpu_seconds"] for one in runs), 2),
            "peak_mib": round(max(one["peak_mib"] for one in runs)),
        }
        for name, runs in told.items()
    }
    if options.json:
        json.dump(
            {"rows": options.rows, "bytes": size, "found": json.loads(found.pop()), "results": result}, sys.stdout
        )
        print()
        return
    print(f"{options.rows:,} rows, a bill of {size / 2**20:,.0f} MiB; found {found.pop()}")
    ours = result.get("columnar", {}).get("rows_per_s")
    for name, row in result.items():
        ratio = f"  columnar is {ours / row['rows_per_s']:.1f} times as fast" if ours and name != "columnar" else ""
        print(
            f"{name:9} {row['rows_per_s']:>9,} rows/s (best {row['best_rows_per_s']:>9,}),"
            f" {row['cpu_seconds']:>6.2f} s of CPU, {row['peak_mib']:>6,} MiB{ratio}"
        )


if __name__ == "__main__":
    main()
