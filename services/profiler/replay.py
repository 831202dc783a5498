"""`freshet replay`: a new data epoch built from the log beside the live one, then switched to.

1. Look at the log: what has been trimmed cannot be replayed, and is refused unless told otherwise.
2. Empty the epoch to build (an earlier replay may have died in it).
3. Read both topics from their first records, without a group, through the updater that the live profilers
   use; they go on meanwhile.
4. Caught up with the log: give an emptied store its identity, or switch the live epoch if it is still the one
   that was live at the start. The live profilers notice with their next batch and go on from the new fences.
5. Let readers move over, then delete the old epoch in small steps.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Final

from services.kernel.event_type import EventTypes
from services.kernel.metrics import Metrics
from services.kernel.position import Position
from services.log.protocol import Bounds, Consumer, EventLog, LogUnavailableError, Record, Topic
from services.profiler.catalogue_writer import CatalogueApplier, check_of_item
from services.profiler.consumer import Applier
from services.profiler.dead_letters import DeadLetter, DeadLetters
from services.profiler.events_applier import EventsApplier, check_of_record
from services.profiler.outcomes import BatchDroppedError, SafetyError
from services.profiler.release_follower import ReleaseFollower
from services.profiler.safety import CheckOf, check_fence
from services.profiler.settings import ProfilerSettings
from services.profiler.store_view import StoreView
from services.profiler.stores import Stores
from services.profiler.updater import Updater
from services.release.source import ReleaseSource
from services.store.aggregates import AggregateWrite
from services.store.connection import Connection
from services.store.errors import StoreUnavailableError
from services.store.fence import Fence
from services.store.meta import Meta

Progress = Callable[[int, int], None]  # records read, records there are

_TOPICS: Final = (Topic.ITEMS, Topic.EVENTS)
_FETCH_WAIT_MS: Final = 200
_RETRY_S: Final = 0.5
# So long without a record: the last offsets before an end hold none (compaction leaves such gaps).
_SILENT_FETCHES: Final = 25
# Requests that read the old epoch end within their deadline; recommenders look at the live one every second.
_GRACE_S: Final = 5.0


class ReplayError(Exception):
    """The replay did not switch; the live epoch is as it was. The text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Replayed:
    """What a replay did."""

    epoch: int
    records: int
    took_s: float
    deleted_keys: int


async def replay(
    settings: ProfilerSettings,
    log: EventLog,
    connection: Connection,
    *,
    allow_partial: bool = False,
    progress: Progress = lambda _done, _total: None,
    grace_s: float = _GRACE_S,
) -> Replayed:
    """Rebuild the store from the log and switch to the result. Raises ReplayError, StoreError, LogError."""
    started_s = time.monotonic()
    building = _Building(settings, log, connection, progress)
    # 1.
    first = await building.check_log(allow_partial)
    if not allow_partial:
        await building.check_applied()
    # 2.
    before = await building.prepare()
    # 3.
    await building.read_all(first)
    # 4.
    await building.switch(before)
    # 5.
    deleted = 0
    if before is not None:
        await asyncio.sleep(grace_s)
        deleted = await building.stores.meta.delete_epoch(before.epoch)
    return Replayed(building.view.epoch, building.done, time.monotonic() - started_s, deleted)


class _NoDeadLetters(DeadLetters):
    """Poison went to the dead topic when it was first met."""

    def __init__(self) -> None:
        """Needs no log."""

    async def send(self, letters: Sequence[DeadLetter]) -> None:
        """Nothing."""


@dataclass(slots=True)
class _Reader:
    """One topic being read; `at` is the next offset of each partition."""

    topic: Topic
    consumer: Consumer
    applier: Applier
    at: dict[int, int]


class _Building:
    """One epoch under construction."""

    def __init__(
        self, settings: ProfilerSettings, log: EventLog, connection: Connection, progress: Progress
    ) -> None:
        self._settings = settings
        self._log = log
        self._progress = progress
        self.stores = Stores(connection)
        self.done = 0
        self.view = StoreView(self.stores, pinned=1)
        self._ends: dict[Topic, dict[int, Bounds]] = {}

    async def check_log(self, allow_partial: bool) -> dict[Topic, dict[int, int]]:
        """Step 1; answers the first offset of each partition."""
        firsts: dict[Topic, dict[int, int]] = {}
        for topic in _TOPICS:
            self._ends[topic] = await self._log.bounds(topic)
            firsts[topic] = {partition: held.first for partition, held in self._ends[topic].items()}
            trimmed = {partition: first for partition, first in firsts[topic].items() if first}
            if trimmed and not allow_partial:
                shown = ", ".join(f"{partition}: {first}" for partition, first in sorted(trimmed.items())[:8])
                raise ReplayError(
                    f"the {topic.value} log no longer holds its first records (partition: records gone: "
                    f"{shown}), so the result would lack them; `freshet replay --allow-partial` builds it "
                    "from what is left"
                )
        return firsts

    async def check_applied(self) -> None:
        """Step 1 as well: the log holds what the live epoch has applied, or the result would lack it."""
        before = await self.stores.meta.read()
        if before is None:
            return
        types = EventTypes(self._settings.event_types)
        for topic in _TOPICS:
            events = topic is Topic.EVENTS
            store = self.stores.aggregates if events else self.stores.catalogue_writer
            fences = [await store.fence(before.epoch, partition) for partition in sorted(self._ends[topic])]
            bounds = await self._log.bounds(topic)  # after the fences, which a live profiler moves
            for fence in fences:
                if fence is None or fence.position.generation < self._log.generation:
                    continue
                check_of: CheckOf = (
                    (lambda record: check_of_record(record, types)) if events else check_of_item
                )
                try:
                    await check_fence(self._log, topic, fence, bounds[fence.position.partition], check_of)
                except SafetyError as error:
                    raise ReplayError(str(error)) from None

    async def prepare(self) -> Meta | None:
        """Step 2; answers what the store said before."""
        before = await self.stores.meta.read()
        self.view = StoreView(self.stores, pinned=before.epoch + 1 if before is not None else 1)
        await self.stores.meta.delete_epoch(self.view.epoch)
        await self.view.adopt()
        return before

    async def read_all(self, firsts: dict[Topic, dict[int, int]]) -> None:
        """Step 3: until nothing of either topic is ahead."""
        metrics = Metrics()
        follower = ReleaseFollower(
            ReleaseSource(self._settings.release_url, self._settings.cache_dir),
            self.stores.meta,
            self.stores.catalogue,
            event_types=self._settings.event_types,
            poll_ms=self._settings.release_poll_ms,
            metrics=metrics,
        )
        await follower.look()
        letters = _NoDeadLetters()
        updater = Updater(self.stores, self.view, follower, letters, settings=self._settings, metrics=metrics)
        appliers: dict[Topic, Applier] = {
            Topic.ITEMS: CatalogueApplier(
                self._log,
                self.stores,
                self.view,
                follower,
                letters,
                settings=self._settings,
                metrics=metrics,
            ),
            Topic.EVENTS: EventsApplier(self._log, self.stores, self.view, follower, updater),
        }
        async with AsyncExitStack() as held:
            readers = []
            for topic in _TOPICS:
                await self._mark_firsts(topic, firsts[topic])
                consumer = self._log.consumer(topic, None)
                await consumer.start()
                held.push_async_callback(consumer.stop)
                readers.append(_Reader(topic, consumer, appliers[topic], dict(firsts[topic])))
            # Items before events: the first event may ask for their vectors. Then what came meanwhile.
            for reader in (*readers, *readers):
                self._ends[reader.topic] = await self._log.bounds(reader.topic)
                await self._read_to_end(reader)

    async def switch(self, before: Meta | None) -> None:
        """Step 4."""
        partitions = await self._log.partition_count(Topic.EVENTS)
        epoch = self.view.epoch
        if before is None:
            now_ms = time.time_ns() // 1_000_000
            meta = await self.stores.meta.create(now_ms, partitions=partitions, epoch=epoch)
            if meta.epoch == epoch:
                return
        else:
            await self.stores.meta.grow_partitions(before.store_id, partitions)
            if await self.stores.meta.switch_epoch(before.store_id, before.epoch, epoch):
                return
        raise ReplayError(
            "the store's live epoch changed meanwhile (another replay, or the store was replaced): "
            "nothing was switched; run `freshet replay` again"
        )

    async def _mark_firsts(self, topic: Topic, firsts: dict[int, int]) -> None:
        """A partition that begins late gets a fence below its first record: what is gone was let go."""
        for partition, first in firsts.items():
            if not first:
                continue
            fence = Fence(Position(self._log.generation, partition, first - 1), 0)
            epoch = self.view.epoch
            if topic is Topic.EVENTS:
                await self.stores.aggregates.write(epoch, partition, AggregateWrite(None, fence))
            else:
                await self.stores.catalogue_writer.write(epoch, partition, None, [], fence)

    async def _read_to_end(self, reader: _Reader) -> None:
        """Read a topic to the end that it has now, partitions side by side."""
        ends = self._ends[reader.topic]
        silent = 0
        while silent < _SILENT_FETCHES and any(reader.at.get(p, 0) < held.end for p, held in ends.items()):
            fetched = await reader.consumer.fetch(self._settings.batch_records, _FETCH_WAIT_MS)
            silent = 0 if fetched else silent + 1
            for partition, records in fetched.items():
                await self._refuse_if_trimmed(reader, partition, records[0].position.offset)
            await asyncio.gather(
                *(self._apply(reader.applier, partition, records) for partition, records in fetched.items())
            )
            for partition, records in fetched.items():
                reader.at[partition] = records[-1].position.offset + 1
                self.done += len(records)
            total = sum(
                held.end - held.first for held_ends in self._ends.values() for held in held_ends.values()
            )
            self._progress(min(self.done, total), total)

    async def _refuse_if_trimmed(self, reader: _Reader, partition: int, offset: int) -> None:
        """A gap may be compaction; records trimmed while they were about to be read are another matter."""
        if offset <= reader.at.get(partition, 0):
            return
        now = await self._log.bounds(reader.topic)
        if now[partition].first > reader.at.get(partition, 0):
            raise ReplayError(
                f"partition {partition} of the {reader.topic.value} log was trimmed while it was replayed; "
                "nothing was switched: let the log hold more, and run `freshet replay` again"
            )

    async def _apply(self, applier: Applier, partition: int, records: Sequence[Record]) -> None:
        while True:
            try:
                await applier.apply(partition, records)
                return
            except BatchDroppedError as error:
                raise ReplayError(
                    f"{error}; nothing was switched: run `freshet replay` again, one at a time"
                ) from None
            except (StoreUnavailableError, LogUnavailableError):
                await asyncio.sleep(_RETRY_S)
