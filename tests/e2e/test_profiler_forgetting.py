"""What is forgotten stays so: deleted people under redelivery, and those not heard of for longer than the
TTL, on both logs, from the record to the answer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from services.kernel.event import Event, UserDeletion
from services.log.protocol import Topic
from services.recommender.app import create_app
from services.recommender.settings import RecommenderSettings
from tests.e2e.kafka_source import posted
from tests.e2e.profiler_world import (
    PATIENCE_S,
    World,
    difference,
    item_draft,
    make_release,
    shop,
    until,
)
from tests.e2e.pushing import pushed_to, records_of
from tests.serving import serving

DAY_MS = 86_400_000
TTL_DAYS = 1  # the shortest there is


@pytest.fixture(scope="module")
def release_url(tmp_path_factory: pytest.TempPathFactory) -> str:
    return make_release(tmp_path_factory.mktemp("releases"))


@pytest.fixture
def world(log_url: str, valkey: Any, namespace: str, release_url: str) -> World:
    return World(log_url, valkey.url, namespace, release_url, profile_ttl_days=TTL_DAYS)


@contextmanager
def answers(world: World) -> Iterator[httpx.Client]:
    """The recommender over the world's store, the catalogue in memory."""
    written = world.settings()
    settings = RecommenderSettings(
        store_url=written.store_url,
        namespace=written.namespace,
        release_url=written.release_url,
        profile_ttl_days=TTL_DAYS,
        deadline_ms=10_000,  # a busy machine must not make a test fall down the ladder
    )
    app = create_app(settings)
    with serving(app) as url, httpx.Client(base_url=url, timeout=PATIENCE_S) as client:
        asyncio.run(until(lambda: client.get("/readyz").status_code == 200))
        asyncio.run(until(lambda: client.get("/items?limit=1").status_code == 200))
        yield client


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def view(number: int, user_id: str, received_at: int) -> Event:
    return Event(
        event_id=f"e{number}",
        event_type="view",
        user_id=user_id,
        item_id=f"p{number}",
        timestamp=received_at,
        received_at=received_at,
    )


def recent(client: httpx.Client, user_id: str) -> list[str]:
    """What profile, export and recommendations know; they must agree."""
    profile = client.get(f"/users/{user_id}/profile").json()
    export = client.get(f"/users/{user_id}/export").json()
    listed = client.get(f"/recommend/{user_id}?scenario=recently_viewed&n=50").json()
    known = [entry["item_id"] for entry in profile["recent"]]
    assert profile["events"] == export["events"] == listed["profile_events"]
    assert [entry["item_id"] for entry in export.get("recent", ())][::-1] == known
    if known:
        assert [item["item_id"] for item in listed["items"]] == known
    else:
        nobodys = client.get("/recommend/nobody-at-all?scenario=recently_viewed&n=50").json()
        assert listed["strategy"] == nobodys["strategy"]
        assert listed["items"] == nobodys["items"]
    return known


async def applied(world: World, **options: Any) -> None:
    """All that is on the log, applied by a profiler that then stops."""
    async with world.profiler(**options):
        await world.caught_up()


def test_a_redelivery_brings_nothing_of_the_deleted_back(world: World) -> None:
    at_ms = now_ms() - 60_000
    story: list[Event | UserDeletion] = [
        view(1, "ada", at_ms),
        view(2, "bea", at_ms),
        view(3, "ada", at_ms + 1),
        UserDeletion(user_id="ada", received_at=at_ms + 2),
        view(4, "bea", at_ms + 3),
    ]

    asyncio.run(world.publish([item_draft(item) for item in shop()], Topic.ITEMS))
    asyncio.run(world.publish_events(story))
    asyncio.run(applied(world))
    before = asyncio.run(world.dump())
    # A group that never committed reads everything again, as after a failover of the store.
    asyncio.run(applied(world, groups={Topic.EVENTS: "again", Topic.ITEMS: "again-items"}))
    assert difference(before, asyncio.run(world.dump())) == []
    partitions = asyncio.run(records_of(world, Topic.EVENTS, len(story)))
    with pushed_to(world) as http:
        for records in partitions.values():
            assert {http.post("/", **posted(record)).status_code for record in records} == {204}
    assert difference(before, asyncio.run(world.dump())) == []
    with answers(world) as client:
        assert recent(client, "ada") == []
        assert client.get("/users/ada/export").json()["state"] == "deleted"
        assert recent(client, "bea") == ["p4", "p2"]
        asyncio.run(world.publish_events([view(5, "ada", now_ms())]))
        asyncio.run(applied(world))
        assert recent(client, "ada") == ["p5"]


def test_of_the_deleted_the_aggregates_keep_sums_without_a_name(world: World) -> None:
    """Popular counts events, not people: what was counted stays, and nothing in it says of whom."""
    at_ms = now_ms() - 60_000
    asyncio.run(world.publish([item_draft(item) for item in shop()], Topic.ITEMS))
    asyncio.run(world.publish_events([view(1, "ada-lovelace", at_ms)]))
    asyncio.run(applied(world))
    deletion = UserDeletion(user_id="ada-lovelace", received_at=at_ms + 2)
    asyncio.run(world.publish_events([deletion]))
    asyncio.run(applied(world))
    left = asyncio.run(world.dump())
    named = {name for name, value in left.items() if "ada-lovelace" in f"{name}{value!r}"}
    (profile,) = named
    assert profile.endswith(":p:ada-lovelace")
    assert len(left[profile]) == 64, "a header: position, counter, when"
    assert any(name.endswith(":popular") and value for name, value in left.items())


def test_who_is_not_heard_of_for_longer_than_the_ttl_is_forgotten(world: World) -> None:
    edge_ms = now_ms() - TTL_DAYS * DAY_MS
    asyncio.run(world.publish([item_draft(item) for item in shop()], Topic.ITEMS))
    asyncio.run(
        world.publish_events(
            [
                view(1, "gone", edge_ms - 2000),
                view(2, "gone", edge_ms - 1000),
                view(3, "kept", edge_ms - 1000),
                view(4, "kept", edge_ms + 3_600_000),
            ]
        )
    )
    asyncio.run(applied(world))
    with answers(world) as client:
        assert recent(client, "gone") == []
        assert client.get("/users/gone/export").json()["state"] == "expired"
        assert recent(client, "kept") == ["p4", "p3"], "the gap is what counts, not the age of an event"
        asyncio.run(world.publish_events([view(5, "gone", now_ms())]))
        asyncio.run(applied(world))
        assert recent(client, "gone") == ["p5"], "what was forgotten does not come back"
