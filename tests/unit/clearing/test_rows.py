"""The plain reader: every form of bill, and what it says of one that cannot be read."""

import dataclasses
from datetime import date, datetime

import pytest
from tests.bill_days import ACP, ALIPAY, BANK, FORMS, NAME, WECHAT, Row

from unicom_coupon_sdk.clearing.reading import LONGEST_LINE, Moment
from unicom_coupon_sdk.clearing.rows import disagreeing, read_rows, totals
from unicom_coupon_sdk.domain.bill import RowKind, RowState, Total
from unicom_coupon_sdk.domain.times import BEIJING
from unicom_coupon_sdk.errors import ValidationError
from unicom_coupon_sdk.platform.bill import Delimited, RowRule, Unit

NOON = datetime(2026, 5, 20, 12, tzinfo=BEIJING)


def read(form, folder, *rows, content=None, layout=None, **more):
    bill = form.bill(folder, rows, content=content, **more)
    return list(read_rows(bill, layout or form.layout))


def refused(form, folder, *rows, **more):
    with pytest.raises(ValidationError) as error:
        read(form, folder, *rows, **more)
    return error.value


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_rows_of_every_form_read_as_they_were_meant(form, tmp_path):
    meant = [
        Row(
            kind=kind,
            number=f"R{at}",
            platform_no=f"P{at}",
            amount_fen=-5 if kind is form.negative else 123_456,
            fee_fen=(-at if kind is form.negative else at) if form.has_fees else None,
        )
        for at, kind in enumerate(form.kinds)
    ]
    found = read(form, tmp_path, *meant)
    assert [(row.kind, row.number, row.platform_no, row.amount_fen, row.fee_fen, row.at) for row in found] == [
        (row.kind, row.number, row.platform_no, row.amount_fen, row.fee_fen, NOON) for row in meant
    ]
    assert [row.line for row in found] == [1, *range(2, len(meant) + 1)]
    assert [row.raw for row in found] == form.content(meant).replace(b"\r\n", b"\n").split(b"\n")[:-1]


def test_a_row_that_no_rule_fits_is_none_of_ours(tmp_path):
    (row,) = read(ALIPAY, tmp_path, Row(kind=RowKind.OTHER, number="R1", amount_fen=5))
    assert (row.kind, row.number, row.amount_fen) == (RowKind.OTHER, None, 0)


def test_state_settlement_day_and_net_are_read(tmp_path):
    meant = Row(
        kind=RowKind.SHARE,
        number="R1",
        amount_fen=100,
        fee_fen=1,
        net_fen=99,
        state=RowState.UNDONE,
        settles_on=date(2026, 5, 21),
    )
    (row,) = read(BANK, tmp_path, meant)
    assert (row.state, row.net_fen, row.settles_on) == (RowState.UNDONE, 99, date(2026, 5, 21))


@pytest.mark.parametrize(
    ("text", "fen"),
    [
        ("12.34", 1234),
        ("12.345", 1235),
        ("12.344999", 1234),
        ("-0.005", -1),
        ("+7", 700),
        ("007.1", 710),
        (" 1.00\t", 100),
    ],
)
def test_yuan_are_rounded_half_up_to_the_fen(tmp_path, text, fen):
    line = ALIPAY.line(Row(kind=RowKind.PAYMENT, number="R1", amount_fen=123_456)).replace("1234.56", text)
    (row,) = read(ALIPAY, tmp_path, content=f"{line}\n".encode("gbk"))
    assert row.amount_fen == fen


@pytest.mark.parametrize("text", ["", "1e3", ".5", "5.", "1,5", "12345678901.00", "١.00", "1.00元"])
def test_what_is_no_amount_is_refused_by_line_and_column_and_not_shown(tmp_path, text):
    good = Row(kind=RowKind.PAYMENT, number="R1", amount_fen=123_456)
    lines = [ALIPAY.line(good), ALIPAY.line(good).replace("1234.56", text)]
    error = refused(ALIPAY, tmp_path, content="".join(f"{line}\n" for line in lines).encode("gb18030"))
    column = "trade" if "," in text else "实收（元）"
    assert (error.code, error.field, error.details["line"]) == ("bill.row", column, 2)
    assert not text or text not in str(error)


def test_a_written_sign_stands_before_the_rules_own(tmp_path):
    line = "`2026-05-20 12:00:00,`P1,`R1,`REFUND,`0.00,`{},`x,`-0.06000\r\n"
    found = [read(WECHAT, tmp_path, content=line.format(text).encode())[0] for text in ("1.00", "-1.00", "+1.00")]
    assert [row.amount_fen for row in found] == [-100, -100, 100]
    assert found[0].fee_fen == -6


def test_a_fee_is_positive_where_the_merchant_pays_it(tmp_path):
    (row,) = read(ACP, tmp_path, Row(kind=RowKind.REDEMPTION, number="R1", amount_fen=476_800, fee_fen=2861))
    assert b" D000000002861 " in row.raw
    assert row.fee_fen == 2861


def test_a_separator_of_several_characters_survives_commas_in_a_name(tmp_path):
    content = WECHAT.content([Row(kind=RowKind.PAYMENT, number="R1", amount_fen=100)])
    assert read(WECHAT, tmp_path, content=content.replace(NAME.encode(), b"a, b, c"))[0].number == "R1"


def test_quotes_hold_separators_and_doubled_quotes(tmp_path):
    content = BANK.content([Row(kind=RowKind.SHARE, number="R1", amount_fen=100)])
    assert content.count(b'"') == 6
    assert read(BANK, tmp_path, content=content.replace(b",R1,", b',"R1",'))[0].number == "R1"


def test_a_quote_that_is_not_closed_is_an_ordinary_character(tmp_path):
    content = ALIPAY.content([Row(kind=RowKind.PAYMENT, number="R1", amount_fen=100)])
    assert read(ALIPAY, tmp_path, content=content.replace(NAME.encode("gbk"), b'"5 inch'))[0].amount_fen == 100


def test_columns_are_cut_by_bytes_and_not_by_characters(tmp_path):
    row = Row(kind=RowKind.REDEMPTION, number="R1", platform_no="P1", amount_fen=100)
    content = ACP.content([row]).replace(b"R1" + b" " * 30, "店".encode("gbk") * 16)
    assert read(ACP, tmp_path, content=content)[0].platform_no == "P1"
    assert read(ACP, tmp_path, content=content)[0].number is None


def test_a_time_without_a_year_is_the_one_nearest_to_the_bill(tmp_path):
    row = Row(kind=RowKind.REDEMPTION, number="R1", amount_fen=1, at=datetime(2026, 12, 31, 23, 30, tzinfo=BEIJING))
    (found,) = read(ACP, tmp_path, row, day=date(2027, 1, 1))
    assert found.at == row.at


@pytest.mark.parametrize("text", ["%Y-%m", "%m%d%b", "%Y%Y%m%d", "%Y年%m%d", "%%%m%d"])
def test_a_layout_cannot_have_a_time_whose_parts_move(text):
    with pytest.raises(ValueError, match=r"%"):
        Moment.of(text)


@pytest.mark.parametrize(
    "text", ["2026-02-30 00:00:00", "2026-05-20 24:00:00", "2026-5-20 12:00:00", "yesterday", "0000-01-01 00:00:00"]
)
def test_what_is_no_time_is_refused(tmp_path, text):
    content = ALIPAY.content([Row(kind=RowKind.PAYMENT, number="R1", amount_fen=1)])
    error = refused(ALIPAY, tmp_path, content=content.replace(b"2026-05-20 12:00:00", text.encode()))
    assert (error.code, error.field) == ("bill.row", "完成时间")


def test_a_state_that_the_layout_does_not_know_is_refused(tmp_path):
    content = BANK.content([Row(kind=RowKind.SHARE, number="R1", amount_fen=1)])
    error = refused(BANK, tmp_path, content=content.replace(b",S,", b",Z,"))
    assert (error.code, error.field) == ("bill.row", "state")


def test_a_column_that_is_missing_is_named(tmp_path):
    columns = tuple("x" if name == "业务类型" else name for name in ALIPAY.columns)
    error = refused(ALIPAY, tmp_path, columns=columns)
    assert (error.code, error.field, error.details["bill"]) == ("bill.column_missing", "业务类型", "trade")


def test_a_column_that_is_new_is_passed_over(tmp_path):
    content = ALIPAY.content([Row(kind=RowKind.PAYMENT, number="R1", amount_fen=100)]).replace(b"\n", b",new\n")
    assert read(ALIPAY, tmp_path, content=content, columns=(*ALIPAY.columns, "新列"))[0].amount_fen == 100


@pytest.mark.parametrize("change", [(b"\n", b"\r\n"), (b"\n", b"\n\n"), (b"\n", b"\r\n\r\n")])
def test_other_line_ends_and_empty_lines_are_borne(tmp_path, change):
    rows = [Row(kind=RowKind.PAYMENT, number=f"R{at}", amount_fen=100) for at in range(3)]
    found = read(ALIPAY, tmp_path, content=ALIPAY.content(rows).replace(*change))
    assert [(row.number, row.line) for row in found] == [("R0", 1), ("R1", 2), ("R2", 3)]


def test_a_comma_in_a_name_never_shifts_the_cells_behind_it(tmp_path):
    row = Row(kind=RowKind.PAYMENT, number="R1", amount_fen=100)
    content = ALIPAY.content([row]).replace(NAME.encode("gbk"), b"a,b")
    assert content.endswith(b",\n")
    assert refused(ALIPAY, tmp_path, content=content).code == "bill.row"


@pytest.mark.parametrize("line", [b"a,b", b"a,b,c,d,e,f,1.00,2.00,x", b"x" * 200_000])
def test_a_line_with_too_few_or_too_many_cells_is_refused(tmp_path, line):
    assert refused(ALIPAY, tmp_path, content=line + b"\n").code == "bill.row"


def test_a_line_as_long_as_a_file_is_refused_without_being_read(tmp_path):
    content = ALIPAY.content([Row(kind=RowKind.PAYMENT, number="R1", amount_fen=1)])
    long = content.replace(NAME.encode("gbk"), b"x" * LONGEST_LINE)
    assert refused(ALIPAY, tmp_path, content=long).details["line"] == 1


def test_a_line_that_ends_before_its_last_column_is_refused(tmp_path):
    content = ACP.content([Row(kind=RowKind.REDEMPTION, number="R1", amount_fen=100)])
    assert refused(ACP, tmp_path, content=content[:96] + b"\r\n").code == "bill.row"
    assert read(ACP, tmp_path, content=content.rstrip()[:99] + b"\r\n")[0].amount_fen == 100


def test_a_layout_without_a_quote_or_strip_takes_cells_as_they_are(tmp_path):
    rule = RowRule(kind=RowKind.PAYMENT, amount="b", number="a")
    layout = dataclasses.replace(ALIPAY.layout, form=Delimited("|", strip="", quote=""), unit=Unit.FEN, rules=(rule,))
    (row,) = read(ALIPAY, tmp_path, content=b"R1|7\n", layout=layout, columns=("a", "b"))
    assert (row.number, row.amount_fen) == ("R1", 7)
    assert read(ALIPAY, tmp_path, content=b"R 1|7\n", layout=layout, columns=("a", "b"))[0].number is None


def test_totals_count_and_sum_each_kind(tmp_path):
    rows = [Row(kind=RowKind.PAYMENT, number=f"R{at}", amount_fen=100, fee_fen=1) for at in range(3)]
    rows.append(Row(kind=RowKind.REFUND, number="R9", amount_fen=-30))
    assert totals(read(ALIPAY, tmp_path, *rows)) == {
        RowKind.PAYMENT: Total(rows=3, amount_fen=300, fee_fen=3),
        RowKind.REFUND: Total(rows=1, amount_fen=-30, fee_fen=0),
    }


@pytest.mark.parametrize(
    ("declared", "agrees"),
    [
        (Total(rows=3, amount_fen=300, fee_fen=3), True),
        (Total(rows=3), True),
        (Total(rows=2, amount_fen=300), False),
        (Total(rows=3, amount_fen=301), False),
        (Total(rows=3, fee_fen=2), False),
    ],
)
def test_a_declared_total_is_compared_as_far_as_it_goes(declared, agrees):
    found = {RowKind.PAYMENT: Total(rows=3, amount_fen=300, fee_fen=3)}
    assert (disagreeing({RowKind.PAYMENT: declared}, found) == {}) is agrees
    assert disagreeing({RowKind.REFUND: Total(rows=0)}, found) == {}
    assert disagreeing({RowKind.REFUND: Total(rows=1)}, found) == {RowKind.REFUND: Total(0, 0, 0)}
