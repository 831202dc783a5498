"""What becomes of posts that are under way when something else happens to the intake."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import pytest

from services.kernel.event import EVENT_CE_TYPE
from services.kernel.item import ITEM_CE_TYPE
from services.kernel.position import Position
from services.kernel.problem import ProblemError
from services.log.protocol import Bounds, Record, Topic
from services.profiler.cloudevents import read_cloudevents, read_item_cloudevents
from services.profiler.outcomes import BatchDroppedError
from services.profiler.push import PushIntake
from services.profiler.safety import Start

PATIENCE_S = 30.0  # to end a test that would hang
DROPPED, SLOW = 0, 1  # partitions


def record(partition: int, offset: int) -> Record:
    return Record(Position(1, partition, offset), b"u", b"{}", (), 0)


class Log:
    """As much of a log as the intake asks for."""

    generation = 1

    async def partition_count(self, _topic: Topic) -> int:
        return 2

    async def bounds(self, _topic: Topic) -> dict[int, Bounds]:
        return {DROPPED: Bounds(0, 9), SLOW: Bounds(0, 9)}


class Applier:
    """Drops the first batch of one partition, keeps the other one waiting for `go`."""

    topic = Topic.EVENTS

    def __init__(self) -> None:
        self.checked: list[int] = []
        self.applying, self.go = asyncio.Event(), asyncio.Event()
        self._dropped = False

    async def starts(self, partitions: Sequence[int]) -> dict[int, Start]:
        self.checked += partitions
        return {partition: Start(0, None) for partition in partitions}

    async def apply(self, partition: int, _records: Sequence[Record]) -> None:
        if partition == SLOW:
            self.applying.set()
            await self.go.wait()
        elif not self._dropped:
            self._dropped = True
            raise BatchDroppedError("failover", "the store is another one")


async def no_fence(_partition: int) -> None:
    return None


def intake_over(applier: Applier) -> PushIntake:
    return PushIntake(Log(), applier, no_fence, batch_records=10)  # type: ignore[arg-type]


async def post_while_another_partition_is_dropped() -> list[int]:
    applier = Applier()
    intake = intake_over(applier)
    async with asyncio.timeout(PATIENCE_S):
        slow = asyncio.create_task(intake.take([record(SLOW, 0)]))
        await applier.applying.wait()
        await intake.take([record(DROPPED, 0)])
        applier.go.set()
        await slow
        await intake.take([record(SLOW, 0)])  # its answer was lost
    return applier.checked


def test_a_dropped_batch_sends_other_partitions_back_to_the_checks_and_fails_none() -> None:
    assert asyncio.run(post_while_another_partition_is_dropped()) == [SLOW, DROPPED, DROPPED, SLOW]


async def close_right_after_a_post() -> str:
    intake = intake_over(Applier())
    posting = asyncio.create_task(intake.take([record(DROPPED, 0)]))
    await asyncio.sleep(0)  # queued, and nobody has looked at the queue yet
    await intake.close()
    async with asyncio.timeout(PATIENCE_S):
        with pytest.raises(ProblemError) as refused:
            await posting
    return refused.value.problem.code


def test_who_posted_right_before_the_end_is_told() -> None:
    assert asyncio.run(close_right_after_a_post()) == "stopping"


@pytest.mark.parametrize("batched", [False, True])
@pytest.mark.parametrize(
    ("read", "foreign"), [(read_cloudevents, ITEM_CE_TYPE), (read_item_cloudevents, EVENT_CE_TYPE)]
)
def test_records_of_the_other_topic_are_refused_in_json_too(
    read: Callable[..., object], foreign: str, batched: bool
) -> None:
    envelope = {"type": foreign, "data": {}, "knativekafkapartition": 0, "knativekafkaoffset": 3}
    media_type = "application/cloudevents-batch+json" if batched else "application/cloudevents+json"
    body = msgspec.json.encode([envelope] if batched else envelope)
    with pytest.raises(ProblemError) as refused:
        read({"content-type": media_type}, body, 1)
    assert refused.value.problem.code == "wrong_topic"


@pytest.mark.parametrize("parent", [None, 5, ["x"], {}, "", "é中", "00-0-0-01"])
def test_no_event_is_refused_for_what_a_trace_is_called(parent: Any) -> None:
    place = {"knativekafkapartition": 0, "knativekafkaoffset": 7}
    posted = {"type": EVENT_CE_TYPE, **place, "traceparent": parent, "tracestate": parent, "data": {}}
    headers = {"content-type": "application/cloudevents+json"}
    (record,) = read_cloudevents(headers, msgspec.json.encode(posted), 1)
    assert (record.position, record.value) == (Position(1, 0, 7), b"{}")
