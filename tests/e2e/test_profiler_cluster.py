"""The same log into a single node and into a real cluster of three: the same bytes."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from services.log.protocol import Topic
from tests.e2e.profiler_world import World, difference, item_draft, make_events, make_release, shop
from tests.valkey_cluster import valkey_cluster


def test_a_cluster_holds_what_a_single_node_holds(valkey: Any, namespace: str, tmp_path: Path) -> None:
    release_url = make_release(tmp_path)
    with valkey_cluster() as cluster:
        single = World(valkey.url, valkey.url, namespace, release_url)
        spread = World(valkey.url, cluster.url, namespace, release_url)

        async def scenario() -> None:
            await single.publish([item_draft(item) for item in shop()], Topic.ITEMS)
            await single.publish_events(make_events(1500, 31))
            async with single.profiler(1):
                await single.caught_up(1)
            groups = {Topic.EVENTS: "spread", Topic.ITEMS: "spread-items"}
            async with spread.profiler(0, groups=groups) as profiler:
                await spread.caught_up(0)
                await profiler.ready()
            assert difference(await single.dump(1), await spread.dump(0)) == []

        asyncio.run(scenario())
