"""Rows to requests: several under way, yet no subject's rows overtake each other.

1. A row's subject chooses its lane, always the same one.
2. A lane collects rows into batches that keep the bounds below, and sends one batch at a time.
3. An answered batch moves the lane's mark; the mark is on the disk before the next batch is sent.

So after a kill at most one batch a lane is sent a second time, with the same event ids.
"""

from __future__ import annotations

import asyncio
import zlib
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

LANES = 4  # enough to keep one ingest process busy while a lane waits for its answer
BATCH_ROWS = 1000  # what ingest takes in one request
BATCH_BYTES = 900 * 1024  # ingest takes 1 MiB; the rest is room for what is not counted here
# A profile remembers the last 128 events. With half of that in a batch, a batch that is sent again is still
# recognised after 64 live events of the same subject have come in between.
BATCH_SUBJECT_ROWS = 64
_QUEUED_BATCHES = 2  # a lane: one to send next, one being filled; more would only hold memory
_YIELD_ROWS = 512  # rows read before others may run


class Refusal(NamedTuple):
    """A row that did not get in, and why."""

    row: int
    code: str
    error: str


class Parcel(NamedTuple):
    """A row on its way: its subject and JSON, or why there is none."""

    row: int
    subject: str
    body: bytes
    refusal: Refusal | None = None


@dataclass(slots=True)
class Batch:
    """What one request carries."""

    lane: int
    parcels: list[Parcel] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)
    subjects: Counter[str] = field(default_factory=Counter)
    bytes: int = 0
    next_row: int = 0  # every row of this lane below it is in this batch or an earlier one

    def has_room(self, parcel: Parcel) -> bool:
        """Whether the bounds allow one more."""
        return (
            len(self.parcels) + len(self.refusals) < BATCH_ROWS
            and self.bytes + len(parcel.body) < BATCH_BYTES
            and self.subjects[parcel.subject] < BATCH_SUBJECT_ROWS
        )

    def add(self, parcel: Parcel) -> None:
        """Take a row in."""
        self.next_row = parcel.row + 1
        if parcel.refusal is not None:
            self.refusals.append(parcel.refusal)
            return
        self.parcels.append(parcel)
        self.subjects[parcel.subject] += 1
        self.bytes += len(parcel.body) + 1


class Marks(Protocol):
    """Where the answers are noted."""

    def is_done(self, lane: int, row: int) -> bool:
        """An earlier run has an answer for this row."""

    async def note(self, batch: Batch, refusals: list[Refusal]) -> None:
        """The batch is answered; on the disk when this returns."""


def lane_of(subject: str) -> int:
    """The lane of a subject; the same in every run."""
    return zlib.crc32(subject.encode("utf-8", "surrogatepass")) % LANES


async def deliver(
    parcels: Iterator[Parcel],
    send: Callable[[list[Parcel]], Awaitable[list[Refusal]]],
    marks: Marks,
    looked_at: Callable[[int], None],
) -> None:
    """Send everything. The first exception of `send` or of the rows ends it, and is raised."""
    queues: list[asyncio.Queue[Batch | None]] = [asyncio.Queue(_QUEUED_BATCHES) for _ in range(LANES)]
    try:
        async with asyncio.TaskGroup() as group:
            for queue in queues:
                group.create_task(_run_lane(queue, send, marks))
            group.create_task(_fill(parcels, queues, marks, looked_at))
    except BaseExceptionGroup as failed:
        raise failed.exceptions[0] from None


async def _fill(
    parcels: Iterator[Parcel],
    queues: list[asyncio.Queue[Batch | None]],
    marks: Marks,
    looked_at: Callable[[int], None],
) -> None:
    open_batches = [Batch(lane) for lane in range(LANES)]
    for count, parcel in enumerate(parcels):
        if count % _YIELD_ROWS == 0:
            looked_at(count)
            await asyncio.sleep(0)
        lane = lane_of(parcel.subject)
        if marks.is_done(lane, parcel.row):
            continue
        if not open_batches[lane].has_room(parcel):
            await queues[lane].put(open_batches[lane])
            open_batches[lane] = Batch(lane)
        open_batches[lane].add(parcel)
    for lane, batch in enumerate(open_batches):
        if batch.next_row:
            await queues[lane].put(batch)
        await queues[lane].put(None)


async def _run_lane(
    queue: asyncio.Queue[Batch | None],
    send: Callable[[list[Parcel]], Awaitable[list[Refusal]]],
    marks: Marks,
) -> None:
    while (batch := await queue.get()) is not None:
        refused = await send(batch.parcels) if batch.parcels else []
        await marks.note(batch, batch.refusals + refused)
