"""Popular items are bounded; which ones go is a function of the log, not of how it is cut into batches."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Any

import pytest

from services.kernel.covisits import bought_row_key
from services.kernel.event import Event
from services.kernel.ids import item_key
from services.kernel.metrics import Metrics
from services.kernel.position import Position
from services.kernel.segments import segment_key
from services.log.open import open_log
from services.log.protocol import Record
from services.profiler.dead_letters import DeadLetters
from services.profiler.release_follower import ReleaseFollower
from services.profiler.store_view import StoreView
from services.profiler.stores import Stores
from services.profiler.updater import Updater
from services.release.source import ReleaseSource
from services.store.aggregates import EVICT_EVERY_RECORDS
from services.store.connection import connect
from tests.e2e.profiler_world import NOW_MS, World, difference, draft_of

MAX_ITEMS = 50


def log_of(count: int) -> list[Record]:
    """One partition, with a gap in its offsets right where a block ends."""
    chance = random.Random(3)
    made = []
    kinds = random.Random(4)
    for number in range(count):
        at_ms = NOW_MS + number * 1000
        item = f"p{int(chance.paretovariate(0.4)) % 400}"
        user = f"u{chance.randrange(50)}"
        event = Event(
            event_id=f"e{number}",
            event_type=kinds.choice(["view", "purchase"]),
            timestamp=at_ms,
            received_at=at_ms,
            user_id=user,
            item_id=item,
            context={"country": kinds.choice(["DE", "AT"])},
        )
        draft = draft_of(event)
        offset = number + (10 if number >= EVICT_EVERY_RECORDS - 5 else 0)
        made.append(Record(Position(1, 0, offset), draft.key, draft.value, draft.headers, at_ms))
    return made


async def apply_in(world: World, database: int, records: list[Record], sizes: list[int]) -> dict[str, Any]:
    settings = world.settings(database)
    log, connection = open_log(settings), connect(settings)
    stores, metrics = Stores(connection), Metrics()
    view = StoreView(stores)
    await stores.meta.create(NOW_MS, partitions=1)
    await view.adopt()
    follower = ReleaseFollower(
        ReleaseSource(settings.release_url),
        stores.meta,
        stores.catalogue,
        event_types="",
        poll_ms=1000,
        metrics=metrics,
    )
    letters = DeadLetters(log.producer(), metrics)
    updater = Updater(
        stores, view, follower, letters, settings=settings, metrics=metrics, max_items=MAX_ITEMS
    )
    chance = random.Random(database)
    at = 0
    while at < len(records):
        size = chance.choice(sizes)
        await updater.apply(0, records[at : at + size])
        at += size
    dump = await world.dump(database)
    await connection.close()
    await log.close()
    return dump


def has_bought_row(rows: dict[bytes, bytes], item: bytes) -> bool:
    return bought_row_key(int.from_bytes(item, "little")).to_bytes(8, "little") in rows


@pytest.mark.parametrize("count", [2 * EVICT_EVERY_RECORDS + 300])
def test_eviction_does_not_see_batches(valkey: Any, namespace: str, tmp_path: Path, count: int) -> None:
    world = World(valkey.url, valkey.url, namespace, str(tmp_path))

    async def scenario() -> None:
        records = log_of(count)
        one = await apply_in(world, 3, records, [500])
        two = await apply_in(world, 4, records, [90, 333, 700])
        assert difference(one, two) == []
        (popular,) = [value for name, value in one.items() if name.endswith(":popular")]
        assert len(popular) // 2 < 400, "something was evicted"
        (rows,) = [value for name, value in one.items() if name.endswith(":covis")]
        bought = sum(has_bought_row(rows, item) for item in popular[::2])
        assert bought > MAX_ITEMS / 2
        every = [item_key(f"p{number}").to_bytes(8, "little") for number in range(400)]
        gone = [item for item in every if item not in popular[::2]]
        # Those bought within half an hour of their eviction may come back as somebody's company.
        assert sum(has_bought_row(rows, item) for item in gone) < len(gone) / 2
        assert segment_key("country=DE").to_bytes(8, "little") in rows, "segments stay"

    asyncio.run(scenario())
