"""The log over Apache Kafka."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from services.kernel.settings import LogSettings
from services.log.kafka_address import group_name, topic_name
from services.log.kafka_closing import close_consumer
from services.log.kafka_consumer import KafkaConsumer
from services.log.kafka_producer import KafkaProducer
from services.log.kafka_records import record_of
from services.log.kafka_security import KafkaAccess
from services.log.kafka_topics import Topics
from services.log.protocol import Bounds, Record, Topic
from services.log.sparing import spare_log

_CALL_TIMEOUT_S = 10.0
# A client's first question finds it without metadata, which comes within some ms; it waits 100 by default.
_RETRY_MS = 10


class KafkaLog:
    """The EventLog over Kafka."""

    def __init__(self, settings: LogSettings) -> None:
        spare_log("aiokafka")
        self._access = KafkaAccess(settings)  # a bad setting is an error now, not with the first event
        self.generation = settings.log_generation
        self._settings = settings
        self._topics = Topics(self._access)
        self._partitions: dict[Topic, int] = {}
        self._reader: AIOKafkaConsumer | None = None
        self._turn = asyncio.Lock()

    def producer(self) -> KafkaProducer:
        """See EventLog.producer."""
        return KafkaProducer(self._access, self._topics)

    def consumer(self, topic: Topic, group: str | None) -> KafkaConsumer:
        """See EventLog.consumer."""
        return KafkaConsumer(self._access, self._topics, topic, group)

    async def partition_count(self, topic: Topic) -> int:
        """See EventLog.partition_count."""
        if topic not in self._partitions:
            self._partitions = await self._topics.counts()
        return self._partitions[topic]

    async def bounds(self, topic: Topic) -> dict[int, Bounds]:
        """See EventLog.bounds."""
        count = await self.partition_count(topic)
        tops = [TopicPartition(topic_name(self._settings, topic), partition) for partition in range(count)]
        async with self._reading() as reader:
            firsts = await reader.beginning_offsets(tops)
            ends = await reader.end_offsets(tops)
        return {top.partition: Bounds(firsts[top], ends[top]) for top in tops}

    async def committed(self, topic: Topic, group: str) -> dict[int, int]:
        """See EventLog.committed."""
        await self.partition_count(topic)
        name = topic_name(self._settings, topic)
        admin = AIOKafkaAdminClient(**self._access.arguments)
        async with self._access.errors():
            try:
                async with asyncio.timeout(_CALL_TIMEOUT_S):
                    await admin.start()
                    marks = await admin.list_consumer_group_offsets(group_name(self._settings, group))
            finally:
                await admin.close()
        return {
            top.partition: mark.offset
            for top, mark in marks.items()
            if top.topic == name and mark.offset >= 0
        }

    async def read_at(self, topic: Topic, partition: int, offset: int) -> Record | None:
        """See EventLog.read_at."""
        records = await self.read_from(topic, partition, offset, 1) if offset >= 0 else []
        return records[0] if records and records[0].position.offset == offset else None

    async def read_from(self, topic: Topic, partition: int, offset: int, max_records: int) -> list[Record]:
        """See EventLog.read_from."""
        await self.partition_count(topic)
        top = TopicPartition(topic_name(self._settings, topic), partition)
        async with self._reading() as reader:
            first = (await reader.beginning_offsets([top]))[top]
            end = (await reader.end_offsets([top]))[top]
            at = max(first, offset)
            if at >= end:
                return []
            reader.assign([top])
            try:
                reader.seek(top, at)
                while reader.assignment():
                    # Compacted away to the very end, nothing comes: the position moves on all the same.
                    found = await reader.getmany(top, timeout_ms=100, max_records=max_records)
                    if rows := found.get(top):
                        return [record_of(row, self.generation, partition) for row in rows]
                    if await reader.position(top) >= end:
                        return []
            finally:
                reader.unsubscribe()
        return []

    async def close(self) -> None:
        """See EventLog.close."""
        await self._topics.close()
        await self._close_reader()

    async def _close_reader(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None:
            await close_consumer(reader)

    @asynccontextmanager
    async def _reading(self) -> AsyncIterator[AIOKafkaConsumer]:
        """The one client for single questions; callers take turns. Raises LogUnavailableError."""
        async with self._turn:
            async with self._access.errors():
                async with asyncio.timeout(_CALL_TIMEOUT_S):
                    if self._reader is None:
                        reader = AIOKafkaConsumer(
                            **self._access.arguments,
                            enable_auto_commit=False,
                            auto_offset_reset="earliest",
                            retry_backoff_ms=_RETRY_MS,
                        )
                        try:
                            await reader.start()
                        except BaseException:
                            await close_consumer(reader)
                            raise
                        self._reader = reader
                    try:
                        yield self._reader
                    except (KafkaError, TimeoutError, asyncio.CancelledError):
                        await (
                            self._close_reader()
                        )  # in a state that nobody knows: the next question gets a new one
                        raise
