"""`freshet setup`: what a deployment needs once. A job that ends, and that may run again at any time."""

from __future__ import annotations

import argparse
import asyncio
import time

import msgspec

from services.cli.backend import backend, release_source, release_url
from services.cli.failure import EXIT_OK, CommandError
from services.cli.output import print_json, print_line, say
from services.cli.progress import progress
from services.cli.releases import items_of_file, items_of_store
from services.kernel.item import Item, parse_item
from services.kernel.release import NoReleaseError, ReleaseError
from services.local.demo_loading import DemoMark, DemoMarkInStore
from services.local.first_start import DemoWish, FirstStart, decide, load_demo
from services.local.settings import RunSettings
from services.log.open import open_log
from services.log.protocol import EventLog, LogError, Topic
from services.profiler.outcomes import SafetyError
from services.profiler.safety import open_store
from services.profiler.store_view import StoreView
from services.profiler.stores import Stores
from services.store.connection import Connection, connect
from services.store.errors import StoreError, StoreMisconfiguredError
from services.store.meta import MetaStore

_LOOK_INTERVAL_S = 0.5
_SAID_INTERVAL_S = 10.0
# A profiler that is up looks for a release every second. One at zero takes it when the first record wakes it.
_SPACE_WAIT_S = 5.0


class Done(msgspec.Struct):
    """What there is now. `demo`: "none" (not asked for), "loaded" (by this run), "there" (by an earlier one),
    or "refused" (the log held records of somebody's own)."""

    topics: dict[str, int]  # partitions by topic
    release: str | None = None
    release_built: bool = False
    demo: str = "none"
    demo_records: int = 0
    took_s: float = 0.0


def setup(arguments: argparse.Namespace) -> int:
    """Wait for log and store, create topics, publish a first release, load the demo where it is asked for."""
    with backend() as settings:
        done = asyncio.run(_Setup(settings, arguments).run())
    if arguments.as_json:
        print_json(done)
        return EXIT_OK
    partitions = ", ".join(f"{topic} {count}" for topic, count in done.topics.items())
    print_line(f"topics (partitions): {partitions}")
    if done.release is None:
        print_line("release: none yet; import a catalogue, then `freshet release init` or this again")
    else:
        print_line(f"release: {done.release} {'built, and live' if done.release_built else 'is live'}")
    if done.demo != "none":
        told = {"loaded": "loaded", "there": "there already", "refused": "left out: the log holds other data"}
        print_line(f"demo shop: {told[done.demo]}, {done.demo_records:,} records")
    return EXIT_OK


class _Setup:
    """One run. Raises CommandError, ReleaseError, LogError, StoreError, LocalError."""

    def __init__(self, settings: RunSettings, arguments: argparse.Namespace) -> None:
        self._settings = settings
        self._arguments = arguments
        self._release_url = release_url(arguments.release_url)

    async def run(self) -> Done:
        """1. Wait for log and store. Whoever asks the log for its topics first creates them. A new store gets
           its identity: a profiler at zero would give it one with the first record only, and without one no
           recommender is ready.
        2. Decide whether the demo is to be loaded: never beside data of somebody's own.
        3. Publish and promote a first release unless one is live; profiles then begin in its vector space.
        4. Load the demo through the functions behind POST /items and POST /events, until it is applied.
           Killed anywhere, the next run goes on: the mark is in the store.
        """
        began_s = time.monotonic()
        event_log, connection = open_log(self._settings), connect(self._settings)
        try:
            done = Done(await self._reach(event_log, connection))  # 1
            first = await self._decide(event_log, connection, done)  # 2
            await self._ensure_release(first, done)  # 3
            if first is not None:  # 4
                await self._load(first, event_log, connection)
            done.took_s = round(time.monotonic() - began_s, 3)
            return done
        finally:
            await connection.close()
            await event_log.close()

    async def _reach(self, event_log: EventLog, connection: Connection) -> dict[str, int]:
        """Step 1; answers the partitions of each topic. Raises at once what waiting does not mend.

        Asking for commits is a part of it: a broker that has just started does not know its groups yet.
        """
        stores = Stores(connection)
        began_s = said_s = time.monotonic()
        while True:
            try:
                for warning in await connection.check():
                    say(f"store: {warning}")
                partitions = {topic.value: await event_log.partition_count(topic) for topic in Topic}
                await open_store(stores, StoreView(stores), event_log)
                return partitions
            except StoreMisconfiguredError:
                raise
            except SafetyError as error:
                raise CommandError(str(error)) from None
            except (LogError, StoreError) as error:
                now_s = time.monotonic()
                if now_s - began_s > self._arguments.wait_s:
                    raise CommandError(f"{error} (waited {now_s - began_s:.0f} s; --wait-s)") from None
                if now_s - said_s > _SAID_INTERVAL_S:
                    said_s = now_s
                    say(f"waiting: {error}")
            await asyncio.sleep(_LOOK_INTERVAL_S)

    async def _decide(self, event_log: EventLog, connection: Connection, done: Done) -> FirstStart | None:
        if not self._arguments.demo:
            return None
        marks = DemoMarkInStore(connection)
        first = await decide(marks, event_log, DemoWish(orders_max=self._arguments.demo_orders), say)
        mark = await marks.load() or DemoMark(wanted=False)
        done.demo = "loaded" if first is not None else "there" if mark.finished else "refused"
        done.demo_records = first.total if first is not None else mark.items_done + mark.orders_done
        return first

    async def _ensure_release(self, first: FirstStart | None, done: Done) -> None:
        try:
            done.release = await asyncio.to_thread(release_source(self._release_url).live_name)
            return
        except NoReleaseError:
            pass
        items = await self._items(first)
        if not items:
            return
        from services.trainer.day0 import init_release

        say("building a day-0 release ...")
        now_ms = time.time_ns() // 1_000_000
        done.release = await asyncio.to_thread(init_release, self._release_url, items, now_ms)
        done.release_built = True

    async def _items(self, first: FirstStart | None) -> list[Item]:
        """What the first release is made of; nothing while there is no catalogue."""
        if self._arguments.items:
            return list(items_of_file(self._arguments.items))
        if first is not None:
            return [parse_item(item) for item in first.shop.items]
        try:
            return await items_of_store(self._settings)
        except ReleaseError:  # a store without an identity: no profiler has been here yet
            return []

    async def _load(self, first: FirstStart, event_log: EventLog, connection: Connection) -> None:
        meta, began_s = MetaStore(connection), time.monotonic()
        while await meta.read_space() is None and time.monotonic() - began_s < _SPACE_WAIT_S:  # noqa: ASYNC110
            await asyncio.sleep(_LOOK_INTERVAL_S)
        applied = 0
        with progress("loading the demo shop", first.total, quiet=self._arguments.as_json) as show:

            def said(records: int) -> None:
                nonlocal applied
                applied = records
                show(records, f"{records:,} records")

            try:
                async with asyncio.timeout(self._arguments.wait_s):
                    await load_demo(first, self._settings, event_log, connection, said)
            except TimeoutError:
                raise CommandError(
                    f"after {self._arguments.wait_s:.0f} s {applied:,} of {first.total:,} records of the "
                    "demo shop are applied: is a profiler running? The same command goes on from here"
                ) from None
