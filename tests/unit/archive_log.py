"""What the tests of archives share: a log in memory, events, a place that fails at a chosen write."""

from __future__ import annotations

import random
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import IO, Any

from services.kernel.consent import personalization
from services.kernel.event import (
    EVENT_CE_TYPE,
    USER_DELETION_CE_TYPE,
    Event,
    Line,
    UserDeletion,
    decode_event,
    decode_user_deletion,
    encode_event,
    encode_user_deletion,
)
from services.kernel.position import Position
from services.log.protocol import Assignment, Bounds, Record, Topic
from services.trainer.archive import Archive, ordered
from services.trainer.archive_place import ArchivePlace
from services.trainer.archive_rows import events_of, row_groups


class MemoryLog:
    """The reading half of an EventLog. Offsets have gaps, as they may."""

    def __init__(self, partitions: int = 2, generation: int = 1) -> None:
        self.generation = generation
        self.rows: list[list[Record]] = [[] for _ in range(partitions)]
        self.ends = [0] * partitions
        self.firsts = [0] * partitions

    def add(self, partition: int, what: Event | UserDeletion | bytes, skip: int = 0) -> Position:
        """Append; `skip` offsets stay empty."""
        position = Position(self.generation, partition, self.ends[partition] + skip)
        if isinstance(what, bytes):
            kind, value = EVENT_CE_TYPE, what
        elif isinstance(what, Event):
            kind, value = EVENT_CE_TYPE, encode_event(what)
        else:
            kind, value = USER_DELETION_CE_TYPE, encode_user_deletion(what)
        self.rows[partition].append(Record(position, b"k", value, (("ce_type", kind.encode()),), 0))
        self.ends[partition] = position.offset + 1
        return position

    def trim(self, partition: int, first: int) -> None:
        """Records below `first` are gone."""
        self.firsts[partition] = first
        self.rows[partition] = [row for row in self.rows[partition] if row.position.offset >= first]

    def consumer(self, topic: Topic, group: str | None) -> MemoryConsumer:
        assert (topic, group) == (Topic.EVENTS, None)
        return MemoryConsumer(self)

    async def bounds(self, topic: Topic) -> dict[int, Bounds]:
        return {
            p: Bounds(first, end) for p, (first, end) in enumerate(zip(self.firsts, self.ends, strict=True))
        }

    async def read_at(self, topic: Topic, partition: int, offset: int) -> Record | None:
        return next((row for row in self.rows[partition] if row.position.offset == offset), None)

    async def read_from(self, topic: Topic, partition: int, offset: int, max_records: int) -> list[Record]:
        return [row for row in self.rows[partition] if row.position.offset >= offset][:max_records]

    def producer(self) -> Any:
        raise AssertionError("an export appends nothing")

    async def partition_count(self, topic: Topic) -> int:
        return len(self.rows)

    async def committed(self, topic: Topic, group: str) -> dict[int, int]:
        return {}

    async def close(self) -> None:
        pass


class MemoryConsumer:
    """Seven records a fetch, so that batches end anywhere."""

    def __init__(self, log: MemoryLog) -> None:
        self._log = log
        self._at: dict[int, int] | None = None
        self._assignment: Assignment | None = None

    async def start(self, assignment: Assignment | None = None) -> None:
        self._assignment = assignment

    async def fetch(self, max_records: int, max_wait_ms: int) -> dict[int, list[Record]]:
        if self._at is None:
            assert self._assignment is not None
            self._at = await self._assignment.assigned(range(len(self._log.rows)))
        found = {}
        for partition, at in self._at.items():
            batch = [row for row in self._log.rows[partition] if row.position.offset >= at][:7]
            if batch:
                found[partition] = batch
                self._at[partition] = batch[-1].position.offset + 1
        return found

    def seek(self, partition: int, offset: int) -> None:
        raise AssertionError("the assignment says where to start")

    async def commit(self, offsets: dict[int, int]) -> None:
        raise AssertionError("an export commits nothing")

    async def stop(self) -> None:
        pass


class KilledError(BaseException):
    """The process died."""


class DyingPlace:
    """A place whose process dies at its n-th change: before it, or right after it."""

    def __init__(self, place: ArchivePlace, changes: int, *, done: bool) -> None:
        self._place = place
        self._left = changes
        self._done = done
        self.url = place.url

    def read(self, name: str) -> bytes | None:
        return self._place.read(name)

    def names(self, *, deep: bool = True) -> list[str]:
        return self._place.names(deep=deep)

    def open(self, name: str) -> IO[bytes]:
        return self._place.open(name)

    def is_file(self) -> bool:
        return self._place.is_file()

    def held(self) -> AbstractContextManager[None]:
        return self._place.held()

    def write(self, name: str, data: bytes) -> None:
        self._dies_before()
        self._place.write(name, data)
        self._dies_after()

    def delete(self, name: str) -> None:
        self._dies_before()
        self._place.delete(name)
        self._dies_after()

    def _dies_before(self) -> None:
        self._left -= 1
        if self._left < 0 and not self._done:
            raise KilledError

    def _dies_after(self) -> None:
        if self._left < 0:
            raise KilledError


def event(number: int, subject: str = "u", **fields: Any) -> Event:
    """An event with an id of its own."""
    given = {
        "event_type": "view",
        "item_id": f"i{number % 5}",
        "timestamp": 1_700_000_000_000 + number * 1000,
    }
    return Event(
        event_id=f"e{number}", received_at=1_700_000_000_000, **{"user_id": subject, **given, **fields}
    )


def any_event(number: int, subject: str, chance: random.Random) -> Event:
    """An event of any shape."""
    shapes: list[dict[str, Any]] = [
        {},
        {"event_type": "purchase", "item_id": None, "order_id": "o", "currency": "EUR", "items": (
            Line("a/é", 2.5, 3.0), Line("b"), Line("c", None, 1e12))},
        {"event_type": "rating", "rating": 4.5, "properties": {"a": [1, {"b": None}], "n": 10**30}},
        {"event_type": "search", "item_id": None, "context": {"country": "NL"}, "consent": False},
        {"event_type": "wishlist_of_ours", "value": -0.0, "consent": {"ads": True}, "session_id": "s\"\\"},
        {"event_type": "impression", "item_id": None, "items": (), "recommendation_id": "r"},
        {"user_id": "", "anonymous_id": subject, "progress": 0.5, "event_type": "video_progress"},
        {"anonymous_id": "x", "price": 0.1, "quantity": 3.0, "consent": "yes"},
    ]  # fmt: skip
    return event(number, subject, **chance.choice(shapes))


def expected_of(logs: Sequence[MemoryLog]) -> dict[Position, Event]:
    """What an archive of these generations must hold: each event that no deletion of its subject follows and
    no denial, and that came while its subject did not deny."""
    held: dict[Position, Event] = {}
    denied: set[str] = set()
    for log in logs:
        for rows in log.rows:
            for record in rows:
                kind, value = record.headers[0][1].decode(), record.value or b""
                if kind == USER_DELETION_CE_TYPE:
                    user = decode_user_deletion(value).user_id
                    denied.discard(user)
                    _forget(held, user, record.position)
                elif value != b"poison":
                    found = decode_event(value)
                    said = personalization(found.consent)
                    if said is False and found.subject not in denied:
                        denied.add(found.subject)
                        _forget(held, found.subject, record.position)
                    elif said:
                        denied.discard(found.subject)
                    if found.subject not in denied:
                        held[record.position] = found
    return held


def _forget(held: dict[Position, Event], subject: str, at: Position) -> None:
    for place in [place for place, found in held.items() if found.subject == subject]:
        if place.generation < at.generation or place.partition == at.partition:
            del held[place]


def archived(place: ArchivePlace) -> dict[Position, Event]:
    """What the listed parts hold; no position twice."""
    found: dict[Position, Event] = {}
    for part in ordered(Archive(place).manifest.parts):
        with place.open(part.file) as file:
            rows = [row for table in row_groups(file) for row in events_of(table)]
        assert len(rows) == part.rows
        offsets = [position.offset for position, _ in rows]
        assert (offsets[0], offsets[-1]) == (part.first, part.last)
        assert offsets == sorted(set(offsets))
        assert not found.keys() & {position for position, _ in rows}
        found.update(rows)
    return found
