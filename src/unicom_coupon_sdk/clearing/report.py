"""The report of a reconciliation: a page for people, a table for a spreadsheet, and data for programs.

The page is one file that loads nothing from anywhere. It holds both languages; a switch in it shows one, without a
script. Everything that comes from a bill or a ledger is escaped, since a bill's cells are somebody else's text.
"""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime
from html import escape
from pathlib import Path
from typing import Any, Final

from unicom_coupon_sdk import texts
from unicom_coupon_sdk.clearing import charts
from unicom_coupon_sdk.domain.bill import RowKind
from unicom_coupon_sdk.domain.money import yuan_text
from unicom_coupon_sdk.domain.reconciliation import Discrepancy, DiscrepancyClass, Entry, ListedRow, Tally
from unicom_coupon_sdk.domain.settlement import Settlement
from unicom_coupon_sdk.domain.times import BEIJING
from unicom_coupon_sdk.platform.bill_files import whole

SHOWN: Final = 200
"""Discrepancies on the page; the table has all."""

_AGES: Final = ((0, "0"), (1, "1"), (3, "2–3"), (7, "4–7"), (30, "8–30"))
_SOLD: Final = frozenset({RowKind.REDEMPTION, RowKind.PAYMENT})
_CSV: Final = (
    *("discrepancy_id", "platform", "bill", "class", "kind", "number", "since", "open_days", "first_found_at", "cause"),
    *("action", "operation_id", "our_amount_fen", "their_amount_fen", "our_fee_fen", "their_fee_fen", "our_state"),
    *("their_state", "our_day", "their_day", "platform_no", "line"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportedDay:
    """One platform's day, as its newest reconciliation left it."""

    platform: str
    day: date
    is_final: bool
    tallies: tuple[Tally, ...]
    shown_by: Mapping[str, int]
    discrepancies: Mapping[str, int]
    unasked: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenItem:
    """A discrepancy that is not over, and when it was first found."""

    discrepancy: Discrepancy
    found_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportData:
    """What a report tells: some days of one merchant, what is open at the end of them, and what money is late."""

    merchant_id: str
    made_at: datetime
    first: date
    last: date
    days: Sequence[ReportedDay]
    open_items: Sequence[OpenItem]
    late: Sequence[Settlement]

    @property
    def is_clean(self) -> bool:
        """Whether nothing is open, unasked or late."""
        return not (self.open_items or self.late or any(one.unasked for one in self.days))

    @property
    def today(self) -> date:
        """The Beijing day on which the report was made."""
        return self.made_at.astimezone(BEIJING).date()

    def age_of(self, item: OpenItem) -> int:
        """For how many days the item has been open, at the end of the last day."""
        return max(0, (self.last - item.discrepancy.since).days)


def write(data: ReportData, folder: Path) -> tuple[Path, Path, Path]:
    """``report.html``, ``discrepancies.csv`` and ``report.json`` in ``folder``, which is made; each whole or not."""
    folder.mkdir(parents=True, exist_ok=True)
    page, table, document = (folder / name for name in ("report.html", "discrepancies.csv", "report.json"))
    with whole(page) as file:
        file.write(html(data).encode())
    with whole(table) as file:
        # A byte order mark, so that spreadsheet programs read the file as UTF-8.
        file.write(b"\xef\xbb\xbf")
        for line in _csv_lines(data):
            file.write(line.encode())
    with whole(document) as file:
        file.write(json.dumps(as_document(data), ensure_ascii=False, indent=1, default=_plain).encode())
    return page, table, document


def as_document(data: ReportData) -> dict[str, Any]:
    """The report as JSON can hold it, amounts in fen."""
    return {
        "merchant_id": data.merchant_id,
        "made_at": data.made_at,
        "first": data.first,
        "last": data.last,
        "is_clean": data.is_clean,
        "days": [asdict(one) for one in data.days],
        "open": [
            {**asdict(item.discrepancy), "open_days": data.age_of(item), "first_found_at": item.found_at}
            for item in data.open_items
        ],
        "late": [
            {
                **asdict(one),
                "net_fen": one.net_fen,
                "late_days": (data.made_at.astimezone(BEIJING).date() - one.settles_on).days,
            }
            for one in data.late
        ],
    }


def _plain(value: object) -> str:
    assert isinstance(value, date | datetime)
    return value.isoformat()


class _Line:
    """Takes what ``csv`` writes."""

    def __init__(self) -> None:
        self.text = ""

    def write(self, text: str) -> int:
        self.text = text
        return len(text)


def _csv_lines(data: ReportData) -> Iterable[str]:
    line = _Line()
    writer = csv.writer(line, lineterminator="\r\n")
    writer.writerow(_CSV)
    yield line.text
    for item in data.open_items:
        writer.writerow([_cell(value) for value in _row(item, open_days=data.age_of(item))])
        yield line.text


def _row(item: OpenItem, *, open_days: int) -> Iterable[object]:
    one = item.discrepancy
    ours = one.ours if isinstance(one.ours, Entry) else None
    theirs = one.theirs if isinstance(one.theirs, ListedRow) else None
    platform_no = (theirs and theirs.platform_no) or (ours and ours.platform_no)
    return (
        *(one.discrepancy_id, one.platform, one.bill, one.found, one.kind, one.number, one.since, open_days),
        *(item.found_at.astimezone(BEIJING).isoformat(timespec="seconds"), one.cause, one.action, one.operation_id),
        *(_fen(one.ours), _fen(one.theirs), ours and ours.fee_fen, theirs and theirs.fee_fen),
        *(ours and ours.state, theirs and theirs.state, ours and ours.day, theirs and theirs.day),
        *(platform_no, theirs and theirs.line),
    )


def _fen(side: object) -> int | None:
    return getattr(side, "amount_fen", None)


def _cell(value: object) -> str:
    """A cell that no spreadsheet program takes for a formula: a bill's text could be one."""
    text = "" if value is None else str(value)
    return f"'{text}" if text[:1] in "=+@\t\r" or (text[:1] == "-" and not text[1:].isdecimal()) else text


def html(data: ReportData) -> str:
    """The page."""
    start = texts.current_language()
    switches = "".join(
        f'<input type="radio" name="lang" id="lang-{code}"{" checked" if code == start else ""}>'
        f'<label for="lang-{code}">{name}</label>'
        for code, name in (("zh", "中文"), ("en", "English"))
    )
    parts = [_head(data), _cards(data), _charts(data), _days(data), _open(data), _late(data)]
    return (
        f'<!doctype html><html lang="{start}"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(texts.text('report.title', values={}))} {data.first} – {data.last}</title>"
        f"<style>{_STYLE}</style></head><body>{switches}<main>{''.join(parts)}</main></body></html>\n"
    )


def _say(key: str, *, tag: str = "span", **values: object) -> str:
    """Both languages; the page shows one."""
    return "".join(
        f'<{tag} class="{code}" lang="{code}">{escape(texts.text(key, values=values, language=code))}</{tag}>'
        for code in texts.LANGUAGES
    )


def _head(data: ReportData) -> str:
    made = data.made_at.astimezone(BEIJING).strftime("%Y-%m-%d %H:%M")
    days = f"{data.first}" if data.first == data.last else f"{data.first} – {data.last}"
    state = "clean" if data.is_clean else "open"
    told = _say("report.of", merchant=data.merchant_id, days=days, made=made)
    return (
        f"<header><h1>{_say('report.title')}</h1><p>{told}</p>"
        f'<p class="state {state}">{_say(f"report.state.{state}")}</p></header>'
    )


def _cards(data: ReportData) -> str:
    agreed = [tally for one in data.days for tally in one.tallies if tally.found is None]
    cards = (
        ("report.card.days", str(len(data.days))),
        ("report.card.agreed", f"{sum(tally.rows for tally in agreed):,}"),
        ("report.card.value", f"¥{_yuan(sum(tally.ours_fen for tally in agreed if tally.kind in _SOLD))}"),
        ("report.card.open", f"{len(data.open_items):,}"),
        ("report.card.late", f"¥{_yuan(sum(one.net_fen for one in data.late))}"),
    )
    return (
        '<section class="cards">'
        + "".join(f"<div><b>{escape(value)}</b>{_say(key)}</div>" for key, value in cards)
        + "</section>"
    )


def _yuan(fen: int) -> str:
    whole_part, _, rest = yuan_text(fen).partition(".")
    return f"{int(whole_part):,}.{rest}" if whole_part != "-0" else f"-0.{rest}"


def _charts(data: ReportData) -> str:
    amounts: dict[str, list[int]] = {}
    for one in data.days:
        both = amounts.setdefault(one.platform, [0, 0])
        for tally in one.tallies:
            if tally.kind in _SOLD:
                both[0] += tally.ours_fen
                both[1] += tally.theirs_fen
    ages = Counter(_age(data.age_of(item)) for item in data.open_items)
    classes = Counter(item.discrepancy.found for item in data.open_items)
    sums = {name: (ours, theirs) for name, (ours, theirs) in sorted(amounts.items())}
    legend = (
        f'<p class="legend"><i class="ours"></i>{_say("report.ours")}<i class="theirs"></i>{_say("report.theirs")}</p>'
    )
    figures = (
        (
            "report.chart.amounts",
            charts.pairs({escape(name): pair for name, pair in sums.items()}, label=lambda fen: f"¥{_yuan(fen)}")
            + legend,
        ),
        ("report.chart.ages", charts.bars({name: ages[name] for name in (*(n for _, n in _AGES), "31+")})),
        (
            "report.chart.classes",
            charts.bars({_say(f"difference.{one.value}", tag="tspan"): classes[one] for one in DiscrepancyClass}),
        ),
    )
    drawn = "".join(f"<figure><figcaption>{_say(key)}</figcaption>{svg}</figure>" for key, svg in figures)
    return f'<section class="charts">{drawn}</section>'


def _age(days: int) -> str:
    return next((name for most, name in _AGES if days <= most), "31+")


def _days(data: ReportData) -> str:
    rows = []
    for one in data.days:
        agreed = [tally for tally in one.tallies if tally.found is None]
        rows.append(
            (
                _whole(one.day),
                _text(one.platform),
                _say("report.final" if one.is_final else "report.not_final"),
                _number(f"{sum(tally.rows for tally in agreed):,}"),
                _number(_yuan(sum(tally.ours_fen for tally in agreed if tally.kind in _SOLD))),
                _counted("shown_by", one.shown_by),
                _counted("difference", one.discrepancies),
                _number(str(one.unasked)),
            )
        )
    columns = ("day", "platform", "bill", "agreed", "value", "shown_by", "differences", "unasked")
    return _table("report.days", columns, rows)


def _open(data: ReportData) -> str:
    rows = []
    for item in data.open_items[:SHOWN]:
        one = item.discrepancy
        rows.append(
            (
                _text(one.platform),
                _say(f"difference.{one.found.value}"),
                _say(f"row.{one.kind.value}"),
                f"<code>{escape(_number_of(one))}</code>",
                _number(_amount(one.ours)),
                _number(_amount(one.theirs)),
                _whole(one.since),
                _number(str(data.age_of(item))),
                _say(f"cause.{one.cause.value}"),
                _say(f"action.{one.action.value}"),
            )
        )
    more = len(data.open_items) - len(rows)
    columns = ("platform", "class", "kind", "number", "ours", "theirs", "since", "open_days", "cause", "action")
    note = f"<p>{_say('report.more', count=more)}</p>" if more > 0 else ""
    return _table("report.open", columns, rows) + note


def _amount(side: object) -> str:
    fen = _fen(side)
    return "–" if fen is None else _yuan(fen)


def _late(data: ReportData) -> str:
    rows = [
        (
            _text(one.platform),
            _text(f"{one.settles_on} #{one.number}"),
            _number(f"{one.matched:,}/{one.size:,}"),
            _number(_yuan(one.net_fen)),
            _number(str(one.late_days(data.today))),
        )
        for one in data.late
    ]
    return _table("report.late", ("platform", "settles_on", "shown", "net", "late_days"), rows)


def _number_of(one: Discrepancy) -> str:
    """Ours, else the platform's."""
    platform_no = getattr(one.theirs, "platform_no", None) or getattr(one.ours, "platform_no", None)
    return one.number or platform_no or "–"


def _counted(prefix: str, counts: Mapping[str, int]) -> str:
    """Names with their numbers, one a line."""
    return "".join(f"<div>{_say(f'{prefix}.{name}')} {count:,}</div>" for name, count in sorted(counts.items())) or "–"


def _whole(value: object) -> str:
    return f'<span class="w">{escape(str(value))}</span>'


def _text(value: object) -> str:
    return escape(str(value))


def _number(text: str) -> str:
    return f'<span class="n">{escape(text)}</span>'


def _table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    if not rows:
        return f'<section><h2>{_say(title)}</h2><p class="none">{_say("report.none")}</p></section>'
    head = "".join(f"<th>{_say(f'report.column.{name}')}</th>" for name in columns)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return (
        f'<section><h2>{_say(title)}</h2><div class="scroll"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div></section>"
    )


_STYLE: Final = """
:root{color-scheme:light dark;--ink:#1d2430;--dim:#5b6675;--line:#d9dee6;--page:#fff;--card:#f5f7fa;--ours:#2563a8;
--theirs:#d97a1d;--good:#1a7f4b;--bad:#b3261e}
@media(prefers-color-scheme:dark){:root{--ink:#e6e9ee;--dim:#9aa5b4;--line:#39424f;--page:#14181e;--card:#1e242c;
--ours:#6ea8e6;--theirs:#eda35c;--good:#5bc98d;--bad:#f08a80}}
*{box-sizing:border-box}body{margin:0 auto;padding:1.2rem;max-width:76rem;background:var(--page);color:var(--ink);
font:15px/1.55 system-ui,"PingFang SC","Microsoft YaHei","Noto Sans CJK SC",sans-serif}
h1{font-size:1.6rem;margin:.6rem 0 .2rem}h2{font-size:1.1rem;margin:1.8rem 0 .5rem}
header p{margin:.2rem 0;color:var(--dim)}
.state{font-weight:600}.state.clean{color:var(--good)}.state.open{color:var(--bad)}
body>label{margin-right:1rem;color:var(--dim)}#lang-zh:checked~main .en,#lang-en:checked~main .zh{display:none}
.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(9.5rem,1fr));gap:.8rem;margin-top:1rem}
.cards div{background:var(--card);border-radius:8px;padding:.7rem .9rem;color:var(--dim)}
.cards b{display:block;font-size:1.25rem;color:var(--ink);font-variant-numeric:tabular-nums;overflow-wrap:anywhere}
.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(19rem,1fr));gap:1rem;margin-top:1.2rem}
figure{margin:0;background:var(--card);border-radius:8px;padding:.8rem}figcaption{font-weight:600;margin-bottom:.4rem}
svg{width:100%;height:auto;display:block}svg text{fill:var(--ink);font-size:12px}svg .dim{fill:var(--dim)}
svg .ours{fill:var(--ours)}svg .theirs{fill:var(--theirs)}
.legend{margin:.4rem 0 0;color:var(--dim)}.legend i{display:inline-block;width:.8em;height:.8em;margin:0 .3em 0 .8em}
.legend .ours{background:var(--ours)}.legend .theirs{background:var(--theirs)}
.scroll{overflow-x:auto}table{border-collapse:collapse;width:100%}th,td{border-bottom:1px solid var(--line);
padding:.4rem .6rem;text-align:left;vertical-align:top}th{color:var(--dim);font-weight:600;white-space:nowrap}
td .w,td div{white-space:nowrap}
td .n{display:block;text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
code{font:12.5px/1.5 ui-monospace,Menlo,Consolas,monospace;overflow-wrap:anywhere}.none{color:var(--dim)}
@media print{body>input,body>label{display:none}}
"""
