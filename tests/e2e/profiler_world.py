"""A log full of events and as many stores as a test wants, for the profiler's tests."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

from services.ingest.intake import take_item
from services.kernel.event import (
    EVENT_CE_TYPE,
    USER_DELETION_CE_TYPE,
    Event,
    Line,
    UserDeletion,
    encode_event,
    encode_user_deletion,
)
from services.kernel.item import Item
from services.kernel.metrics import Metrics
from services.kernel.profile import Profile
from services.log.open import open_log
from services.log.protocol import Draft, EventLog, Topic
from services.profiler.app import Profiler
from services.profiler.faults import Fault, no_fault
from services.profiler.replay import Replayed, replay
from services.profiler.safety import GROUPS
from services.profiler.settings import ProfilerSettings
from services.store.connection import connect
from services.trainer.day0 import init_release

NOW_MS = 1_750_000_000_000
CONTEXTS = (None, {"country": "de"}, {"country": "AT", "device": "iOS"}, {"device": 7})
PATIENCE_S = 60.0  # to end a test that would hang, not to measure anything


def shop(count: int = 60) -> list[Item]:
    """Items with some metadata."""
    return [
        Item(item_id=f"p{n}", title=f"thing {n % 9} of kind {n % 5}", categories=[["all", f"kind {n % 5}"]])
        for n in range(count)
    ]


def make_release(directory: Path, items: Sequence[Item] | None = None) -> str:
    """A day-0 release, live; answers FRESHET_RELEASE_URL."""
    init_release(str(directory), items if items is not None else shop(), now_ms=NOW_MS)
    return str(directory)


def make_events(count: int, seed: int, *, users: int = 40, items: int = 90) -> list[Event | UserDeletion]:
    """Sessions, orders, ratings, films, impressions, late events, repeated ids, searches, deletions of users,
    personalisation denied and allowed; some say where they come from. Items above p59 are in no catalogue."""
    chance, places = random.Random(seed), random.Random(seed + 1)
    made: list[Event | UserDeletion] = []
    kinds = ["view"] * 8 + ["click", "cart_add", "cart_remove", "like", "dislike", "rating", "search"]
    kinds += ["video_progress"] * 4 + ["impression"] * 2
    for number in range(count):
        at_ms = NOW_MS + number * 1_000
        user = f"u{min(int(chance.paretovariate(0.7)), users)}"
        if chance.random() < 0.002:
            made.append(UserDeletion(user_id=user, received_at=at_ms))
            continue
        if chance.random() < 0.03 and made:
            again = chance.choice(made[-200:])
            made.append(again)
            continue
        late_ms = chance.choice([0, 0, 0, 0, 5_000, 600_000, 40 * 86_400_000])
        fields: dict[str, Any] = {
            "event_id": f"e{seed}-{number}",
            "timestamp": at_ms - late_ms,
            "received_at": at_ms,
            "user_id": user,
            "context": places.choice(CONTEXTS),
        }
        if chance.random() < 0.01:
            fields["consent"] = chance.choice([True, {"personalization": False}])
        if chance.random() < 0.05:
            lines = tuple(
                Line(item_id=f"p{chance.randrange(items)}", price=2.5) for _ in range(chance.randrange(1, 41))
            )
            made.append(Event(event_type="purchase", items=lines, **fields))
            continue
        kind = chance.choice(kinds)
        if kind == "rating":
            fields["rating"] = chance.choice([1.0, 3.0, 5.0])
        if kind == "video_progress":
            fields["progress"] = chance.random()
        if kind == "impression":
            fields["items"] = tuple(Line(item_id=f"p{n}") for n in chance.sample(range(items), 5))
        elif kind != "search":
            fields["item_id"] = f"p{min(int(chance.paretovariate(0.5)), items) - 1}"
        made.append(Event(event_type=kind, **fields))
    return made


def draft_of(event: Event | UserDeletion) -> Draft:
    """The record of an event, as ingest appends it."""
    common = (
        ("ce_specversion", b"1.0"),
        ("ce_source", b"/freshet/ingest"),
        ("content-type", b"application/json"),
    )
    if isinstance(event, UserDeletion):
        return Draft(
            event.subject.encode(),
            encode_user_deletion(event),
            (*common, ("ce_type", USER_DELETION_CE_TYPE.encode()), ("ce_id", b"d")),
        )
    headers = (*common, ("ce_id", event.event_id.encode()), ("ce_type", EVENT_CE_TYPE.encode()))
    return Draft(event.subject.encode(), encode_event(event), headers)


def item_draft(item: Item) -> Draft:
    """The record of an item, as ingest appends it."""
    return take_item(item.item_id, msgspec.to_builtins(item), NOW_MS)


class World:
    """One log, and stores on databases of their own in the same Valkey."""

    def __init__(
        self, log_url: str, store_server: str, namespace: str, release_url: str, **always: Any
    ) -> None:
        """`always`: settings that differ from the defaults in all its profilers."""
        self._always = always
        self._log_url = log_url
        # A cluster has one database, and its URL no path.
        self._store_url = (
            store_server if "+cluster" in store_server else store_server.rsplit("/", 1)[0] + "/{}"
        )
        self._namespace = namespace
        self._release_url = release_url

    def settings(self, database: int = 1, **changed: Any) -> ProfilerSettings:
        """Settings of a profiler whose store is the given database."""
        fields: dict[str, Any] = {
            "log_url": self._log_url,
            "store_url": self._store_url.format(database),
            "namespace": self._namespace,
            "release_url": self._release_url,
            "release_poll_ms": 50,
            "commit_delay_ms": 100,
            **self._always,
            **changed,
        }
        return ProfilerSettings(**fields)

    @asynccontextmanager
    async def log(self, **changed: Any) -> AsyncIterator[EventLog]:
        """The log, closed at the end."""
        log = open_log(self.settings(**changed))
        try:
            yield log
        finally:
            await log.close()

    async def publish(self, drafts: Sequence[Draft], topic: Topic = Topic.EVENTS) -> None:
        """Append, each acknowledged."""
        async with self.log() as log:
            producer = log.producer()
            await producer.start()
            try:
                for first in range(0, len(drafts), 500):
                    outcomes = await producer.append(topic, drafts[first : first + 500], 30_000)
                    assert all(outcome.position for outcome in outcomes), outcomes
            finally:
                await producer.stop()

    async def publish_events(self, events: Sequence[Event | UserDeletion]) -> None:
        """Append events."""
        await self.publish([draft_of(event) for event in events])

    @asynccontextmanager
    async def profiler(
        self,
        database: int = 1,
        *,
        fault: Fault = no_fault,
        groups: dict[Topic, str] | None = None,
        metrics: Metrics | None = None,
        **changed: Any,
    ) -> AsyncIterator[Profiler]:
        """A running profiler, stopped cleanly at the end."""
        settings = self.settings(database, **changed)
        log, connection = open_log(settings), connect(settings)
        metrics = metrics or Metrics()
        profiler = Profiler(settings, log, connection, metrics, fault=fault, groups=groups or GROUPS)
        try:
            async with profiler.running():
                yield profiler
        finally:
            await connection.close()
            await log.close()

    async def behind(self, database: int = 1) -> int:
        """Records of both topics that the live epoch of a store has not applied."""
        from services.local.lag import records_behind

        connection = connect(self.settings(database))
        try:
            async with self.log() as log:
                return await records_behind(log, connection)
        finally:
            await connection.close()

    async def caught_up(self, database: int = 1) -> None:
        """Return when a store has applied all there is, and its profiles are written too."""
        async with asyncio.timeout(PATIENCE_S):
            while await self.behind(database):
                await asyncio.sleep(0.02)

    async def dump(self, database: int = 1, *, epoch: int | None = None) -> dict[str, Any]:
        """All that the promise names: profiles, aggregates, fences, catalogue; keys without their epoch."""
        connection = connect(self.settings(database))
        try:
            live = await connection.execute("HGET", connection.keys.meta, "epoch")
            number = epoch if epoch is not None else int(live or 1)
            found: dict[str, Any] = {}
            for pattern in connection.keys.epoch_patterns(number):
                async for keys in connection.scan(pattern, 500):
                    for key in keys:
                        name = key.decode().replace(f":e{number}:", ":")
                        found[name] = await _value(connection, key)
            return {name: value for name, value in found.items() if not name.endswith(":changes")}
        finally:
            await connection.close()

    async def profile(self, subject: str, database: int = 1) -> Profile | None:
        """A subject's profile in the live epoch."""
        connection = connect(self.settings(database))
        try:
            live = await connection.execute("HGET", connection.keys.meta, "epoch")
            raw = await connection.execute("GET", connection.keys.profile(int(live or 1), subject))
            return Profile.decode(raw) if raw else None
        finally:
            await connection.close()

    async def replay(self, database: int = 1, **options: Any) -> Replayed:
        """`freshet replay` of a store."""
        settings = self.settings(database)
        connection = connect(settings)
        try:
            async with self.log() as log:
                return await replay(settings, log, connection, grace_s=0.2, **options)
        finally:
            await connection.close()

    async def wipe(self, database: int) -> None:
        """Empty a store."""
        connection = connect(self.settings(database))
        try:
            await connection.execute("FLUSHDB")
        finally:
            await connection.close()


async def _value(connection: Any, key: bytes) -> Any:
    kind = await connection.execute("TYPE", key)
    kind = kind.decode() if isinstance(kind, bytes) else kind
    if kind == "string":
        return await connection.execute("GET", key)
    if kind == "hash":
        flat = await connection.execute("HGETALL", key)
        return dict(zip(flat[::2], flat[1::2], strict=True))
    if kind == "zset":
        return await connection.execute("ZRANGE", key, 0, -1, "WITHSCORES")
    return kind


def row_keys_of(dump: dict[str, Any]) -> set[int]:
    """Keys of the rows that the partitions hold together."""
    rows = [value for name, value in dump.items() if name.endswith(":covis")]
    return {int.from_bytes(field, "little") for held in rows for field in held}


async def reason(profiler: Profiler) -> str:
    """Why a profiler is not ready; empty when it is."""
    try:
        await profiler.ready()
    except Exception as error:
        return str(error)
    return ""


async def until(condition: Callable[[], Any]) -> None:
    """Wait until a condition (plain or awaitable) holds."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            held = condition()
            if asyncio.iscoroutine(held):
                held = await held
            if held:
                return
            await asyncio.sleep(0.02)


def difference(left: dict[str, Any], right: dict[str, Any]) -> list[str]:
    """Names of what is not the same, for a failing test to show."""
    return sorted(name for name in left.keys() | right.keys() if left.get(name) != right.get(name))
