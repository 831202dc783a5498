"""Reading Kafka as a member of a group, or all partitions without one.

The client's rebalance callbacks run beside whoever applies the last batch. Here they only leave word and
wait; the next `fetch` does the work in the caller's task:

1. Partitions are to be revoked: the caller has come back, so its batch is applied; tell the assignment, which
   commits; let the rebalance go on.
2. Partitions are assigned: ask the assignment where to start; check that the log reaches so far; seek.
3. Read, until records come, the time is over, or the group rebalances (1).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Iterable
from typing import Any

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import IllegalStateError, KafkaError

from services.log.kafka_address import group_name, topic_name
from services.log.kafka_closing import close_consumer
from services.log.kafka_records import record_of
from services.log.kafka_security import DENIALS, KafkaAccess
from services.log.kafka_topics import Topics
from services.log.protocol import Assignment, LogError, LogLostError, Record, Topic

_log = logging.getLogger(__name__)

# A rebalance is noticed by the next heartbeat; more than two may be lost before the session is.
_HEARTBEAT_MS = 300
# How long a rebalance waits for a member to finish its batch; one that takes longer is put out of the group.
_REBALANCE_MS = 20_000
_REVOKE_WAIT_S = _REBALANCE_MS / 1000 - 5
# The broker answers at once when a record comes; else it holds an empty fetch for so long.
_FETCH_WAIT_MS = 500
_CALL_TIMEOUT_S = 10.0
# After so long without a record, ask whether the broker is there at all; it has the same time to answer.
_SILENCE_S = 1.0


class KafkaConsumer:
    """The Consumer over Kafka."""

    def __init__(self, access: KafkaAccess, topics: Topics, topic: Topic, group: str | None) -> None:
        self._access = access
        self._topics = topics
        self._settings = settings = access.settings
        self._generation = settings.log_generation
        self._name = topic_name(settings, topic)
        self._topic = topic
        self._group = group
        self._assignment: Assignment | None = None
        self._client: AIOKafkaConsumer | None = None
        self._positions: dict[int, int] = {}  # the next offset of each partition that is ours
        self._lost: dict[int, LogLostError] = {}  # partitions that end before our position, until `seek`
        self._to_revoke = False
        self._to_assign: list[int] | None = None
        self._rebalancing = asyncio.Event()  # there is word for `fetch`
        self._revoked = asyncio.Event()  # `fetch` has told the assignment
        self._heard_s = 0.0  # when the broker last answered, on the monotonic clock

    async def start(self, assignment: Assignment | None = None) -> None:
        """See Consumer.start."""
        self._assignment = assignment
        await self._connect()

    async def fetch(self, max_records: int, max_wait_ms: int) -> dict[int, list[Record]]:
        """See Consumer.fetch."""
        give_up_s = time.monotonic() + max_wait_ms / 1000
        while True:
            client = self._client or await self._connect()
            await self._settle(client)
            for error in self._lost.values():
                raise error
            left_s = max(give_up_s - time.monotonic(), 0)
            try:
                batches = await self._poll(client, max_records, left_s)
            except KafkaError as failure:
                if not failure.retriable:  # the client's own tasks may be dead: begin anew with the next call
                    await self._disconnect()
                raise await self._access.unavailable(failure) from None
            if batches:
                self._heard_s = time.monotonic()
                if records := self._records(batches):
                    return records
                continue
            if self._rebalancing.is_set():
                continue
            if time.monotonic() >= give_up_s:
                await self._check_broker(client)
                return {}

    def seek(self, partition: int, offset: int) -> None:
        """See Consumer.seek."""
        if partition in self._positions and self._client is not None:
            with contextlib.suppress(IllegalStateError):  # it is moving to somebody else
                self._client.seek(TopicPartition(self._name, partition), offset)
                self._positions[partition] = offset
                self._lost.pop(partition, None)

    async def commit(self, offsets: dict[int, int]) -> None:
        """See Consumer.commit."""
        if self._group is None:
            raise LogError("a reader without a group commits nothing")
        if not offsets:
            return
        if self._client is None or not offsets.keys() <= self._positions.keys():
            raise LogError(f"partitions {sorted(offsets.keys() - self._positions.keys())} are not ours")
        marks = {TopicPartition(self._name, partition): offset for partition, offset in offsets.items()}
        try:
            async with asyncio.timeout(_CALL_TIMEOUT_S):
                await self._client.commit(marks)
        except IllegalStateError:
            raise LogError(f"another member of group {self._group} reads these partitions now") from None
        except KafkaError as error:
            if error.retriable or isinstance(error, DENIALS):
                raise await self._access.unavailable(error) from None
            raise LogError(f"group {self._group} refused the commit: {error}") from None
        except TimeoutError as error:
            raise await self._access.unavailable(error) from None

    async def stop(self) -> None:
        """See Consumer.stop."""
        self._positions = {}
        await self._disconnect()

    # -- told by the client's tasks

    async def leave_word_revoked(self) -> None:
        """Wait until the caller of `fetch` has heard that its partitions go."""
        if not self._positions or self._client is None:
            return
        self._to_revoke = True
        self._revoked.clear()
        self._rebalancing.set()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._revoked.wait(), _REVOKE_WAIT_S)

    def leave_word_assigned(self, partitions: Iterable[int]) -> None:
        """The next `fetch` starts on these."""
        self._to_assign = sorted(partitions)
        self._rebalancing.set()

    # -- in the task of `fetch`

    async def _settle(self, client: AIOKafkaConsumer) -> None:
        """Steps 1 and 2."""
        self._rebalancing.clear()
        if self._to_revoke:
            await self._tell_revoked()
        if self._to_assign is not None:
            partitions, self._to_assign = self._to_assign, None
            try:
                await self._begin(client, partitions)
            except IllegalStateError:  # rebalanced again meanwhile: word of that is on its way
                self._positions = {}
            except BaseException:
                self._positions = {}
                if self._to_assign is None:
                    self.leave_word_assigned(partitions)
                raise

    async def _tell_revoked(self) -> None:
        try:
            if self._assignment is not None and self._positions:
                with contextlib.suppress(LogError):  # it may try to commit what is no longer ours
                    await self._assignment.revoked(sorted(self._positions))
        finally:
            self._positions = {}
            self._to_revoke = False
            self._revoked.set()

    async def _begin(self, client: AIOKafkaConsumer, partitions: list[int]) -> None:
        tops = [TopicPartition(self._name, partition) for partition in partitions]
        async with self._access.errors():
            async with asyncio.timeout(_CALL_TIMEOUT_S):
                firsts, ends, commits = await asyncio.gather(
                    client.beginning_offsets(tops), client.end_offsets(tops), self._committed(client, tops)
                )
                positions = {
                    top.partition: firsts[top] if commit is None else commit
                    for top, commit in zip(tops, commits, strict=True)
                }
        self._positions = positions
        self._lost.clear()
        if self._assignment is not None:
            positions.update(await self._assignment.assigned(partitions))
        for top in tops:
            position = positions[top.partition]
            if position > ends[top]:
                self._lose(top.partition, f"ends at {ends[top]}")
                continue
            if position < firsts[top]:
                _log.warning(
                    "partition %d of %s starts at %d: retention has removed records from %d on, not yet read",
                    top.partition, self._name, firsts[top], position,
                )  # fmt: skip
                positions[top.partition] = position = firsts[top]
            client.seek(top, position)
        self._heard_s = time.monotonic()

    async def _committed(self, client: AIOKafkaConsumer, tops: list[TopicPartition]) -> list[int | None]:
        if self._group is None:
            return [None] * len(tops)
        commits: list[int | None] = await asyncio.gather(*(client.committed(top) for top in tops))
        return commits

    def _lose(self, partition: int, finding: str) -> None:
        self._lost[partition] = LogLostError(
            f"partition {partition} of topic {self._name} {finding}, before position "
            f"{self._positions[partition]}: it was recreated or restored from an older copy"
        )

    async def _poll(self, client: AIOKafkaConsumer, max_records: int, wait_s: float) -> dict[Any, list[Any]]:
        """Step 3. Cancelling `getmany` loses nothing: it takes records in one go after its last wait."""
        getting = asyncio.ensure_future(
            client.getmany(timeout_ms=max(1, int(wait_s * 1000)), max_records=max_records)
        )
        word = asyncio.ensure_future(self._rebalancing.wait())
        try:
            # `getmany` itself waits without a bound while the group rebalances.
            await asyncio.wait((getting, word), timeout=wait_s, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            if getting.done() and not getting.cancelled() and getting.exception() is None:
                self._put_back(client, getting.result())
            raise
        finally:
            word.cancel()
            if not getting.done():
                getting.cancel()
        try:
            return dict(await getting)
        except asyncio.CancelledError:
            if not getting.cancelled() or _is_being_cancelled():
                raise
            return {}

    def _put_back(self, client: AIOKafkaConsumer, batches: dict[Any, list[Any]]) -> None:
        """The caller was cancelled with records at hand: read them again."""
        for top in batches:
            if top.partition in self._positions:
                with contextlib.suppress(IllegalStateError):
                    client.seek(top, self._positions[top.partition])

    def _records(self, batches: dict[Any, list[Any]]) -> dict[int, list[Record]]:
        records: dict[int, list[Record]] = {}
        generation = self._generation
        for top, batch in batches.items():
            partition, expected = top.partition, self._positions.get(top.partition)
            if expected is None:
                continue
            if batch[0].offset < expected:
                # The client went back to the earliest record because ours is out of range.
                self._lose(partition, f"goes on at {batch[0].offset}")
                continue
            records[partition] = [record_of(row, generation, partition) for row in batch]
            self._positions[partition] = batch[-1].offset + 1
        return records

    async def _check_broker(self, client: AIOKafkaConsumer) -> None:
        """Silence means no records, or no broker: the client does not say which."""
        if time.monotonic() - self._heard_s < _SILENCE_S:
            return
        partition = next(iter(self._positions), 0)
        async with self._access.errors():
            async with asyncio.timeout(_SILENCE_S):
                await client.end_offsets([TopicPartition(self._name, partition)])
        self._heard_s = time.monotonic()

    # -- connecting

    async def _connect(self) -> AIOKafkaConsumer:
        counts = await self._topics.counts()
        client = AIOKafkaConsumer(
            **self._access.arguments,
            group_id=None if self._group is None else group_name(self._settings, self._group),
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            heartbeat_interval_ms=min(_HEARTBEAT_MS, self._settings.log_session_ms // 4),
            session_timeout_ms=self._settings.log_session_ms,
            rebalance_timeout_ms=_REBALANCE_MS,
            fetch_max_wait_ms=_FETCH_WAIT_MS,
            fetch_min_bytes=1,
        )
        try:
            async with self._access.errors():
                async with asyncio.timeout(_CALL_TIMEOUT_S):
                    await client.start()
                    if self._group is not None:
                        client.subscribe([self._name], listener=_Listener(self))
        except BaseException:
            await close_consumer(client)
            raise
        if self._group is None:
            partitions = range(counts[self._topic])
            client.assign([TopicPartition(self._name, partition) for partition in partitions])
            self.leave_word_assigned(partitions)
        self._client = client
        self._heard_s = time.monotonic()
        return client

    async def _disconnect(self) -> None:
        client, self._client = self._client, None
        self._revoked.set()  # or the client would wait for a `fetch` that does not come
        if client is not None:
            await close_consumer(client)
        self._to_assign = None
        if self._positions:
            self._to_revoke = True


def _is_being_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]
    def __init__(self, consumer: KafkaConsumer) -> None:
        self._consumer = consumer

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:  # noqa: ARG002
        await self._consumer.leave_word_revoked()

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        self._consumer.leave_word_assigned(top.partition for top in assigned)
