"""Appending to Kafka: acks=all, idempotent, one batch under way a partition.

What queued while a batch was under way is the next batch; the client sends one batch a partition at a time
anyway, so nothing is lost by holding the rest back, and a caller that gives up can take it back.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Coroutine, Sequence
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    InvalidTopicError,
    KafkaError,
    MessageSizeTooLargeError,
    NotEnoughReplicasError,
    RecordListTooLargeError,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
)

from services.kernel.partitioning import partition_of
from services.kernel.position import Position
from services.log.append_queue import Lane, Piece, Row, append_pieces, cut
from services.log.drafts import draft_bytes, draft_error, placing_key
from services.log.kafka_address import topic_name
from services.log.kafka_closing import close_producer
from services.log.kafka_security import KafkaAccess
from services.log.kafka_topics import Topics
from services.log.protocol import Append, Draft, LogError, LogUnavailableError, Topic

# A batch is one message to the broker: below its default bound of 1,048,588 bytes.
_BATCH_BYTES_MAX = 1_040_000
_BATCH_RECORDS_MAX = 5000
# The client gives up on one request after this and tries again.
_REQUEST_TIMEOUT_MS = 10_000
# Connecting includes getting a producer id, which a broker that just started answers late.
_START_TIMEOUT_S = 20.0
_STOP_TIMEOUT_S = 5.0
_READY_TIMEOUT_S = 0.1
# `ready` asks the broker no more often than this.
_READY_AGE_S = 1.0
# The broker said no before it wrote anything.
_REFUSALS = (
    ClusterAuthorizationFailedError,
    InvalidTopicError,
    MessageSizeTooLargeError,
    NotEnoughReplicasError,
    RecordListTooLargeError,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
)


class KafkaProducer:
    """The Producer over Kafka."""

    def __init__(self, access: KafkaAccess, topics: Topics) -> None:
        self._access = access
        self._topics = topics
        self._settings = access.settings
        self._client: AIOKafkaProducer | None = None
        self._connecting = asyncio.Lock()
        self._lanes: dict[tuple[Topic, int], Lane[Draft]] = {}
        self._partitions: dict[Topic, int] = {}
        self._background: set[asyncio.Task[None]] = set()
        self._seen_s = float("-inf")  # when the broker last answered, on the monotonic clock
        self._stopped = False

    async def start(self) -> None:
        """Connect and make sure that the topics exist. Raises LogUnavailableError."""
        await self._connected()

    @property
    def in_flight_bytes(self) -> int:
        """Bytes queued or sent that the broker has not answered for."""
        return sum(lane.in_flight_bytes for lane in self._lanes.values())

    async def append(self, topic: Topic, drafts: Sequence[Draft], timeout_ms: int) -> list[Append]:
        """See Producer.append."""

        async def prepare(outcomes: dict[int, Append]) -> list[Piece[Draft]]:
            if topic not in self._partitions:
                await self._connected()
            return self._cut(topic, drafts, outcomes)

        return await append_pieces(prepare, len(drafts), timeout_ms)

    async def ready(self) -> None:
        """See Producer.ready: the broker answered within the last second, or does now."""
        if self._stopped:
            raise LogUnavailableError("the producer is stopped")
        if self._client is None:  # after an error: nobody may append while this says no, so connect from here
            if not self._connecting.locked():
                self._in_background(self._connected())
            raise self._access.reconnecting()
        if time.monotonic() - self._seen_s < _READY_AGE_S:
            return
        async with self._access.errors(ask=False):  # nobody waits here for a second answer
            async with asyncio.timeout(_READY_TIMEOUT_S):
                if not await self._client.client.force_metadata_update():
                    raise TimeoutError
        self._seen_s = time.monotonic()

    async def stop(self) -> None:
        """See Producer.stop."""
        self._stopped = True
        await asyncio.gather(*(lane.stop(_STOP_TIMEOUT_S) for lane in self._lanes.values()))
        client, self._client = self._client, None
        if client is not None:
            await close_producer(client)
        if self._background:
            _, late = await asyncio.wait(self._background, timeout=_STOP_TIMEOUT_S)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def _connected(self) -> AIOKafkaProducer:
        async with self._connecting:
            if self._client is None:
                if self._stopped:
                    raise LogUnavailableError("the producer is stopped")
                self._partitions = await self._topics.counts()
                client = AIOKafkaProducer(
                    **self._access.arguments,
                    acks="all",
                    enable_idempotence=True,
                    linger_ms=0,
                    max_batch_size=_BATCH_BYTES_MAX,
                    max_request_size=_BATCH_BYTES_MAX,
                    request_timeout_ms=_REQUEST_TIMEOUT_MS,
                )
                try:
                    async with self._access.errors():
                        async with asyncio.timeout(_START_TIMEOUT_S):
                            await client.start()
                except BaseException:
                    await close_producer(client)
                    raise
                self._client = client
                self._seen_s = time.monotonic()
            return self._client

    def _cut(self, topic: Topic, drafts: Sequence[Draft], outcomes: dict[int, Append]) -> list[Piece[Draft]]:
        partitions = self._partitions[topic]
        placed: dict[int, list[tuple[Row[Draft], int]]] = {}
        for index, draft in enumerate(drafts):
            if (error := draft_error(draft)) is not None:
                outcomes[index] = Append(None, error)
                continue
            partition = partition_of(placing_key(draft), partitions)
            placed.setdefault(partition, []).append(((index, partition, draft), draft_bytes(draft)))
        pieces = []
        for partition, rows in placed.items():
            lane = self._lane(topic, partition)
            pieces += cut(rows, lane, partitions, _BATCH_RECORDS_MAX, _BATCH_BYTES_MAX)
        return pieces

    def _lane(self, topic: Topic, partition: int) -> Lane[Draft]:
        lane = self._lanes.get((topic, partition))
        if lane is None:

            def send(batch: list[Piece[Draft]]) -> Awaitable[list[Append]]:
                return self._send(topic, partition, batch)

            lane = self._lanes[topic, partition] = Lane(send, _BATCH_RECORDS_MAX, _BATCH_BYTES_MAX)
            lane.stopped = self._stopped
        return lane

    async def _send(self, topic: Topic, partition: int, pieces: list[Piece[Draft]]) -> list[Append]:
        """Append to one partition; one outcome a row. Raises LogError when nothing was appended for sure."""
        drafts = [draft for piece in pieces for _, _, draft in piece.rows]
        client = await self._connected()
        outcomes: list[Append] = []
        while len(outcomes) < len(drafts):
            # Sizes are estimates: mostly one batch, two when the envelope of many small records adds up.
            batch = client.create_batch()
            count = 0
            for draft in drafts[len(outcomes) :]:
                fitted = batch.append(
                    key=draft.key, value=draft.value, headers=list(draft.headers), timestamp=None
                )
                if fitted is None:
                    break
                count += 1
            batch.close()
            outcomes += await self._send_batch(client, topic, partition, batch, count)
        return outcomes

    async def _send_batch(
        self, client: AIOKafkaProducer, topic: Topic, partition: int, batch: Any, count: int
    ) -> list[Append]:
        try:
            future = await client.send_batch(batch, topic_name(self._settings, topic), partition=partition)
            first = (await future).offset
            if first < 0:  # written before, says the broker, and does not remember where
                raise KafkaError("the broker does not know the offset any more")
        except KafkaError as error:
            # Idempotence numbers batches without gaps: after one that failed, this client's next would be
            # refused for ever.
            self._retire(client)
            unknown = not isinstance(error, _REFUSALS)
            return [Append(None, self._access.told(error, unknown=unknown))] * count
        self._seen_s = time.monotonic()
        generation = self._settings.log_generation
        return [Append(Position(generation, partition, first + at)) for at in range(count)]

    def _retire(self, client: AIOKafkaProducer) -> None:
        if self._client is client:
            self._client = None
            self._in_background(close_producer(client))

    def _in_background(self, work: Coroutine[Any, Any, object]) -> None:
        async def quietly() -> None:
            with contextlib.suppress(LogError):  # the next append meets the same error and tells its caller
                await work

        task = asyncio.create_task(quietly())
        self._background.add(task)
        task.add_done_callback(self._background.discard)
