"""Bills that a fault spoils: each class, what is remembered, and what the control tells of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from tests.unit.sandbox.conftest import Served
from tests.unit.sandbox.tokenpay import TokenPay

from unicom_coupon_sdk.domain.bill import BillKind, RowKind, RowState
from unicom_coupon_sdk.errors import ValidationError
from unicom_coupon_sdk.platform.wire import HttpAnswer
from unicom_coupon_sdk.sandbox import Sandbox, SandboxServer
from unicom_coupon_sdk.sandbox.bills import ANY_LINE, BillDefect, BillLine
from unicom_coupon_sdk.sandbox.emulator import Received

DAY = date(2026, 3, 2)
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


class BillPay(TokenPay):
    """Three uses a day, one of which nobody here knows; ``GET /v1/bill/<day>`` reads the bill."""

    def answer(self, request: Received) -> HttpAnswer:
        day = date.fromisoformat(request.path.rpartition("/")[2])
        return HttpAnswer(200, (), "\n".join(self.bill(BillKind.COUPON, day)).encode())

    def bill(self, bill: BillKind, day: date) -> list[str]:
        made = self._frame.make_bill(
            bill, day, lines=lambda: self._lines(day), invent=self._invented, total_of=RowKind.REDEMPTION
        )
        rows = [
            f"{line.number} {line.amount_fen} {line.state} {line.at:%d} {line.cells['till']}" for line in made.lines
        ]
        return [*rows, f"total {sum(line.amount_fen for line in made.lines) + made.total_off_fen}"]

    def _lines(self, day: date) -> Iterator[BillLine]:
        at = datetime(day.year, day.month, day.day, 4, tzinfo=UTC)
        ours = ANY_LINE | {BillDefect.STATE_DIFFERS, BillDefect.SHARING_DIFFERS}
        for number in (1, 2, 3):
            yield BillLine(
                kind=RowKind.REDEMPTION,
                number=f"r{number}",
                at=at + timedelta(minutes=number),
                amount_fen=100 * number,
                wrong_state=RowState.FAILED,
                defects=frozenset() if number == 1 else ours,
                cells={"till": f"T{number}"},
            )

    def _invented(self, line: BillLine) -> BillLine:
        return replace(line, number=f"x{self._frame.store.next_number('invented')}")


@pytest.fixture
def box() -> Iterator[Sandbox]:
    with Sandbox(emulators={"billpay": BillPay}, real=lambda: NOON) as box:
        yield box


def bill(box: Sandbox, kind: BillKind = BillKind.COUPON, day: date = DAY) -> list[str]:
    station = box.world.station("billpay")
    assert station is not None
    assert isinstance(station.emulator, BillPay)
    with station.store.transaction():
        return station.emulator.bill(kind, day)


def spoil(box: Sandbox, code: str, **more: Any) -> None:
    box.control.add_fault("billpay", "bill_defect", code=code, **more)


PLAIN = ["r1 100 done 02 T1", "r2 200 done 02 T2", "r3 300 done 02 T3", "total 600"]


def test_without_a_fault_the_bill_is_what_the_emulator_says(box: Sandbox) -> None:
    assert bill(box) == PLAIN
    assert box.control.bill_defects() == []


@pytest.mark.parametrize(
    ("code", "lines"),
    [
        ("amount_differs", ["r1 100 done 02 T1", "r2 201 done 02 T2", "r3 300 done 02 T3", "total 601"]),
        ("sharing_differs", ["r1 100 done 02 T1", "r2 201 done 02 T2", "r3 300 done 02 T3", "total 601"]),
        ("state_differs", ["r1 100 done 02 T1", "r2 200 failed 02 T2", "r3 300 done 02 T3", "total 600"]),
        ("missing_there", ["r1 100 done 02 T1", "r3 300 done 02 T3", "total 400"]),
        (
            "duplicate",
            ["r1 100 done 02 T1", "r2 200 done 02 T2", "r2 200 done 02 T2", "r3 300 done 02 T3", "total 800"],
        ),
        ("total_differs", [*PLAIN[:3], "total 601"]),
    ],
)
def test_a_fault_spoils_the_first_line_that_it_may(box: Sandbox, code: str, lines: list[str]) -> None:
    spoil(box, code)
    assert bill(box) == lines
    (told,) = box.control.bill_defects()
    number, amount_fen = (None, None) if code == "total_differs" else ("r2", 200)
    assert told == {
        "platform": "billpay",
        "class": code,
        "bill": "coupon",
        "day": "2026-03-02",
        "kind": "redemption",
        "number": number,
        "amount_fen": amount_fen,
    }


def test_an_invented_line_has_a_number_of_its_own(box: Sandbox) -> None:
    spoil(box, "missing_here")
    assert bill(box) == [*PLAIN[:2], "x1 200 done 02 T2", PLAIN[2], "total 800"]
    assert [(told["class"], told["number"]) for told in box.control.bill_defects()] == [("missing_here", "x1")]


def test_a_line_of_another_date_stands_in_the_next_days_bill(box: Sandbox) -> None:
    spoil(box, "date_differs")
    assert bill(box) == [PLAIN[0], PLAIN[2], "total 400"]
    tomorrow = bill(box, day=DAY + timedelta(days=1))
    assert tomorrow[:3] == ["r1 100 done 03 T1", "r2 200 done 03 T2", "r2 200 done 03 T2"]
    assert [told["day"] for told in box.control.bill_defects()] == ["2026-03-02"]


def test_a_line_does_not_move_into_a_bill_that_is_made(box: Sandbox) -> None:
    bill(box, day=DAY + timedelta(days=1))
    spoil(box, "date_differs")
    assert bill(box) == PLAIN
    assert [fault["times"] for fault in box.control.faults()] == [1]


def test_a_bill_asked_for_again_is_the_same(box: Sandbox) -> None:
    spoil(box, "duplicate")
    first = bill(box)
    spoil(box, "amount_differs")
    assert bill(box) == first
    assert len(box.control.bill_defects()) == 1


def test_a_line_is_spoiled_once_at_most_and_the_rest_of_a_fault_waits(box: Sandbox) -> None:
    spoil(box, "amount_differs")
    spoil(box, "duplicate", times=5)
    assert bill(box) == [PLAIN[0], "r2 201 done 02 T2", PLAIN[2], PLAIN[2], "total 901"]
    assert [(told["class"], told["number"]) for told in box.control.bill_defects()] == [
        ("amount_differs", "r2"),
        ("duplicate", "r3"),
    ]
    assert [(fault["code"], fault["times"]) for fault in box.control.faults()] == [("duplicate", 4)]


def test_a_fault_may_name_the_bill_that_it_spoils(box: Sandbox) -> None:
    spoil(box, "duplicate", match="trade")
    assert bill(box, BillKind.COUPON) == PLAIN
    assert len(bill(box, BillKind.TRADE)) == len(PLAIN) + 1


def test_a_request_does_not_use_up_the_fault_of_a_bill(box: Sandbox) -> None:
    spoil(box, "duplicate")
    box.control.issue_coupons("billpay", face_fen=100)
    box.control.advance(60)
    assert [fault["kind"] for fault in box.control.faults()] == ["bill_defect"]


@pytest.mark.parametrize("wrong", [{"code": None}, {"code": "explode"}, {"code": "duplicate", "match": "/v1/bill"}])
def test_a_defect_or_bill_that_there_is_not_is_refused(box: Sandbox, wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as error:
        box.control.add_fault("billpay", "bill_defect", **wrong)
    assert error.value.code == "sandbox.field_choice"
    assert error.value.field == ("match" if "match" in wrong else "code")


def test_a_reset_forgets_bills_and_defects(box: Sandbox) -> None:
    spoil(box, "duplicate")
    bill(box)
    box.reset()
    assert box.control.bill_defects() == []
    assert bill(box) == PLAIN


def test_the_control_api_tells_the_defects_of_a_platform() -> None:
    with SandboxServer(emulators={"tokenpay": BillPay}) as server:
        served = Served.of(server.credentials)
        served.told("POST", "/faults", {"platform": "tokenpay", "kind": "bill_defect", "code": "duplicate"})
        assert len(served.send("GET", f"/v1/bill/{DAY}").content.splitlines()) == len(PLAIN) + 1
        assert served.told("GET", "/bills/defects?platform=tokenpay")["defects"][0]["class"] == "duplicate"
        assert len(served.told("GET", "/bills/defects")["defects"]) == 1
        assert served.ask("GET", "/bills/defects?platform=nobody").status == 400
