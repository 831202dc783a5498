"""How far the profiler is behind the log."""

from __future__ import annotations

from services.log.protocol import EventLog, Topic
from services.store.aggregates import AggregateReader
from services.store.catalogue import CatalogueWriter
from services.store.connection import Connection
from services.store.fence import Fence
from services.store.meta import MetaStore


async def records_behind(event_log: EventLog, connection: Connection) -> int:
    """Records of events and items that are on the log and not applied. Raises LogError, StoreError."""
    meta = await MetaStore(connection).read()
    ends = {
        topic: {partition: bound.end for partition, bound in (await event_log.bounds(topic)).items()}
        for topic in (Topic.EVENTS, Topic.ITEMS)
    }
    if meta is None:
        return sum(sum(partitions.values()) for partitions in ends.values())
    events = ends[Topic.EVENTS]
    fences = await AggregateReader(connection).fences(meta.epoch, max(events, default=-1) + 1)
    behind = sum(_missing(fences[partition], end) for partition, end in events.items())
    catalogue = CatalogueWriter(connection)
    for partition, end in ends[Topic.ITEMS].items():
        behind += _missing(await catalogue.fence(meta.epoch, partition), end)
    return behind


def _missing(fence: Fence | None, end: int) -> int:
    return max(0, end - (0 if fence is None else fence.position.offset + 1))
