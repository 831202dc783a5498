"""Id tables in the formats that training code leaves, and what is said of broken ones."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from services.cli.failure import CommandError
from services.cli.id_table import read_id_table


def table(folder: Path, name: str, text: str) -> str:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return str(path)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("ids.txt", "b\n a \n\n7\n"),
        ("ids", "b\na\n7"),
        ("ids.json", '["b", "a", 7]'),
        ("ids.json", '{"a": 1, "7": 2, "b": 0}'),
        ("ids.csv", "item_id\nb\na\n7\n"),
        ("ids.csv", "index,item_id\n1,a\n2,7\n0,b\n"),
        ("ids.tsv", "product_id\tindex\nb\t0\na\t1\n7\t2\n"),
        ("ids.ndjson", '{"item_id": "b"}\n{"item_id": "a"}\n{"item_id": 7}\n'),
    ],
)
def test_formats(tmp_path: Path, name: str, text: str) -> None:
    found = read_id_table(table(tmp_path, name, text))
    assert found.ids == ["b", "a", "7"]
    assert found.items is None


def test_items_with_metadata(tmp_path: Path) -> None:
    lines = [{"item_id": "b", "title": "Tea", "colour": "green"}, {"item_id": "a", "title": "Rye"}]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    found = read_id_table(table(tmp_path, "items.ndjson", text))
    assert found.ids == ["b", "a"]
    assert found.items is not None
    assert [item.title for item in found.items] == ["Tea", "Rye"]
    rows = read_id_table(table(tmp_path, "items.csv", "item_id,title,tags,index\na,Rye,x|y,1\nb,Tea,,0\n"))
    assert rows.ids == ["b", "a"]
    assert rows.items is not None
    assert (rows.items[1].title, rows.items[1].tags) == ("Rye", ["x", "y"])


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("ids.txt", "a\nb\na\n", ["line 3", "expected each id once", "found 'a' again", "line 1"]),
        ("ids.txt", "\n\n", ["expected an id for each item", "found none"]),
        ("ids.txt", "a\nb\x07\n", ["line 2", "expected an item id", "control character"]),
        ("ids.json", "{", ["expected JSON"]),
        ("ids.json", "3", ["expected a list of ids, or an object", "found int"]),
        ("ids.json", '["a", null]', ["entry 2", "expected an item id", "null"]),
        ("ids.json", '{"a": 1, "b": 2}', ["entry 2", "expected an index from 0 to 1", "found 2", "padding"]),
        ("ids.json", '{"a": 0, "b": 0}', ["entry 2", "expected each index once", "found 0 again", "entry 1"]),
        ("ids.json", '{"a": 0, "b": "x"}', ["entry 2", "expected an index", "found 'x'"]),
        ("ids.csv", "sku,name\na,b\n", ["item_id", "sku, name"]),
        ("ids.csv", "item_id,price\na,cheap\n", ["row 1", "price"]),
        ("ids.ndjson", '{"item_id": "a"}\n[1]\n', ["row 2"]),
    ],
)
def test_what_is_no_table(tmp_path: Path, name: str, text: str, said: list[str]) -> None:
    with pytest.raises(CommandError) as caught:
        read_id_table(table(tmp_path, name, text))
    for part in said:
        assert part in str(caught.value), str(caught.value)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="No such file"):
        read_id_table(str(tmp_path / "ids.txt"))
    (tmp_path / "ids.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(CommandError, match="expected UTF-8 text"):
        read_id_table(str(tmp_path / "ids.txt"))
