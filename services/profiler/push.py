"""Records that are posted instead of fetched: concurrent posts become batches, the fence is the same.

1. Queue each record at its partition; what queues while a batch is applied goes into the next.
2. Before a partition's first batch, and after a dropped one, check store and log (safety.py), and start from
   where pull would: the sender's last commit, or what is applied.
3. Sort by offset and take what follows without a gap. Records before it that nobody posted (the sender gave
   up on them, or a failover of the store took back what was applied) are read from the log and go first.
4. Apply. A dropped batch is applied again a few times; the store or the log away is 503.

Why step 3 skips nothing: a record is applied only when the log, read from the next offset on, has none before
it. No offset is filled later, so nothing is passed over that pull would have read at that moment. What stood
in a gap went in one of two ways. Trimmed from the log's start: `bounds` says so, and rule 7 stops. Compacted:
a record of the same key with a higher offset was on the log before, and comes in its turn (a tombstone may
have gone after `delete.retention.ms`, for pull as for push). A foreign transactional producer's markers are
no records. A gap of any size costs one question.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from typing import Final

from services.kernel.position import Position
from services.kernel.problem import Problem, ProblemError
from services.log.protocol import Bounds, EventLog, LogError, Record
from services.profiler.consumer import Applier
from services.profiler.outcomes import BatchDroppedError, SafetyError
from services.profiler.safety import FenceOf
from services.store.errors import StoreError

_log = logging.getLogger(__name__)

# A request's records wait for one batch under way and their own: some ms. More than this is overload.
_QUEUE_MAX: Final = 10_000
_LOOK_AGAIN_S: Final = 1.0
_TRIES_MAX: Final = 4  # a rebalance makes two instances meet once or twice, not more
# How far before what is applied a sender's commit is believed: more than it delivers between two commits (a
# KafkaSource: 5 s). A group that nobody commits any more must not make us read the whole log at each start.
_BACK_MAX: Final = 10_000

_ONE_TOPIC: Final = "let the KafkaSource that posts here and the profiler read the same {} topic"

_Waiting = tuple[Record, asyncio.Future[None]]


class PushIntake:
    """Applies one topic's posted records as pull does. `trouble` is empty while all is well."""

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
            _log.error("%s profiler waits: %s", self._applier.topic.value, trouble)
        self.trouble = trouble

    async def take(self, posted: Sequence[Record | Position]) -> None:
        """Return when all are applied; what is only a position is read from the log. Raises ProblemError 503
        when any is not applied: post them again."""
        await self._check_partitions(posted)
        records = [found for one in posted if (found := await self._whole(one)) is not None]
        if self._queued + len(records) > _QUEUE_MAX:
            raise _unavailable("overloaded", "too many records are waiting")
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
        for partition, waiting in self._queues.items():  # of runners that had not begun
            for _, future in waiting:
                _fail(future, _unavailable("stopping", "the profiler is stopping"))
            self._runners.pop(partition, None)
        self._queues.clear()

    async def _check_partitions(self, posted: Sequence[Record | Position]) -> None:
        """A partition that the log lacks must leave no fence in the store, nor a queue here. Raises
        ProblemError.
        """
        topic = self._applier.topic
        try:
            count = await self._log.partition_count(topic)
        except LogError as error:
            raise _problem(error) from None
        highest = max((one.position if isinstance(one, Record) else one).partition for one in posted)
        if highest >= count:
            raise _unavailable(
                "unknown_partition",
                f"the {topic.value} log at FRESHET_LOG_URL has {count} partitions, none with the number "
                f"{highest}: {_ONE_TOPIC.format(topic.value)}",
            )

    async def _whole(self, posted: Record | Position) -> Record | None:
        """The record; None for a position whose record was compacted or trimmed away. Raises ProblemError."""
        if isinstance(posted, Record):
            return posted
        topic, partition, offset = self._applier.topic, posted.partition, posted.offset
        try:
            record = await self._log.read_at(topic, partition, offset)
            held = Bounds(0, 0) if record else (await self._log.bounds(topic)).get(partition, Bounds(0, 0))
        except LogError as error:
            raise _problem(error) from None
        if record is None and offset >= held.end:
            raise self._unknown_offset(partition, offset, held)
        return record

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
                    self._next[partition] = await self._start(partition)
                # 3.
                batch, taken = await self._in_order(partition, [record for record, _ in waiting])
                # 4.
                distinct = list({record.position.offset: record for record in batch}.values())
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
                if partition in self._next:  # else another one's batch was dropped meanwhile: check anew
                    self._next[partition] = max(self._next[partition], batch[-1].position.offset + 1)
                self._in_trouble.discard(partition)
                if not self._in_trouble:
                    self._tell("")
                return taken
        raise AssertionError("the last attempt returns or raises")

    async def _start(self, partition: int) -> int:
        """Step 2: the lowest offset that may not be applied."""
        start = (await self._applier.starts([partition]))[partition]
        fence = await self._fence_of(partition)
        if fence is None or fence.position.generation < self._log.generation:
            return start.offset
        after = fence.position.offset + 1
        return after if start.committed is None else max(start.offset, after - _BACK_MAX)

    async def _in_order(self, partition: int, records: list[Record]) -> tuple[list[Record], int]:
        """Step 3: what to apply next, and how many of the first `records` are in it. Raises ProblemError."""
        expected = self._next[partition]
        for index, record in enumerate(records):
            offset = record.position.offset
            if offset > expected and (missing := await self._missing(partition, expected, offset)):
                return (records[:index], index) if index else (missing, 0)
            expected = max(expected, offset + 1)
        return records, len(records)

    async def _missing(self, partition: int, expected: int, offset: int) -> list[Record]:
        """Records that the log holds from `expected` to below `offset`, the first of them.

        Raises SafetyError where some were trimmed, ProblemError 503.
        """
        topic = self._applier.topic
        held = (await self._log.bounds(topic)).get(partition, Bounds(0, 0))
        if offset >= held.end:
            raise self._unknown_offset(partition, offset, held)
        if held.first > expected:
            await self._applier.starts([partition])
            raise _unavailable("busy", "the log was trimmed meanwhile; post again")
        found = await self._log.read_from(topic, partition, expected, self._batch_records)
        missing = [record for record in found if record.position.offset < offset]
        if missing:
            what = "%d records of partition %d of the %s came by no post and are read from the log"
            _log.info(what, len(missing), partition, topic.value)
        return missing

    def _unknown_offset(self, partition: int, offset: int, held: Bounds) -> ProblemError:
        topic = self._applier.topic.value
        return _unavailable(
            "unknown_offset",
            f"partition {partition} of the {topic} log at FRESHET_LOG_URL ends at {held.end} and has no "
            f"offset {offset}: {_ONE_TOPIC.format(topic)}",
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
