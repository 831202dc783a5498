"""Nobody who denies personalisation is trained on, whether events come from an archive or from files."""

from __future__ import annotations

import asyncio
import json
import random
import uuid
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from services.kernel.event import Event
from services.kernel.event_type import EventTypes
from services.kernel.position import Position
from services.trainer.archive import Archive, Part
from services.trainer.archive_place import open_archive_place
from services.trainer.archive_rows import batch_of, part_bytes
from services.trainer.consents import Consents
from services.trainer.events import EventTable, read_events
from services.trainer.export import export_events
from tests.unit.archive_log import MemoryLog, event, expected_of

TYPES = EventTypes()
WORDS: tuple[Any, ...] = (None, None, None, None, False, "granted", {"personalization": 0}, {"ads": False})


def some_events(seed: int) -> list[Event]:
    chance = random.Random(seed)
    return [
        event(number, f"u{chance.randrange(4)}", item_id=f"i{number}", consent=chance.choice(WORDS))
        for number in range(40)
    ] + [event(99, "one who stays", item_id="i99")]


def expected(events: list[Event]) -> list[str]:
    """Item ids of the events that may be used; each event has an item of its own."""
    log = MemoryLog(1)
    for found in events:
        log.add(0, found)
    return sorted(str(found.item_id) for found in expected_of([log]).values())


def items_of(table: EventTable) -> list[str]:
    return sorted(table.item_ids[item] for item in table.items.tolist())


@settings(max_examples=40)
@given(seed=st.integers(0, 2**32))
def test_files_and_archives_are_read_alike(seed: int) -> None:
    events = some_events(seed)
    place = open_archive_place(f"memory://{uuid.uuid4().hex}")
    log = MemoryLog(1)
    for found in events:
        log.add(0, found)
    asyncio.run(export_events(place, log, part_rows=7))
    assert items_of(read_events(place.url, event_types=TYPES)) == expected(events)

    files = open_archive_place(f"memory://{uuid.uuid4().hex}")
    rows = [
        {"user_id": found.user_id, "event_type": "view", "item_id": found.item_id,
         "timestamp": found.timestamp, "consent": found.consent}
        for found in events
    ]  # fmt: skip
    for number, some in enumerate((rows[:25], rows[25:])):
        files.write(f"{number}.ndjson", "".join(json.dumps(row) + "\n" for row in some).encode())
    table = read_events(files.url, event_types=TYPES)
    assert items_of(table) == expected(events)
    assert table.reading.withheld == len(events) - len(table)
    assert table.reading.rows == len(events)


def test_an_archive_of_an_older_freshet_that_holds_denials_is_read_without_them(tmp_path: Path) -> None:
    events = some_events(7)
    place = open_archive_place(str(tmp_path))
    positions = [Position(1, 0, number) for number in range(len(events))]
    rows = pa.Table.from_batches([batch_of(events, positions)])
    name = "events-g1-p0-old.parquet"
    place.write(name, part_bytes(rows))
    archive = Archive(place)
    archive.manifest.parts = [Part(name, 1, 0, 0, len(events) - 1, len(events), 1)]
    archive.save()
    assert 1 < len(expected(events)) < len(events)
    assert items_of(read_events(str(tmp_path), event_types=TYPES)) == expected(events)


def test_without_a_denial_no_row_is_looked_at() -> None:
    consents = Consents()
    subjects = np.array([0, 1], np.int32)
    column = pa.chunked_array([pa.array(['"granted"', None], pa.string())])
    assert consents.withheld(subjects, column, 0) is None
    assert consents.before_withdrawal(subjects).tolist() == [False, False]
