"""What every event log can do. One behaviour suite (tests/contract) holds all adapters to it.

A log has topics (events, items, dead), a topic has partitions, a partition is a sequence of records with
ever-growing offsets. Offsets may have gaps; nobody may assume that the next one is offset + 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple, Protocol

from services.kernel.position import Position

# Key, value and headers of one record. Below Kafka's default `message.max.bytes` with room for the envelope,
# so that what one adapter takes the other takes too.
RECORD_BYTES_MAX = 1_000_000


class Topic(StrEnum):
    """The three topics of a namespace; adapters turn them into `{ns}.events.g{generation}` and so on."""

    EVENTS = "events"
    ITEMS = "items"
    DEAD = "dead"


class Draft(NamedTuple):
    """A record that is not on the log yet. `partition_key` places it (murmur2); `key` is what is stored."""

    key: bytes
    value: bytes | None  # None is a tombstone
    headers: tuple[tuple[str, bytes], ...] = ()
    partition_key: bytes | None = None  # None: `key`


class Record(NamedTuple):
    """A record as it was read. `timestamp_ms` is the log's own append time."""

    position: Position
    key: bytes
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]
    timestamp_ms: int


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a partition holds: offsets first ≤ x < end (`end` is where the next record goes)."""

    first: int
    end: int


class Append(NamedTuple):
    """The outcome for one draft: a position, or the error that left it `rejected` or `unknown`."""

    position: Position | None
    error: LogError | None = None


class LogError(Exception):
    """The log refused or failed. `unknown` says that the record may still arrive (a timeout)."""

    def __init__(self, message: str, *, unknown: bool = False, retry_after_s: int = 1) -> None:
        super().__init__(message)
        self.unknown = unknown
        self.retry_after_s = retry_after_s


class LogFullError(LogError):
    """Nothing was appended: the log is at its bound and nothing in it is applied yet."""


class LogUnavailableError(LogError):
    """The log does not answer."""


class RecordTooLargeError(LogError):
    """The record has more than RECORD_BYTES_MAX bytes; nothing was appended and a retry does not help."""


class LogLostError(LogError):
    """A partition ends before the offset to read from: the log was recreated or restored from an older copy.

    Reading on would skip what comes until that offset is reached again. A `seek` to an offset that exists
    ends it.
    """


class Producer(Protocol):
    """Appends records. Safe for many callers at once."""

    async def start(self) -> None:
        """Connect and make sure that the topics exist. Raises LogUnavailableError."""

    async def append(self, topic: Topic, drafts: Sequence[Draft], timeout_ms: int) -> list[Append]:
        """Append all drafts, keeping the order of drafts that share a partition; never raises LogError.
        Connects first where `start` was not called.

        One outcome per draft, in order. An outcome with a position is durable as far as the log promises
        (Kafka: acks=all, idempotent). After `timeout_ms` what has not resolved is `unknown`; what it holds in
        memory is released when the log resolves it, and counts against `in_flight_bytes` until then.
        """

    @property
    def in_flight_bytes(self) -> int:
        """Bytes handed over that the log has not resolved yet, timed-out ones included."""

    async def ready(self) -> None:
        """Raise LogUnavailableError, saying what is wrong, unless an append would work now.

        Answers within 100 ms or so, whatever the log does."""

    async def stop(self) -> None:
        """Flush for a bounded time, then let go."""


class Assignment(Protocol):
    """Told about partitions by a consumer.

    Both run in the task that calls `fetch`, before it reads, so never while a batch is being applied; hence
    an assignment is made by the first `fetch`, not by `start`."""

    async def assigned(self, partitions: Sequence[int]) -> dict[int, int]:
        """Partitions are ours now. Answers the offsets to start from; a partition left out starts at its
        committed offset, or at the earliest record when there is none."""

    async def revoked(self, partitions: Sequence[int]) -> None:
        """Partitions are about to go to somebody else: commit what is applied. They may be gone already (this
        process was paused for too long): then `commit` raises LogError, which may be left to the consumer."""


class Consumer(Protocol):
    """Reads one topic as a member of a group (or, with `group=None`, all of its partitions, uncommitted)."""

    async def start(self, assignment: Assignment | None = None) -> None:
        """Join. Raises LogUnavailableError."""

    async def fetch(self, max_records: int, max_wait_ms: int) -> dict[int, list[Record]]:
        """The next records by partition, in order. Empty when none came within `max_wait_ms`; wakes at once
        when one arrives. Raises LogUnavailableError while the log is away (call again to retry), LogLostError
        when the log ends before the offset to read from."""

    def seek(self, partition: int, offset: int) -> None:
        """The next fetch of that partition starts at `offset` (or the first record after it)."""

    async def commit(self, offsets: dict[int, int]) -> None:
        """Remember for the group that everything below `offsets[partition]` is applied. Raises LogError when
        the partition is no longer ours."""

    async def stop(self) -> None:
        """Leave the group at once, so that its partitions move without waiting for a session time-out.

        Does not call `revoked`: the caller commits first."""


class EventLog(Protocol):
    """A log in one namespace and generation. The composition root makes one from `FRESHET_LOG_URL`."""

    generation: int

    def producer(self) -> Producer:
        """A new producer; the caller starts and stops it."""

    def consumer(self, topic: Topic, group: str | None) -> Consumer:
        """A new consumer. `group` is the bare name ("profiler"); the adapter prefixes the namespace."""

    async def partition_count(self, topic: Topic) -> int:
        """Partitions of a topic. Raises LogUnavailableError."""

    async def bounds(self, topic: Topic) -> dict[int, Bounds]:
        """What each partition holds now. Raises LogUnavailableError."""

    async def committed(self, topic: Topic, group: str) -> dict[int, int]:
        """The group's committed offsets; a partition never committed is absent."""

    async def read_at(self, topic: Topic, partition: int, offset: int) -> Record | None:
        """The record at exactly `offset`, or None when it is trimmed, compacted or not there yet."""

    async def read_from(self, topic: Topic, partition: int, offset: int, max_records: int) -> list[Record]:
        """The first records at or after `offset`, in order: at least one where there is any, at most
        `max_records`. One fetch, however many records before them were trimmed or compacted away."""

    async def close(self) -> None:
        """Let go of connections."""
