"""A profiler in push mode over HTTP, what to post to it, and what pull would have made of it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from services.log.protocol import Record, Topic
from services.profiler.app import create_profiler_app
from tests.e2e.profiler_world import PATIENCE_S, World, until
from tests.serving import serving


@contextmanager
def pushed_to(world: World, database: int = 1, **changed: Any) -> Iterator[httpx.Client]:
    """A profiler in push mode; stopped at the end, as one that is scaled to zero."""
    settings = world.settings(database, profiler_mode="push", **changed)
    with (
        serving(create_profiler_app(settings)) as url,
        httpx.Client(base_url=url, timeout=PATIENCE_S) as http,
    ):
        yield http


async def records_of(world: World, topic: Topic, count: int) -> dict[int, list[Record]]:
    """At least `count` records of a topic, from the earliest on, by partition."""
    found: dict[int, list[Record]] = {}
    async with world.log() as log:
        reader = log.consumer(topic, None)
        await reader.start()

        async def read() -> bool:
            for partition, records in (await reader.fetch(1000, 100)).items():
                found.setdefault(partition, []).extend(records)
            return sum(map(len, found.values())) >= count

        await until(read)
        await reader.stop()
    return found


async def pulled(world: World) -> dict[str, Any]:
    """What an undisturbed profiler that pulls makes of both topics."""
    groups = {Topic.EVENTS: "undisturbed", Topic.ITEMS: "undisturbed-items"}
    async with world.profiler(9, groups=groups):
        await world.caught_up(9)
    return await world.dump(9)


def wait_ready(http: httpx.Client) -> None:
    """Until it says so: the trouble of a moment is looked at again within a second."""
    asyncio.run(until(lambda: http.get("/readyz").status_code == 200))
