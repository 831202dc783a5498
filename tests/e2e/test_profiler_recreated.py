"""A topic that was deleted and made anew: noticed on both logs, nothing skipped, mended as the error says."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient

from services.log.protocol import Topic
from services.profiler.replay import ReplayError
from services.store.connection import connect
from tests.e2e.profiler_world import World, difference, make_events, make_release, reason, until
from tests.servers import KafkaBroker


@pytest.fixture(scope="module")
def release_url(tmp_path_factory: pytest.TempPathFactory) -> str:
    return make_release(tmp_path_factory.mktemp("releases"))


@pytest.fixture
def world(log_url: str, valkey: Any, namespace: str, release_url: str) -> World:
    return World(log_url, valkey.url, namespace, release_url)


@pytest.fixture
def broker(request: pytest.FixtureRequest, log_url: str) -> KafkaBroker | None:
    """The broker behind `log_url`, or None on streams."""
    return request.getfixturevalue("kafka") if log_url.startswith("kafka") else None


async def drop_log(world: World, broker: KafkaBroker | None, namespace: str) -> None:
    """Delete the topics; whoever publishes next makes them anew under their names."""
    if broker is None:
        connection = connect(world.settings(0))
        try:
            async for keys in connection.scan(f"*{namespace}:log*".encode(), 500):
                await connection.pipeline([("DEL", key) for key in keys])
        finally:
            await connection.close()
        return
    admin = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap)
    try:
        await admin.start()
        mine = [f"{namespace}.events.g1", f"{namespace}.items.g1"]
        await admin.delete_topics(mine)

        async def gone() -> bool:
            return not set(mine) & set(await admin.list_topics())

        await until(gone)
    finally:
        await admin.close()


@pytest.mark.parametrize("again", [10, 900])
def test_a_recreated_topic_stops_the_profiler_until_a_replay(
    world: World, broker: KafkaBroker | None, namespace: str, again: int
) -> None:
    """Shorter than what was applied (rule 4), and longer with other records (rule 5)."""

    async def scenario() -> None:
        await world.publish_events(make_events(200, 1))
        async with world.profiler():
            await world.caught_up()
        before = await world.dump()
        await drop_log(world, broker, namespace)
        await world.publish_events(make_events(again, 2))
        async with world.profiler() as profiler:

            async def stopped() -> bool:
                return "recreated" in await reason(profiler)

            await until(stopped)
            told = await reason(profiler)
            assert "freshet replay" in told
            assert "FRESHET_LOG_GENERATION=2" in told
            assert difference(before, await world.dump()) == []

            with pytest.raises(ReplayError, match="keep what the store knows, set FRESHET_LOG_GENERATION=2"):
                await world.replay()
            assert difference(before, await world.dump()) == [], "a replay would lose what the log has lost"
            await world.replay(allow_partial=True)

            async def mended() -> bool:
                return await reason(profiler) == ""

            await until(mended)
            await world.caught_up()
        groups = {Topic.EVENTS: "undisturbed", Topic.ITEMS: "undisturbed-items"}
        async with world.profiler(2, groups=groups):
            await world.caught_up(2)
        assert difference(await world.dump(2), await world.dump()) == []

    asyncio.run(scenario())


def test_a_running_profiler_notices_a_recreated_topic(
    world: World, broker: KafkaBroker | None, namespace: str
) -> None:
    async def scenario() -> None:
        await world.publish_events(make_events(400, 1))
        async with world.profiler() as profiler:
            await world.caught_up()
            before = await world.dump()
            await drop_log(world, broker, namespace)

            async def stopped() -> bool:
                await world.publish_events(make_events(3, 5))
                return "recreated" in await reason(profiler)

            await until(stopped)
            assert difference(before, await world.dump()) == []

    asyncio.run(scenario())
