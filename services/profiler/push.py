"""Records that are posted instead of fetched: concurrent posts become batches, the fence is the same.

1. Queue each record at its partition; what queues while a batch is applied goes into the next.
2. Before a partition's first batch, and after a dropped one, check store and log (safety.py).
3. Sort by offset and take what follows without a gap. A record before which another one is missing is
   answered 503: it came too early, and applying it would skip the other.
4. Apply. A dropped batch is applied again a few times; the store or the log away is 503.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from typing import Final

from services.kernel.problem import Problem, ProblemError
from services.log.protocol import Bounds, EventLog, LogError, Record, Topic
from services.profiler.consumer import Applier
from services.profiler.outcomes import BatchDroppedError, SafetyError
from services.profiler.safety import FenceOf
from services.store.errors import StoreError

_log = logging.getLogger(__name__)

# A request's records wait for one batch under way and their own: some ms. More than this is overload.
_QUEUE_MAX: Final = 10_000
_LOOK_AGAIN_S: Final = 1.0
_TRIES_MAX: Final = 4  # a rebalance makes two instances meet once or twice, not more
_PARTITIONS_MAX: Final = 4096  # as the log's own bound, with room; a bad header must not make more queues
# Offsets without a record are rare (markers of a foreign transactional producer); each costs a look.
_GAP_MAX: Final = 16

_Waiting = tuple[Record, asyncio.Future[None]]


class PushIntake:
    """Applies posted records through the same updater as pull does. `trouble` is empty while all is well."""

    def __init__(self, log: EventLog, applier: Applier, fence_of: FenceOf, *, batch_records: int) -> None:
        self._log = log
        self._applier = applier
        self._fence_of = fence_of
        self._batch_records = batch_records
        self._queues: dict[int, list[_Waiting]] = {}
        self._runners: dict[int, asyncio.Task[None]] = {}
        self._next: dict[int, int] = {}  # offset after the last one applied, of partitions that are checked
        self._queued = 0
        self._in_trouble: set[int] = set()
        self.trouble = "it has not looked at the store yet"

    async def watch(self) -> None:
        """Look at trouble again every second, until cancelled: a platform that sends nothing while we are not
        ready would never learn that it is over."""
        while True:
            if self.trouble:
                await self._look_again()
            await asyncio.sleep(_LOOK_AGAIN_S)

    async def _look_again(self) -> None:
        try:
            await self._applier.starts(sorted(self._in_trouble))
        except (SafetyError, StoreError, LogError) as error:
            self._tell(str(error))
        except Exception:
            _log.exception("looking at the store failed and is tried again")
        else:
            self._in_trouble.clear()
            self._tell("")

    def _tell(self, trouble: str) -> None:
        if trouble and trouble != self.trouble:
            _log.error("the profiler waits: %s", trouble)
        self.trouble = trouble

    async def take(self, records: Sequence[Record]) -> None:
        """Return when all are applied. Raises ProblemError 503 when any is not: post them again."""
        if self._queued + len(records) > _QUEUE_MAX:
            raise _unavailable("overloaded", "too many records are waiting")
        if len(self._queues.keys() | {record.position.partition for record in records}) > _PARTITIONS_MAX:
            raise _unavailable("overloaded", f"records of more than {_PARTITIONS_MAX} partitions")
        loop = asyncio.get_running_loop()
        futures: list[asyncio.Future[None]] = []
        for record in records:
            partition = record.position.partition
            future: asyncio.Future[None] = loop.create_future()
            futures.append(future)
            self._queues.setdefault(partition, []).append((record, future))
            self._queued += 1
            if partition not in self._runners:
                self._runners[partition] = asyncio.create_task(self._drain(partition))
        results = await asyncio.gather(*futures, return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result

    async def close(self) -> None:
        """End what is under way; who waits is answered 503."""
        runners = list(self._runners.values())
        for runner in runners:
            runner.cancel()
        await asyncio.gather(*runners, return_exceptions=True)

    async def _drain(self, partition: int) -> None:
        """One batch of a partition after the other until its queue is empty."""
        taken: list[_Waiting] = []
        try:
            while self._queues[partition]:
                taken = self._queues[partition]
                self._queues[partition] = []
                await self._apply_all(partition, taken)
        except asyncio.CancelledError:
            for _, future in (*taken, *self._queues[partition]):
                _fail(future, _unavailable("stopping", "the profiler is stopping"))
            raise
        finally:
            self._queued -= len(self._queues[partition])
            del self._queues[partition], self._runners[partition]

    async def _apply_all(self, partition: int, waiting: list[_Waiting]) -> None:
        waiting.sort(key=lambda one: one[0].position.offset)
        try:
            while waiting:
                done = await self._apply_some(partition, waiting[: self._batch_records])
                for _, future in waiting[:done]:
                    if not future.done():
                        future.set_result(None)
                self._queued -= done
                waiting = waiting[done:]
        except asyncio.CancelledError:
            raise
        except Exception as error:
            problem = _problem(error)
            if isinstance(error, SafetyError):
                self._in_trouble.add(partition)
                self._tell(str(error))
            for _, future in waiting:
                _fail(future, problem)
            self._queued -= len(waiting)
            if problem.problem.code == "internal_error":
                _log.error("a batch of partition %d failed", partition, exc_info=error)

    async def _apply_some(self, partition: int, waiting: list[_Waiting]) -> int:
        """Steps 2 to 4; answers how many of the first are applied."""
        for attempt in range(_TRIES_MAX):
            try:
                # 2.
                if partition not in self._next:
                    await self._applier.starts([partition])
                    fence = await self._fence_of(partition)
                    self._next[partition] = fence.position.offset + 1 if fence is not None else 0
                # 3.
                records = [record for record, _ in waiting]
                ready = await self._without_gap(partition, records)
                # 4.
                distinct = list({record.position.offset: record for record in ready}.values())
                await self._applier.apply(partition, distinct)
            except BatchDroppedError:
                self._next.clear()
                if attempt == _TRIES_MAX - 1:
                    raise
                await asyncio.sleep(0.01 * (attempt + 1))
            except BaseException:
                self._next.pop(partition, None)
                raise
            else:
                self._next[partition] = max(self._next[partition], ready[-1].position.offset + 1)
                self._in_trouble.discard(partition)
                if not self._in_trouble:
                    self._tell("")
                return len(ready)
        raise AssertionError("the last attempt returns or raises")

    async def _without_gap(self, partition: int, records: list[Record]) -> list[Record]:
        """Step 3: the first records that follow what is applied, or each other. Raises ProblemError 503."""
        expected = self._next[partition]
        for index, record in enumerate(records):
            offset = record.position.offset
            if offset > expected and (problem := await self._gap(partition, expected, offset)):
                if index:
                    return records[:index]
                self._next.pop(partition)  # another instance may have applied what is missing
                raise problem
            expected = max(expected, offset + 1)
        return records

    async def _gap(self, partition: int, expected: int, offset: int) -> ProblemError | None:
        """Why a record may not follow `expected`, or None where the log holds nothing between the two.

        Raises SafetyError where what is missing was trimmed.
        """
        held = (await self._log.bounds(Topic.EVENTS)).get(partition, Bounds(0, 0))
        if offset >= held.end:
            return _unavailable(
                "unknown_offset",
                f"partition {partition} of the log at FRESHET_LOG_URL ends at {held.end} and has no offset "
                f"{offset}: let the KafkaSource and the profiler read the same topic",
            )
        if held.first > expected:
            await self._applier.starts([partition])
            return _unavailable("busy", "the log was trimmed meanwhile; post again")
        if offset - expected <= _GAP_MAX:
            between = [await self._log.read_at(Topic.EVENTS, partition, at) for at in range(expected, offset)]
            if not any(between):
                return None
        return _unavailable(
            "out_of_order",
            f"offset {offset} of partition {partition} came before offset {expected} was applied: "
            "let the KafkaSource deliver with `ordering: ordered` from `initialOffset: earliest`; if "
            "it has delivered that one before, the store has lost it: `freshet replay`",
        )


def _problem(error: Exception) -> ProblemError:
    if isinstance(error, ProblemError):
        return error
    if isinstance(error, BatchDroppedError):
        return _unavailable("busy", str(error))
    if isinstance(error, SafetyError):
        return _unavailable("stopped", str(error))
    if isinstance(error, StoreError | LogError):
        return _unavailable("unavailable", str(error))
    return _unavailable("internal_error", "this is a fault of the service; it is logged")


def _unavailable(code: str, detail: str) -> ProblemError:
    return ProblemError(Problem(503, code, detail, retry_after_s=1))


def _fail(future: asyncio.Future[None], error: ProblemError) -> None:
    if not future.done():
        future.set_exception(error)
        with contextlib.suppress(BaseException):
            future.exception()  # looked at: whoever posted may have gone
