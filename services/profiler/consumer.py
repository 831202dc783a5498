"""Pulling one topic: fetch, apply the partitions side by side, commit behind the writes.

1. Check (safety.py) and seek, after every assignment, dropped batch and lost log; commit back where the
   live epoch is behind the commits.
   What was fetched with an assignment is applied where it is what the check says to start with: to fetch it
   again would cost a start the broker's wait for more.
2. Fetch; apply each partition's records in order, partitions at the same time. The store or the log away:
   wait and apply again. A dropped batch: back to 1.
3. Commit what was applied 2 s ago (at once when leaving): a store that fails over and loses its last second
   is read again from before it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from services.kernel.metrics import PROFILER_LAG, Metrics
from services.log.protocol import (
    Consumer,
    EventLog,
    LogError,
    LogLostError,
    Record,
    Topic,
)
from services.profiler.faults import Fault, no_fault
from services.profiler.outcomes import BatchDroppedError, SafetyError
from services.profiler.safety import Start
from services.store.errors import StoreError

_log = logging.getLogger(__name__)

_FETCH_WAIT_MS = 200  # how late a commit or a stop may be
_RETRY_MIN_S = 0.05
_RETRY_MAX_S = 1.0  # also how often trouble is looked at again
_FIGHT_MAX_S = 0.2  # two owners of a partition step back for a random time, so that one gets through
_LAG_EVERY_S = 5.0
_NOT_JOINED = "it has not joined its group yet"
_IDLE_FETCHES = 10  # nothing came for so many: what could not be applied is not there any more
# The store, not the partition, is what changed: no partition's uncommitted writes can be relied on.
_STORE_CHANGED = frozenset({"store", "failover", "epoch"})


class Applier(Protocol):
    """What happens to the records of one topic."""

    @property
    def topic(self) -> Topic:
        """Which topic that is."""

    async def starts(self, partitions: Sequence[int]) -> dict[int, Start]:
        """Check store against log; answers where to start. Raises SafetyError, StoreError, LogError."""

    async def apply(self, partition: int, records: Sequence[Record]) -> None:
        """Apply records in order. Raises BatchDroppedError, SafetyError, StoreError, LogError."""


class PullLoop:
    """Reads one topic as a member of a group until stopped. `trouble` is empty while all is well."""

    def __init__(
        self,
        log: EventLog,
        applier: Applier,
        group: str,
        *,
        batch_records: int,
        commit_delay_ms: int,
        metrics: Metrics,
        fault: Fault = no_fault,
        joined: Callable[[Topic], None] = lambda _topic: None,
    ) -> None:
        self._joined = joined
        self._log = log
        self._applier = applier
        self._group = group
        self._batch_records = batch_records
        self._commit_delay_s = commit_delay_ms / 1000
        self._fault = fault
        self._lag = metrics.gauge(PROFILER_LAG)
        self._consumer: Consumer = log.consumer(applier.topic, group)
        self._assigned: set[int] = set()
        self._unchecked: set[int] = set()
        self._applied: dict[int, deque[tuple[float, int]]] = {}
        self._next: dict[int, int] = {}
        self._stopping = asyncio.Event()
        self._lag_at_s = 0.0
        self._refused = False  # the last batch could not be applied: that trouble lasts until one can
        self._idle_fetches = 0
        self.trouble = _NOT_JOINED

    # What the log tells us. The checks themselves run in `_settle`, where trouble can be waited out.

    async def assigned(self, partitions: Sequence[int]) -> dict[int, int]:
        """See Assignment.assigned: where to start is chosen before the first batch is applied."""
        self._assigned.update(partitions)
        self._unchecked.update(partitions)
        return {}

    async def revoked(self, partitions: Sequence[int]) -> None:
        """See Assignment.revoked."""
        try:
            await self._commit(partitions, delay_s=0.0)
        finally:
            for partition in partitions:
                self._assigned.discard(partition)
                self._unchecked.discard(partition)
                self._applied.pop(partition, None)
                self._next.pop(partition, None)

    async def run(self) -> None:
        """Join, read, apply and commit until `stop`; then commit and leave."""
        try:
            await self._patiently(lambda: self._consumer.start(self))
            self._joined(self._applier.topic)
            self.trouble = ""
            while not self._stopping.is_set():
                await self._patiently(self._turn)
        finally:
            with contextlib.suppress(LogError, StoreError):
                await self._commit(self._assigned, delay_s=0.0)
            await self._consumer.stop()

    def stop(self) -> None:
        """Let `run` end after the batch in hand."""
        self._stopping.set()

    async def _patiently(self, step: Callable[[], Awaitable[None]]) -> None:
        """Take a step again until it succeeds or we stop. Trouble is told once, and shown while it lasts."""
        delay_s = _RETRY_MIN_S
        while not self._stopping.is_set():
            try:
                await step()
                if not self._refused:
                    self._note("")
                return
            except LogLostError as error:
                self._unchecked.update(self._assigned)
                self._note(str(error))
            except SafetyError as error:
                self._unchecked.update(self._assigned)
                self._note(str(error))
                delay_s = _RETRY_MAX_S
            except (StoreError, LogError) as error:
                self._note(str(error))
            except Exception as error:  # a fault of ours must not skip a record either
                _log.exception("the %s profiler failed and tries again", self._applier.topic.value)
                self._unchecked.update(self._assigned)
                self._note(f"internal error: {type(error).__name__}; see the profiler's log")
                delay_s = _RETRY_MAX_S
            await self._pause(delay_s)
            delay_s = min(2 * delay_s, _RETRY_MAX_S)

    async def _turn(self) -> None:
        """One fetch and what follows from it."""
        # 1.
        if self._unchecked:
            await self._settle({})
        # 2.
        fetched = await self._consumer.fetch(self._batch_records, _FETCH_WAIT_MS)
        if self._unchecked:  # an assignment came with the fetch
            try:
                fetched = await self._settle(fetched)
            except BaseException:
                self._unchecked.update(fetched)  # none of it was applied
                raise
        await self._apply_all(fetched)
        # 3.
        await self._commit(self._assigned, self._commit_delay_s)
        await self._measure()

    async def _settle(self, fetched: dict[int, list[Record]]) -> dict[int, list[Record]]:
        """Step 1; what of `fetched` may be applied. Others are read again from where they have to be."""
        partitions = sorted(self._unchecked)
        starts = await self._applier.starts(partitions)
        behind = {
            partition: start.offset
            for partition, start in starts.items()
            if start.committed is not None and start.offset < start.committed
        }
        # Before anything is applied: a crash must not find commits ahead of the live epoch.
        if behind:
            await self._consumer.commit(behind)
        ready = {partition: records for partition, records in fetched.items() if partition not in starts}
        for partition, start in starts.items():
            records = fetched.get(partition)
            if records and records[0].position.offset == start.offset:
                ready[partition] = records
            else:
                self._consumer.seek(partition, start.offset)
            self._applied[partition] = deque()
            self._next[partition] = start.offset
        self._unchecked.difference_update(partitions)
        return ready

    async def _apply_all(self, fetched: dict[int, list[Record]]) -> None:
        """Step 2. Every partition comes to its end before an error of one is raised."""
        self._idle_fetches = 0 if fetched else self._idle_fetches + 1
        if self._idle_fetches > _IDLE_FETCHES:
            self._refused = False
        results = await asyncio.gather(
            *(self._apply(partition, records) for partition, records in fetched.items()),
            return_exceptions=True,
        )
        for result in results:
            if isinstance(result, BaseException):
                raise result

    async def _apply(self, partition: int, records: list[Record]) -> None:
        """Apply one partition's records. Whatever goes wrong, it is read again from where that is safe."""
        delay_s = _RETRY_MIN_S
        while True:
            try:
                await self._applier.apply(partition, records)
                break
            except BatchDroppedError as dropped:
                _log.info("a batch of partition %d was dropped: %s", partition, dropped)
                self._read_again(self._assigned if dropped.kind in _STORE_CHANGED else {partition})
                await self._pause(random.uniform(0.0, _FIGHT_MAX_S))  # noqa: S311 - not a secret
                return
            except (StoreError, LogError) as error:
                if self._stopping.is_set():
                    raise
                self._note(str(error))
                if isinstance(error, StoreError):  # the log goes on: what waits is seen
                    await self._measure()
                await self._pause(delay_s)
                delay_s = min(2 * delay_s, _RETRY_MAX_S)
            except BaseException:
                self._refused = True
                self._read_again({partition})
                raise
        self._refused = False
        self._note("")
        last = records[-1].position.offset + 1
        self._next[partition] = last
        self._applied.setdefault(partition, deque()).append((time.monotonic(), last))

    def _read_again(self, partitions: set[int]) -> None:
        """Nothing more is committed of them until they have been settled anew."""
        self._unchecked.update(partitions)
        for partition in partitions:
            self._applied[partition] = deque()

    async def _commit(self, partitions: Sequence[int] | set[int], delay_s: float) -> None:
        """Step 3: what was applied at least `delay_s` ago."""
        until_s = time.monotonic() - delay_s
        offsets: dict[int, int] = {}
        for partition in partitions:
            applied = self._applied.get(partition, deque())
            while applied and applied[0][0] <= until_s:
                offsets[partition] = applied.popleft()[1]
        if not offsets:
            return
        self._fault("6.before_commit")
        try:
            await self._consumer.commit(offsets)
        except LogError as error:  # not ours any more, or the log is away: the next commit says more
            _log.info("commit of %s refused: %s", self._applier.topic.value, error)
            for partition, offset in offsets.items():
                self._applied.setdefault(partition, deque()).appendleft((until_s, offset))
            return
        self._fault("6.after_commit")

    async def _measure(self) -> None:
        if time.monotonic() < self._lag_at_s:
            return
        self._lag_at_s = time.monotonic() + _LAG_EVERY_S
        bounds = await self._log.bounds(self._applier.topic)
        for partition, at in self._next.items():
            if partition in bounds:
                lag = self._lag.labels(self._applier.topic.value, str(partition))
                lag.set(max(0, bounds[partition].end - at))

    def _note(self, trouble: str) -> None:
        if trouble != self.trouble:
            if trouble:
                _log.error("%s profiler waits: %s", self._applier.topic.value, trouble)
            elif self.trouble != _NOT_JOINED:
                _log.warning("%s profiler goes on", self._applier.topic.value)
        self.trouble = trouble

    async def _pause(self, delay_s: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(delay_s):
                await self._stopping.wait()
