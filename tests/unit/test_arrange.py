"""Boosts, pins, caps, diversity and what `explain` says of them, on the demo shop."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace as replace_fields

from services.kernel.event_type import EventType
from services.kernel.item import Item
from services.kernel.profile import Profile
from services.ranking.rank import rank, wants_model
from services.ranking.scenario import Scenario
from services.ranking.scenario_file import built_in, read_scenarios, with_rules
from services.ranking.state import RankedItem, Ranking, RankingState, RankRequest
from services.release.files import Release
from tests.unit.shop import NOW_MS, aggregates_of, answer, ids, profile_of, state_of

VIEW = EventType.VIEW


@pytest.fixture(scope="module")
def state(shop_items: list[Item], release: Release) -> RankingState:
    popular = {item.item_id: 400.0 / (place + 1) for place, item in enumerate(shop_items[100:200])}
    return state_of(shop_items, release, aggregates_of(popular, popular))


@pytest.fixture(scope="module")
def someone(shop_items: list[Item], release: Release) -> Profile:
    return profile_of(release, [(item.item_id, VIEW) for item in shop_items[:12:3]])


def asked(rules: dict[str, Any], scenario: str = "for_you", **fields: Any) -> RankRequest:
    made: Scenario = with_rules(built_in()[scenario], rules)
    return RankRequest(NOW_MS, made, explain=True, **fields)


def items_of(state: RankingState, ranking: Ranking) -> list[Item]:
    return [state.catalogue.item(item.row) for item in ranking.items]


def explain(item: RankedItem) -> dict[str, Any]:
    assert item.explain is not None
    return item.explain


@pytest.mark.parametrize("scenario", ["for_you", "popular"])
def test_a_boost_lifts_and_a_negative_one_buries(
    state: RankingState, someone: Profile, scenario: str
) -> None:
    plain = answer(state, someone, asked({}, scenario, n=40))
    brands = [item.brand for item in items_of(state, plain)]
    brand = next(brand for brand in reversed(brands) if brand is not None)
    wanted = {"brand": brand}

    def places(rules: dict[str, Any]) -> tuple[list[int], Ranking]:
        ranking = answer(state, someone, asked(rules, scenario, n=40))
        found = items_of(state, ranking)
        return [place for place, item in enumerate(found) if item.brand == brand], ranking

    before, _ = places({})
    lifted, ranking = places({"boosts": [{"filter": wanted, "by": 3.0}]})
    buried, _ = places({"boosts": [{"filter": wanted, "by": -10.0}]})
    assert len(lifted) >= len(before)
    assert np.mean(lifted[: len(before)]) < np.mean(before)
    assert not buried or min(buried) > max(before) - len(before)
    hits = [
        item
        for item, what in zip(ranking.items, items_of(state, ranking), strict=True)
        if what.brand == brand
    ]
    assert all(explain(item)["boosts"] == [{"filter": wanted, "by": 3.0}] for item in hits)
    others = [item for item in ranking.items if item not in hits]
    assert not any("boosts" in explain(item) for item in others)
    assert [item.score for item in ranking.items] == sorted((i.score for i in ranking.items), reverse=True)


def test_a_boost_of_nothing_changes_nothing(state: RankingState, someone: Profile) -> None:
    plain = answer(state, someone, asked({}, n=40))
    boosted = answer(state, someone, asked({"boosts": [{"filter": {"brand": "nobody"}, "by": 9.0}]}, n=40))
    assert ids(plain) == ids(boosted)


def test_pins_stand_at_their_slots_and_only_once(
    state: RankingState, someone: Profile, shop_items: list[Item]
) -> None:
    plain = ids(answer(state, someone, asked({}, n=10)))
    late = plain[7]
    assert late is not None
    rules = {"pins": [{"item": late, "slot": 1}, {"item": shop_items[400].item_id, "slot": 4}]}
    ranking = answer(state, someone, asked(rules, n=10))
    shown = ids(ranking)
    assert (shown[0], shown[3]) == (late, shop_items[400].item_id)
    assert len(set(shown)) == len(shown) == 10
    assert explain(ranking.items[3])["pinned"] == 4
    assert ranking.items[3].reason.code == "pinned"
    rest = [item_id for item_id in shown if item_id not in {late, shop_items[400].item_id}]
    assert rest == [item_id for item_id in plain if item_id != late][:8]


def test_a_pin_gives_way_to_what_forbids_it(
    state: RankingState, someone: Profile, shop_items: list[Item]
) -> None:
    pinned = shop_items[400]
    rules = {"pins": [{"item": pinned.item_id, "slot": 2}, {"item": "nowhere", "slot": 3}]}
    assert pinned.item_id in ids(answer(state, someone, asked(rules)))
    excluded = asked(rules, exclude=frozenset({pinned.item_id}))
    assert pinned.item_id not in ids(answer(state, someone, excluded))
    filtered = asked({**rules, "filter": {"not": {"item_id": pinned.item_id}}})
    assert pinned.item_id not in ids(answer(state, someone, filtered))
    ordered = asked(rules, candidates=tuple(item.item_id for item in shop_items[:5]))
    assert pinned.item_id not in ids(answer(state, someone, ordered))
    assert len(answer(state, someone, asked(rules)).items) == 10


def test_a_pin_behind_a_short_list_stands_at_its_end(state: RankingState, shop_items: list[Item]) -> None:
    few = {"item_id": [item.item_id for item in shop_items[:3]]}
    rules = {"pins": [{"item": shop_items[1].item_id, "slot": 9}], "filter": few}
    shown = ids(answer(state, None, asked(rules, "popular")))
    assert len(shown) == 3
    assert shown[-1] == shop_items[1].item_id


def test_a_cap_of_a_group(shop_items: list[Item]) -> None:
    """Where a scenario lets several of a group in, some of them may still be the most."""
    series = [
        replace_fields(item, group_id=f"series {place // 6}") for place, item in enumerate(shop_items[:60])
    ]
    demand = {item.item_id: 100.0 - place for place, item in enumerate(series)}
    state = state_of(series, None, aggregates_of(demand, demand))
    rules = {"one_per_group": False, "caps": [{"field": "group_id", "most": 2}]}
    shown = items_of(state, answer(state, None, asked(rules, "popular", n=20)))
    assert Counter(item.group_id for item in shown) == {f"series {at}": 2 for at in range(10)}


@pytest.mark.parametrize("diversity", [0.0, 0.4])
def test_what_a_soft_cap_holds_back_keeps_the_others(
    state: RankingState, someone: Profile, diversity: float
) -> None:
    caps = [{"field": "brand", "most": 1, "soft": True}, {"field": "categories", "most": 2}]
    ranking = answer(state, someone, asked({"caps": caps, "diversity": diversity}, n=200))
    shelves = Counter(tuple(item.categories[0]) for item in items_of(state, ranking) if item.categories)
    assert max(shelves.values()) == 2
    assert max(Counter(item.brand for item in items_of(state, ranking)).values()) > 1


@pytest.mark.parametrize(
    "rules", [{"diversity": 0.7}, {"caps": [{"field": "brand", "most": 1, "soft": True}]}]
)
def test_scores_fall_down_the_list_whatever_arranged_it(
    state: RankingState, someone: Profile, rules: dict[str, Any]
) -> None:
    ranking = answer(state, someone, asked(rules, n=60))
    raw = [explain(item)["score"] for item in ranking.items]
    assert raw != sorted(raw, reverse=True)
    assert [item.score for item in ranking.items] == sorted((i.score for i in ranking.items), reverse=True)


def test_sources_of_which_nothing_may_be_shown_leave_the_list_to_its_fill(
    state: RankingState, shop_items: list[Item]
) -> None:
    two = read_scenarios('[scenarios.two]\nsources = ["trending", "popular"]\nfill = ["catalogue"]').by_name[
        "two"
    ]
    last = shop_items[-1].item_id  # nobody wanted it
    found = answer(state, None, RankRequest(NOW_MS, two, candidates=(last,)))
    assert (ids(found), found.strategy) == ([last], "catalogue")


@pytest.mark.parametrize("diversity", [0.0, 0.4])
@pytest.mark.parametrize("field", ["brand", "categories"])
def test_a_cap_holds_down_to_the_last_step(
    state: RankingState, someone: Profile, field: str, diversity: float
) -> None:
    rules = {"caps": [{"field": field, "most": 2}], "diversity": diversity}
    ranking = answer(state, someone, asked(rules, n=60))

    def value(item: Item) -> object:
        return item.brand if field == "brand" else tuple(item.categories[0]) if item.categories else None

    counts = Counter(value(item) for item in items_of(state, ranking))
    del counts[None]
    assert max(counts.values()) == 2
    loose = Counter(value(item) for item in items_of(state, answer(state, someone, asked({}, n=60))))
    assert max(loose.values()) > 2


def cosines(state: RankingState, ranking: Ranking) -> float:
    vectors, _ = state.catalogue.vectors(np.array([item.row for item in ranking.items]))
    vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
    products = vectors @ vectors.T
    return float(products[np.triu_indices(len(products), 1)].mean())


def test_the_knob_of_diversity_makes_a_list_less_alike(state: RankingState, someone: Profile) -> None:
    lists = [answer(state, someone, asked({"diversity": knob}, n=20)) for knob in (0.0, 0.3, 0.7, 1.0)]
    alike = [cosines(state, ranking) for ranking in lists]
    assert alike == sorted(alike, reverse=True)
    assert alike[-1] < alike[0] - 0.1
    assert len({tuple(ids(ranking)) for ranking in lists}) == 4
    assert ids(lists[1])[0] == ids(lists[0])[0]  # the best stands first whatever the knob says
    assert all(0 <= explain(item)["diversity"]["relevance"] <= 1 for item in lists[1].items)
    assert explain(lists[1].items[0])["diversity"]["similarity"] == 0


def test_explain_names_sources_and_is_there_only_when_asked(state: RankingState, someone: Profile) -> None:
    told = answer(state, someone, asked({}))
    assert all(explain(item)["sources"] and "score" in explain(item) for item in told.items)
    silent = answer(state, someone, replace(asked({}), explain=False))
    assert [item._replace(explain=None) for item in told.items] == silent.items


def test_a_filter_that_leaves_nothing_is_relaxed_in_the_stated_order(
    state: RankingState, someone: Profile, shop_items: list[Item]
) -> None:
    shelf = " > ".join(shop_items[0].categories[0])
    rules = {"filter": {"brand": "nobody", "price": {"lt": 0.0001}, "categories": shelf}}
    fewer = answer(state, someone, asked(rules))
    assert fewer.items == []
    assert fewer.filter is not None
    assert (fewer.filter.matched, fewer.filter.relaxed) == (0, ())
    assert [one.field for one in fewer.filter.unknown] == ["brand"]
    half = answer(state, someone, asked({**rules, "relax": ["price"]}))
    assert half.items == []
    relaxed = answer(state, someone, asked({**rules, "relax": ["price", "brand", "categories"]}))
    assert relaxed.filter is not None
    assert relaxed.filter.relaxed == ("price", "brand")
    assert relaxed.items
    assert all(shelf in {" > ".join(path) for path in item.categories} for item in items_of(state, relaxed))


def test_a_narrow_filter_is_filled_by_what_is_near_and_not_by_the_order_of_the_catalogue(
    state: RankingState, someone: Profile, shop_items: list[Item]
) -> None:
    some = [item.item_id for item in shop_items[200:500]]  # neither popular nor seen
    ranking = answer(state, someone, asked({"filter": {"item_id": some}}, n=10))
    assert ranking.strategy == "model"
    assert set(ids(ranking)) <= set(some)
    by_score = rank(state, someone, asked({}, candidates=tuple(some), n=10), None)
    assert len(ranking.items) == len(by_score.items) == 10
    assert ids(ranking) != some[:10]


def test_the_next_page_repeats_nothing(state: RankingState, someone: Profile) -> None:
    shown: frozenset[int] = frozenset()
    pages: list[str | None] = []
    for _ in range(5):
        page = answer(state, someone, asked({}, n=20, shown=shown))
        assert len(page.items) == 20
        pages += ids(page)
        shown |= {item.key for item in page.items}
    assert len(set(pages)) == 100


def test_the_next_page_repeats_neither_pins_nor_others_of_a_group(release: Release) -> None:
    sizes = [Item(item_id=f"cheese {size}", title="Cheese", group_id="cheese") for size in "SML"]
    others = [Item(item_id=f"p{number}", title=f"Bread {number}") for number in range(12)]
    state = state_of([*sizes, *others], release)
    rules = {"pins": [{"item": "p7", "slot": 1}]}
    first = answer(state, None, asked(rules, "popular", n=5))
    assert ids(first)[0] == "p7"
    assert "cheese" in {item.group_id for item in items_of(state, first)}
    shown = frozenset(item.key for item in first.items)
    second = answer(state, None, asked(rules, "popular", n=20, shown=shown))
    assert len(second.items) == 8
    assert not set(ids(first)) & set(ids(second))
    assert "cheese" not in {item.group_id for item in items_of(state, second)}
    assert len(answer(state, None, asked({"one_per_group": False}, "popular", n=20, shown=shown)).items) == 10


def test_a_mixed_scenario_asks_the_model_and_says_who_found_what(
    state: RankingState, someone: Profile
) -> None:
    made = read_scenarios(
        '[scenarios.blend_of_two]\nsources = ["model", {name = "popular", weight = 0.2}]\nranker = "mix"\n'
    )
    request = RankRequest(NOW_MS, made.by_name["blend_of_two"], n=30, explain=True)
    assert wants_model(state, someone, request)
    mixed = answer(state, someone, request)
    assert mixed.strategy == "model"
    found = [explain(item)["sources"] for item in mixed.items]
    assert ["model"] in found
    assert any("popular" in sources for sources in found)
    scores = [item.score for item in mixed.items]
    assert scores == sorted(scores, reverse=True)
    nobody = answer(state, None, request)
    assert {item.reason.code for item in nobody.items} == {"popular"}


def test_rules_hold_for_somebody_new_too(state: RankingState, shop_items: list[Item]) -> None:
    plain = answer(state, None, asked({}, n=20))
    assert plain.strategy == "trending"
    brand = next(item.brand for item in reversed(items_of(state, plain)) if item.brand is not None)
    boosted = answer(state, None, asked({"boosts": [{"filter": {"brand": brand}, "by": 5.0}]}, n=20))
    assert boosted.strategy == "trending"
    assert {item.brand for item in items_of(state, boosted)[:5]} == {brand}
    assert explain(boosted.items[0])["boosts"]
    diverse = answer(state, None, asked({"diversity": 0.6}, n=20))
    assert cosines(state, diverse) < cosines(state, plain)
