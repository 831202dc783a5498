"""Scenarios, the ladder, the rules and the reasons, on the demo shop."""

from __future__ import annotations

import gc
import itertools
import math
import weakref
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.kernel.event_type import EventType
from services.kernel.ids import item_key
from services.kernel.item import Item
from services.kernel.profile import Profile
from services.ranking.aggregates import Aggregates, Scores
from services.ranking.arrange import best_first
from services.ranking.demand import demand_of
from services.ranking.rank import rank, wants_model
from services.ranking.reasons import NEAR_COSINE
from services.ranking.scenario_file import built_in
from services.ranking.state import RankingState, RankRequest
from services.release.files import Release
from tests.unit.shop import NOW_MS, NOW_S, aggregates_of, answer, demo_items, ids, profile_of, state_of

FOR_YOU, SIMILAR, RECENTLY_VIEWED, TRENDING, POPULAR = (
    "for_you",
    "similar",
    "recently_viewed",
    "trending",
    "popular",
)
SCENARIOS = (FOR_YOU, RECENTLY_VIEWED, SIMILAR, TRENDING, POPULAR)
VIEW, CART_ADD, PURCHASE = EventType.VIEW, EventType.CART_ADD, EventType.PURCHASE
DISLIKE = EventType.DISLIKE


@pytest.fixture(scope="module")
def popular(shop_items: list[Item]) -> dict[str, float]:
    """Counts of a hundred items, no two alike, the highest first."""
    return {item.item_id: 400.0 / (place + 1) for place, item in enumerate(shop_items[100:200])}


@pytest.fixture
def state(shop_items: list[Item], release: Release, popular: dict[str, float]) -> RankingState:
    """The first twenty are wanted now, the others were wanted three weeks ago."""
    trending = {
        name: count * (1.0 if place < 20 else 2.0**-21) for place, (name, count) in enumerate(popular.items())
    }
    return state_of(shop_items, release, aggregates_of(trending, popular))


def request(scenario: str = FOR_YOU, **fields: Any) -> RankRequest:
    return RankRequest(NOW_MS, built_in()[scenario], **fields)


def test_one_event_changes_for_you(state: RankingState, shop_items: list[Item], release: Release) -> None:
    before = ids(answer(state, profile_of(release, []), request()))
    for item in shop_items[::60]:
        after = answer(state, profile_of(release, [(item.item_id, VIEW)]), request())
        assert after.strategy == "model"
        assert ids(after)[:3] != before[:3], f"a view of {item.title}"
        again = answer(
            state, profile_of(release, [(shop_items[3].item_id, PURCHASE), (item.item_id, VIEW)]), request()
        )
        assert ids(again) != ids(after)


def test_the_ladder(shop_items: list[Item], release: Release, state: RankingState) -> None:
    someone = profile_of(release, [(shop_items[0].item_id, VIEW)])
    nobody = Profile.empty(release.space.at(1))
    assert answer(state, someone, request()).strategy == "model"
    assert rank(state, someone, request(), None).strategy == "session"
    assert answer(state, nobody, request()).strategy == "trending"
    assert answer(state, None, request()).strategy == "trending"
    state.aggregates = Aggregates(Scores.merge([]), state.aggregates.popular, {})
    assert answer(state, None, request()).strategy == "popular"
    state.aggregates = Aggregates.empty()
    last = answer(state, None, request(n=200))
    assert (last.strategy, len(last.items)) == ("catalogue", 200)
    assert {item.reason.code for item in last.items} == {"catalogue"}
    stranger = profile_of(release, [("in-no-catalogue", VIEW)])
    assert not wants_model(state, stranger, request())
    assert answer(state, stranger, request()).strategy == "catalogue"


def test_without_a_release_everything_still_answers(
    shop_items: list[Item], popular: dict[str, float]
) -> None:
    bare = state_of(shop_items, None, aggregates_of({}, popular))
    someone = profile_of(None, [(shop_items[0].item_id, PURCHASE)])
    for scenario in SCENARIOS:
        found = answer(bare, someone, request(scenario, item_id=shop_items[1].item_id))
        assert found.items
        assert found.release is None
    assert answer(bare, someone, request()).strategy == "session"


def test_an_empty_catalogue_answers_with_nothing(release: Release) -> None:
    empty = state_of([], release)
    assert all(not answer(empty, None, request(scenario)).items for scenario in SCENARIOS)


@settings(max_examples=80)
@given(
    deeds=st.lists(
        st.tuples(st.integers(0, 650), st.sampled_from([1, 3, 4, 5, 8, 10, 11, 200])), max_size=20
    ),
    scenario=st.sampled_from(SCENARIOS),
    n=st.integers(1, 200),
    item=st.one_of(st.none(), st.integers(0, 650)),
    excluded=st.sets(st.integers(0, 599), max_size=5),
)
def test_every_answer_keeps_the_rules(
    shop_items: list[Item],
    release: Release,
    popular: dict[str, float],
    deeds: list[tuple[int, int]],
    scenario: str,
    n: int,
    item: int | None,
    excluded: set[int],
) -> None:
    names = [item.item_id for item in shop_items] + [f"unknown-{index}" for index in range(51)]
    state = _SHARED.setdefault("state", state_of(shop_items, release, aggregates_of(popular, popular)))
    profile = profile_of(release, [(names[index], number) for index, number in deeds])
    asked = request(
        scenario,
        n=n,
        item_id=None if item is None else names[item],
        exclude=[names[index] for index in excluded],
    )
    found = answer(state, profile, asked)
    shown = ids(found)
    assert 1 <= len(shown) <= n
    assert len({one.key for one in found.items}) == len(shown)
    assert not {names[index] for index in excluded} & set(shown)
    scores = [one.score for one in found.items]
    assert all(math.isfinite(score) for score in scores)
    assert scores == sorted(scores, reverse=True)
    assert all(one.reason.text for one in found.items)
    assert found == answer(state, profile, asked), "the same question has the same answer"
    if scenario != RECENTLY_VIEWED:
        assert len(shown) == n
        assert None not in shown


_SHARED: dict[str, RankingState] = {}


def test_only_what_may_be_shown_is_shown(
    state: RankingState, shop_items: list[Item], popular: dict[str, float]
) -> None:
    changes: tuple[dict[str, Any], ...] = (
        {"available": False},
        {"expires_at": NOW_MS},
        {"published_at": NOW_MS + 1},
    )
    top = list(popular)[:4]
    for item_id, change in zip(top, changes, strict=False):
        item = state.catalogue.get(item_id)
        assert item is not None
        state.catalogue.upsert(msgspec.structs.replace(item, **change))
    state.catalogue.delete(top[3])
    for scenario in (FOR_YOU, TRENDING, POPULAR):
        shown = ids(answer(state, None, request(scenario, n=200)))
        assert len(shown) == 200
        assert not set(top) & set(shown)


def test_one_item_of_a_group(state: RankingState, popular: dict[str, float]) -> None:
    for item_id in list(popular)[:6]:
        item = state.catalogue.get(item_id)
        assert item is not None
        state.catalogue.upsert(msgspec.structs.replace(item, group_id="g"))
    for scenario in (FOR_YOU, TRENDING, POPULAR):
        shown = ids(answer(state, None, request(scenario, n=200)))
        assert shown[0] == next(iter(popular))
        assert len(set(list(popular)[:6]) & set(shown)) == 1


def test_dislikes_and_finished_films_are_hidden_bought_things_are_not(
    state: RankingState, shop_items: list[Item], release: Release, popular: dict[str, float]
) -> None:
    bought, disliked, finished = list(popular)[:3]
    deeds = [
        (disliked, DISLIKE),
        (finished, EventType.VIDEO_COMPLETE),
        (bought, PURCHASE),
        (bought, PURCHASE),
    ]
    profile = profile_of(release, [(item, int(number)) for item, number in deeds])
    shown = ids(answer(state, profile, request()))
    assert shown[0] == bought
    assert not {disliked, finished} & set(ids(answer(state, profile, request(n=200))))
    assert disliked not in ids(answer(state, profile, request(POPULAR)))
    assert finished in ids(answer(state, profile, request(POPULAR)))
    assert ids(answer(state, profile, request(RECENTLY_VIEWED))) == [bought, finished, disliked]


def test_recently_viewed(state: RankingState, shop_items: list[Item], release: Release) -> None:
    one, two = shop_items[0].item_id, shop_items[1].item_id
    profile = profile_of(release, [(one, VIEW), ("p_67890", VIEW), (two, VIEW), (one, VIEW)])
    found = answer(state, profile, request(RECENTLY_VIEWED))
    assert ids(found) == [one, two, None]
    assert found.items[2].key == item_key("p_67890")
    assert found.items[2].row == -1
    assert {item.reason.code for item in found.items} == {"recently_viewed"}
    assert ids(answer(state, profile, request(RECENTLY_VIEWED, exclude=["p_67890", one]))) == [two]
    assert answer(state, None, request(RECENTLY_VIEWED)).strategy == "trending"


def test_similar(state: RankingState, shop_items: list[Item], release: Release) -> None:
    coffee = next(item for item in shop_items if item.title is not None and "offee" in item.title)
    found = answer(state, None, request(SIMILAR, item_id=coffee.item_id))
    assert coffee.item_id not in ids(found)
    first = state.catalogue.item(found.items[0].row)
    assert first.categories == coffee.categories
    assert found.items[0].reason.code == "similar_to_item"
    assert found.items[0].reason.item_id == coffee.item_id
    assert answer(state, None, request(SIMILAR, item_id="unknown")).strategy == "trending"
    profile = profile_of(release, [(coffee.item_id, VIEW)])
    alike = [item for item in found.items if item.reason.code == "similar_to_item"]
    again = answer(state, profile, request(SIMILAR)).items
    assert [item.row for item in again[: len(alike)]] == [item.row for item in alike], "like the last one"
    vectors, _ = state.catalogue.vectors(np.array([item.row for item in alike]))
    mine = release.vector_of(item_key(coffee.item_id))
    assert mine is not None
    cosines = vectors @ mine / np.linalg.norm(vectors, axis=1) / np.linalg.norm(mine)
    assert len(alike) > 3
    assert cosines.min() >= NEAR_COSINE
    assert len(again) == len(found.items) == 10, "the rest is what `then` says"


def test_what_is_chosen_together_is_similar_even_for_an_item_in_no_catalogue(
    state: RankingState, shop_items: list[Item]
) -> None:
    tea = shop_items[5].item_id
    state.aggregates = aggregates_of({}, {}, {"stranger": {tea: 30}})
    found = answer(state, None, request(SIMILAR, item_id="stranger"))
    assert found.items[0].item_id == tea
    assert found.items[0].reason.code == "chosen_with_item"


def test_trending_and_popular_in_order(state: RankingState, popular: dict[str, float]) -> None:
    for scenario in (TRENDING, POPULAR):
        found = answer(state, None, request(scenario, n=20))
        assert ids(found) == list(popular)[:20]
        assert found.strategy == scenario
    rest = answer(state, None, request(TRENDING, n=110))
    assert [item.reason.code for item in rest.items] == ["trending"] * 20 + ["popular"] * 80 + [
        "catalogue"
    ] * 10


def test_reasons_go_with_their_evidence(
    shop_items: list[Item], release: Release, popular: dict[str, float]
) -> None:
    seen, together = shop_items[0].item_id, shop_items[300].item_id
    profile = profile_of(release, [(seen, VIEW)], end_s=NOW_S - 86_400)
    with_pairs = state_of(shop_items, release, aggregates_of({}, {}, {seen: {together: 50}}))
    reasons = {item.item_id: item.reason for item in answer(with_pairs, profile, request(n=200)).items}
    assert reasons[together].code == "chosen_with_item"
    assert reasons[together].item_id == seen
    without = state_of(shop_items, release)
    codes = {item.reason.code for item in answer(without, profile, request(n=200)).items}
    assert not codes & {"chosen_with_item", "trending", "popular", "bought_before", "new"}
    nobody = answer(without, None, request(n=200))
    assert {item.reason.code for item in nobody.items} == {"catalogue"}


@settings(max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 599), st.sampled_from([1, 3, 5])), min_size=1, max_size=15))
def test_reasons_are_true(
    shop_items: list[Item], release: Release, popular: dict[str, float], deeds: list[tuple[int, int]]
) -> None:
    pairs = {shop_items[place].item_id: {shop_items[place + 7].item_id: 9.0} for place in range(0, 500, 5)}
    state = state_of(
        shop_items, release, aggregates_of(dict(itertools.islice(popular.items(), 30)), popular, pairs)
    )
    named = [(shop_items[index].item_id, number) for index, number in deeds]
    ring = {item_id for item_id, _ in named}
    bought = {item_id for item_id, number in named if number == PURCHASE}
    last = dict(named)
    for item in answer(state, profile_of(release, named), request(n=60)).items:
        reason, item_id = item.reason, item.item_id
        assert item_id is not None
        match reason.code:
            case "bought_before":
                assert item_id in bought
            case "viewed_before":
                assert item_id in ring - bought
                assert last[item_id] == VIEW
            case "recently_viewed":
                assert (last[item_id], reason.text) == (CART_ADD, "You put this into your cart")
            case "chosen_with_item":
                assert reason.item_id in ring
                assert item_id in pairs[str(reason.item_id)]
            case "similar_to_item":
                assert reason.item_id in ring - {item_id}
                one, other = (release.vector_of(item_key(str(name))) for name in (item_id, reason.item_id))
                assert one is not None
                assert other is not None
                assert float(one @ other) >= 0.69
            case "same_category":
                source = state.catalogue.get(str(reason.item_id))
                assert reason.item_id in ring
                assert source is not None
                assert str(reason.category).split(" > ") in source.categories
                assert str(reason.category).split(" > ") in state.catalogue.item(item.row).categories
            case "trending":
                assert item_id in list(popular)[:30]
            case "popular":
                assert item_id in popular
            case code:
                assert code in {"taste", "catalogue"}


def test_a_new_item_is_there_at_once(state: RankingState, shop_items: list[Item], release: Release) -> None:
    coffee = next(item for item in shop_items if item.title is not None and "offee" in item.title)
    profile = profile_of(release, [(coffee.item_id, VIEW)])
    new = msgspec.structs.replace(coffee, item_id="new coffee")
    assert "new coffee" not in ids(answer(state, profile, request()))
    state.catalogue.upsert(new)
    assert "new coffee" in ids(answer(state, profile, request()))
    assert ids(answer(state, None, request(SIMILAR, item_id=coffee.item_id, n=20))).count("new coffee") == 1
    assert ids(answer(state, None, request(SIMILAR, item_id="new coffee"))).count(coffee.item_id) == 1
    state.catalogue.delete("new coffee")
    assert "new coffee" not in ids(answer(state, profile, request()))


def test_candidates_to_rank(state: RankingState, shop_items: list[Item], release: Release) -> None:
    wanted = [item.item_id for item in shop_items[7:90:9]]
    profile = profile_of(release, [(shop_items[0].item_id, VIEW)])
    for scenario in (FOR_YOU, SIMILAR, TRENDING, POPULAR):
        found = answer(state, profile, request(scenario, candidates=[*wanted, "unknown"], n=50))
        assert sorted(map(str, ids(found))) == sorted(wanted)


def test_a_swap_between_model_and_ranking_falls_back(
    state: RankingState, shop_items: list[Item], release: Release
) -> None:
    from services.ranking.inputs import ModelQuestion

    profile = profile_of(release, [(shop_items[0].item_id, VIEW)])
    assert state.model is not None
    stale = state.model.run([ModelQuestion(profile, NOW_MS)])[0]
    state.catalogue.bind(None)
    found = rank(state, profile, request(), stale)
    assert (found.strategy, len(found.items)) == ("session", 10)


def test_merged_scores_are_sums() -> None:
    keys = np.array([5, 9, 2], dtype=np.uint64)
    merged = Scores.merge([(keys, np.array([1.0, 3.0, 2.0])), (keys[1:], np.array([3.0, 2.0]))])
    assert merged.of(np.array([2, 5, 9, 7], dtype=np.uint64)).tolist() == [3.0, 1.0, 4.0, -math.inf]
    assert merged.top(2) == [9, 2]
    assert Scores.merge([]).top(5) == []


@given(st.lists(st.sampled_from([0.0, 0.5, 1.0, 2.0]), min_size=1, max_size=40), st.integers(1, 50))
def test_the_best_sorted_alone_are_in_the_order_of_all(scores: list[float], first: int) -> None:
    score, keys = np.array(scores), np.random.default_rng(3).permutation(len(scores)).astype(np.uint64)
    assert list(best_first(score, keys, first)) == np.lexsort((keys, -score)).tolist()


def test_an_answer_leaves_nothing_to_the_garbage_collector(
    state: RankingState, release: Release, shop_items: list[Item]
) -> None:
    """What stands in cycles is collected some 50,000 objects at a time, and stops the service for as long."""
    profile = profile_of(release, [(item.item_id, VIEW) for item in shop_items[::60]])
    requests = [request(scenario) for scenario in SCENARIOS]
    for made in requests:
        answer(state, profile, made)
    gc.collect()
    gc.disable()
    try:
        for made in requests:
            answer(state, profile, made)
        assert gc.collect() == 0
    finally:
        gc.enable()


def test_a_snapshot_that_nobody_holds_is_let_go() -> None:
    """The recommender makes one a second; each that stays costs megabytes."""
    state = state_of(demo_items(50), None)
    demand_of(state)
    gone = weakref.ref(state.aggregates)
    gc.disable()
    try:
        state.aggregates = Aggregates.empty()
        assert gone() is None
    finally:
        gc.enable()
