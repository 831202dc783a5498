"""What is called trending, popular or close to a taste: nothing that log and vectors do not bear out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from services.kernel.event_type import EventType
from services.kernel.item import Item
from services.ranking.aggregates import Aggregates
from services.ranking.demand import NOW_DAYS, WEEKS_DAYS
from services.ranking.filter_json import parse_filter
from services.ranking.reasons import NEAR_COSINE
from services.ranking.scenario_file import built_in
from services.ranking.state import Ranking, RankingState, RankRequest
from services.release.files import Release
from tests.unit.shop import NOW_MS, aggregates_of, answer, ids, profile_of, state_of


@pytest.fixture
def state(shop_items: list[Item], release: Release) -> RankingState:
    return state_of(shop_items, release)


def wanted(ages_days: Mapping[str, Sequence[float]]) -> Aggregates:
    """An event of weight 1 of each item at each age."""
    trending, popular = (
        {item: sum(2.0 ** (-age / half_life_days) for age in ages) for item, ages in ages_days.items()}
        for half_life_days in (1.0, 30.0)
    )
    return aggregates_of(trending, popular)


def asked(scenario: str, wish: dict[str, Any] | None = None, n: int = 10) -> RankRequest:
    rules = built_in()[scenario]
    return RankRequest(NOW_MS, replace(rules, filter=parse_filter(wish)) if wish else rules, n=n)


def codes(ranking: Ranking) -> dict[str | None, str]:
    return {item.item_id: item.reason.code for item in ranking.items}


@pytest.mark.parametrize("scenario", ["trending", "popular", "for_you"])
def test_what_nobody_has_asked_for_in_a_year_is_not_called_wanted(
    state: RankingState, shop_items: list[Item], scenario: str
) -> None:
    now, week, month, year = (item.item_id for item in shop_items[:4])
    everyone = {"item_id": [now, week, month, year]}
    ages = {now: [0.0], week: [5.0], month: [25.0] * 40, year: [340.0] * 400}
    state.aggregates = wanted(ages)
    for wish in (None, everyone):
        said = codes(answer(state, None, asked(scenario, wish)))
        assert said[year] == "catalogue"
        assert said[now] in {"trending", "popular"}
        assert said[month] == "popular"
        assert said[week] == ("popular" if scenario == "popular" else "trending")
    state.aggregates = wanted(ages | {year: [0.0]})
    assert codes(answer(state, None, asked(scenario, everyone)))[year] in {"trending", "popular"}


def test_the_popular_of_an_aisle_come_first_even_where_none_is_called_so(
    state: RankingState, shop_items: list[Item]
) -> None:
    now, less, more = (item.item_id for item in shop_items[:3])
    state.aggregates = wanted({now: [0.0], less: [200.0], more: [200.0] * 5})
    found = answer(state, None, asked("popular", {"item_id": [less, more]}))
    assert ids(found) == [more, less]
    assert set(codes(found).values()) == {"catalogue"}


@pytest.mark.parametrize(("days", "code"), [(NOW_DAYS - 1, "trending"), (NOW_DAYS + 1, "popular")])
def test_so_old_may_the_newest_event_be(
    state: RankingState, shop_items: list[Item], days: float, code: str
) -> None:
    now, other = (item.item_id for item in shop_items[:2])
    state.aggregates = wanted({now: [0.0], other: [days]})
    assert codes(answer(state, None, asked("trending")))[other] == code
    state.aggregates = wanted({now: [0.0], other: [WEEKS_DAYS + 1]})
    assert codes(answer(state, None, asked("trending")))[other] == "catalogue"


def test_what_sells_day_after_day_is_trending(state: RankingState, shop_items: list[Item]) -> None:
    steady, new, fading = (item.item_id for item in shop_items[:3])
    state.aggregates = wanted(
        {steady: [*map(float, range(300))], new: [0.0], fading: [1.0, *map(float, range(20, 200))]}
    )
    said = codes(answer(state, None, asked("trending")))
    assert said[steady] == said[new] == said[fading] == "trending"


def test_a_shop_that_stands_still_keeps_what_is_trending(state: RankingState, shop_items: list[Item]) -> None:
    one, other = (item.item_id for item in shop_items[:2])
    state.aggregates = wanted({one: [100.0], other: [101.0] * 3})
    said = codes(answer(state, None, asked("trending")))
    assert said[one] == said[other] == "trending"


def test_only_what_is_near_is_close_to_ones_taste(
    state: RankingState, shop_items: list[Item], release: Release
) -> None:
    far = 0
    for item in shop_items[::40]:
        profile = profile_of(release, [(item.item_id, EventType.VIEW)])
        seen = release.vector_of(int(state.catalogue.keys[state.catalogue.row_of(item.item_id)]))
        assert seen is not None
        for path in {tuple(other.categories[0]) for other in shop_items[::60]}:
            wish = {"categories": " > ".join(path)}
            for line in answer(state, profile, asked("for_you", wish, n=40)).items:
                vector = release.vector_of(line.key)
                assert vector is not None
                near = float(seen @ vector) >= NEAR_COSINE - 0.01
                far += not near
                assert near or line.reason.code not in {"taste", "similar_to_item"}, line
    assert far > 100
