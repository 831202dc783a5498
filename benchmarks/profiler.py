"""The profiler: CPU per event of the write (steps 1 to 5) in batches of 500, and what a profile weighs.

Real purchase lines of the demo shop, in time order, as one partition's log; a real Valkey beside it. The
figures are the profiler's own CPU (Valkey is another process) and whole events a second.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
import zlib
from collections.abc import Iterator

from benchmarks._measure import emit, machine, note
from services.http.server import tune_garbage_collector
from services.kernel.event import EVENT_CE_TYPE, encode_event
from services.kernel.event_input import parse_event
from services.kernel.event_type import EventTypes
from services.kernel.item import parse_item
from services.kernel.metrics import Metrics
from services.kernel.position import Position
from services.kernel.profile import Profile
from services.local.demo_shop import DemoShop, read_shop
from services.log.open import open_log
from services.log.protocol import Record
from services.profiler.dead_letters import DeadLetters
from services.profiler.release_follower import ReleaseFollower
from services.profiler.settings import ProfilerSettings
from services.profiler.store_view import StoreView
from services.profiler.stores import Stores
from services.profiler.updater import Updater
from services.release.source import ReleaseSource
from services.store.connection import Connection, connect
from services.trainer.day0 import init_release
from tests.servers import valkey_server

BATCH_RECORDS = 500
WARM_UP_RECORDS = 5_000
COUNTRIES = ("DE", "DE", "DE", "US", "US", "FR", "GB", "AT", "CH", "IT", "ES", "NL", "PL")
DEVICES = ("ios", "android", "desktop", "desktop", "tablet")


def records_of(
    shop: DemoShop, count: int, event_type: str = "purchase", *, context: bool = False
) -> Iterator[Record]:
    """The first `count` lines of the shop's orders, each as an event of its own, as the log gives them.

    `context`: users come from ten made-up countries, with three devices.
    """
    types = EventTypes()
    offset = 0
    for order in shop.orders:
        for number, line in enumerate(order["items"]):
            fields = {
                "event_id": f"{order['event_id']}-{number}",
                "user_id": order["user_id"],
                "event_type": event_type,
                "timestamp": order["timestamp"],
                **line,
            }
            if context:
                place = zlib.crc32(order["user_id"].encode())
                fields["context"] = {
                    "country": COUNTRIES[place % len(COUNTRIES)],
                    "device": DEVICES[place // 7 % len(DEVICES)],
                }
            event = parse_event(fields, order["timestamp"] * 1000, types)
            headers = (("ce_id", event.event_id.encode()), ("ce_type", EVENT_CE_TYPE.encode()))
            yield Record(
                Position(1, 0, offset),
                event.subject.encode(),
                encode_event(event),
                headers,
                event.received_at,
            )
            offset += 1
            if offset == count:
                return


async def updater_on(connection: Connection, settings: ProfilerSettings, metrics: Metrics) -> Updater:
    """The profiler's updater, as its app makes it."""
    stores = Stores(connection)
    view = StoreView(stores)
    await stores.meta.create(1, partitions=1)
    follower = ReleaseFollower(
        ReleaseSource(settings.release_url),
        stores.meta,
        stores.catalogue,
        event_types=settings.event_types,
        poll_ms=settings.release_poll_ms,
        metrics=metrics,
    )
    await follower.look()
    await view.adopt()
    letters = DeadLetters(open_log(settings).producer(), metrics)
    return Updater(stores, view, follower, letters, settings=settings, metrics=metrics)


async def measure(store_url: str, release_url: str, records: list[Record]) -> tuple[float, float]:
    """(CPU µs an event, events a second) after a warm-up."""
    settings = ProfilerSettings(store_url=store_url, log_url=store_url, release_url=release_url)
    connection = connect(settings)
    try:
        await connection.execute("FLUSHDB")
        updater = await updater_on(connection, settings, Metrics())
        tune_garbage_collector()
        for first in range(0, len(records), BATCH_RECORDS):
            if first == WARM_UP_RECORDS:
                cpu_s, wall_s = time.process_time(), time.perf_counter()
            await updater.apply(0, records[first : first + BATCH_RECORDS])
        measured = len(records) - WARM_UP_RECORDS
        return (
            (time.process_time() - cpu_s) / measured * 1e6,
            measured / (time.perf_counter() - wall_s),
        )
    finally:
        await connection.close()


async def weigh_rows(store_url: str) -> dict[str, int]:
    """What Valkey uses for the aggregates of the partition, by name, its own overhead included."""
    connection = connect(ProfilerSettings(store_url=store_url))
    try:
        keys = connection.keys.aggregates(1, 0)
        return {
            name: int(await connection.execute("MEMORY", "USAGE", key, "SAMPLES", 0) or 0)
            for name, key in keys._asdict().items()
        }
    finally:
        await connection.close()


async def weigh(store_url: str, namespace: str) -> tuple[list[int], list[int]]:
    """Bytes of profiles after 15 to 25 events, and what Valkey uses for each, its own overhead included."""
    connection = connect(ProfilerSettings(store_url=store_url, namespace=namespace))
    sizes: list[int] = []
    used: list[int] = []
    try:
        async for keys in connection.scan(f"{namespace}:e1:p:*".encode(), 500):
            for key in keys:
                raw = await connection.execute("GET", key)
                if 15 <= len(Profile.decode(raw).ring) <= 25:
                    sizes.append(len(raw))
                    used.append(int(await connection.execute("MEMORY", "USAGE", key)))
    finally:
        await connection.close()
    return sizes, used


def main() -> None:
    """Make a release, read the shop, measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=25_000)
    parser.add_argument("--runs", type=int, default=5)
    arguments = parser.parse_args()
    shop = read_shop()
    with tempfile.TemporaryDirectory(prefix="freshet-profiler-") as folder, valkey_server() as server:
        init_release(folder, [parse_item(item) for item in shop.items], now_ms=1)
        # The longest work at last: its store is weighed.
        for name, event_type, context in (
            ("profiler_cpu_views", "view", False),
            ("profiler_cpu", "purchase", False),
            ("profiler_cpu_with_context", "purchase", True),
        ):
            records = list(records_of(shop, arguments.records, event_type, context=context))
            results = []
            for number in range(arguments.runs):
                note(f"{name}, run {number + 1} of {arguments.runs} ...")
                results.append(asyncio.run(measure(server.url, folder, records)))
            emit(name, [cpu for cpu, _ in results], "us/event", 1, machine=machine())
            emit(name.replace("cpu", "rate"), [rate for _, rate in results], "events/s", 0)
        sizes, used = asyncio.run(weigh(server.url, "freshet"))
        aggregates = asyncio.run(weigh_rows(server.url))
    emit("profile_size_20_events", sizes, "bytes", 0)
    emit("profile_in_store_20_events", used, "bytes", 0)
    for name, size_bytes in aggregates.items():
        emit(f"aggregates_in_store_{name}", [size_bytes], "bytes", 0)


if __name__ == "__main__":
    main()
