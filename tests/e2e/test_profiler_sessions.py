"""An evening of films and lists, from the records to the profile, on both logs and a real store."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from services.kernel.covisits import TREND_HALF_LIFE_S, term
from services.kernel.event import Event, Line
from services.kernel.event_type import EventType
from services.kernel.ids import fingerprint, item_key
from services.kernel.profile import SEEN_BOUGHT, SEEN_VIEWED
from services.log.protocol import Topic
from tests.e2e.profiler_world import NOW_MS, World, difference, item_draft, make_release, shop

STEP_S = 10  # how often a player reports
FILM = 360  # reports of a film of an hour
DAY_S = 86_400


@pytest.fixture(scope="module")
def release_url(tmp_path_factory: pytest.TempPathFactory) -> str:
    return make_release(tmp_path_factory.mktemp("releases"))


@pytest.fixture
def world(log_url: str, valkey: Any, namespace: str, release_url: str) -> World:
    return World(log_url, valkey.url, namespace, release_url)


def event(kind: str, at_s: int, **fields: Any) -> Event:
    at_ms = NOW_MS + at_s * 1000
    told = "".join(f"-{value}" for value in fields.values() if isinstance(value, str))
    return Event(
        event_id=f"{kind}{at_s}{told}",
        event_type=kind,
        timestamp=at_ms,
        received_at=at_ms,
        user_id="u",
        **fields,
    )


def evening() -> list[Event]:
    """A purchase five days ago, twenty views, three films to their end, two lists, one item clicked."""
    made = [event("purchase", -5 * DAY_S, item_id="p1")]
    made += [event("view", -1000 + number, item_id=f"p{number}") for number in range(20)]
    for film in range(3):
        for beat in range(FILM):
            at_s = (film * FILM + beat) * STEP_S
            made.append(event("video_progress", at_s, item_id=f"p{30 + film}", progress=beat / FILM))
    end_s = 3 * FILM * STEP_S
    made.append(event("impression", end_s, items=tuple(Line(item_id=f"p{n}") for n in range(40, 46))))
    made.append(event("click", end_s + 5, item_id="p41"))
    made.append(event("impression", end_s + 60, items=(Line(item_id="p45"), Line(item_id="p46"))))
    return made


def test_three_films_leave_room_for_what_was_viewed_and_lists_are_remembered(world: World) -> None:
    async def scenario() -> None:
        await world.publish([item_draft(item) for item in shop()], Topic.ITEMS)
        await world.publish_events(evening())
        async with world.profiler(1, batch_records=37):
            await world.caught_up(1)
        async with world.profiler(2, groups={Topic.EVENTS: "other", Topic.ITEMS: "other-items"}):
            await world.caught_up(2)
        profile = await world.profile("u", 1)
        assert profile is not None
        assert profile.events == 1 + 20 + 3 * FILM + 3
        films = [f"p{30 + film}" for film in range(3)]
        names = ["p1", *(f"p{number}" for number in range(20)), *films, "p41"]
        assert profile.ring["item"].tolist() == [item_key(name) for name in names]
        watched = profile.ring[profile.ring["type"] == EventType.VIDEO_PROGRESS]
        assert watched["value"].tolist() == pytest.approx([(FILM - 1) / FILM] * 3)
        mark = fingerprint(item_key("p1"))
        marks = profile.seen[profile.seen["fingerprint"] == mark]
        days = dict(zip(marks["reason"].tolist(), marks["day"].tolist(), strict=True))
        assert days[SEEN_VIEWED] - days[SEEN_BOUGHT] == 5
        shown = dict(profile.shown[["fingerprint", "count"]].tolist())
        expected = {"p40": 1, "p42": 1, "p43": 1, "p44": 1, "p45": 2, "p46": 1}
        assert shown == {fingerprint(item_key(name)): count for name, count in expected.items()}
        dumps = [await world.dump(database) for database in (1, 2)]
        assert difference(*dumps) == []
        flat = next(value for name, value in dumps[0].items() if name.endswith(":trend"))
        trend = dict(zip(map(bytes, flat[::2]), map(float, flat[1::2]), strict=True))
        once = trend[item_key("p30").to_bytes(8, "little")]
        assert once == pytest.approx(term(1.0, NOW_MS // 1000, TREND_HALF_LIFE_S))

    asyncio.run(scenario())
