"""Our frames through pyiso8583, an implementation that shares nothing with ours but the wire."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from tests.unit.unionpay_pos.samples import MESSAGES, VECTORS, body_of, random_message

from unicom_coupon_adapters.unionpay_pos.codec import pack, unpack
from unicom_coupon_adapters.unionpay_pos.fields import FIELDS, Content
from unicom_coupon_adapters.unionpay_pos.iso_message import FieldValue, Message

pytestmark = pytest.mark.clients

SPEC_FILE = Path(__file__).parents[2] / "vectors" / "unionpay_pos.json"


def peer_spec() -> dict[str, dict[str, Any]]:
    """pyiso8583's terms for the field list that comes with the vectors; our own table is not used."""
    rows = json.loads(SPEC_FILE.read_text("utf-8"))["field_spec"]["fields"]

    def row(data: str, lengths: int, size: int, **more: str) -> dict[str, Any]:
        return {"data_enc": data, "len_enc": "bcd", "len_type": lengths, "max_len": size, "desc": "", **more}

    def of(kind: str, size: int) -> dict[str, Any]:
        if kind in {"n", "nl", "nr"}:
            return row("b", 0, size, len_count="nibbles", **{"left_pad" if kind == "nr" else "right_pad": "0"})
        if kind in {"lln", "llln", "llz", "lllz"}:
            return row(
                "b",
                1 if kind.startswith("ll") and not kind.startswith("lll") else 2,
                size,
                len_count="nibbles",
                right_pad="0",
            )
        if kind in {"a", "lla", "llla"}:
            return row("gbk", {"a": 0, "lla": 1, "llla": 2}[kind], size)
        return row("b", {"b": 0, "lllb": 2}[kind], size)

    spec = {str(number): row("ascii", 0, 1) for number in range(1, 129)}
    spec.update({number: of(field["kind"], field["len"]) for number, field in rows.items()})
    spec["57"] = row("b", 2, 100)
    spec["55"] = row("b", 2, 999)
    return spec | {"h": row("b", 0, 0), "t": row("b", 0, 2), "p": row("b", 0, 8)}


def in_peers_terms(number: int, value: FieldValue) -> str:
    return value.hex().upper() if isinstance(value, bytes) else value


def agrees(body: bytes, message: Message) -> None:
    iso8583 = pytest.importorskip("iso8583")
    spec = peer_spec()
    decoded, _ = iso8583.decode(body, spec)
    theirs = {int(number): text for number, text in decoded.items() if number.isdigit() and number != "1"}
    assert theirs == {number: in_peers_terms(number, value) for number, value in message.fields.items()}
    encoded, _ = iso8583.encode(decoded, spec)
    assert bytes(encoded) == body


@pytest.mark.parametrize("vector", [pytest.param(v, id=v["id"]) for v in MESSAGES])
def test_the_peer_reads_and_packs_the_vectors_as_we_do(vector: dict[str, Any]) -> None:
    agrees(body_of(vector), unpack(body_of(vector)))


def test_the_peer_reads_and_packs_what_we_make() -> None:
    draw = random.Random(8583)
    for _ in range(500):
        message = random_message(draw)
        agrees(pack(message), message)


def test_the_peer_makes_what_we_read() -> None:
    iso8583 = pytest.importorskip("iso8583")
    draw, spec = random.Random(85), peer_spec()
    for _ in range(500):
        message = random_message(draw)
        theirs = {str(number): in_peers_terms(number, value) for number, value in message.fields.items()}
        encoded, _ = iso8583.encode({"h": "", "t": message.mti, **theirs}, spec)
        assert unpack(bytes(encoded)) == message


def test_the_field_list_of_the_vectors_is_our_table() -> None:
    rows = json.loads(SPEC_FILE.read_text("utf-8"))["field_spec"]["fields"]
    wider = {55, 57}  # the sheet's "later 700+", and a field that no vector has
    assert {int(number) for number in rows} | {57} == set(FIELDS)
    for number, row in rows.items():
        assert int(number) in wider or FIELDS[int(number)].size == row["len"]
        assert (FIELDS[int(number)].shape.content is Content.BYTES) == (row["kind"] in {"b", "lllb"})
    assert len(VECTORS) == 66
