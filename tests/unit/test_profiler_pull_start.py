"""What the pull loop does with records that a fetch brings together with the assignment."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from services.kernel.metrics import Metrics
from services.kernel.position import Position
from services.log.protocol import Assignment, Bounds, Record, Topic
from services.profiler.consumer import PullLoop
from services.profiler.outcomes import SafetyError
from services.profiler.safety import Start

PARTITION = 0
END = 8


def record(offset: int) -> Record:
    return Record(Position(1, PARTITION, offset), b"u", b"{}", (), 0)


class LogOfOnePartition:
    """A log and its consumer: `committed` is where the first fetch reads from."""

    def __init__(self, committed: int) -> None:
        self.at = committed
        self.seeks: list[int] = []
        self._assignment: Assignment | None = None
        self._assigned = False

    def consumer(self, _topic: Topic, _group: str | None) -> LogOfOnePartition:
        return self

    async def bounds(self, _topic: Topic) -> dict[int, Bounds]:
        return {PARTITION: Bounds(0, END)}

    async def start(self, assignment: Assignment | None = None) -> None:
        self._assignment = assignment

    async def fetch(self, max_records: int, _max_wait_ms: int) -> dict[int, list[Record]]:
        await asyncio.sleep(0)
        if not self._assigned and self._assignment is not None:
            self._assigned = True
            await self._assignment.assigned([PARTITION])
        offsets = range(self.at, min(self.at + max_records, END))
        self.at = offsets.stop if offsets else self.at
        return {PARTITION: [record(offset) for offset in offsets]} if offsets else {}

    def seek(self, _partition: int, offset: int) -> None:
        self.seeks.append(offset)
        self.at = offset

    async def commit(self, _offsets: dict[int, int]) -> None:
        pass

    async def stop(self) -> None:
        pass


class Applier:
    """Starts where it is told, after refusing some times; remembers what it applied."""

    topic = Topic.EVENTS

    def __init__(self, start: Start, refusals: int = 0) -> None:
        self.applied: list[int] = []
        self._start = start
        self._refusals = refusals

    async def starts(self, partitions: Sequence[int]) -> dict[int, Start]:
        assert list(partitions) == [PARTITION]
        if self._refusals:
            self._refusals -= 1
            raise SafetyError(4, "not yet")
        return {PARTITION: self._start}

    async def apply(self, _partition: int, records: Sequence[Record]) -> None:
        self.applied += [one.position.offset for one in records]


async def run(log: LogOfOnePartition, applier: Applier) -> None:
    loop = PullLoop(
        log,  # type: ignore[arg-type]  # as much of a log as the loop asks for
        applier,
        "group",
        batch_records=3,
        commit_delay_ms=0,
        metrics=Metrics(),
    )
    running = asyncio.create_task(loop.run())
    async with asyncio.timeout(30):
        while not applier.applied or applier.applied[-1] != END - 1:
            await asyncio.sleep(0.001)
    loop.stop()
    await running


@pytest.mark.parametrize("refusals", [0, 1])
@pytest.mark.parametrize("start", [0, 2, 5, 6])
def test_every_record_from_the_start_on_is_applied_once_in_order(start: int, refusals: int) -> None:
    log, applier = LogOfOnePartition(committed=5), Applier(Start(start, 5), refusals)
    asyncio.run(run(log, applier))
    assert applier.applied == list(range(start, END))


def test_what_came_with_the_assignment_is_not_fetched_again_where_it_is_what_comes_next() -> None:
    log, applier = LogOfOnePartition(committed=5), Applier(Start(5, 5))
    asyncio.run(run(log, applier))
    assert log.seeks == []
