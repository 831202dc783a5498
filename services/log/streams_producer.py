"""Appending to the embedded log: one script call appends the records of many requests to many partitions."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from redis.exceptions import ResponseError

from services.kernel.partitioning import partition_of
from services.kernel.position import Position
from services.kernel.settings import LogSettings
from services.log.append_queue import Lane, Piece, append_pieces, cut
from services.log.drafts import draft_error, placing_key
from services.log.protocol import Append, Draft, LogFullError, LogUnavailableError, Topic
from services.log.streams_address import TopicKeys
from services.log.streams_codec import pack
from services.log.streams_link import Link
from services.log.streams_scripts import APPEND, ENSURE

# One call's share: about 2 ms of the server's only thread, which also serves the store's reads.
_CALL_RECORDS_MAX = 1000
_CALL_BYTES_MAX = 1 << 20
# `ready` answers a probe that gives up after a second; this leaves it time.
_READY_TIMEOUT_S = 0.1
# Flushing on stop: what the server has not taken by then it will not take.
_STOP_TIMEOUT_S = 5.0


class StreamsProducer:
    """The Producer of the embedded log."""

    def __init__(self, settings: LogSettings) -> None:
        self._settings = settings
        self._topics = {topic: _TopicAppender(settings, topic) for topic in Topic}
        self._probe = Link(settings.log_url)
        self._probe_key = f"{TopicKeys.of(settings, Topic.EVENTS).tag}:probe"

    async def start(self) -> None:
        """Connect and make sure that the topics exist. Raises LogUnavailableError."""
        for topic in self._topics.values():
            await topic.partition_count()

    @property
    def in_flight_bytes(self) -> int:
        """Bytes queued or sent that the server has not answered for."""
        return sum(topic.lane.in_flight_bytes for topic in self._topics.values())

    async def append(self, topic: Topic, drafts: Sequence[Draft], timeout_ms: int) -> list[Append]:
        """See Producer.append."""
        appender = self._topics[topic]

        async def prepare(outcomes: dict[int, Append]) -> list[Piece[bytes]]:
            return appender.cut(drafts, await appender.partition_count(), outcomes)

        return await append_pieces(prepare, len(drafts), timeout_ms)

    async def ready(self) -> None:
        """See Producer.ready: writes a short-lived key, which a replica or a full disk would refuse."""
        if self._topics[Topic.EVENTS].lane.stopped:
            raise LogUnavailableError("the producer is stopped")
        try:
            await self._probe.call("SET", self._probe_key, "1", "PX", 1000, timeout_s=_READY_TIMEOUT_S)
        except ResponseError as error:
            raise self._probe.refusal(error) from None
        except LogFullError as error:
            raise LogUnavailableError(str(error)) from None

    async def stop(self) -> None:
        """See Producer.stop."""
        await asyncio.gather(*(topic.stop() for topic in self._topics.values()))
        await self._probe.close()


class _TopicAppender:
    """One topic: its lane and its connection."""

    def __init__(self, settings: LogSettings, topic: Topic) -> None:
        self._settings = settings
        self._topic = topic
        self._keys = TopicKeys.of(settings, topic)
        self._link = Link(settings.log_url)
        self._partitions: int | None = None
        self.lane: Lane[bytes] = Lane(self._send, _CALL_RECORDS_MAX, _CALL_BYTES_MAX)

    async def partition_count(self) -> int:
        """Partitions of the topic, which is created unless it exists. Raises LogUnavailableError."""
        if self._partitions is None:
            self._partitions = await ensure_topic(self._link, self._keys, self._settings)
            # More than half of a partition's bound might never fit beside what is not applied yet.
            self.lane.records_max = min(_CALL_RECORDS_MAX, max(1, self._bound(self._partitions) // 2))
        return self._partitions

    def cut(
        self, drafts: Sequence[Draft], partitions: int, outcomes: dict[int, Append]
    ) -> list[Piece[bytes]]:
        """Drafts packed, placed and cut; what no log takes goes into `outcomes`."""
        rows = []
        for index, draft in enumerate(drafts):
            if (error := draft_error(draft)) is not None:
                outcomes[index] = Append(None, error)
                continue
            packed = pack(draft)
            rows.append(((index, partition_of(placing_key(draft), partitions), packed), len(packed)))
        return cut(rows, self.lane, partitions, self.lane.records_max, _CALL_BYTES_MAX)

    async def stop(self) -> None:
        """Flush and hang up."""
        await self.lane.stop(_STOP_TIMEOUT_S)
        await self._link.close()

    def _bound(self, partitions: int) -> int:
        """Records a partition may hold."""
        return max(1, self._settings.log_max_records // partitions)

    async def _send(self, batch: list[Piece[bytes]]) -> list[Append]:
        """Append a batch by one call; one outcome a row, in the batch's order. Raises LogError."""
        rows = [row for piece in batch for row in piece.rows]
        partitions = batch[0].partitions
        by_partition: dict[int, list[bytes]] = {}
        for _, partition, packed in rows:
            by_partition.setdefault(partition, []).append(packed)
        keys = [self._keys.meta, self._keys.groups, self._keys.commits]
        arguments: list[bytes | str | int] = [
            partitions,
            self._bound(partitions),
            int(self._topic is Topic.DEAD),
        ]
        for partition, packed_records in by_partition.items():
            keys.append(self._keys.stream(partition))
            arguments += (partition, len(packed_records), *packed_records)
        try:
            firsts = await self._link.run(APPEND, keys, arguments)
        except ResponseError as error:
            self._partitions = None  # it may have been recreated with another count: ask again
            raise self._link.refusal(error) from None
        following = dict(zip(by_partition, firsts, strict=True))
        outcomes = []
        for _, partition, _ in rows:
            offset = following[partition]
            if offset < 0:
                outcomes.append(Append(None, self._full(partition, self._bound(partitions))))
                continue
            following[partition] = offset + 1
            outcomes.append(Append(Position(self._settings.log_generation, partition, offset)))
        return outcomes

    def _full(self, partition: int, bound: int) -> LogFullError:
        return LogFullError(
            f"partition {partition} of the {self._topic.value} log is at its bound of {bound} records, and "
            "they are not applied by every consumer group yet: is the profiler running? "
            "FRESHET_LOG_MAX_RECORDS sets the bound"
        )


async def ensure_topic(link: Link, keys: TopicKeys, settings: LogSettings) -> int:
    """Create the topic unless it exists; its partition count. Raises LogUnavailableError."""
    try:
        return int(await link.run(ENSURE, [keys.meta], [settings.log_partitions]))
    except ResponseError as error:
        raise link.refusal(error) from None
    except LogFullError as error:
        raise LogUnavailableError(str(error)) from None
