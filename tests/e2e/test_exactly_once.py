"""The promise, whole: 20,000 real orders on one log, read into three stores, end byte-equal in all of them.

The first store is written by a profiler that nothing disturbs. The second by profilers that die by SIGKILL at
20 random moments and at each numbered step of the write. The third by two profilers that both believe
they own every partition, all the time. `FRESHET_SEED` repeats a run.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from services.kernel.event import Event
from services.kernel.event_input import parse_event
from services.kernel.event_type import EventTypes
from services.kernel.item import parse_item
from services.local.demo_shop import DemoShop, read_shop
from services.log.protocol import Topic
from services.profiler.faults import FAULT_POINTS
from tests.e2e.profiler_world import PATIENCE_S, World, difference, item_draft, make_release

ROOT = Path(__file__).resolve().parents[2]
ORDERS = 20_000
RANDOM_KILLS = 20
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
def world(log_url: str, valkey: Any, namespace: str, release_url: str) -> World:
    return World(log_url, valkey.url, namespace, release_url)


def events_of(demo: DemoShop) -> list[Event]:
    """The orders as ingest would log them, received when they were made: households that stay away longer
    than the TTL are forgotten on the way."""
    return [parse_event(order, order["timestamp"] * 1000, EventTypes()) for order in demo.orders]


def deaths(chance: random.Random) -> list[str]:
    """Where each profiler dies, "-" for a random moment. Nothing here is poison: 2.dead_letters is passed in
    each batch all the same."""
    order = [*FAULT_POINTS, *["-"] * RANDOM_KILLS]
    chance.shuffle(order)
    return order


def start(world: World, point: str, passes: int) -> subprocess.Popen[bytes]:
    settings = world.settings(KILLED, batch_records=50, log_session_ms=SESSION_MS, profile_ttl_days=30)
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "tests.e2e.crash_profiler"),
            *(settings.model_dump_json(exclude={"keys", "write_keys"}), point, str(passes)),
        ],
        cwd=ROOT,
        stderr=subprocess.DEVNULL,
    )


def run_killed(world: World, slices: Sequence[Sequence[Event]], chance: random.Random) -> None:
    """One slice of the log at a time, one death a slice; then the rest in peace."""
    for point, events in zip(deaths(chance), slices, strict=True):
        asyncio.run(world.publish_events(events))
        # Commits trail the writes: there may be but one.
        process = start(world, point, 1 if point.startswith("6") else chance.randrange(1, 4))
        if point == "-":
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.7 + 1.2 * chance.random())
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


def test_twenty_thousand_real_orders_count_once(world: World, demo: DemoShop) -> None:
    seed = int(os.environ.get("FRESHET_SEED", random.randrange(10**6)))
    print(f"seed {seed}")
    chance = random.Random(seed)
    events = events_of(demo)
    assert len(events) == ORDERS
    count = len(FAULT_POINTS) + RANDOM_KILLS
    slices = [events[len(events) * n // count : len(events) * (n + 1) // count] for n in range(count)]

    asyncio.run(world.publish([item_draft(parse_item(item)) for item in demo.items], Topic.ITEMS))
    run_killed(world, slices, chance)

    expected = asyncio.run(run_undisturbed(world, UNDISTURBED, ["undisturbed"]))
    assert sum(":p:" in name for name in expected) == len({event.user_id for event in events})
    assert any(name.endswith(":covis") for name in expected)
    assert difference(expected, asyncio.run(world.dump(KILLED))) == []
    fought_over = asyncio.run(run_undisturbed(world, FOUGHT_OVER, ["one", "other"]))
    assert difference(expected, fought_over) == []
