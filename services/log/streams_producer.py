"""Appending to the embedded log.

What queued while one call was under way goes into the next: one script call appends the records of many
requests to many partitions. There is no wait window; a lone record goes out at once.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence

from redis.exceptions import ResponseError

from services.kernel.partitioning import partition_of
from services.kernel.position import Position
from services.kernel.settings import LogSettings
from services.log.drafts import draft_error
from services.log.protocol import (
    Append,
    Draft,
    LogError,
    LogFullError,
    LogUnavailableError,
    Topic,
)
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


class _Piece:
    """Part of one `append`, small enough for one call; the outcomes are known together."""

    __slots__ = ("bytes", "outcomes", "partitions", "records", "resolved", "taken")

    def __init__(self, resolved: asyncio.Future[None], partitions: int) -> None:
        self.partitions = partitions  # of the topic, as the records were placed
        self.records: list[tuple[int, int, bytes]] = []  # index in the append, partition, packed record
        self.bytes = 0
        self.resolved = resolved
        self.taken = False  # by a call that is under way or over
        self.outcomes: dict[int, Append] = {}


class _Lane:
    """One topic: its queue, its connection and the task that empties the one into the other."""

    def __init__(self, keys: TopicKeys, link: Link) -> None:
        self.keys = keys
        self.link = link
        self.queue: deque[_Piece] = deque()
        self.task: asyncio.Task[None] | None = None


class StreamsProducer:
    """The Producer of the embedded log."""

    def __init__(self, settings: LogSettings) -> None:
        self._settings = settings
        self._generation = settings.log_generation
        self._lanes = {topic: _Lane(TopicKeys.of(settings, topic), Link(settings.log_url)) for topic in Topic}
        self._probe = Link(settings.log_url)
        self._partitions: dict[Topic, int] = {}
        self._in_flight_bytes = 0
        self._stopped = False

    async def start(self) -> None:
        """Connect and make sure that the topics exist. Raises LogUnavailableError."""
        for topic in Topic:
            await self._partition_count(topic)

    @property
    def in_flight_bytes(self) -> int:
        """Bytes queued or sent that the server has not answered for."""
        return self._in_flight_bytes

    async def append(self, topic: Topic, drafts: Sequence[Draft], timeout_ms: int) -> list[Append]:
        """See Producer.append."""
        outcomes: dict[int, Append] = {}
        pieces: list[_Piece] = []
        try:
            async with asyncio.timeout(timeout_ms / 1000):
                pieces = self._cut(drafts, await self._partition_count(topic), outcomes)
                self._enqueue(self._lanes[topic], pieces)
                for piece in pieces:
                    await piece.resolved
        except TimeoutError:
            for piece in pieces:
                self._give_up(self._lanes[topic], piece, timeout_ms)
            if not pieces:
                late = LogUnavailableError(f"the event log did not answer within {timeout_ms} ms")
                return [outcomes.get(index) or Append(None, late) for index in range(len(drafts))]
        except LogError as error:
            return [Append(None, error)] * len(drafts)
        for piece in pieces:
            outcomes.update(piece.outcomes)
        return [outcomes[index] for index in range(len(drafts))]

    async def ready(self) -> None:
        """See Producer.ready: writes a short-lived key, which a replica or a full disk would refuse."""
        if self._stopped:
            raise LogUnavailableError("the producer is stopped")
        keys = self._lanes[Topic.EVENTS].keys
        try:
            await self._probe.call("SET", f"{keys.tag}:probe", "1", "PX", 1000, timeout_s=_READY_TIMEOUT_S)
        except ResponseError as error:
            raise self._probe.refusal(error) from None
        except LogFullError as error:
            raise LogUnavailableError(str(error)) from None

    async def stop(self) -> None:
        """See Producer.stop."""
        self._stopped = True
        tasks = [lane.task for lane in self._lanes.values() if lane.task is not None]
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=_STOP_TIMEOUT_S)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        for lane in self._lanes.values():
            await lane.link.close()
        await self._probe.close()

    async def _partition_count(self, topic: Topic) -> int:
        count = self._partitions.get(topic)
        if count is None:
            lane = self._lanes[topic]
            count = await ensure_topic(lane.link, lane.keys, self._settings)
            self._partitions[topic] = count
        return count

    def _bound(self, partitions: int) -> int:
        """Records a partition may hold."""
        return max(1, self._settings.log_max_records // partitions)

    def _cut(self, drafts: Sequence[Draft], partitions: int, outcomes: dict[int, Append]) -> list[_Piece]:
        loop = asyncio.get_running_loop()
        # A piece that fills half of the log's bound would never fit beside what is not applied yet.
        records_max = min(_CALL_RECORDS_MAX, max(1, self._bound(partitions) // 2))
        pieces: list[_Piece] = []
        for index, draft in enumerate(drafts):
            if (error := draft_error(draft)) is not None:
                outcomes[index] = Append(None, error)
                continue
            packed = pack(draft)
            piece = pieces[-1] if pieces else None
            if (
                piece is None
                or len(piece.records) >= records_max
                or piece.bytes + len(packed) > _CALL_BYTES_MAX
            ):
                piece = _Piece(loop.create_future(), partitions)
                pieces.append(piece)
            key = draft.key if draft.partition_key is None else draft.partition_key
            piece.records.append((index, partition_of(key, partitions), packed))
            piece.bytes += len(packed)
        return pieces

    def _enqueue(self, lane: _Lane, pieces: list[_Piece]) -> None:
        if self._stopped:
            raise LogUnavailableError("the producer is stopped")
        if not pieces:
            return
        lane.queue.extend(pieces)
        self._in_flight_bytes += sum(piece.bytes for piece in pieces)
        if lane.task is None or lane.task.done():
            lane.task = asyncio.create_task(self._empty(lane))

    def _give_up(self, lane: _Lane, piece: _Piece, timeout_ms: int) -> None:
        """The caller waits no longer: what was sent is unknown, what was not is taken back."""
        if piece.outcomes:
            return
        if not piece.taken:
            lane.queue.remove(piece)
            self._in_flight_bytes -= piece.bytes
        error = LogUnavailableError(
            f"the event log did not answer within {timeout_ms} ms", unknown=piece.taken
        )
        piece.outcomes = {index: Append(None, error) for index, _, _ in piece.records}

    async def _empty(self, lane: _Lane) -> None:
        topic = next(topic for topic, other in self._lanes.items() if other is lane)
        while lane.queue:
            batch = _take(lane.queue)
            error: LogError = LogUnavailableError("the producer stopped", unknown=True)
            results: list[Append] | None = None
            try:
                results = await self._send(topic, lane, batch)
            except LogError as failure:
                error = failure
            except ResponseError as refusal:
                error = lane.link.refusal(refusal)
                self._partitions.pop(topic, None)  # PARTITIONS: recreated with another count
            finally:
                at = 0
                for piece in batch:
                    if not piece.outcomes:
                        for index, _, _ in piece.records:
                            piece.outcomes[index] = results[at] if results else Append(None, error)
                            at += 1
                    else:
                        at += len(piece.records)
                    self._in_flight_bytes -= piece.bytes
                    if not piece.resolved.done():
                        piece.resolved.set_result(None)

    async def _send(self, topic: Topic, lane: _Lane, batch: list[_Piece]) -> list[Append]:
        """Append a batch by one call; one outcome per record, in the batch's order."""
        records = [record for piece in batch for record in piece.records]
        by_partition: dict[int, list[bytes]] = {}
        for _, partition, packed in records:
            by_partition.setdefault(partition, []).append(packed)
        keys = [lane.keys.meta, lane.keys.groups, lane.keys.commits]
        partitions = batch[0].partitions
        arguments: list[bytes | str | int] = [
            partitions,
            self._bound(partitions),
            int(topic is Topic.DEAD),
        ]
        for partition, packed_records in by_partition.items():
            keys.append(lane.keys.stream(partition))
            arguments += (partition, len(packed_records), *packed_records)
        firsts = await lane.link.run(APPEND, keys, arguments)
        following = dict(zip(by_partition, firsts, strict=True))
        outcomes = []
        for _, partition, _ in records:
            offset = following[partition]
            if offset < 0:
                outcomes.append(Append(None, self._full(topic, partition, partitions)))
                continue
            following[partition] = offset + 1
            outcomes.append(Append(Position(self._generation, partition, offset)))
        return outcomes

    def _full(self, topic: Topic, partition: int, partitions: int) -> LogFullError:
        return LogFullError(
            f"partition {partition} of the {topic.value} log holds {self._bound(partitions)} records and "
            "none of them is applied by every consumer group yet: is the profiler running? "
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


def _take(queue: deque[_Piece]) -> list[_Piece]:
    """The next pieces that fit one call, at least one."""
    batch: list[_Piece] = []
    records = size = 0
    while queue:
        piece = queue[0]
        records += len(piece.records)
        size += piece.bytes
        fits = records <= _CALL_RECORDS_MAX and size <= _CALL_BYTES_MAX
        if batch and not (fits and piece.partitions == batch[0].partitions):
            break
        piece.taken = True
        batch.append(queue.popleft())
    return batch
