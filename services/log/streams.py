"""The embedded log: Valkey Streams (or Redis), one stream a partition. For one node, not for a cluster.

It holds at most `FRESHET_LOG_MAX_RECORDS` records a topic, an equal share in each partition, and trims only
what every group that ever joined has applied. What a 202 promises holds as far as the server's append-only
file does: with `appendfsync everysec` a SIGKILL loses nothing, a power cut up to a second.
"""

from __future__ import annotations

from redis.exceptions import ResponseError

from services.kernel.settings import LogSettings
from services.log.protocol import Bounds, Record, Topic
from services.log.streams_address import TopicKeys, client_url
from services.log.streams_codec import unpack
from services.log.streams_consumer import StreamsConsumer, read_bounds
from services.log.streams_link import Link
from services.log.streams_producer import StreamsProducer, ensure_topic


class StreamsLog:
    """The EventLog over Valkey Streams."""

    def __init__(self, settings: LogSettings) -> None:
        client_url(settings.log_url)  # a bad URL is an error now, not with the first event
        self.generation = settings.log_generation
        self._settings = settings
        self._link = Link(settings.log_url)

    def producer(self) -> StreamsProducer:
        """See EventLog.producer."""
        return StreamsProducer(self._settings)

    def consumer(self, topic: Topic, group: str | None) -> StreamsConsumer:
        """See EventLog.consumer."""
        return StreamsConsumer(self._settings, topic, group)

    async def partition_count(self, topic: Topic) -> int:
        """See EventLog.partition_count."""
        return await ensure_topic(self._link, self._keys(topic), self._settings)

    async def bounds(self, topic: Topic) -> dict[int, Bounds]:
        """See EventLog.bounds."""
        partitions = await self.partition_count(topic)
        pairs = await read_bounds(self._link, self._keys(topic), partitions)
        return {partition: Bounds(first, end) for partition, (first, end) in enumerate(pairs)}

    async def committed(self, topic: Topic, group: str) -> dict[int, int]:
        """See EventLog.committed."""
        partitions = await self.partition_count(topic)
        names = [f"{group}:{partition}" for partition in range(partitions)]
        try:
            values = await self._link.call("HMGET", self._keys(topic).commits, *names)
        except ResponseError as error:
            raise self._link.refusal(error) from None
        return {
            partition: int(value)
            for partition, value in enumerate(values)
            if value is not None and int(value) >= 0
        }

    async def read_at(self, topic: Topic, partition: int, offset: int) -> Record | None:
        """See EventLog.read_at."""
        records = await self.read_from(topic, partition, offset, 1) if offset >= 0 else []
        return records[0] if records and records[0].position.offset == offset else None

    async def read_from(self, topic: Topic, partition: int, offset: int, max_records: int) -> list[Record]:
        """See EventLog.read_from."""
        stream, first_id = self._keys(topic).stream(partition), f"0-{max(0, offset) + 1}"
        try:
            entries = await self._link.call("XRANGE", stream, first_id, "+", "COUNT", max_records)
        except ResponseError as error:
            raise self._link.refusal(error) from None
        records: list[Record] = []
        for entry_id, fields in entries:
            found = int(bytes(entry_id).partition(b"-")[2]) - 1
            records += unpack(self.generation, partition, found, 1, fields[1])
        return records

    async def close(self) -> None:
        """See EventLog.close."""
        await self._link.close()

    def _keys(self, topic: Topic) -> TopicKeys:
        return TopicKeys.of(self._settings, topic)
