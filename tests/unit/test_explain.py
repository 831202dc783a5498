"""What `explain` says of boosts, rotation and caps adds up to what was done."""

from __future__ import annotations

import math
from typing import Any

import pytest

from services.kernel.event_type import EventType
from services.kernel.item import Item
from services.kernel.profile import Profile
from services.ranking.scenario_file import built_in, with_rules
from services.ranking.state import RankedItem, RankingState, RankRequest
from services.release.files import Release
from tests.unit.shop import NOW_MS, aggregates_of, answer, profile_of, state_of


@pytest.fixture
def state(shop_items: list[Item], release: Release) -> RankingState:
    counts = {item.item_id: 300.0 / (place + 1) for place, item in enumerate(shop_items[:300])}
    return state_of(shop_items, release, aggregates_of(counts, counts))


@pytest.fixture
def someone(shop_items: list[Item], release: Release) -> Profile:
    return profile_of(release, [(shop_items[place].item_id, EventType.VIEW) for place in (3, 90, 250)])


def listed(
    state: RankingState,
    profile: Profile | None,
    rules: dict[str, Any],
    scenario: str = "for_you",
    n: int = 20,
) -> list[RankedItem]:
    request = RankRequest(NOW_MS, with_rules(built_in()[scenario], rules), n=n, explain=True)
    return answer(state, profile, request).items


def told(item: RankedItem) -> dict[str, Any]:
    assert item.explain is not None
    return item.explain


@pytest.mark.parametrize("scenario", ["for_you", "trending"])
def test_boosts_add_up(state: RankingState, someone: Profile, scenario: str) -> None:
    rules = {
        "boosts": [{"filter": {"brand": "Private"}, "by": 1}, {"filter": {"price": {"lt": 2}}, "by": -0.5}]
    }
    items = listed(state, someone, rules, scenario)
    least, boosted = math.inf, 0
    for item in items:
        explained = told(item)
        moved = [boost["by"] for boost in explained.get("boosts", [])]
        boosted += len(moved)
        least = min(least, explained["deviations"] + sum(moved))  # what stands below has no higher score
        assert item.score == pytest.approx(least, abs=1e-5)
    assert boosted
    assert not any("deviations" in told(item) for item in listed(state, someone, {}, scenario))


@pytest.mark.parametrize("diversity", [0, 0.4])
def test_a_cap_says_which_of_how_many(
    state: RankingState, someone: Profile, shop_items: list[Item], diversity: float
) -> None:
    field_of = {item.item_id: item.brand for item in shop_items}
    rules = {
        "caps": [{"field": "brand", "most": 3}, {"field": "categories", "most": 2, "soft": True}],
        "pins": [{"item": shop_items[500].item_id, "slot": 2}],
        "diversity": diversity,
    }
    had: dict[str | None, int] = {}
    for item in listed(state, someone, rules):
        assert None not in told(item).values()
        brand = field_of[str(item.item_id)]
        had[brand] = had.get(brand, 0) + 1
        caps = {cap["field"]: (cap["place"], cap["most"]) for cap in told(item)["caps"]}
        assert caps["brand"] == (had[brand], 3)
        assert had[brand] <= 3
        assert caps["categories"][1] == 2
    assert max(had.values()) == 3


def test_what_a_soft_cap_puts_behind_the_rest_says_so(state: RankingState) -> None:
    shown = listed(state, None, {"caps": [{"field": "brand", "most": 2, "soft": True}]}, "popular", n=30)
    places = [told(item)["caps"][0]["place"] for item in shown if told(item).get("caps")]
    behind = [place > 2 for place in places if place]
    assert any(behind)
    assert behind == sorted(behind), "first those for which there is room, then the others"


def test_an_empty_list_came_from_no_step(state: RankingState, someone: Profile) -> None:
    for rules in (None, {"filter": {"brand": "Nobody"}}):
        scenario = built_in()["for_you"] if rules is None else with_rules(built_in()["for_you"], rules)
        for candidates in ((), ("in no catalogue",)):
            found = answer(state, someone, RankRequest(NOW_MS, scenario, candidates=candidates))
            assert (found.items, found.strategy) == ([], "none")
