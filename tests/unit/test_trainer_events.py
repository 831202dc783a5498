"""Reading events as columns: all formats, what a profile would see of them, what is left out and why."""

from __future__ import annotations

import asyncio
import gzip
import json
import math
import random
import uuid
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.kernel.change import change_of
from services.kernel.event import Event, UserDeletion, item_lines
from services.kernel.event_type import EventTypes
from services.kernel.ids import event_hash, item_key
from services.kernel.position import Position
from services.trainer.archive import Archive, PendingDeletion
from services.trainer.archive_place import open_archive_place
from services.trainer.event_columns import repeats
from services.trainer.events import ArchiveError, EventTable, read_events, read_items
from services.trainer.export import export_events
from tests.unit.archive_log import MemoryLog, any_event, event

TYPES = EventTypes("wishlist_of_ours:200=2")


def lines_of(table: EventTable) -> list[tuple[str, str, int, float, int]]:
    """The rows as plain values; -1 stands for no value."""
    return [
        (table.subject_ids[s], table.item_ids[i], int(t), -1.0 if math.isnan(v) else float(v), int(time_s))
        for s, i, t, v, time_s in zip(
            table.subjects, table.items, table.types, table.values, table.times_s, strict=True
        )
    ]


def archive_of(url: str, events: list[Any], partitions: int = 1) -> None:
    log = MemoryLog(partitions)
    for what in events:
        log.add(0, what)
    asyncio.run(export_events(open_archive_place(url), log, part_rows=10))


@settings(max_examples=40)
@given(seed=st.integers(0, 2**32))
def test_lines_are_those_that_a_profile_gets(seed: int) -> None:
    chance = random.Random(seed)
    events = []
    for number in range(40):
        found = any_event(number, f"u{chance.randrange(3)}", chance)
        events.append(
            Event(
                **{name: getattr(found, name) for name in Event.__struct_fields__}
                | {"timestamp": chance.randrange(2000), "rating": chance.choice((None, -1.0, 3.5, 99.0)),
                   "value": chance.choice((None, 1e39, -2.0)), "price": chance.choice((None, 7.25)),
                   "consent": chance.choice((None, True))}
            )
        )  # fmt: skip
    url = f"memory://{uuid.uuid4().hex}"
    archive_of(url, events)
    table = read_events(url, event_types=TYPES)
    expected = []
    for position, found in sorted(enumerate(events), key=lambda pair: pair[1].timestamp // 1000):
        change = change_of(found, Position(1, 0, position), TYPES)
        for line, item in zip(change.lines, item_lines(found), strict=False):
            assert line.item == item_key(item.item_id)
            value = -1.0 if math.isnan(line.value) else float(np.float32(line.value))
            expected.append((found.subject, item.item_id, change.type_number, value, change.time_s))
    assert lines_of(table) == expected
    assert (np.diff(table.records) >= 0).all()
    assert table.reading.rows == len(events)
    assert len(set(table.records.tolist())) == table.reading.events


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 200)), max_size=800),
    st.integers(1, 4),
)
def test_repeats_are_those_that_a_profile_drops(drawn: list[tuple[int, int]], spread: int) -> None:
    drawn = [(subject, number // spread) for subject, number in drawn]
    subjects = np.array([subject for subject, _ in drawn], np.int32)
    hashes = np.array([hash(f"e{number}") for _, number in drawn], np.int64)
    recent: dict[int, list[int]] = {}
    expected = []
    for subject, number in drawn:
        held = recent.setdefault(subject, [])
        expected.append(event_hash(str(number)) in held)
        if not expected[-1]:
            recent[subject] = [*held, event_hash(str(number))][-128:]
    assert repeats(subjects, hashes).tolist() == expected


ROWS = [
    {"user_id": "u1", "event_type": "product_view", "product_id": "a", "timestamp": 1_700_000_002},
    {"user_id": "u2", "event_type": "view", "item_id": 7, "timestamp": "2023-11-14T22:13:20Z"},
    {"user_id": "u1", "event_type": "purchase", "item_id": "b", "price": 2.5, "timestamp": 1_700_000_001_000},
]
EXPECTED = [
    ("u2", "7", 1, -1.0, 1_700_000_000),
    ("u1", "b", 5, 2.5, 1_700_000_001),
    ("u1", "a", 1, -1.0, 1_700_000_002),
]


def csv_text(delimiter: str) -> str:
    names = ["user_id", "event_type", "item_id", "price", "timestamp"]
    lines = [delimiter.join(names)]
    for row in ROWS:
        values = {"item_id": row.get("product_id"), **row}
        lines.append(delimiter.join(str(values.get(name, "") or "") for name in names))
    return "\n".join(lines) + "\n"


def parquet_rows() -> pa.Table:
    times = pa.array([1_700_000_002_000, 1_700_000_000_000, 1_700_000_001_000], pa.timestamp("ms"))
    return pa.table(
        {
            "user_id": ["u1", "u2", "u1"],
            "event_type": ["view", "view", "purchase"],
            "item_id": ["a", "7", "b"],
            "price": [None, None, 2.5],
            "timestamp": times,
        }
    )


@pytest.mark.parametrize(
    "name", ["e.ndjson", "e.jsonl.gz", "e.csv", "e.csv.gz", "e.tsv", "e.parquet", "folder"]
)
@pytest.mark.parametrize("scheme", ["path", "file", "memory"])
def test_every_format_at_every_kind_of_url(tmp_path: Path, name: str, scheme: str) -> None:
    ndjson = "\n".join(json.dumps(row) for row in ROWS)
    if name == "folder":
        path = tmp_path / "folder"
        (path / "day=2").mkdir(parents=True)
        (path / "a.ndjson").write_text(ndjson.split("\n")[0])
        (path / "day=2" / "b.ndjson.gz").write_bytes(
            gzip.compress("\n".join(ndjson.split("\n")[1:]).encode())
        )
        (path / "README.md").write_text("no events")
    else:
        path = tmp_path / name
        if "parquet" in name:
            pq.write_table(parquet_rows(), path)
        else:
            text = ndjson if "json" in name else csv_text("\t" if "tsv" in name else ",")
            path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    url = {"path": str(path), "file": f"file://{path}"}.get(scheme)
    if url is None:
        url = f"memory://{uuid.uuid4().hex}/{name}"
        fsspec.filesystem("memory").put(str(path), url, recursive=True)
    table = read_events(url, event_types=TYPES)
    assert lines_of(table) == EXPECTED
    assert table.reading.rows == 3


def test_a_mapping_gives_names_and_constants(tmp_path: Path) -> None:
    path = tmp_path / "orders.csv"
    path.write_text("who,sku,at\nann,x,1700000000\n")

    def mapping(values: dict[str, Any]) -> dict[str, Any]:
        return {"user_id": values["who"], "item_id": values["sku"], "event_type": "purchase",
                "timestamp": int(values["at"])}  # fmt: skip

    table = read_events(str(path), event_types=TYPES, mapping=mapping)
    assert lines_of(table) == [("ann", "x", 5, -1.0, 1_700_000_000)]


def test_rows_that_are_no_events_are_counted_and_the_first_ones_named(tmp_path: Path) -> None:
    path = tmp_path / "e.ndjson"
    bad = ["{broken", "[]", '{"user_id": "u"}', '{"user_id":"u","event_type":"view","item_id":"i"}',
           '{"user_id":"u","event_type":"veiw","item_id":"i","timestamp":1}',
           '{"user_id":"u","event_type":"view","item_id":"i","timestamp":4000000000}']  # fmt: skip
    path.write_text("\n".join([*bad, json.dumps(ROWS[0])]))
    table = read_events(str(path), event_types=TYPES)
    assert (len(table), table.reading.no_events, len(table.reading.reasons)) == (1, 6, 5)
    assert "row 1: not JSON" in table.reading.reasons[0]
    assert "view" in table.reading.reasons[4]
    path.write_text("\n".join(bad))
    with pytest.raises(ArchiveError, match=r"none of 6 rows is an event.*row 1: not JSON"):
        read_events(str(path), event_types=TYPES)


def test_what_cannot_be_read_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match="freshet events export --to"):
        read_events(str(tmp_path), event_types=TYPES)
    with pytest.raises(ArchiveError, match="freshet events export --to"):
        read_events(str(tmp_path / "absent"), event_types=TYPES)
    (tmp_path / "e.xlsx").write_bytes(b"x")
    with pytest.raises(ArchiveError, match="format is not known"):
        read_events(str(tmp_path / "e.xlsx"), event_types=TYPES)
    for name in ("broken.parquet", "broken.csv.gz"):
        (tmp_path / name).write_bytes(b"\x1f\x8b not what it says")
        with pytest.raises(ArchiveError, match="cannot be read"):
            read_events(str(tmp_path / name), event_types=TYPES)
    with pytest.raises(ArchiveError, match=r"cannot be opened|not installed"):
        read_events("nosuch://x", event_types=TYPES)


def test_period_repeats_and_types_without_lines() -> None:
    url = f"memory://{uuid.uuid4().hex}"
    events = [event(number) for number in range(10)]
    archive_of(url, [*events, events[9], event(20, event_type="search"), event(21, event_type="of_others")])
    table = read_events(url, event_types=TYPES, since_ms=1_700_000_003_000, until_ms=1_700_000_008_000)
    assert table.times_s.tolist() == list(range(1_700_000_003, 1_700_000_008))
    reading = table.reading
    assert (reading.events, reading.outside, reading.repeats, reading.no_events) == (5, 6, 1, 1)
    assert "FRESHET_EVENT_TYPES" in reading.reasons[0]
    assert len(table.before(1_700_000_005)) == 2
    assert table.take(table.items == table.items[0]).times_s.tolist() == [1_700_000_003]


def test_an_order_is_one_record_in_several_rows_and_ties_keep_the_order_of_the_log() -> None:
    url = f"memory://{uuid.uuid4().hex}"
    order = any_event(0, "u", _Second())
    archive_of(url, [event(5, timestamp=order.timestamp), order, event(6, timestamp=order.timestamp)])
    table = read_events(url, event_types=TYPES)
    assert table.records.tolist() == [0, 1, 1, 1, 2]
    assert [table.item_ids[item] for item in table.items] == ["i0", "a/é", "b", "c", "i1"]


class _Second(random.Random):
    def choice(self, seq: Any) -> Any:
        return seq[1]


def test_a_pending_deletion_is_honoured_by_readers() -> None:
    url = f"memory://{uuid.uuid4().hex}"
    archive_of(url, [event(1, "u1"), event(2, "u2")])
    archive = Archive(open_archive_place(url))
    archive.manifest.deletions = [PendingDeletion("u1", 1, 0, 5)]
    archive.save()
    assert read_events(url, event_types=TYPES).subject_ids == ["u2"]
    archive_of(f"{url}/other", [event(1, "u1"), UserDeletion(user_id="u1", received_at=1)])
    with pytest.raises(ArchiveError, match="holds no event"):
        read_events(f"{url}/other", event_types=TYPES)


def test_items(tmp_path: Path) -> None:
    path = tmp_path / "items.ndjson.gz"
    path.write_bytes(gzip.compress(b'{"item_id": "a", "title": "A"}\n\n{"item_id": 7}\n'))
    assert [(item.item_id, item.title) for item in read_items(str(path))] == [("a", "A"), ("7", None)]
    (tmp_path / "bad.ndjson").write_text('{"item_id": "a"}\n{"title": "B"}\n')
    with pytest.raises(ArchiveError, match=r"bad.ndjson, row 2: .*item_id"):
        read_items(str(tmp_path / "bad.ndjson"))
