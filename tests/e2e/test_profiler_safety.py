"""Nothing is silently skipped: what the profiler refuses, what it says, what mends it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from services.log.protocol import Draft, EventLog, Topic
from services.store.connection import connect
from tests.e2e.profiler_world import (
    World,
    difference,
    draft_of,
    item_draft,
    make_events,
    make_release,
    reason,
    shop,
    until,
)
from tests.servers import ValkeyServer, valkey_server


@pytest.fixture(scope="module")
def release_url(tmp_path_factory: pytest.TempPathFactory) -> str:
    return make_release(tmp_path_factory.mktemp("releases"))


@pytest.fixture
def world(valkey: Any, namespace: str, release_url: str) -> World:
    return World(valkey.url, valkey.url, namespace, release_url)


async def applied(world: World, events: int, seed: int, **changed: Any) -> None:
    await world.publish_events(make_events(events, seed))
    async with world.profiler(**changed):
        await world.caught_up()


def test_the_next_generation_goes_on_with_what_the_store_knows(world: World, namespace: str) -> None:
    async def scenario() -> None:
        await applied(world, 200, 1)
        counted = await world.profile("u1")
        assert counted is not None
        second: dict[str, Any] = {"log_generation": 2}
        async with world.log(**second) as log:
            await append(log, [draft_of(event) for event in make_events(50, 9)])
        async with world.profiler(**second) as profiler:

            async def moved() -> bool:
                profile = await world.profile("u1")
                return (
                    profile is not None and profile.position is not None and profile.position.generation == 2
                )

            await until(moved)
            assert await reason(profiler) == ""
        async with world.profiler() as profiler:  # somebody forgot to change the setting

            async def stopped() -> bool:
                return "FRESHET_LOG_GENERATION" in await reason(profiler)

            await until(stopped)

    asyncio.run(scenario())


def test_lost_aggregates_stop_the_profiler(world: World) -> None:
    async def scenario() -> None:
        await applied(world, 200, 1)
        connection = connect(world.settings())
        async for keys in connection.scan(b"*:fence", 500):
            await connection.pipeline([("DEL", key) for key in keys if b":e1:a" in key])
        await connection.close()
        async with world.profiler() as profiler:

            async def stopped() -> bool:
                return "freshet replay" in await reason(profiler)

            await until(stopped)

    asyncio.run(scenario())


def test_a_profile_of_another_log_stops_the_profiler(world: World) -> None:
    async def scenario() -> None:
        await applied(world, 200, 1)
        connection = connect(world.settings())
        key = connection.keys.profile(1, "u1")
        raw = bytearray(await connection.execute("GET", key))
        raw[8:12] = (7).to_bytes(4, "little")  # a later generation
        await connection.execute("SET", key, bytes(raw))
        await connection.close()
        await world.publish_events(make_events(50, 2))
        async with world.profiler() as profiler:

            async def stopped() -> bool:
                return "freshet replay" in await reason(profiler)

            await until(stopped)

    asyncio.run(scenario())


def test_the_store_away_is_waited_out_and_a_restart_is_read_again(
    valkey: Any, namespace: str, release_url: str
) -> None:
    with valkey_server(append_only=True) as store:
        world = World(valkey.url, store.url, namespace, release_url)

        async def scenario() -> None:
            events = make_events(900, 6)
            await world.publish([item_draft(item) for item in shop()], Topic.ITEMS)
            await world.publish_events(events[:300])
            async with world.profiler() as profiler:
                await world.caught_up()
                store.kill()
                await world.publish_events(events[300:600])

                async def waits() -> bool:
                    return await reason(profiler) != ""

                await until(waits)
                store.restart()
                await world.publish_events(events[600:])
                await world.caught_up()
            await other(world, store)

        asyncio.run(scenario())


async def other(world: World, store: ValkeyServer) -> None:
    """The same log into another database of the same server."""
    groups = {Topic.EVENTS: "undisturbed", Topic.ITEMS: "undisturbed-items"}
    async with world.profiler(2, groups=groups):
        await world.caught_up(2)
    assert difference(await world.dump(2), await world.dump(1)) == [], store.url


async def append(log: EventLog, drafts: list[Draft]) -> None:
    producer = log.producer()
    await producer.start()
    outcomes = await producer.append(Topic.EVENTS, drafts, 10_000)
    await producer.stop()
    assert all(outcome.position for outcome in outcomes)
