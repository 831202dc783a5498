"""What ranking reads of the rows: bought together, popular in a segment."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest

from services.kernel.bank import NO_SPACE
from services.kernel.change import weight_of
from services.kernel.event_type import EventType, EventTypes
from services.kernel.position import Position
from services.kernel.profile import Change, Line, Profile, ProfileRules
from services.kernel.segments import segment_key
from services.ranking.aggregates import BOUGHT_COUNT_MIN, Aggregates
from services.trainer.replay import LiveAggregates, ReplayRules
from tests.unit.shop import aggregates_of

TYPES = EventTypes()
PURCHASE, VIEW = int(EventType.PURCHASE), int(EventType.VIEW)
DAY_S = 86_400
START_S = 1_700_000_000


def counted(events: Sequence[tuple[int, tuple[int, ...], int]]) -> Aggregates:
    """One subject's events (type number, items, days after the start), as profilers count them."""
    live, profile = LiveAggregates(ReplayRules(TYPES)), Profile.empty(NO_SPACE)
    weights = weight_of(TYPES)
    rules = ProfileRules(NO_SPACE, lambda _: None, weights, 10**12, 64)
    for number, (kind, items, day) in enumerate(events):
        time_s = START_S + day * DAY_S
        lines = tuple(Line(item, weights(kind, math.nan), math.nan) for item in items)
        change = Change(
            Position(1, 0, number),
            number,
            time_s * 1000,
            time_s,
            kind,
            1,
            lines,
            segments=(segment_key("device=tv"),),
        )
        live.add(profile, change, NO_SPACE)
        profile.apply(change, rules)
    return live.snapshot()


def bought_with(aggregates: Aggregates, item: int) -> dict[int, float]:
    row = aggregates.bought_with(item)
    if row is None:
        return {}
    return dict(zip(row.keys.tolist(), aggregates.counts(row).tolist(), strict=True))


def test_one_visit_is_never_often_and_two_of_these_days_are() -> None:
    once = bought_with(counted([(PURCHASE, (1, 2, 1, 2), 0), (PURCHASE, (1,), 0), (PURCHASE, (2,), 0)]), 1)
    assert 0.5 < once[2] <= 1.0 < BOUGHT_COUNT_MIN
    twice = bought_with(counted([(PURCHASE, (1, 2), 0), (PURCHASE, (2, 1), 2)]), 1)
    assert BOUGHT_COUNT_MIN <= twice[2] <= 2.0
    long_ago = bought_with(counted([(PURCHASE, (1, 2), 0), (PURCHASE, (2, 1), 1), (VIEW, (3,), 90)]), 1)
    assert long_ago[2] < BOUGHT_COUNT_MIN


def test_what_was_only_viewed_together_was_not_bought_together() -> None:
    aggregates = counted([(VIEW, (1,), 0), (VIEW, (2,), 0), (PURCHASE, (3,), 0)])
    assert aggregates.neighbours.get(1) is not None
    assert all(bought_with(aggregates, item) == {} for item in (1, 2, 3))


def test_a_segment_holds_what_its_events_were_about() -> None:
    aggregates = counted([(VIEW, (1,), 0), (PURCHASE, (2,), 0)])
    row = aggregates.segment("device=tv")
    assert row is not None
    assert row.top(9) == [2, 1]
    assert aggregates.segment("country=DE") is None
    with pytest.raises(ValueError, match="country=DE"):
        aggregates.segment("country=de")


def test_counts_are_read_as_of_the_newest_event() -> None:
    aggregates = aggregates_of({"a": 1.0}, bought={"a": {"b": 3.0}}, segments={"country=AT": {"a": 4.0}})
    row = aggregates.segment("country=AT")
    assert row is not None
    assert aggregates.counts(row).tolist() == pytest.approx([4.0])
