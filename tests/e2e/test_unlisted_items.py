"""Events on items that are in no catalogue are counted as such while they are applied."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import httpx
import pytest

from services.kernel.event import Event, Line
from services.log.protocol import Topic
from services.profiler.app import create_profiler_app
from tests.e2e.profiler_world import NOW_MS, PATIENCE_S, World, item_draft, make_release, shop, until
from tests.serving import serving


@pytest.fixture(scope="module")
def release_url(tmp_path_factory: pytest.TempPathFactory) -> str:
    return make_release(tmp_path_factory.mktemp("releases"), shop(20))


@pytest.fixture
def world(log_url: str, valkey: Any, namespace: str, release_url: str) -> World:
    return World(log_url, valkey.url, namespace, release_url)


def event(number: int, *item_ids: str) -> Event:
    return Event(
        event_id=f"e{number}",
        event_type="purchase",
        user_id=f"u{number % 3}",
        items=tuple(Line(item_id) for item_id in item_ids),
        timestamp=NOW_MS,
        received_at=NOW_MS,
    )


def counted(client: httpx.Client) -> dict[str, float]:
    found = re.findall(
        r'^freshet_profiler_item_lines_total\{known="(\w+)"\} (\S+)$',
        client.get("/metrics").text,
        re.MULTILINE,
    )
    return {known: float(count) for known, count in found}


def test_lines_are_counted_by_whether_their_items_are_known(world: World) -> None:
    asyncio.run(world.publish([item_draft(item) for item in shop(40)], Topic.ITEMS))
    with (
        serving(create_profiler_app(world.settings())) as url,
        httpx.Client(base_url=url, timeout=PATIENCE_S) as client,
    ):
        asyncio.run(world.caught_up())
        events = [
            event(1, "p1", "p39"),  # in the release, and in the catalogue alone
            event(2, "P1", "p1"),
            event(3, "nowhere", "nowhere", "p2"),
        ]
        asyncio.run(world.publish_events([*events, events[0]]))  # a repeated id counts once
        asyncio.run(until(lambda: counted(client) == {"yes": 4.0, "no": 3.0}))
        asyncio.run(world.publish_events([event(4, "nowhere")]))
        asyncio.run(until(lambda: counted(client) == {"yes": 4.0, "no": 4.0}))
