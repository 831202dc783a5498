"""The id table of a team's model: which item has which index, in the formats that training code leaves.

    .ndjson .jsonl .csv .tsv .parquet   a row an item: item_id, and what else POST /items takes
    .json                               a list of ids, or an object id → index
    anything else                       one id a line

Order is index order, from 0. A column `index` (or the object's numbers) says it otherwise, and must then
count from 0 without a gap.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from services.cli.failure import CommandError
from services.cli.import_items import NEEDED, item_parcel
from services.cli.mapping import ColumnMapping, check_columns, mapper
from services.cli.rows import open_rows
from services.kernel.event_input import ITEM_ID_SPELLINGS
from services.kernel.ids import IdError, read_id
from services.kernel.item import Item, ItemError, parse_item

ROW_SUFFIXES: Final = frozenset({".ndjson", ".jsonl", ".csv", ".tsv", ".parquet", ".pq"})
INDEX: Final = "index"


class IdTable(NamedTuple):
    """Ids in index order, and the items themselves where the file says more than their ids."""

    ids: list[str]
    items: list[Item] | None


class _Line(NamedTuple):
    where: str
    item_id: str
    index: Any
    item: Item | None


def read_id_table(name: str) -> IdTable:
    """Read an id table. Raises CommandError that names the line, what was expected and what was found."""
    path = Path(name)
    if ROW_SUFFIXES.intersection(suffix.lower() for suffix in path.suffixes):
        lines = _rows(name)
    elif path.suffix.lower() == ".json":
        lines = _json(path)
    else:
        lines = [
            _Line(f"line {number}", _id(path, f"line {number}", text), None, None)
            for number, text in enumerate(_text(path).splitlines(), 1)
            if text.strip()
        ]
    if not lines:
        raise CommandError(f"{name}: expected an id for each item of the model, found none")
    ordered = _in_index_order(name, lines)
    first: dict[str, str] = {}
    for line in ordered:
        if line.item_id in first:
            raise CommandError(
                f"{name}, {line.where}: expected each id once, found {line.item_id!r} again, which stands in "
                f"{first[line.item_id]} already"
            )
        first[line.item_id] = line.where
    items = [line.item for line in ordered if line.item is not None]
    return IdTable(list(first), items if len(items) == len(ordered) else None)


def _rows(name: str) -> list[_Line]:
    source = open_rows(name, None, None)
    convert = mapper(ColumnMapping())
    lines = []
    for row in source.rows():
        where = f"row {row.number + 1}"
        if row.number == 0:
            check_columns(ColumnMapping(), source.columns, NEEDED)
        if row.values is None:
            raise CommandError(f"{name}, {where}: {row.error}")
        index = row.values.pop(INDEX, None)
        parcel = item_parcel(row, convert(row))
        if parcel.refusal is not None:
            raise CommandError(f"{name}, {where}: {parcel.refusal.error}")
        try:
            item = parse_item(msgspec.json.decode(parcel.body))
        except ItemError as error:
            raise CommandError(f"{name}, {where}: {error}") from None
        bare = not row.values.keys() - set(ITEM_ID_SPELLINGS)
        lines.append(_Line(where, item.item_id, index, None if bare else item))
    return lines


def _json(path: Path) -> list[_Line]:
    try:
        found = msgspec.json.decode(_text(path))
    except msgspec.DecodeError as error:
        raise CommandError(f"{path}: expected JSON, found something else: {error}") from None
    pairs: Iterable[tuple[Any, Any]]
    if isinstance(found, dict):
        pairs = found.items()
    elif isinstance(found, list):
        pairs = ((item_id, None) for item_id in found)
    else:
        raise CommandError(
            f"{path}: expected a list of ids, or an object id → index, found {type(found).__name__}"
        )
    return [
        _Line(f"entry {number}", _id(path, f"entry {number}", item_id), index, None)
        for number, (item_id, index) in enumerate(pairs, 1)
    ]


def _in_index_order(name: str, lines: Sequence[_Line]) -> Sequence[_Line]:
    if all(line.index is None for line in lines):
        return lines
    placed: dict[int, _Line] = {}
    last = len(lines) - 1
    for line in lines:
        try:
            index = int(line.index)
        except (TypeError, ValueError):
            index = -1
        if not 0 <= index <= last:
            raise CommandError(
                f"{name}, {line.where}: expected an index from 0 to {last}, each once, found {line.index!r} "
                "(indices of a model with a row for padding are one more than Freshet's)"
            )
        if index in placed:
            raise CommandError(
                f"{name}, {line.where}: expected each index once, found {index} again, which "
                f"{placed[index].where} has already"
            )
        placed[index] = line
    return [placed[index] for index in range(len(lines))]


def _id(path: Path, where: str, raw: object) -> str:
    try:
        return read_id(raw.strip() if isinstance(raw, str) else raw)
    except IdError as error:
        raise CommandError(f"{path}, {where}: expected an item id, found one that {error}") from None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise CommandError(f"{path}: expected UTF-8 text, found other bytes") from None
