"""Lists that keep to the order of a series: for who watches it the next episode, for others the first."""

from __future__ import annotations

import random
from typing import Any

import msgspec
import pytest

from services.kernel.event_type import EventType
from services.kernel.ids import fingerprint, item_key
from services.kernel.item import encode_item
from services.kernel.position import Position
from services.kernel.profile import Change, Profile
from services.ranking.rank import rank
from services.ranking.scenario_file import built_in, read_scenarios, with_rules
from services.ranking.state import RankedItem, RankingState, RankRequest
from services.release.files import Release, open_release
from services.trainer.day0 import build_day0
from tests.unit.films import COMPLETE, DISLIKE, PROGRESS, RULES, START, cinema, films, viewer
from tests.unit.shop import NOW_MS, NOW_S, aggregates_of, answer, profile_of, state_of

METROPOLIS = "metropolis"
SERIALS = {"fantomas": 5, "les-vampires": 10, "judex": 12, "phantom-empire": 12}
ORDER = {film.item_id: film.group_order for film in films()}


def part(serial: str, number: int) -> str:
    return f"{serial}-{number:02}"


def vampires(number: int) -> str:
    return part("les-vampires", number)


@pytest.fixture
def state() -> RankingState:
    return cinema()


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> Release:
    """A day-0 release of the films."""
    return open_release(build_day0(films(), tmp_path_factory.mktemp("films"), now_ms=1))


def asked(
    profile: Profile | None, state: RankingState, scenario: str = "for_you", **rules: Any
) -> list[RankedItem]:
    """All of a list."""
    fields = {name: rules.pop(name) for name in ("item_id", "exclude", "candidates") if name in rules}
    made = with_rules(built_in()[scenario], rules)
    return answer(state, profile, RankRequest(NOW_MS, made, n=100, **fields)).items


def episodes(items: list[RankedItem], serial: str = "") -> list[str]:
    """Those of the list that have a place in a series."""
    ids = [str(item.item_id) for item in items]
    return [one for one in ids if ORDER.get(one) is not None and one.startswith(serial)]


def change(state: RankingState, item_id: str, **fields: Any) -> None:
    item = state.catalogue.get(item_id)
    assert item is not None
    state.catalogue.take(encode_item(msgspec.structs.replace(item, **fields)))


def test_somebody_new_is_shown_where_a_series_begins(state: RankingState) -> None:
    first = {part(serial, 1) for serial in SERIALS}
    assert set(episodes(asked(None, state))) == first
    assert set(episodes(asked(viewer((METROPOLIS, START)), state))) == first
    assert len(episodes(asked(None, state, one_per_group=False))) == sum(SERIALS.values())
    assert len(episodes(asked(None, state, series_in_order=False))) == len(SERIALS)


def test_who_watches_a_series_is_shown_the_next_one(state: RankingState) -> None:
    both = viewer((vampires(1), COMPLETE), (vampires(2), COMPLETE))
    assert episodes(asked(both, state), "les") == [vampires(3)]
    half = viewer((vampires(1), COMPLETE), (vampires(2), PROGRESS, 0.5))
    assert episodes(asked(half, state), "les") == [vampires(2)]
    # Who begins in the middle is not sent back.
    assert episodes(asked(viewer((vampires(5), COMPLETE)), state), "les") == [vampires(6)]
    assert episodes(asked(viewer((vampires(5), EventType.VIEW)), state), "les") == [vampires(1)]


def test_it_is_what_continue_watching_says(state: RankingState) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    told = 0
    for _ in range(60):
        deeds = []
        for _ in range(chance.randrange(1, 12)):
            serial = chance.choice(list(SERIALS))
            number = chance.choice((START, PROGRESS, COMPLETE, COMPLETE, COMPLETE))
            one = part(serial, chance.randrange(1, SERIALS[serial] + 1))
            deeds.append((one, number, 0.5) if number == PROGRESS else (one, number))
        someone = viewer(*deeds)
        going = {str(item.item_id) for item in asked(someone, state, "continue_watching")}
        touched = {one[0].rpartition("-")[0] for one in deeds}
        shown = set(episodes(asked(someone, state, hide={})))
        assert going <= shown, deeds
        assert shown - going <= {part(serial, 1) for serial in SERIALS}, deeds
        assert len(shown) == len(SERIALS)
        told += len(going & {one for one in shown if one.rpartition("-")[0] in touched})
    assert told > 60


def test_finished_marks_reach_further_back_than_the_ring(state: RankingState) -> None:
    others = [film.item_id for film in films() if film.group_id is None]
    long_ago = [(vampires(number), COMPLETE) for number in (1, 2, 4)]
    since = [(others[at % len(others)], EventType.VIEW) for at in range(128)]
    someone = viewer(*long_ago, *since)
    assert item_key(vampires(4)) not in someone.ring["item"].tolist()
    assert episodes(asked(someone, state), "les") == [vampires(5)]


def test_a_series_that_is_seen_or_disliked_does_not_come(state: RankingState) -> None:
    every = viewer(*[(part("fantomas", number), COMPLETE) for number in range(1, 6)])
    assert episodes(asked(every, state), "fantomas") == []
    assert episodes(asked(viewer((vampires(1), START), (vampires(1), DISLIKE)), state), "les") == []
    # Nobody who turns down the first is offered the second in its place.
    assert episodes(asked(viewer((vampires(1), DISLIKE)), state), "les") == []
    assert episodes(asked(None, state, exclude=frozenset({vampires(1)})), "les") == []


def test_what_is_ignored_sinks_and_no_other_chapter_comes_up(learned: Release) -> None:
    state = state_of(films(), learned)
    someone = profile_of(learned, [(vampires(1), EventType.VIDEO_COMPLETE)])
    before = [item.item_id for item in asked(someone, state)]
    shown = (fingerprint(item_key(vampires(2))),)
    for place in range(30):
        facts = Position(1, 0, 50 + place), 900 + place, NOW_MS, NOW_S, int(EventType.IMPRESSION), 0
        someone.apply(Change(*facts, (), shown=shown), RULES._replace(space=learned.space.at(1)))
    items = asked(someone, state)
    after = [item.item_id for item in items]
    assert before.index(vampires(2)) < after.index(vampires(2))
    assert episodes(items, "les") == [vampires(2)]


def test_an_episode_that_may_not_be_shown_does_not_take_the_series_away(state: RankingState) -> None:
    change(state, vampires(1), available=False)
    assert episodes(asked(None, state), "les") == [vampires(2)]
    change(state, vampires(2), published_at=NOW_MS + 1000)
    assert episodes(asked(None, state), "les") == [vampires(3)]
    watched = viewer((vampires(1), COMPLETE))
    assert episodes(asked(watched, state), "les") == [vampires(3)]
    assert episodes(asked(viewer((vampires(2), PROGRESS, 0.5)), state), "les") == [vampires(3)]
    change(state, vampires(1), available=True)
    assert episodes(asked(None, state), "les") == [vampires(1)]
    allowed = [vampires(number) for number in (5, 6, 9)]
    change(state, vampires(6), tags=("good",))
    change(state, vampires(9), tags=("good",))
    assert episodes(asked(None, state, filter={"tags": "good"})) == [vampires(6)]
    assert episodes(asked(None, state, candidates=tuple(allowed[::-1]))) == [vampires(5)]
    assert episodes(asked(None, state, filter={"tags": "nothing"})) == []
    state.catalogue.delete(vampires(1))
    assert episodes(asked(None, state), "les") == [vampires(3)]


def test_a_pin_is_a_pin(state: RankingState) -> None:
    pinned = asked(None, state, pins=[{"item": vampires(7), "slot": 1}])
    assert episodes(pinned, "les") == [vampires(7)]


def test_variants_without_an_order_and_episodes_at_one_place_are_let_be(state: RankingState) -> None:
    for number in range(1, 11):
        change(state, vampires(number), group_order=None)
    change(state, part("judex", 2), group_order=1.0)  # dubbed
    change(state, part("judex", 1), tags=("original",))
    buried = {"filter": {"tags": "original"}, "by": -5}
    popular = aggregates_of(popular={vampires(4): 9.0, part("judex", 2): 5.0})
    liked = RankingState(state.catalogue, popular)
    rules = {"series_in_order": True, "boosts": [buried]}
    assert episodes(asked(None, liked, "popular", **rules), "les") == [vampires(4)]
    assert episodes(asked(None, liked, "popular", **rules), "judex") == [part("judex", 2)]


def test_whatever_finds_the_sixth_leads_to_the_first(learned: Release) -> None:
    popular = {METROPOLIS: 4.0}
    together = {METROPOLIS: {vampires(6): 8.0}}
    state = state_of(films(), learned, aggregates_of(popular=popular, together=together))
    text = """
[scenarios.alone]
sources = ["chosen_together"]
ranker = "blend"
series_in_order = true
[scenarios.anyhow]
extends = "alone"
series_in_order = false
"""
    made = read_scenarios(text).by_name
    someone = profile_of(learned, [(METROPOLIS, EventType.VIDEO_START)])
    old = answer(state, someone, RankRequest(NOW_MS, made["anyhow"], explain=True)).items
    assert {item.item_id: item.reason.code for item in old}[vampires(6)] == "chosen_with_item"
    new = answer(state, someone, RankRequest(NOW_MS, made["alone"], explain=True)).items
    (line,) = [item for item in new if item.item_id == vampires(1)]
    assert episodes(new) == [vampires(1)]
    # Of the first nobody knows that it was chosen with the film, nor that it is popular.
    assert line.reason.code not in {"chosen_with_item", "popular", "trending"}
    assert line.explain is not None
    assert line.explain["sources"] == ["chosen_together"]


def test_a_list_in_its_sources_order_leads_to_where_a_series_begins(state: RankingState) -> None:
    """A finale is what all want now: somebody new is shown where it began, and told why."""
    wanted = {
        vampires(10): 9.0,
        METROPOLIS: 8.0,
        vampires(9): 7.0,
        part("judex", 12): 6.0,
        part("judex", 1): 5.0,
    }
    hot = RankingState(state.catalogue, aggregates_of(wanted, wanted))
    for name in ("for_you", "trending"):
        made = with_rules(built_in()[name], {"series_in_order": True})
        items = rank(hot, None, RankRequest(NOW_MS, made, n=20), None).items
        told = [(item.item_id, item.reason.code, item.reason.item_id) for item in items[:3]]
        assert told == [
            (vampires(1), "same_series", vampires(10)),
            (METROPOLIS, "trending", None),
            (part("judex", 1), "trending", None),  # it was found itself
        ]
        assert items[0].reason.text == "From the same series as Les Vampires 10: The Terrible Wedding"
        assert [item.score for item in items] == sorted((item.score for item in items), reverse=True)
        watched = viewer((vampires(1), COMPLETE))
        items = rank(hot, watched, RankRequest(NOW_MS, made, n=20), None).items
        assert vampires(2) in [item.item_id for item in items]
        assert vampires(1) not in [item.item_id for item in items]
    # Out of the group, and the reason is gone with its evidence.
    change(state, vampires(1), group_id=None, group_order=None)
    items = rank(hot, None, RankRequest(NOW_MS, built_in()["for_you"], n=20), None).items
    assert (items[0].item_id, items[0].reason.item_id) == (vampires(2), vampires(10))
    assert {item.item_id: item.reason.code for item in items}[vampires(1)] == "catalogue"


def test_several_sources_mixed_lead_to_it_too(state: RankingState) -> None:
    hot = RankingState(
        state.catalogue, aggregates_of({vampires(6): 9.0}, {vampires(6): 9.0, METROPOLIS: 5.0})
    )
    text = '[scenarios.m]\nsources = ["trending", "popular"]\nranker = "mix"\nseries_in_order = true\n'
    items = rank(hot, None, RankRequest(NOW_MS, read_scenarios(text).by_name["m"], explain=True), None).items
    assert [item.item_id for item in items] == [vampires(1), METROPOLIS]
    assert (items[0].reason.code, items[0].reason.item_id) == ("same_series", vampires(6))
    assert items[0].explain is not None
    assert items[0].explain["sources"] == ["trending", "popular"]


def test_similar_begins_a_series_at_its_beginning(learned: Release) -> None:
    state = state_of(films(), learned)
    shown = asked(None, state, "similar", item_id=vampires(2))
    assert (shown[0].item_id, shown[0].reason.code) == (part("fantomas", 1), "similar_to_item")
    assert {ORDER[one] for one in episodes(shown)} == {1.0}
    assert episodes(shown, "les") == []
    someone = profile_of(learned, [(part("fantomas", 1), EventType.VIDEO_COMPLETE)])
    assert episodes(asked(someone, state, "similar", item_id=vampires(2)), "fan") == [part("fantomas", 2)]


def test_a_list_of_a_large_catalogue_begins_series_at_their_beginning() -> None:
    """More rows than are looked at one by one, under a filter that takes the first away from some."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    base = films()[0]
    items = [
        msgspec.structs.replace(
            base,
            item_id=f"s{serial}-e{number}",
            group_id=f"s{serial}",
            group_order=float(number),
            tags=("in",) if chance.random() < 0.7 else (),
        )
        for serial in range(600)
        for number in chance.sample(range(100), 8)
    ]
    state = state_of(items, None)
    first: dict[str | None, tuple[float, str]] = {}
    for item in items:
        if item.tags:
            assert item.group_order is not None
            place = item.group_order, item.item_id
            first[item.group_id] = min(first.get(item.group_id, place), place)
    request = RankRequest(NOW_MS, with_rules(built_in()["for_you"], {"filter": {"tags": "in"}}), n=200)
    shown = {item.item_id for item in rank(state, None, request, None).items}
    assert len(shown) == 200
    assert shown <= {item_id for _, item_id in first.values()}
