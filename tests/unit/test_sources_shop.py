"""Bought together, popular here, new arrivals and categories, on the demo shop: nothing without evidence."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pytest

from services.kernel.covisits import bought_row_key
from services.kernel.event_type import DEFAULT_WEIGHTS, EventType
from services.kernel.ids import item_key
from services.kernel.item import Item
from services.kernel.segments import segment_key
from services.ranking.aggregates import BOUGHT_COUNT_MIN, TOP_MAX
from services.ranking.arrivals import MOVED_MAX, NO_DATE, Arrivals
from services.ranking.filter_json import parse_filter
from services.ranking.gather import rows_read
from services.ranking.scenario_file import built_in, read_scenarios
from services.ranking.sources.new_arrivals import NEW_FOR_MS
from services.ranking.sources.popular_here import HERE_WEIGHT_MIN
from services.ranking.state import Ranking, RankingState, RankRequest
from services.release.files import Release
from tests.unit.shop import NOW_MS, aggregates_of, answer, ids, profile_of, state_of

DAY_MS = 86_400_000


@pytest.fixture
def state(shop_items: list[Item], release: Release) -> RankingState:
    return state_of(shop_items, release)


def asked(scenario: str, **fields: Any) -> RankRequest:
    return RankRequest(NOW_MS, built_in()[scenario], **fields)


def codes(ranking: Ranking) -> list[str]:
    return [item.reason.code for item in ranking.items]


def names(shop_items: list[Item], count: int) -> list[str]:
    return [item.item_id for item in shop_items[:count]]


def test_bought_together_names_what_is_bought_most_often(state: RankingState, shop_items: list[Item]) -> None:
    milk, bread, jam, ham = names(shop_items, 4)
    bought = {milk: {bread: 9.0, jam: 4.0, ham: BOUGHT_COUNT_MIN - 0.1, "in no catalogue": 20.0}}
    state.aggregates = aggregates_of({jam: 1.0}, bought=bought)  # an event of weight 1 was just now
    found = answer(state, None, asked("bought_together", item_id=milk, n=5))
    assert ids(found)[:2] == [bread, jam]
    assert codes(found)[:2] == ["bought_with_item"] * 2
    assert [item.score for item in found.items[:2]] == pytest.approx([9.0, 4.0])
    assert found.items[0].reason.item_id == milk
    assert found.items[0].reason.text == f"Often bought together with {shop_items[0].title}"
    assert "bought_with_item" not in codes(found)[2:], "one visit is none, and the rest is only similar"
    assert set(codes(found)[2:]) <= {"similar_to_item", "chosen_with_item"}
    assert len(found.items) == 5
    assert milk not in ids(found)
    state.aggregates = aggregates_of()  # the evidence goes
    without = answer(state, None, asked("bought_together", item_id=milk, n=5))
    assert "bought_with_item" not in codes(without)
    assert ids(without) == ids(answer(state, None, asked("similar", item_id=milk, n=5)))


def test_bought_together_without_an_item_is_about_the_last_one(
    state: RankingState, shop_items: list[Item], release: Release
) -> None:
    milk, bread, jam, ham = names(shop_items, 4)
    state.aggregates = aggregates_of({milk: 1.0}, bought={milk: {bread: 9.0}, jam: {ham: 9.0}})
    for last, partner in ((milk, bread), (jam, ham)):
        first = jam if last == milk else milk
        profile = profile_of(release, [(first, EventType.PURCHASE), (last, EventType.VIEW)])
        found = answer(state, profile, asked("bought_together", n=3))
        assert found.items[0].item_id == partner
        assert found.items[0].reason.item_id == last
        assert bought_row_key(item_key(last)) in rows_read(profile, asked("bought_together"))
    wanted = rows_read(profile, asked("bought_together", item_id="elsewhere"))
    assert bought_row_key(item_key("elsewhere")) in wanted
    assert bought_row_key(item_key(milk)) not in wanted
    assert "bought_with_item" not in codes(answer(state, None, asked("bought_together")))


@pytest.mark.parametrize("one_per_group", [True, False])
def test_no_variant_of_an_item_is_bought_together_with_it(
    state: RankingState, shop_items: list[Item], one_per_group: bool
) -> None:
    milk, half_a_milk, bread = names(shop_items, 3)
    for item in shop_items[:2]:
        state.catalogue.upsert(msgspec.structs.replace(item, group_id="milk"))
    state.aggregates = aggregates_of({milk: 1.0}, bought={milk: {milk: 9.0, half_a_milk: 9.0, bread: 3.0}})
    file = (
        "[scenarios.own]\nsources = ['bought_together']\nranker = 'in_order'\nfill = ['catalogue']\n"
        f"one_per_group = {str(one_per_group).lower()}"
    )
    own = read_scenarios(file).by_name["own"]
    found = answer(state, None, RankRequest(NOW_MS, own, item_id=milk, n=200))
    assert found.items[0].item_id == bread
    assert milk not in ids(found), "nor where the list is filled"
    assert codes(found).count("bought_with_item") == 1


def test_nothing_is_claimed_of_rows_that_came_before_the_snapshot(
    state: RankingState, shop_items: list[Item]
) -> None:
    """Rows are read on demand, trending and popular once a second: nobody knows how old the rows are."""
    milk, bread = names(shop_items, 2)
    state.aggregates = aggregates_of(bought={milk: {bread: 1.0}}, segments={"country=DE": {bread: 1.0}})
    assert "bought_with_item" not in codes(answer(state, None, asked("bought_together", item_id=milk)))
    assert "popular_here" not in codes(answer(state, None, asked("for_you", context=DE)))


DE, FR, PHONE = {"country": "DE"}, {"country": "fr"}, {"device": "iPhone"}


def test_a_country_and_a_device_have_lists_of_their_own(state: RankingState, shop_items: list[Item]) -> None:
    beer, wine, snack, *rest = names(shop_items, 8)
    segments = {
        "country=DE": {beer: 40.0, rest[0]: 12.0, "in no catalogue": 99.0},
        "country=FR": {wine: 30.0, rest[0]: 11.0},
        "device=mobile": {snack: 60.0, rest[0]: 20.0},
    }
    everywhere = dict.fromkeys(rest, 50.0)
    state.aggregates = aggregates_of(everywhere, everywhere, segments=segments)
    german, french, nowhere = (
        answer(state, None, asked("for_you", context=context, n=6)) for context in (DE, FR, {})
    )
    assert ids(german)[:2] == [beer, rest[0]]
    assert ids(french)[:2] == [wine, rest[0]]
    assert not {beer, wine} & set(ids(nowhere)[:5])
    assert "popular_here" not in codes(nowhere)
    assert german.items[0].reason.text == "Popular in DE"
    assert (german.items[0].reason.country, german.items[0].reason.device) == ("DE", None)
    assert codes(german)[2] == "trending", "then what is wanted anywhere"
    on_phone = answer(state, None, asked("for_you", context=PHONE, n=3))
    assert ids(on_phone)[:2] == [snack, rest[0]]
    assert on_phone.items[0].reason.text == "Popular on mobile"
    both = answer(state, None, asked("for_you", context={**DE, **PHONE}, n=4))
    assert ids(both)[:3] == [beer, snack, rest[0]], "the country before the device"
    assert codes(both)[:3] == ["popular_here", "popular_on_device", "popular_here"]
    assert {segment_key("country=DE"), segment_key("device=mobile")} <= rows_read(
        None, asked("for_you", context={**DE, **PHONE})
    )
    assert segment_key("country=DE") not in rows_read(None, asked("for_you"))


def test_what_one_customer_bought_is_not_popular_anywhere(
    state: RankingState, shop_items: list[Item]
) -> None:
    once, often = names(shop_items, 2)
    weight = DEFAULT_WEIGHTS.__getitem__
    one_customer = sum(map(weight, ("view", "cart_add", "purchase")))
    assert one_customer < HERE_WEIGHT_MIN < 2 * weight("purchase")
    state.aggregates = aggregates_of(
        {once: 1.0}, segments={"country=DE": {once: one_customer, often: 2 * weight("purchase") - 0.1}}
    )
    found = answer(state, None, asked("for_you", context=DE, n=5))
    assert [item.item_id for item in found.items if item.reason.code == "popular_here"] == [often]
    state.aggregates = aggregates_of()
    assert "popular_here" not in codes(answer(state, None, asked("for_you", context=DE, n=5)))


def test_one_click_changes_the_list_of_a_country(
    state: RankingState, shop_items: list[Item], release: Release
) -> None:
    segments = {"country=DE": {item.item_id: 50.0 - at for at, item in enumerate(shop_items[:30])}}
    state.aggregates = aggregates_of({shop_items[0].item_id: 1.0}, segments=segments)
    before = answer(state, None, asked("for_you", context=DE))
    profile = profile_of(release, [(shop_items[400].item_id, EventType.CLICK)])
    after = answer(state, profile, asked("for_you", context=DE))
    assert codes(before) == ["popular_here"] * 10
    assert ids(after)[:3] != ids(before)[:3]


def dated(state: RankingState, item: Item, days_ago: float) -> str:
    published_at = None if math.isnan(days_ago) else NOW_MS - round(days_ago * DAY_MS)
    state.catalogue.upsert(msgspec.structs.replace(item, published_at=published_at))
    return item.item_id


def test_new_arrivals_come_by_their_date(state: RankingState, shop_items: list[Item]) -> None:
    assert set(codes(answer(state, None, asked("new_arrivals")))) == {"catalogue"}, "nobody knows what is new"
    week, day, old, future, hour = (
        dated(state, item, days)
        for item, days in zip(shop_items[100:], (7, 1, 400, -1, 1 / 24), strict=False)
    )
    found = answer(state, None, asked("new_arrivals", n=6))
    assert ids(found)[:4] == [hour, day, week, old]
    assert codes(found) == ["new", "new", "new", "catalogue", "catalogue", "catalogue"]
    assert future not in ids(answer(state, None, asked("new_arrivals", n=200)))
    later = answer(state, None, RankRequest(NOW_MS + 2 * DAY_MS, built_in()["new_arrivals"], n=2))
    assert ids(later) == [future, hour], "its day has come"
    new = msgspec.structs.replace(shop_items[0], item_id="no date, and not in the release")
    state.catalogue.upsert(new)
    assert ids(answer(state, None, asked("new_arrivals", n=5))) == [hour, day, week, new.item_id, old]
    only = answer(state, None, asked("new_arrivals", candidates=(week, future, "unknown", old)))
    assert ids(only) == [week, old]
    dated(state, shop_items[101], math.nan)
    state.catalogue.delete(hour)
    assert ids(answer(state, None, asked("new_arrivals", n=3))) == [week, new.item_id, old]


def test_new_is_what_is_at_most_a_season_old(state: RankingState, shop_items: list[Item]) -> None:
    for item, age_ms in zip(shop_items, (NEW_FOR_MS, NEW_FOR_MS + 1), strict=False):
        state.catalogue.upsert(msgspec.structs.replace(item, published_at=NOW_MS - age_ms))
    assert codes(answer(state, None, asked("new_arrivals", n=2))) == ["new", "catalogue"]


def test_new_arrivals_of_a_category_however_far_down(state: RankingState, shop_items: list[Item]) -> None:
    for place, item in enumerate(shop_items):
        dated(state, item, 1 + place / 100)
    rare = next(item for item in reversed(shop_items) if item.categories)
    path = " > ".join(rare.categories[0])
    file = f'[scenarios.own]\nextends = "new_arrivals"\nfilter = {{ categories = "{path}" }}'
    own = read_scenarios(file).by_name["own"]
    expected = [item.item_id for item in shop_items if rare.categories[0] in item.categories]
    assert expected
    assert ids(answer(state, None, RankRequest(NOW_MS, own, n=200))) == expected
    undated = [msgspec.structs.replace(shop_items[0], item_id=f"new {at}") for at in range(300)]
    for item in (msgspec.structs.replace(rare, item_id="rare and new"), *undated):
        state.catalogue.upsert(item)
    assert "rare and new" in ids(answer(state, None, RankRequest(NOW_MS, own, n=200)))


def test_the_order_by_date_is_kept_up(state: RankingState) -> None:
    chance = np.random.default_rng(5)
    dates = chance.integers(0, 50, 3000)
    dates[chance.random(3000) < 0.3] = NO_DATE
    arrivals = Arrivals()
    for round_of in (3000, 1, 40, 0, MOVED_MAX, MOVED_MAX + 1, 7):
        for row in chance.choice(3000, round_of, replace=False).tolist():
            dates[row] = chance.integers(-1, 60)
            arrivals.touch(row)
        order = arrivals.latest_first(dates)
        assert sorted(order.tolist()) == np.flatnonzero(dates != NO_DATE).tolist()
        assert (np.diff(dates[order]) <= 0).all()


@pytest.mark.parametrize("scenario", ["trending", "popular"])
def test_a_category_says_what_is_wanted_in_it(
    state: RankingState, shop_items: list[Item], scenario: str
) -> None:
    top = {item.item_id: 1000.0 - at for at, item in enumerate(shop_items)}
    state.aggregates = aggregates_of(top, top)
    path = next(item.categories[0] for item in reversed(shop_items) if len(item.categories[0]) > 1)
    shelf = " > ".join(path)
    inside = [item.item_id for item in shop_items if path in item.categories]

    def listed(wanted: dict[str, Any], **fields: Any) -> Ranking:
        narrowed = replace(built_in()[scenario], filter=parse_filter(wanted))
        return answer(state, None, RankRequest(NOW_MS, narrowed, n=5, **fields))

    found = listed({"categories": shelf, "price": {"gte": 0}})
    assert found.items
    assert {item.item_id for item in found.items} <= set(inside)
    for item in found.items:
        assert item.reason.code == f"{scenario}_in_category"
        assert item.reason.category == shelf
        assert path[-1] in item.reason.text
    item_id = inside[0]
    like_it = listed({"categories": "$item.categories"}, item_id=item_id)
    assert set(codes(like_it)) == {f"{scenario}_in_category"}
    assert like_it.items[0].reason.category == shelf
    for vague in (
        {"categories": [shelf, "Grocery"]},
        {"price": {"gte": 0}},
        {"any": [{"categories": shelf}, {"price": {"gte": 0}}]},
        {"not": {"categories": shelf}},
    ):
        assert set(codes(listed(vague))) == {scenario}, vague
    assert set(codes(answer(state, None, asked(scenario)))) == {scenario}


def test_a_category_that_was_given_up_is_not_named(state: RankingState, shop_items: list[Item]) -> None:
    top = {item.item_id: 1000.0 - at for at, item in enumerate(shop_items)}
    state.aggregates = aggregates_of(top)
    file = (
        '[scenarios.own]\nextends = "trending"\nfilter = { categories = "Nowhere" }\nrelax = ["categories"]'
    )
    found = answer(state, None, RankRequest(NOW_MS, read_scenarios(file).by_name["own"]))
    assert set(codes(found)) == {"trending"}


@pytest.mark.parametrize("filtered", [False, True])
def test_candidates_come_by_demand_however_far_down_they_are(
    state: RankingState, shop_items: list[Item], filtered: bool
) -> None:
    """The items of a category page are mostly none of the best thousand of the shop."""
    wanted_more = {f"other {at}": 10_000.0 - at for at in range(TOP_MAX)}
    order = names(shop_items, 40)[::-1]
    demand = {item_id: 100.0 - place for place, item_id in enumerate(order)}
    state.aggregates = aggregates_of(wanted_more | demand, wanted_more | demand)
    candidates = tuple(order[::3] + order[1::3])
    narrowed = parse_filter({"item_id": {"ne": order[3]}}) if filtered else None
    scenario = replace(built_in()["popular"], filter=narrowed, one_per_group=False)
    found = answer(state, None, RankRequest(NOW_MS, scenario, n=40, candidates=candidates))
    assert found.strategy == "popular"
    assert ids(found) == [one for one in order if one in candidates and not (filtered and one == order[3])]
    assert set(codes(found)) == {"catalogue"}  # nobody calls them popular
