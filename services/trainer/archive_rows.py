"""Events as rows of an archive, and back, without loss."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import IO, Any, Final

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from services.kernel.event import Event, Line
from services.kernel.position import Position

_LINES: Final = pa.list_(
    pa.struct([("item_id", pa.string()), ("quantity", pa.float64()), ("price", pa.float64())])
)
_MOMENT: Final = pa.timestamp("ms", tz="UTC")
_TEXTS: Final = (
    "event_id", "user_id", "anonymous_id", "subject", "event_type", "item_id", "currency", "order_id",
    "session_id", "recommendation_id",
)  # fmt: skip
_NUMBERS: Final = ("value", "price", "quantity", "rating", "progress")
_MOMENTS: Final = ("timestamp", "received_at")
_JSONS: Final = ("context", "consent", "properties")  # what clients shape as they like, as JSON text
SCHEMA: Final = pa.schema(
    [
        *((name, pa.string()) for name in _TEXTS[:6]),
        ("items", _LINES),
        *((name, pa.float64()) for name in _NUMBERS),
        *((name, pa.string()) for name in _TEXTS[6:]),
        *((name, _MOMENT) for name in _MOMENTS),
        *((name, pa.string()) for name in _JSONS),
        ("generation", pa.int32()),
        ("partition", pa.int32()),
        ("offset", pa.int64()),
    ]
)
# Rows that a reader decodes at once: 64 Ki rows of about 300 B are 20 MB.
ROW_GROUP_ROWS: Final = 65_536
_encode: Final = msgspec.json.Encoder().encode


def batch_of(events: Sequence[Event], positions: Sequence[Position]) -> pa.RecordBatch:
    """Rows of events at their positions, in SCHEMA."""
    columns: dict[str, Any] = {}
    for name in _TEXTS:
        columns[name] = pa.array([getattr(event, name) for event in events], pa.string())
    for name in _NUMBERS:
        columns[name] = pa.array([getattr(event, name) for event in events], pa.float64())
    for name in _MOMENTS:
        columns[name] = pa.array([getattr(event, name) for event in events], pa.int64()).cast(_MOMENT)
    for name in _JSONS:
        columns[name] = pa.array([_json_text(getattr(event, name)) for event in events], pa.string())
    columns["items"] = _lines_of(events)
    columns["generation"] = pa.array([position.generation for position in positions], pa.int32())
    columns["partition"] = pa.array([position.partition for position in positions], pa.int32())
    columns["offset"] = pa.array([position.offset for position in positions], pa.int64())
    return pa.RecordBatch.from_arrays([columns[name] for name in SCHEMA.names], schema=SCHEMA)


def events_of(table: pa.Table) -> Iterator[tuple[Position, Event]]:
    """The events of rows in SCHEMA, exactly as they stood on the log."""
    for name in _MOMENTS:
        place = table.schema.get_field_index(name)
        table = table.set_column(place, name, table.column(name).cast(pa.int64()))
    for row in table.to_pylist():
        position = Position(row.pop("generation"), row.pop("partition"), row.pop("offset"))
        yield position, event_of(row)


def event_of(row: Mapping[str, Any]) -> Event:
    """The event of one row whose times are Unix ms."""
    fields = {name: row[name] for name in (*_TEXTS, *_NUMBERS, *_MOMENTS) if name != "subject"}
    for name in _JSONS:
        fields[name] = None if row[name] is None else json.loads(row[name])
    if row["items"] is not None:
        fields["items"] = tuple(Line(**line) for line in row["items"])
    return Event(**fields)


def part_bytes(table: pa.Table) -> bytes:
    """A Parquet file of the rows."""
    out = io.BytesIO()
    pq.write_table(table, out, row_group_size=ROW_GROUP_ROWS, compression="zstd")
    return out.getvalue()


def row_groups(file: IO[bytes], columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
    """The row groups of a Parquet file, one at a time."""
    parquet = pq.ParquetFile(file)
    for number in range(parquet.num_row_groups):
        yield parquet.read_row_group(number, columns=None if columns is None else list(columns))


def forgotten(
    table: pa.Table, generation: int, partition: int, deletions: Mapping[str, Position]
) -> NDArray[np.bool_] | None:
    """Which rows of one partition (columns `subject`, `offset`) lie before the deletion of their subject.

    bool[rows], or None where no deletion comes after this partition. A subject has one partition in a
    generation, so other partitions of the deletion's generation hold nothing of it; all of an earlier
    generation comes before it.
    """
    limits = {
        subject: at.offset if at.generation == generation else np.iinfo(np.int64).max
        for subject, at in deletions.items()
        if at.generation > generation or (at.generation, at.partition) == (generation, partition)
    }
    if not limits or not table.num_rows:
        return None
    places: Any = pc.index_in(table.column("subject"), value_set=pa.array(list(limits), pa.string()))
    filled: Any = pc.fill_null(places, -1)
    before = np.append(np.array(list(limits.values()), np.int64), -1)[
        filled.to_numpy()
    ]  # -1: deleted by nobody
    gone: NDArray[np.bool_] = table.column("offset").to_numpy() < before
    return gone


def _json_text(value: Any) -> str | None:
    if value is None:
        return None
    try:
        return _encode(value).decode()
    except OverflowError:  # an integer beyond 64 bits, from a producer of another kind
        return json.dumps(value, ensure_ascii=False)


def _lines_of(events: Sequence[Event]) -> Any:
    if not any(event.items for event in events):
        return pa.array([None if event.items is None else [] for event in events], _LINES)
    offsets: list[int | None] = []
    lines: list[Line] = []
    for event in events:
        offsets.append(None if event.items is None else len(lines))
        lines += event.items or ()
    values = pa.StructArray.from_arrays(
        [
            pa.array([line.item_id for line in lines], pa.string()),
            pa.array([line.quantity for line in lines], pa.float64()),
            pa.array([line.price for line in lines], pa.float64()),
        ],
        fields=list(_LINES.value_type),
    )
    return pa.ListArray.from_arrays(pa.array([*offsets, len(lines)], pa.int32()), values)
