"""Loads the demo shop through the real path: the functions behind POST /items and POST /events, the log, the
profiler. It may be killed at any line and goes on at the next start.

A mark trails what the log has acknowledged. After a kill at most one batch is sent again, with the same event
ids; a batch holds far fewer orders of a household than a profile remembers, so nothing counts twice.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Iterable
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import msgspec

from services.ingest.intake import Intake, take_events, take_items
from services.kernel.event_type import EventTypes
from services.local.demo_shop import DemoShop
from services.local.failure import LocalError
from services.log.protocol import Append, Draft, Topic
from services.store.connection import Connection

# Small enough that requests are answered in between: a batch takes some 10 ms of the one event loop.
BATCH_RECORDS = 250
_RETRY_S = 0.5
_APPLIED_INTERVAL_S = 0.05
_SAID_INTERVAL = 50  # failures in a row between two warnings

log = logging.getLogger(__name__)

Publish = Callable[[Topic, list[Draft]], Awaitable[list[Append]]]


class DemoMark(msgspec.Struct):
    """What is decided at the first start, and how far the loading is."""

    wanted: bool
    newest_s: int = 0  # the time that the last order got, Unix s; the same at every start
    orders_max: int | None = None
    items_done: int = 0
    orders_done: int = 0
    finished: bool = False


class DemoMarks(Protocol):
    """Keeps a DemoMark; replaced as a whole."""

    async def load(self) -> DemoMark | None:
        """The mark, or None before the first start. Raises LocalError, StoreError."""

    async def save(self, mark: DemoMark) -> None:
        """Replace the mark; kept when this returns. Raises OSError, StoreError."""


class DemoMarkFile:
    """The mark of `freshet run`, in its data directory."""

    def __init__(self, path: Path) -> None:
        self.path = path

    async def load(self) -> DemoMark | None:
        """See DemoMarks.load."""
        return await asyncio.to_thread(self._read)

    async def save(self, mark: DemoMark) -> None:
        """See DemoMarks.save; on the disk when this returns."""
        await asyncio.to_thread(self._write, msgspec.json.encode(mark))

    def _read(self) -> DemoMark | None:
        try:
            return msgspec.json.decode(self.path.read_bytes(), type=DemoMark)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.MsgspecError) as error:
            raise LocalError(f"{self.path} cannot be read ({error}); remove {self.path.parent}") from None

    def _write(self, encoded: bytes) -> None:
        temporary = self.path.with_suffix(".tmp")
        with temporary.open("wb") as out:
            out.write(encoded)
            out.flush()
            os.fsync(out.fileno())
        temporary.replace(self.path)


class DemoMarkInStore:
    """The mark of `freshet setup`, which has no disk of its own: beside what it loads, of no data epoch."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def load(self) -> DemoMark | None:
        """See DemoMarks.load."""
        encoded: bytes | None = await self._connection.execute("GET", self._connection.keys.demo)
        return None if encoded is None else msgspec.json.decode(encoded, type=DemoMark)

    async def save(self, mark: DemoMark) -> None:
        """See DemoMarks.save."""
        await self._connection.execute("SET", self._connection.keys.demo, msgspec.json.encode(mark))


class DemoLoader:
    """One loading."""

    def __init__(
        self,
        *,
        shop: DemoShop,
        marks: DemoMarks,
        mark: DemoMark,
        publish: Publish,
        types: EventTypes,
        now_ms: Callable[[], int],
    ) -> None:
        self._shop = shop
        self._marks = marks
        self._mark = mark
        self._publish = publish
        self._types = types
        self._now_ms = now_ms

    async def run(self, said: Callable[[int], None], behind: Callable[[], Awaitable[int | None]]) -> None:
        """Publish what is not yet acknowledged, then wait until all of it is applied.

        `behind` answers how many records of the log are not applied yet (None: nobody knows just now); `said`
        is told how many of ours are.

        1. Items, so that the orders meet a catalogue.
        2. Orders, oldest first.
        3. Wait for the profiler.
        """
        mark = self._mark
        for batch in _batches(self._shop.items[mark.items_done :]):  # 1
            await self._acknowledged(Topic.ITEMS, batch)
            mark.items_done += len(batch)
            await self._note(said, behind)
        orders = self._shop.orders_until(mark.newest_s, mark.orders_done)
        for batch in _batches(orders):  # 2
            await self._acknowledged(Topic.EVENTS, batch)
            mark.orders_done += len(batch)
            await self._note(said, behind)
        while await self._note(said, behind):  # noqa: ASYNC110 - 3; the store is asked
            await asyncio.sleep(_APPLIED_INTERVAL_S)
        mark.finished = True
        await self._note(said, behind)

    async def _note(self, said: Callable[[int], None], behind: Callable[[], Awaitable[int | None]]) -> int:
        """Save the mark; answers how many records are not applied, 1 when nobody knows."""
        await self._marks.save(self._mark)
        left = await behind()
        acknowledged = self._mark.items_done + self._mark.orders_done
        if left is not None:
            said(max(0, acknowledged - left))
        return 1 if left is None else left

    def _take(self, topic: Topic, entries: list[dict[str, Any]]) -> Intake:
        if topic is Topic.ITEMS:
            return take_items(entries, self._now_ms())
        return take_events(entries, self._now_ms(), self._types)

    async def _acknowledged(self, topic: Topic, entries: list[dict[str, Any]]) -> None:
        """Publish a batch until the log has acknowledged all of it."""
        failures = 0
        while True:
            intake = self._take(topic, entries)
            if intake.refused:  # the shipped files are checked by a test
                raise LocalError(f"the demo data are broken: {intake.refused[0].error}")
            appends = await self._publish(topic, intake.drafts)
            failed = next((append.error for append in appends if append.position is None), None)
            if all(append.position is not None for append in appends):
                return
            if failures % _SAID_INTERVAL == 0:
                log.warning("loading the demo shop waits: %s", failed)
            failures += 1
            await asyncio.sleep(_RETRY_S)


def _batches(entries: Iterable[dict[str, Any]]) -> Iterable[list[dict[str, Any]]]:
    left = iter(entries)
    while batch := list(islice(left, BATCH_RECORDS)):
        yield batch
