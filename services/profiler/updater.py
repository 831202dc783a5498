"""The write, step by step (docs/ARCHITECTURE.md): from records of one partition to aggregates and profiles.

1. Read the partition's aggregate fence, then the batch's profiles, in one round trip.
2. Apply in log order; skip positions at or below the stored one, and duplicates (which still advance the
   position). Records that can never be applied go to the dead topic.
3. Write the aggregates first: one call, refused unless the fence is the one read. Refused means that another
   profiler owns the partition: the batch is dropped, the reader goes back to the last commit.
4. Write the profiles by comparing position and counter with what was read; a refused subject is read and
   applied again.
5. Publish the changed subjects.
6. Commit offsets, trailing the writes (consumer.py does; the push endpoint's caller commits).

A crash after any step is mended by reading again from the last commit: what is at or below the fence only
moves profiles that lag behind it, what is above moves both.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

from services.kernel.event_type import EventTypes
from services.kernel.metrics import (
    PROFILER_BATCH,
    PROFILER_CONFLICTS,
    PROFILER_FIRST_WAIT,
    PROFILER_FRESHNESS,
    PROFILER_ITEM_LINES,
    PROFILER_RECORDS,
    Metrics,
)
from services.log.protocol import Record, Topic
from services.profiler.batch import Batch, block_end, enters_block, halves, is_above
from services.profiler.contributions import fold, touched
from services.profiler.dead_letters import DeadLetters
from services.profiler.faults import Fault, no_fault
from services.profiler.outcomes import BatchDroppedError
from services.profiler.reading import Work, check_of, read_record
from services.profiler.release_follower import Live, ReleaseFollower
from services.profiler.settings import ProfilerSettings
from services.profiler.store_view import StoreView
from services.profiler.stores import Stores
from services.profiler.traced import READ, WRITE_AGGREGATES, WRITE_PROFILES, BatchTrace, Traces, noted
from services.store.aggregates import MAX_ITEMS, MAX_WRITE_BYTES, AggregateWrite
from services.store.errors import StoreUnavailableError
from services.store.fence import Fence
from services.store.profiles import Outcome, Snapshot

# Somebody else writes the same subjects: after this many rounds it is a fight, and the fence decides it.
_PROFILE_ROUNDS_MAX = 5


class Updater:
    """One for pull and push. Batches of different partitions may run at the same time, of one never."""

    def __init__(
        self,
        stores: Stores,
        view: StoreView,
        follower: ReleaseFollower,
        dead_letters: DeadLetters,
        *,
        settings: ProfilerSettings,
        metrics: Metrics,
        fault: Fault = no_fault,
        max_items: int = MAX_ITEMS,
        clock_s: Callable[[], float] = time.time,
        worked: Callable[[], None] = lambda: None,
        traces: Traces | None = None,
    ) -> None:
        self._traces = traces
        self._worked = worked
        self._stores = stores
        self._view = view
        self._follower = follower
        self._dead_letters = dead_letters
        self._settings = settings
        self._fault = fault
        self._max_items = max_items
        self._clock_s = clock_s
        # Weights of the deployment, without the release's: the aggregates are a function of the log alone.
        self.types = EventTypes(settings.event_types)
        records = metrics.counter(PROFILER_RECORDS)
        self._records = {
            outcome: records.labels(Topic.EVENTS.value, outcome)
            for outcome in ("applied", "duplicate", "old", "dead")
        }
        lines = metrics.counter(PROFILER_ITEM_LINES)
        self._known_lines, self._unknown_lines = lines.labels("yes"), lines.labels("no")
        self._duration = metrics.histogram(PROFILER_BATCH).labels(Topic.EVENTS.value)
        self._freshness = metrics.histogram(PROFILER_FRESHNESS)
        self._untold: Metrics | None = metrics  # of the first event: a gauge made now would say 0
        self._conflicts = metrics.counter(PROFILER_CONFLICTS)
        for kind in ("profile", "aggregates"):  # 0 is told before the first one
            self._conflicts.labels(kind)

    async def apply(self, partition: int, records: Sequence[Record]) -> None:
        """Apply records of one partition, in log order, whatever part of them is applied already.

        Raises BatchDroppedError, SafetyError, and, for trouble that may pass (call again with the same
        records), StoreUnavailableError and LogUnavailableError.
        """
        started_s = time.perf_counter()
        works = [read_record(record, self.types) for record in records]
        at = 0
        while at < len(works):
            some = works[at : at + self._settings.batch_records]
            at += await self._apply_some(partition, some[: block_end(some)])
        self._duration.observe(time.perf_counter() - started_s)
        newest = next((work.event for work in reversed(works) if work.event is not None), None)
        if newest is not None:
            self._freshness.observe(max(0.0, self._clock_s() - newest.received_at / 1000))

    async def _apply_some(self, partition: int, works: Sequence[Work]) -> int:
        """Steps 1 to 5 on the first of `works`; answers how many."""
        trace = self._traces.begin(works) if self._traces is not None else None
        if trace is None:
            return await self._apply_first(partition, works, None)
        with trace:
            return await self._apply_first(partition, works, trace)

    async def _apply_first(self, partition: int, works: Sequence[Work], trace: BatchTrace | None) -> int:
        # 1.
        live = self._follower.live
        with noted(trace, READ):
            batch, snapshot = await self._read(partition, works, live)
        self._fault("1.read")
        if snapshot.space is not None and snapshot.space.space_epoch > live.space.epoch:
            await self._follow_space(snapshot.space.space_epoch)
            return 0
        cut = batch.cut_after_first_of_block(snapshot.fence)
        if cut < len(works):
            works = works[:cut]
            with noted(trace, READ):
                batch, snapshot = await self._read(partition, works, live)
        due = await self._prepare(batch, snapshot, live)
        # 2.
        batch.apply(snapshot.fence, self.types)
        self._fault("2.applied")
        await self._dead_letters.send(batch.letters)
        self._fault("2.dead_letters")
        # 3.
        if not await self._write_aggregates(partition, batch, snapshot.fence, trace):
            if trace is not None:
                trace.forget()
            return await self._apply_some(partition, works[: len(works) // 2])
        # 4.
        await self._write_profiles(batch, due, live, trace)
        self._fault("4.after_profiles")
        # 5.
        if self._view.is_live:
            announced = trace.announce(batch) if trace is not None else {}
            await self._stores.profiles.publish(batch.positions(), announced)
        self._fault("5.published")
        if trace is not None:
            trace.finish(batch)
        if self._untold is not None and batch.first_applied is not None:
            waited_s = max(0.0, self._clock_s() - batch.first_applied.received_at / 1000)
            self._untold.gauge(PROFILER_FIRST_WAIT).set(waited_s)
            self._untold = None
            self._worked()
        for outcome, count in batch.outcomes.items():
            self._records[outcome].inc(count)
        self._known_lines.inc(batch.lines - batch.unlisted_lines)
        self._unknown_lines.inc(batch.unlisted_lines)
        return len(works)

    async def _read(self, partition: int, works: Sequence[Work], live: Live) -> tuple[Batch, Snapshot]:
        batch = Batch(works, live, self._settings.ttl_ms, self._settings.seen_capacity)
        snapshot = await self._stores.profiles.read_with_fence(self._view.epoch, partition, batch.subjects)
        self._view.check(snapshot.meta, snapshot.identity)
        return batch, snapshot

    async def _prepare(self, batch: Batch, snapshot: Snapshot, live: Live) -> dict[int, str]:
        """Decode the profiles, read the vectors that are missing; answers registry entries to write."""
        rebuilt = batch.load(batch.subjects, snapshot.profiles)
        touched_items = batch.item_keys()
        due = await live.items.prepare(self._view.epoch, touched_items)
        batch.unlisted = live.items.unlisted(touched_items)
        if rebuilt:
            await live.items.prepare(self._view.epoch, rebuilt)
        return batch.names_of(due) if due else {}

    async def _follow_space(self, space_epoch: int) -> None:
        """The store's banks have moved to another space: load the release that stands in it."""
        live = await self._follower.look()
        if live.space.epoch < space_epoch:
            raise StoreUnavailableError(
                f"profiles are in vector space epoch {space_epoch}, and no release in that space is live at "
                f"FRESHET_RELEASE_URL ({self._follower.trouble or 'nothing is live there'}): mend the "
                "release or promote another with `freshet release promote`"
            )

    async def _write_aggregates(
        self, partition: int, batch: Batch, read: Fence | None, trace: BatchTrace | None
    ) -> bool:
        """Step 3. False: the call would be too large, take fewer records."""
        last = batch.works[-1]
        if not is_above(last.position, read):
            return True
        scored, visited = touched(batch.contributions)
        epoch = self._view.epoch
        write = AggregateWrite(
            read,
            Fence(last.position, check_of(last)),
            evict=enters_block(last.position, read),
            max_items=self._max_items,
        )
        if scored:
            rows = await self._stores.aggregates.load(epoch, partition, scored, visited)
            write.trend, write.popular, write.neighbours = fold(batch.contributions, scored, visited, rows)
            if write.size_bytes > MAX_WRITE_BYTES and len(batch.works) > 1:
                return False
        self._fault("3.before_aggregates")
        with noted(trace, WRITE_AGGREGATES):
            written = await self._stores.aggregates.write(epoch, partition, write)
        if not written:
            self._conflicts.labels("aggregates").inc()
            raise BatchDroppedError("fence", f"another profiler owns partition {partition}")
        self._fault("3.after_aggregates")
        return True

    async def _write_profiles(
        self, batch: Batch, registry: dict[int, str], live: Live, trace: BatchTrace | None
    ) -> None:
        """Step 4. Raises BatchDroppedError when others keep writing the same subjects."""
        self._fault("4.before_profiles")
        store, epoch = self._stores.profiles, self._view.epoch
        writes = batch.writes()
        for _ in range(_PROFILE_ROUNDS_MAX):
            outcomes: list[Outcome] = []
            for part in [writes] if self._fault is no_fault else halves(writes):
                with noted(trace, WRITE_PROFILES):
                    outcomes += await store.write(
                        epoch, part, expire_ms=self._settings.expire_ms, registry=registry
                    )
                self._fault("4.half_of_profiles")
            live.items.registered(registry)
            registry = {}
            refused = [
                write.subject
                for write, outcome in zip(writes, outcomes, strict=True)
                if outcome is not Outcome.WRITTEN
            ]
            if not refused:
                return
            self._conflicts.labels("profile").inc(len(refused))
            if Outcome.NEWER_SPACE in outcomes:
                await self._follow_space(live.space.epoch + 1)
                raise BatchDroppedError("space", "the store's vector space has moved on")
            raws = await store.read(epoch, refused)
            again = batch.load(refused, raws)
            if again:
                await live.items.prepare(epoch, again)
            for subject in refused:
                batch.apply_again(subject)
            left = set(refused)
            writes = [write for write in batch.writes() if write.subject in left]
            if not writes:
                return
            await asyncio.sleep(0)
        raise BatchDroppedError("profile", f"{len(writes)} profiles are written by somebody else as well")
