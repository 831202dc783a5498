"""The promise, whole: 20,000 real orders on one log, read into three stores, end byte-equal in all of them.

The first store is written by a profiler that nothing disturbs. The second by profilers that die by SIGKILL at
20 random moments and at each numbered step of the write. The third by two profilers that both believe
they own every partition, all the time. A second log holds what orders lack: late events, repeated ids,
ratings, deletions of users, items in no catalogue. `FRESHET_SEED` repeats a run.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from services.kernel.covisits import NEIGHBOUR, SEGMENT_ROW, bought_row_key
from services.kernel.event import Event, UserDeletion
from services.kernel.event_input import parse_event
from services.kernel.event_type import EventTypes
from services.kernel.ids import item_key
from services.kernel.item import parse_item
from services.kernel.segments import segment_key
from services.local.demo_shop import DemoShop, read_shop
from services.log.protocol import Topic
from services.profiler.faults import FAULT_POINTS
from tests.e2e.profiler_world import (
    PATIENCE_S,
    World,
    difference,
    item_draft,
    make_events,
    make_release,
    row_keys_of,
    shop,
)

ROOT = Path(__file__).resolve().parents[2]
ORDERS = 20_000
RANDOM_KILLS = 20
COUNTRIES = ("DE", "de", "DE", "De", "AT", "CH", "LU")
SEGMENTS = [f"country={code}" for code in ("DE", "AT", "CH", "LU")]
SEGMENTS += [f"device={device}" for device in ("mobile", "desktop", "tv", "other")]
DEVICES = ("ios", "web", "Smart TV", "fridge")
UNDISTURBED, KILLED, FOUGHT_OVER = 1, 2, 3
# A dead reader is replaced soon, so that thirty deaths do not take an hour.
SESSION_MS = 700


@pytest.fixture(scope="module")
def demo() -> DemoShop:
    return read_shop(ORDERS)


@pytest.fixture(scope="module")
def release_url(demo: DemoShop, tmp_path_factory: pytest.TempPathFactory) -> str:
    return make_release(tmp_path_factory.mktemp("releases"), [parse_item(item) for item in demo.items])


@pytest.fixture
def demo_world(log_url: str, valkey: Any, namespace: str, release_url: str) -> World:
    return World(log_url, valkey.url, namespace, release_url)


@pytest.fixture
def mixed_world(log_url: str, valkey: Any, namespace: str, tmp_path: Path) -> World:
    return World(log_url, valkey.url, namespace, make_release(tmp_path))


def events_of(demo: DemoShop) -> list[Event]:
    """The orders as ingest would log them, received when they were made: households that stay away longer
    than the TTL are forgotten on the way. Where they live is made up."""
    types = EventTypes()
    placed = ({**order, "context": context_of(order["user_id"])} for order in demo.orders)
    return [parse_event(order, order["timestamp"] * 1000, types) for order in placed]


def context_of(user_id: str) -> dict[str, str]:
    """Four in seven from one country, so that its rows are full and cut, the others from three."""
    place = zlib.crc32(user_id.encode())
    return {"country": COUNTRIES[place % len(COUNTRIES)], "device": DEVICES[place // 7 % len(DEVICES)]}


def bought_keys(events: Sequence[Event | UserDeletion]) -> set[int]:
    """Row keys of what stands in an order of several items."""
    orders = [event for event in events if isinstance(event, Event) and event.event_type == "purchase"]
    return {
        bought_row_key(item_key(line.item_id))
        for order in orders
        for line in order.items or ()
        if len({other.item_id for other in order.items or ()}) > 1
    }


def deaths(chance: random.Random, random_kills: int) -> list[str]:
    """Where each profiler dies, "-" for a random moment. Where nothing is poison 2.dead_letters is passed in
    each batch all the same."""
    order = [*FAULT_POINTS, *["-"] * random_kills]
    chance.shuffle(order)
    return order


def start(world: World, point: str, passes: int) -> subprocess.Popen[bytes]:
    settings = world.settings(KILLED, batch_records=50, log_session_ms=SESSION_MS, profile_ttl_days=30)
    values = {name: value for name, value in settings.model_dump().items() if isinstance(value, int | str)}
    return subprocess.Popen(
        [sys.executable, "-m", "tests.e2e.crash_profiler", json.dumps(values), point, str(passes)],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"},
        stderr=subprocess.DEVNULL,
    )


def run_killed(
    world: World, events: Sequence[Event | UserDeletion], chance: random.Random, random_kills: int
) -> None:
    """One slice of the events at a time, one death a slice; then the rest in peace."""
    points = deaths(chance, random_kills)
    for number, point in enumerate(points):
        first, end = (len(events) * edge // len(points) for edge in (number, number + 1))
        asyncio.run(world.publish_events(events[first:end]))
        # Commits trail the writes: there may be but one.
        process = start(world, point, 1 if point.startswith("6") else chance.randrange(1, 4))
        if point == "-":
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.6 + 0.8 * chance.random())
            process.kill()
        assert process.wait(PATIENCE_S) == -signal.SIGKILL, f"did not die at {point}"
    process = start(world, "-", 0)
    try:
        asyncio.run(world.caught_up(KILLED))
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(PATIENCE_S)


async def run_undisturbed(world: World, database: int, owners: Sequence[str]) -> dict[str, Any]:
    """Read the whole log with one profiler for each of `owners`, all on one store; what the store holds."""
    async with contextlib.AsyncExitStack() as running:
        for owner in owners:
            groups = {Topic.EVENTS: owner, Topic.ITEMS: f"{owner}-items"}
            await running.enter_async_context(world.profiler(database, groups=groups, profile_ttl_days=30))
        await world.caught_up(database)
    return await world.dump(database)


def seeded() -> random.Random:
    """Chance that a failing run can be repeated with."""
    seed = int(os.environ.get("FRESHET_SEED", random.randrange(10**6)))
    print(f"seed {seed}")
    return random.Random(seed)


def test_twenty_thousand_real_orders_count_once(demo_world: World, demo: DemoShop) -> None:
    events = events_of(demo)
    assert len(events) == ORDERS
    asyncio.run(demo_world.publish([item_draft(parse_item(item)) for item in demo.items], Topic.ITEMS))
    run_killed(demo_world, events, seeded(), RANDOM_KILLS)

    expected = asyncio.run(run_undisturbed(demo_world, UNDISTURBED, ["undisturbed"]))
    assert sum(":p:" in name for name in expected) == len({event.user_id for event in events})
    assert {*bought_keys(events), *map(segment_key, SEGMENTS)} <= row_keys_of(expected)
    rows = [row for name, held in expected.items() if name.endswith(":covis") for row in held.values()]
    assert max(map(len, rows)) > SEGMENT_ROW.kept * NEIGHBOUR.itemsize, "rows of segments get full"
    assert difference(expected, asyncio.run(demo_world.dump(KILLED))) == []
    fought_over = asyncio.run(run_undisturbed(demo_world, FOUGHT_OVER, ["one", "other"]))
    assert difference(expected, fought_over) == []


def test_late_repeated_and_deleted_count_as_they_should(mixed_world: World) -> None:
    chance = seeded()
    asyncio.run(mixed_world.publish([item_draft(item) for item in shop()], Topic.ITEMS))
    events = make_events(5000, chance.randrange(10**6))
    run_killed(mixed_world, events, chance, random_kills=0)

    expected = asyncio.run(run_undisturbed(mixed_world, UNDISTURBED, ["undisturbed"]))
    held, bought = row_keys_of(expected), bought_keys(events)
    assert set(map(segment_key, ("country=DE", "country=AT", "device=mobile"))) <= held
    assert len(bought & held) > len(bought) / 2, "of an order of forty lines not all find company"
    assert any(":i:" in name for name in expected), "items in no catalogue are registered"
    assert difference(expected, asyncio.run(mixed_world.dump(KILLED))) == []
