"""From an event on the log to a recommender's memory: what is bought together, what is popular where."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from services.kernel.covisits import bought_row_key
from services.kernel.event_input import parse_event
from services.kernel.event_type import EventTypes
from services.kernel.ids import item_key
from services.kernel.segments import segment_keys_of, segments_of
from services.ranking.aggregates import BOUGHT_COUNT_MIN, Aggregates
from services.recommender.follow_aggregates import AggregatesFollower
from services.recommender.live_epoch import LiveEpoch
from services.store.aggregates import AggregateReader
from services.store.connection import connect
from services.store.meta import MetaStore
from tests.e2e.profiler_world import NOW_MS, World, draft_of, make_release

TYPES = EventTypes()
AUSTRIA = {"country": "AT", "device": "android"}
GERMANY = {"country": "de", "device": "Web"}


@pytest.fixture
def world(log_url: str, valkey: Any, namespace: str, tmp_path: Any) -> World:
    return World(log_url, valkey.url, namespace, make_release(tmp_path))


def event(number: int, user: str, kind: str, items: list[str], context: dict[str, str]) -> Any:
    """As a shop would send it."""
    fields = {
        "event_id": f"e{number}",
        "user_id": user,
        "event_type": kind,
        "timestamp": NOW_MS // 1000 + number,
        "items": [{"item_id": item} for item in items],
        "context": context,
    }
    return parse_event(fields, NOW_MS + number * 1000, TYPES)


def log_of_a_shop() -> list[Any]:
    """Four buy tea with milk, at once or one after the other; one buys tea with a lamp; many look at lamps
    and kettles. Austria likes kettles, Germany lamps."""
    events: list[Any] = []

    def happens(user: str, kind: str, items: list[str], context: dict[str, str]) -> None:
        events.append(event(len(events), user, kind, items, context))

    for user in ("a", "b", "c"):
        happens(user, "purchase", ["tea", "milk"], GERMANY)
    happens("d", "purchase", ["tea"], AUSTRIA)
    happens("d", "purchase", ["milk"], AUSTRIA)
    happens("e", "purchase", ["tea", "lamp"], GERMANY)
    for number in range(30):
        happens(f"german {number}", "view", ["kettle"], {} if number % 2 else AUSTRIA)
        happens(f"german {number}", "view", ["lamp"], GERMANY)
    return events


async def what_is_known(world: World, *items: str) -> Aggregates:
    """The aggregates of a recommender that was asked about items, in Germany and in Austria."""
    connection = connect(world.settings())
    try:
        live = LiveEpoch(MetaStore(connection))
        await live.look()
        follower = AggregatesFollower(AggregateReader(connection), live)
        await follower.refresh()
        keys = [bought_row_key(item_key(item)) for item in items]
        await follower.neighbours.want([*keys, *segment_keys_of(GERMANY), *segment_keys_of(AUSTRIA)])
        await follower.neighbours.close()
        return follower.aggregates
    finally:
        await connection.close()


def often_bought_with(aggregates: Aggregates, item: str) -> set[int]:
    row = aggregates.bought_with(item_key(item))
    if row is None:
        return set()
    return set(row.keys[aggregates.counts(row) >= BOUGHT_COUNT_MIN].tolist())


def test_what_was_bought_and_where_reaches_the_recommender(world: World) -> None:
    async def scenario() -> None:
        async with world.profiler():
            await world.publish([draft_of(one) for one in log_of_a_shop()])
            await world.caught_up()
        known = await what_is_known(world, "tea", "milk", "lamp", "kettle")
        tea, milk, lamp, kettle = map(item_key, ("tea", "milk", "lamp", "kettle"))
        assert often_bought_with(known, "tea") == {milk}
        assert often_bought_with(known, "milk") == {tea}
        row = known.bought_with(lamp)
        assert row is not None
        assert row.keys.tolist() == [tea], "known, and once is not often"
        assert often_bought_with(known, "lamp") == set()
        assert len(known.bought_with(kettle) or ()) == 0, "views are no purchases"
        tops = {
            segment: row.top(1)
            for segment in (*segments_of(GERMANY), *segments_of(AUSTRIA))
            if (row := known.segment(segment)) is not None
        }
        assert tops == {
            "country=DE": [lamp],
            "device=desktop": [lamp],
            "country=AT": [kettle],
            "device=mobile": [kettle],
        }

    asyncio.run(scenario())
