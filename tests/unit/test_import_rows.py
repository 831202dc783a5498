"""Rows of users' files: every format, and what is wrong in one row stays in that row."""

from __future__ import annotations

import datetime
import gzip
import io
import json
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from services.cli.failure import CommandError
from services.cli.import_events import NEEDED as EVENT_NAMES
from services.cli.import_items import check_names, item_parcel, own_columns
from services.cli.mapping import check_columns, mapper, parse_mapping
from services.cli.rows import MAX_LINE_BYTES, Row, open_rows
from services.kernel.cells import check_cells
from services.kernel.event import Event
from services.kernel.item import Item

FIELDS = {*Event.__struct_fields__, *Item.__struct_fields__}
RECORDS: list[dict[str, Any]] = [
    {"user_id": "u1", "item_id": "käse, weich", "event_type": "view", "timestamp": 1700000000},
    {"user_id": "u2", "item_id": "p2", "event_type": "view", "timestamp": 1700000001},
]


def read(path: Path, format_: str | None = None, delimiter: str | None = None) -> list[Row]:
    return list(open_rows(str(path), format_, delimiter).rows())


def converted(
    row: Row, *flags: str, constants: tuple[str, ...] = (), unit: str | None = None
) -> dict[str, Any]:
    return mapper(parse_mapping(flags, constants, unit))(row)


def csv_text(delimiter: str = ",") -> str:
    cells = [list(RECORDS[0]), *([f'"{value}"' for value in record.values()] for record in RECORDS)]
    lines = [delimiter.join(row) for row in cells]
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.ndjson", "a.jsonl", "a.parquet"])
def test_every_format_gives_the_same_events(tmp_path: Path, name: str, packed: bool) -> None:
    if name.endswith(".parquet"):
        buffer = io.BytesIO()
        pq.write_table(pa.Table.from_pylist(RECORDS), buffer)
        content = buffer.getvalue()
    elif name.endswith(("csv", "tsv")):
        content = ("\ufeff" + csv_text("\t" if name.endswith("tsv") else ",")).encode()
    else:
        content = "\n".join(json.dumps(record) for record in RECORDS).encode()
    path = tmp_path / (name + (".gz" if packed else ""))
    path.write_bytes(gzip.compress(content) if packed else content)
    rows = read(path)
    assert [row.number for row in rows] == [0, 1]
    assert [converted(row) for row in rows] == RECORDS


def test_a_row_that_cannot_be_read_keeps_its_number(tmp_path: Path) -> None:
    path = tmp_path / "a.ndjson"
    path.write_bytes(
        b'{"a": 1}\n\n{"a": \n[1]\n'
        + b'{"a": "'
        + b"x" * MAX_LINE_BYTES
        + b'"}\n'
        + b'{"a": "\xff"}\n{"a": 2}'
    )
    rows = read(path)
    assert [row.number for row in rows] == list(range(6))
    assert rows[0].values == {"a": 1}
    assert rows[5].values == {"a": 2}
    assert [bool(row.error) for row in rows] == [False, True, True, True, True, False]


def test_csv_troubles_stay_in_their_row(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b'a,b\n1,2,3\n\xff,2\n"two\nlines",2\n1\n')
    rows = read(path)
    assert [bool(row.error) for row in rows] == [True, True, False, False]
    assert "3 cells under 2 columns" in rows[0].error
    assert "UTF-8" in rows[1].error
    assert rows[2].values == {"a": "two\nlines", "b": "2"}
    assert rows[3].values == {"a": "1"}  # what is not there is absent, not empty


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.xlsx", b"x", "--format"),
        ("a.json", b"[]", "jq"),
        ("a.csv", b"", "empty"),
        ("a.csv", b"a,a\n1,2\n", "once"),
        ("a.csv", "käse,b\n1,2\n".encode("latin-1"), "ISO-8859-1"),
        ("a.csv", "a,b\n1,2\n".encode("utf-16"), "UTF-16"),
        ("a.parquet", b"nothing like it", "Parquet"),
        ("a.csv.gz", b"\x1f\x8bdamaged", "cannot be read"),
    ],
)
def test_a_file_that_is_no_table_is_refused(tmp_path: Path, name: str, content: bytes, told: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CommandError, match=told):
        read(tmp_path / name)


def test_a_missing_file_and_a_directory(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="no such file"):
        open_rows(str(tmp_path / "absent.csv"), None, None)
    with pytest.raises(CommandError, match="not a file"):
        open_rows(str(tmp_path), None, None)


def test_standard_input_is_named_by_its_content(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(csv_text())
    with path.open() as text:
        monkeypatch.setattr(sys, "stdin", text)
        source = open_rows("-", "csv", None)
    assert source.content_hash() == open_rows(str(path), None, None).content_hash()
    assert len(list(source.rows())) == 2
    source.discard()
    assert not source.path.exists()


def test_columns_are_renamed_and_constants_win() -> None:
    row = Row(
        0, {"uid": "u1", "item_id": "not this", "sku": "p1", "event_type": "x", "price": "1.50", "n": "7"}
    )
    found = converted(row, "user_id=uid", "item_id=sku", constants=("event_type=purchase", "quantity=2"))
    assert found == {
        "user_id": "u1", "item_id": "p1", "event_type": "purchase", "quantity": 2, "price": 1.5, "n": "7",
    }  # fmt: skip


def test_one_column_may_have_two_names() -> None:
    row = Row(0, {"order": "o1"})
    assert converted(row, "order_id=order", "event_id=order") == {"order_id": "o1", "event_id": "o1"}


def test_dots_make_objects_and_text_becomes_json() -> None:
    row = Row(
        0, {"context.country": "DE", "properties": '{"a": 1}', "items": '[{"item_id": "p"}]', "note": "{x"}
    )
    assert converted(row) == {
        "context": {"country": "DE"},
        "properties": {"a": 1},
        "items": [{"item_id": "p"}],
        "note": "{x",
    }


@pytest.mark.parametrize(
    ("given", "unit", "expected"),
    [
        ("1700000000", None, 1700000000),
        ("1700000000", "s", 1700000000000),
        ("1700000000.25", "s", 1700000000250),
        ("50000000000", "ms", "1971-08-02T16:53:20+00:00"),  # as a number ingest would read it as seconds
        ("1700000000000000", "us", 1700000000000),
        ("2024-01-02T03:04:05Z", "s", "2024-01-02T03:04:05Z"),
        (datetime.datetime(2024, 1, 2, tzinfo=datetime.UTC), None, 1704153600000),
        (datetime.datetime(2024, 1, 2), None, 1704153600000),
        ("nan", None, "nan"),
    ],
)
def test_timestamps(given: Any, unit: str | None, expected: Any) -> None:
    assert converted(Row(0, {"timestamp": given}), unit=unit)["timestamp"] == expected


def test_pandas_leftovers() -> None:
    row = Row(0, {"user_id": 12.0, "price": float("nan"), "rating": None})
    assert converted(row) == {"user_id": 12}


@pytest.mark.parametrize("flag", ["item_id", "=x", "item_id="])
def test_a_flag_without_a_pair_is_refused(flag: str) -> None:
    with pytest.raises(CommandError, match="--map"):
        parse_mapping([flag], [])


def test_a_mapped_column_must_be_there() -> None:
    mapping = parse_mapping(["item_id=sku"], [])
    with pytest.raises(CommandError, match=r"sku.*it has a, b"):
        check_columns(mapping, ("a", "b"))
    with pytest.raises(CommandError, match="--delimiter ';'"):
        check_columns(mapping, ("sku;name",))
    check_columns(mapping, ("sku",))
    check_columns(mapping, ())


@pytest.mark.parametrize(
    ("columns", "flags", "constants", "told"),
    [
        (("who", "event_type"), (), (), r"user_id or anonymous_id; .* who, event_type.*--map user_id="),
        (("user_id", "what"), (), (), "--set event_type=view"),
        (("user_id",), ("item_id=user_id",), ("event_type=view",), "--map user_id="),
        (("user_id;event_type",), (), (), "--delimiter ';'"),
        (("anonymous_id", "event_type"), (), (), None),
        (("who", "what"), ("user_id=who", "event_type=what"), (), None),
        (("user_id",), (), ("event_type=view",), None),
        ((), (), (), None),
    ],
)
def test_what_every_row_would_lack_is_said_once(
    columns: tuple[str, ...], flags: tuple[str, ...], constants: tuple[str, ...], told: str | None
) -> None:
    mapping = parse_mapping(flags, constants)
    if told is None:
        check_columns(mapping, columns, EVENT_NAMES)
    else:
        with pytest.raises(CommandError, match=told):
            check_columns(mapping, columns, EVENT_NAMES)


def test_an_items_own_columns_become_properties() -> None:
    values = {"product_id": 7, "title": "T", "colour": "red", "categories": "A > B", "properties": {"x": 1}}
    parcel = item_parcel(Row(0, values), values)
    assert parcel.subject == "7"
    assert json.loads(parcel.body) == {
        "item_id": 7,
        "title": "T",
        "categories": ["A > B"],
        "properties": {"colour": "red", "x": 1},
    }


def test_a_decimal_comma_is_read_where_it_is_said() -> None:
    values = {"price": "1.234,50", "title": "Tea, loose", "quantity": "2"}
    plain, said = parse_mapping((), ()), parse_mapping((), (), decimal_comma=True)
    assert mapper(said)(Row(0, values)) == {"price": 1234.5, "title": "Tea, loose", "quantity": 2}
    assert plain.identity() != said.identity(), "another reading makes other events"
    with pytest.raises(ValueError, match=r"price is '1\.234,50'.*--decimal-comma"):
        check_cells(mapper(plain)(Row(0, values)), {"price"})


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("4,50", 4.5),
        ("-4,5", -4.5),
        ("1234,5", 1234.5),
        ("1.234", 1234),
        ("1.234.567,8", 1234567.8),
        ("4.50", 4.5),  # not 450: points stand before three digits
        ("1,234.50", None),
        ("4,50 EUR", None),
    ],
)
def test_a_price_is_never_read_as_its_hundredfold(text: str, number: float | None) -> None:
    found = mapper(parse_mapping((), (), decimal_comma=True))(Row(0, {"price": text}))
    assert found == {"price": text if number is None else number}
    if number is None:
        with pytest.raises(ValueError, match=r"price is .*; write a number such as 4\.50$"):
            check_cells(found, {"price"})


def test_a_shop_s_own_columns_may_hold_any_text() -> None:
    """A quantity is a field of events, and "500 ml" of an item; a list price the other way round."""
    row = Row(0, {"item_id": "i", "quantity": "500 ml", "rating": "4/5", "value": "good"})
    check_cells(mapper(parse_mapping((), ()))(row), Item.__struct_fields__)
    check_cells({"event_type": "view", "list_price": "EUR 4", "available": "ja"}, Event.__struct_fields__)


@pytest.mark.parametrize(
    ("found", "told"),
    [
        ({"price": "EUR 4.50"}, "write a number such as 4.50$"),
        ({"quantity": "x" * 1000}, "^.{0,100}$"),
        ({"available": "ja"}, "available is 'ja'; write yes or no"),
        ({"price": 4.5, "available": True, "title": "4,50", "timestamp": "2026-01-31"}, None),
    ],
)
def test_text_in_the_place_of_a_number_says_what_to_write(found: dict[str, Any], told: str | None) -> None:
    if told is None:
        check_cells(found, FIELDS)
    else:
        with pytest.raises(ValueError, match=told):
            check_cells(found, FIELDS)


def test_what_is_nearly_a_field_of_an_item_is_asked_about() -> None:
    for flags, constants in ((["titel=name"], []), ([], ["currancy=EUR"])):
        with pytest.raises(CommandError, match=r"did you mean '(title|currency)'\?.*properties\."):
            check_names(parse_mapping(flags, constants))
    own = (
        "colour",
        "subtitle",
        "publisher",
        "territories",
        "age",
        "sale_price",
        "series",
        "properties.titel",
    )
    check_names(parse_mapping(["item_id=sku", "title=name", *(f"{name}=column" for name in own)], []))


def test_columns_that_nobody_mapped_are_named() -> None:
    columns = ("sku", "name", "dept", "price", "properties.size")
    assert own_columns(parse_mapping(["item_id=sku", "title=name"], []), columns) == ["dept"]
