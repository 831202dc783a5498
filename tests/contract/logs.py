"""What the suites of the event log share: opening a log, drafts, reading so and so many records."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from services.kernel.position import Position
from services.kernel.settings import LogSettings
from services.log.open import open_log
from services.log.protocol import (
    Append,
    Assignment,
    Consumer,
    Draft,
    EventLog,
    LogError,
    Producer,
    Record,
    Topic,
)

PARTITIONS = 4
ACK_TIMEOUT_MS = 20_000
# Only so that a broken log fails a test instead of hanging it.
PATIENCE_S = 60.0


def settings_of(url: str, namespace: str, **overrides: Any) -> LogSettings:
    """Settings of a log with four partitions, where the dead are replaced soon."""
    fields = {"log_url": url, "namespace": namespace, "log_partitions": PARTITIONS, "log_session_ms": 2000}
    return LogSettings(**{**fields, **overrides})


@asynccontextmanager
async def opened(url: str, namespace: str, **overrides: Any) -> AsyncIterator[tuple[EventLog, Producer]]:
    """A log and a started producer."""
    log = open_log(settings_of(url, namespace, **overrides))
    producer = log.producer()
    try:
        async with asyncio.timeout(PATIENCE_S):
            await producer.start()
        yield log, producer
    finally:
        await producer.stop()
        await log.close()


@asynccontextmanager
async def member(
    log: EventLog, group: str | None = "g", assignment: Assignment | None = None, topic: Topic = Topic.EVENTS
) -> AsyncIterator[Consumer]:
    """A started consumer, which leaves at the end."""
    consumer = log.consumer(topic, group)
    try:
        await consumer.start(assignment)
        yield consumer
    finally:
        await consumer.stop()


def numbered(count: int, key: str = "user-{}") -> list[Draft]:
    """Drafts over many keys whose values are their numbers."""
    return [Draft(key.format(number % 17).encode(), b"%d" % number) for number in range(count)]


async def appended(
    producer: Producer, drafts: Sequence[Draft], topic: Topic = Topic.EVENTS
) -> list[Position]:
    """Append and insist on a position for each."""
    outcomes = await producer.append(topic, drafts, ACK_TIMEOUT_MS)
    return positions_of(outcomes)


def positions_of(outcomes: Sequence[Append]) -> list[Position]:
    """The positions; the first error is raised."""
    found = []
    for outcome in outcomes:
        if outcome.position is None:
            assert outcome.error is not None
            raise outcome.error
        found.append(outcome.position)
    return found


async def read(consumer: Consumer, count: int) -> list[Record]:
    """The next `count` records or a few more, each partition's in order."""
    records: list[Record] = []
    async with asyncio.timeout(PATIENCE_S):
        while len(records) < count:
            for batch in (await consumer.fetch(500, 200)).values():
                records += batch
    return records


async def read_patiently(consumer: Consumer, count: int) -> list[Record]:
    """`read` over outages of the log."""
    records: list[Record] = []
    async with asyncio.timeout(PATIENCE_S):
        while len(records) < count:
            try:
                batches = await consumer.fetch(500, 200)
            except LogError:
                await asyncio.sleep(0.1)
                continue
            for batch in batches.values():
                records += batch
    return records


def ends(records: Sequence[Record]) -> dict[int, int]:
    """What to commit when all of them are applied."""
    marks: dict[int, int] = {}
    for record in records:
        marks[record.position.partition] = record.position.offset + 1
    return marks


class Notes:
    """An Assignment that writes down what it is told, and may choose where to start."""

    def __init__(self, starts: dict[int, int] | None = None) -> None:
        self.told: list[tuple[str, list[int]]] = []
        self.held: set[int] = set()
        self._starts = starts or {}

    async def assigned(self, partitions: Sequence[int]) -> dict[int, int]:
        self.told.append(("assigned", list(partitions)))
        self.held |= set(partitions)
        return {partition: self._starts[partition] for partition in partitions if partition in self._starts}

    async def revoked(self, partitions: Sequence[int]) -> None:
        self.told.append(("revoked", list(partitions)))
        self.held -= set(partitions)
