"""Events from an archive or from files of other systems, as columns."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any, Final

import pyarrow as pa

from services.kernel.cells import place_cell, typed_cell
from services.kernel.event import Event
from services.kernel.event_input import EventError, parse_event
from services.kernel.event_type import EventTypes
from services.kernel.item import Item, ItemError, parse_item
from services.kernel.position import Position
from services.trainer.archive import MANIFEST_NAME, Archive, ordered
from services.trainer.archive_place import ArchiveError, ArchivePlace, open_archive_place
from services.trainer.archive_rows import SCHEMA, batch_of, row_groups
from services.trainer.event_columns import COLUMNS, EventColumns
from services.trainer.event_table import EventTable, Reading
from services.trainer.forgetting import without_forgotten
from services.trainer.row_files import format_of, rows_of

__all__ = ["ArchiveError", "EventTable", "Reading", "RowMapping", "plain_row", "read_events", "read_items"]

# From the columns of a file to an event as POST /events takes it. Raises ValueError for a row that is none.
RowMapping = Callable[[dict[str, Any]], dict[str, Any]]
_CHUNK_EVENTS: Final = 20_000  # events that are objects at once: about 20 MB


def plain_row(values: dict[str, Any]) -> dict[str, Any]:
    """The mapping of a file whose columns have our names: numbers out of text, `context.country` into
    `context`."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        if value is not None:
            place_cell(found, name, typed_cell(name, value))
    return found


def read_events(
    url: str,
    *,
    event_types: EventTypes,
    mapping: RowMapping | None = None,
    since_ms: int | None = None,
    until_ms: int | None = None,
    now_ms: int | None = None,
) -> EventTable:
    """All events at a path or URL: an archive, a file, or a folder of files in the order of their names.

    Files are Parquet, NDJSON, CSV or TSV (`.gz` too) with the names of POST /events in any accepted spelling,
    or with those that `mapping` turns into them; a row without a `timestamp` is no event here, and one that
    lies more than 5 minutes after `now_ms` (the clock's) neither. since_ms ≤ timestamp < until_ms, Unix ms.

    An event that repeats one of the last 128 of its subject (its `event_id`) is dropped, exactly as a profile
    drops it; events without an id are all different. Rows that are no events are counted in
    `EventTable.reading`. What a pending deletion asks to forget is left out.

    Memory: 30 bytes an item line, `subject_ids` and `item_ids` in the result; about 100 bytes a line at the
    peak, and one batch. Raises ArchiveError when there is nothing to read or no event in it.
    """
    place = open_archive_place(url)
    columns = EventColumns(event_types, since_ms, until_ms)
    if not place.is_file() and place.read(MANIFEST_NAME) is not None:
        _read_archive(place, columns)
    else:
        now = time.time_ns() // 1_000_000 if now_ms is None else now_ms
        _read_files(place, columns, event_types, mapping or plain_row, now)
    table = columns.table()
    if not len(table):
        raise ArchiveError(_nothing_in(place.url, table.reading))
    return table


def read_items(url: str) -> list[Item]:
    """Items from NDJSON (`.gz` too) with an object as POST /items takes it on each line.

    Raises ArchiveError for a file that cannot be read and for the first line that is no item.
    """
    place = open_archive_place(url)
    items = []
    for name in _files(place):
        for row in rows_of(place, name):
            shown = f"{place.url}/{name}".rstrip("/")
            if row.values is None:
                raise ArchiveError(f"{shown}, row {row.number}: {row.error}")
            try:
                items.append(parse_item(row.values))
            except ItemError as error:
                raise ArchiveError(f"{shown}, row {row.number}: {error}") from None
    return items


def _read_archive(place: ArchivePlace, columns: EventColumns) -> None:
    manifest = Archive(place).manifest
    pending = manifest.pending()
    for part in ordered(manifest.parts):
        try:
            with place.open(part.file) as file:
                for rows in row_groups(file, COLUMNS):
                    kept = without_forgotten(rows, part.generation, part.partition, pending)
                    columns.add(kept, part.file)
        except (ArchiveError, OSError, pa.ArrowException) as error:
            raise ArchiveError(
                f"{error}; if an export was at work on {place.url} meanwhile, read again: it replaces parts"
            ) from None


def _read_files(
    place: ArchivePlace, columns: EventColumns, types: EventTypes, mapping: RowMapping, now_ms: int
) -> None:
    chunk: list[Event] = []
    name = ""

    def flush() -> None:
        batch = batch_of(chunk, [Position(0, 0, number) for number in range(len(chunk))])
        columns.add(pa.Table.from_batches([batch], SCHEMA), name)
        chunk.clear()

    for file_number, name in enumerate(_files(place)):
        shown = name or place.url
        for row in rows_of(place, name):
            if row.values is None:
                columns.refuse(f"{shown}, row {row.number}", row.error)
                continue
            try:
                chunk.append(_event(mapping(row.values), f"{file_number}-{row.number}", types, now_ms))
            except (EventError, ValueError, TypeError, OverflowError) as error:
                columns.refuse(f"{shown}, row {row.number}", str(error))
            if len(chunk) >= _CHUNK_EVENTS:
                flush()
    flush()


def _event(values: dict[str, Any], event_id: str, types: EventTypes, now_ms: int) -> Event:
    """The event of a row; `event_id` is for one that has none. Raises EventError."""
    if values.get("timestamp") is None:
        raise EventError("missing_timestamp", "timestamp is missing; a history needs one in every row")
    if values.get("event_id") is None:
        values["event_id"] = event_id
    return parse_event(values, now_ms, types)


def _files(place: ArchivePlace) -> Iterator[str]:
    """The files to read: "" for the root itself. Raises ArchiveError where there is none."""
    if place.is_file():
        if format_of(place.url) is None:
            raise ArchiveError(
                f"{place.url}: the format is not known from the name; it ends in .parquet, .ndjson, .jsonl, "
                ".csv or .tsv, with or without .gz"
            )
        yield ""
        return
    names = [
        name for name in place.names() if format_of(name) and not name.rpartition("/")[2].startswith(".")
    ]
    if not names:
        raise ArchiveError(
            f"{place.url}: no archive and no file of events is there; `freshet events export --to` makes an "
            "archive, and Parquet, NDJSON, CSV and TSV files are read as well"
        )
    yield from names


def _nothing_in(url: str, reading: Reading) -> str:
    if reading.no_events:
        few = "; ".join(reading.reasons)
        return f"{url}: none of {reading.rows:,} rows is an event that can be used, for instance {few}"
    return (
        f"{url}: holds no event that training uses: {reading.rows:,} rows, {reading.outside:,} of them "
        f"outside the period asked for, {reading.without_lines:,} without an item"
    )
