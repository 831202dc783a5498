"""A replay beside live traffic, and what it mends."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import pytest

from services.log.protocol import Topic
from services.profiler.replay import ReplayError
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


@pytest.fixture(scope="module")
def release_url(tmp_path_factory: pytest.TempPathFactory) -> str:
    return make_release(tmp_path_factory.mktemp("releases"))


@pytest.fixture
def world(log_url: str, valkey: Any, namespace: str, release_url: str) -> World:
    return World(log_url, valkey.url, namespace, release_url)


def test_a_replay_beside_live_traffic_ends_byte_equal(world: World) -> None:
    async def scenario() -> None:
        events = make_events(5000, 7)
        await world.publish([item_draft(item) for item in shop()], Topic.ITEMS)
        await world.publish_events(events[:2500])
        steps: list[tuple[int, int]] = []
        async with world.profiler():
            await world.caught_up()

            async def traffic() -> None:
                for first in range(2500, 5000, 50):
                    await world.publish_events(events[first : first + 50])

            done, _ = await asyncio.gather(world.replay(progress=lambda *step: steps.append(step)), traffic())
            await world.caught_up()
        assert done.epoch == 2
        assert done.records >= 2500
        assert steps
        assert all(read <= total for read, total in steps)
        assert await world.dump(epoch=1) == {}, "the old epoch is gone"
        groups = {Topic.EVENTS: "undisturbed", Topic.ITEMS: "undisturbed-items"}
        async with world.profiler(2, groups=groups):
            await world.caught_up(2)
        assert difference(await world.dump(2), await world.dump()) == []

    asyncio.run(scenario())


def test_a_store_that_comes_back_empty_stops_the_profiler_until_a_replay(world: World) -> None:
    async def scenario() -> None:
        await world.publish([item_draft(item) for item in shop()], Topic.ITEMS)
        await world.publish_events(make_events(500, 3))
        async with world.profiler() as profiler:
            await world.caught_up()
            before = await world.dump()
            async with world.log() as log:

                async def committed() -> bool:
                    return sum((await log.committed(Topic.EVENTS, "profiler")).values()) == 500

                await until(committed)
            await world.wipe(1)
            await world.publish_events(make_events(10, 4))
            await until(lambda: reason(profiler))
            assert "freshet replay" in await reason(profiler)
            assert await world.dump() == {}, "nothing was written into the empty store"
            assert (await world.replay()).epoch == 1
            await until(lambda: _is_ready(profiler))
            await world.caught_up()
        after = await world.dump()
        groups = {Topic.EVENTS: "undisturbed", Topic.ITEMS: "undisturbed-items"}
        async with world.profiler(2, groups=groups):
            await world.caught_up(2)
        assert difference(await world.dump(2), after) == []
        assert before.keys() <= after.keys()

    asyncio.run(scenario())


def test_a_trimmed_log_is_refused_unless_told_otherwise(
    valkey: Any, namespace: str, release_url: str
) -> None:
    world = World(valkey.url, valkey.url, namespace, release_url)

    small: dict[str, Any] = {"log_max_records": 1000, "log_partitions": 1}

    async def append(number: int) -> bool:
        """One batch of 200, unless the log is full until the next commit."""
        async with world.log(**small) as log:
            producer = log.producer()
            await producer.start()
            drafts = [draft_of(event) for event in make_events(200, number)]
            outcomes = await producer.append(Topic.EVENTS, drafts, 5000)
            await producer.stop()
        return all(outcome.position for outcome in outcomes)

    async def scenario() -> None:
        async with world.profiler(1, **small):
            for number in range(15):
                await until(partial(append, number))
                await world.caught_up()
        with pytest.raises(ReplayError, match="--allow-partial"):
            await world.replay()
        assert (await world.replay(allow_partial=True)).epoch == 2
        async with world.profiler(1, **small) as profiler:
            await world.caught_up()
            await until(lambda: _is_ready(profiler))

    asyncio.run(scenario())


async def _is_ready(profiler: Any) -> bool:
    return not await reason(profiler)
