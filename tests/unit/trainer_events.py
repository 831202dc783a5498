"""Small tables of events with something to learn in them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from services.kernel.event_type import EventType
from services.kernel.item import Item
from services.trainer.event_table import EventTable

START_S = 1_700_000_000
CIRCLES = 6  # items walk round in circles of CIRCLE items each
CIRCLE = 12


def table_of(
    rows: Sequence[tuple[int, int, int]], items: int, kind: EventType = EventType.VIEW
) -> EventTable:
    """A table of (subject, item, time) rows, each an event of its own."""
    rows = sorted(rows, key=lambda row: row[2])
    columns = np.array(rows, dtype=np.int64).reshape(-1, 3)
    return EventTable(
        subjects=columns[:, 0].astype(np.int32),
        items=columns[:, 1].astype(np.int32),
        types=np.full(len(rows), int(kind), np.uint8),
        values=np.full(len(rows), np.nan, np.float32),
        times_s=columns[:, 2],
        records=np.arange(len(rows), dtype=np.int64),
        subject_ids=[f"u{number}" for number in range(int(columns[:, 0].max(initial=0)) + 1)],
        item_ids=[f"i{number:03d}" for number in range(items)],
    )


def walks(subjects: int, seed: int, length: int = 16) -> EventTable:
    """Everybody walks round one circle, now and then skipping an item: the next item is nearly known."""
    generator = np.random.default_rng(seed)
    rows = []
    for subject in range(subjects):
        circle, at = int(generator.integers(CIRCLES)), int(generator.integers(CIRCLE))
        time_s = START_S + int(generator.integers(86_400))
        for _ in range(length):
            rows.append((subject, circle * CIRCLE + at, time_s))
            at = (at + 1 + int(generator.random() < 0.2)) % CIRCLE
            time_s += int(generator.integers(20, 60))
    return table_of(rows, CIRCLES * CIRCLE)


def circle_items() -> list[Item]:
    """The items of `walks`, with metadata that says which circle they belong to."""
    return [
        Item(item_id=f"i{number:03d}", title=f"thing {number}", categories=[[f"circle {number // CIRCLE}"]])
        for number in range(CIRCLES * CIRCLE)
    ]
