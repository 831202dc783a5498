"""Where to start reading, and when not to start at all: nothing is silently skipped.

1. A store without an identity while the group has commits has lost everything: stop.
2. Another store, server or live epoch than at the last look: back to the last commit first (StoreView).
3. A fence of a later generation than the log's: the settings name an older log: stop.
4. A log that ends at or below the fence was recreated: stop.
5. Another record at the fence's offset than the fence remembers: the log was recreated: stop.
6. No fence while the group has commits: that part of the store is lost: stop.
7. Records trimmed before they were applied: stop.
8. A profile whose position cannot be compared with the record's (batch.py): stop.

Otherwise reading starts at min(committed, fence + 1), and without a commit at the earliest record.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import NamedTuple

from services.log.protocol import Bounds, EventLog, Record, Topic
from services.profiler.outcomes import SafetyError
from services.profiler.store_view import StoreView
from services.profiler.stores import Stores
from services.store.fence import Fence
from services.store.meta import Meta

GROUPS: Mapping[Topic, str] = {Topic.EVENTS: "profiler", Topic.ITEMS: "catalogue"}
_REPLAY = "rebuild it from the log with `freshet replay`"

FenceOf = Callable[[int], Awaitable[Fence | None]]
CheckOf = Callable[[Record], int]


class Start(NamedTuple):
    """Where a partition is read from. `committed` is what the log says; None: nothing yet."""

    offset: int
    committed: int | None


async def open_store(
    stores: Stores, view: StoreView, log: EventLog, groups: Mapping[Topic, str] = GROUPS
) -> Meta:
    """Rule 1: adopt the store; give a brand-new one its identity. Raises SafetyError."""
    partitions = await log.partition_count(Topic.EVENTS)
    meta = await view.adopt()
    if meta is None:
        for topic, group in groups.items():
            committed = await log.committed(topic, group)
            if any(committed.values()):
                raise SafetyError(
                    1,
                    f"the store at FRESHET_STORE_URL is empty, but group {group!r} has applied records of "
                    f"the {topic.value} log (commits {_shown(committed)}): the store was lost, or is the "
                    f"wrong one; {_REPLAY}, or set FRESHET_STORE_URL to the right one",
                )
        await stores.meta.create(time.time_ns() // 1_000_000, partitions=partitions)
        meta = await view.adopt()
        if meta is None:
            raise SafetyError(1, f"the store lost its identity while it was being written; {_REPLAY}")
    if meta.partitions < partitions:
        await stores.meta.grow_partitions(meta.store_id, partitions)
    return meta


async def choose_starts(
    log: EventLog,
    topic: Topic,
    group: str | None,
    partitions: Sequence[int],
    *,
    fence_of: FenceOf,
    check_of: CheckOf,
) -> dict[int, Start]:
    """Rules 3 to 7 for each partition; answers where to start. Raises SafetyError, LogUnavailableError,
    StoreUnavailableError."""
    if not partitions:
        return {}
    bounds = await log.bounds(topic)
    committed = await log.committed(topic, group) if group is not None else {}
    starts: dict[int, Start] = {}
    for partition in partitions:
        fence = await fence_of(partition)
        if fence is not None and fence.position.generation < log.generation:
            fence = None  # of the generation before, which was drained
        held = bounds.get(partition, Bounds(0, 0))
        commit = committed.get(partition)
        where = f"partition {partition} of the {topic.value} log"
        if fence is not None:
            await check_fence(log, topic, fence, held, check_of)
        if fence is None and commit:
            raise SafetyError(
                6,
                f"the store has no trace of {where}, although offsets up to {commit} were applied: "
                f"it has lost data; {_REPLAY}",
            )
        needed = _needed(fence, commit)
        if held.first > needed:
            raise SafetyError(
                7,
                f"{where} starts at offset {held.first}, but offsets from {needed} on were never applied: "
                "they were trimmed before that; `freshet replay --allow-partial` rebuilds the store from "
                "what is left",
            )
        starts[partition] = Start(needed if commit is not None else held.first, commit)
    return starts


async def check_fence(log: EventLog, topic: Topic, fence: Fence, held: Bounds, check_of: CheckOf) -> None:
    """Rules 3 to 5. Raises SafetyError."""
    position = fence.position
    where = f"partition {position.partition} of the {topic.value} log"
    if position.generation > log.generation:
        raise SafetyError(
            3,
            f"the store was written from generation {position.generation} of the log, but "
            f"FRESHET_LOG_GENERATION is {log.generation}: set it to {position.generation}",
        )
    recreated = (
        "the topic was recreated. To go on with a new log and keep what the store knows, set "
        f"FRESHET_LOG_GENERATION={log.generation + 1} on every service; to make the store anew from what the "
        "log holds now, without what came before: `freshet replay --allow-partial`"
    )
    if held.end <= position.offset:
        raise SafetyError(
            4, f"{where} ends at offset {held.end}, but {position.offset} was applied: {recreated}"
        )
    record = await log.read_at(topic, position.partition, position.offset)
    if record is not None and check_of(record) != fence.check:
        raise SafetyError(
            5, f"{where} holds another record at offset {position.offset} than was applied: {recreated}"
        )


def _needed(fence: Fence | None, commit: int | None) -> int:
    """The lowest offset that may not be applied yet."""
    after = fence.position.offset + 1 if fence is not None else 0
    return after if commit is None else min(commit, after)


def _shown(committed: dict[int, int]) -> str:
    return ", ".join(f"{partition}: {offset}" for partition, offset in sorted(committed.items())[:8])
