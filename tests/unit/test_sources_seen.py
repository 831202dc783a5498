"""What a scenario hides of what its user has seen, and for how long; what was shown and ignored sinks."""

from __future__ import annotations

import pytest

from services.kernel.bank import NO_SPACE
from services.kernel.event_type import EventType
from services.kernel.ids import fingerprint, item_key
from services.kernel.item import Item
from services.kernel.position import Position
from services.kernel.profile import SEEN_VIEWED, Change, Line, Profile
from services.kernel.profile_merge import copy_profile
from services.ranking.rank import rank
from services.ranking.scenario_file import built_in, read_scenarios
from services.ranking.state import RankingState, RankRequest
from services.release.files import Release
from tests.unit.films import RULES, viewer
from tests.unit.shop import NOW_MS, NOW_S, aggregates_of, answer, ids, profile_of, state_of

DAY_S = 86_400
BOUGHT, VIEWED, FINISHED, DISLIKED = range(4)


@pytest.fixture(scope="module")
def popular(shop_items: list[Item]) -> list[str]:
    return [item.item_id for item in shop_items[:8]]


@pytest.fixture(scope="module")
def state(shop_items: list[Item], popular: list[str]) -> RankingState:
    counts = {item_id: 100.0 - at for at, item_id in enumerate(popular)}
    return state_of(shop_items, None, aggregates_of(counts, counts))


@pytest.fixture(scope="module")
def someone(popular: list[str]) -> Profile:
    """Bought the first, viewed the second, finished the third and disliked the fourth of what is popular."""
    kinds = (EventType.PURCHASE, EventType.VIEW, EventType.VIDEO_COMPLETE, EventType.DISLIKE)
    return viewer(*[(item_id, kind) for item_id, kind in zip(popular, kinds, strict=False)])


def hidden(
    state: RankingState, someone: Profile, popular: list[str], policy: str, later_s: float = 0.0
) -> list[int]:
    """The places in `popular` of what a list with this `hide` lacks some time later."""
    file = (
        f'[scenarios.own]\nsources = ["popular"]\nranker = "in_order"\nfill = ["catalogue"]\nhide = {policy}'
    )
    scenarios = read_scenarios(file)
    assert not scenarios.warnings
    now_ms = NOW_MS + round(later_s * 1000)
    shown = rank(state, someone, RankRequest(now_ms, scenarios.by_name["own"], n=200), None)
    return [at for at, item_id in enumerate(popular) if item_id not in ids(shown)]


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ("{}", []),
        ('{ bought = "30d" }', [BOUGHT]),
        ('{ viewed = "30m" }', [VIEWED]),
        ('{ viewed = "always" }', [VIEWED]),
        ('{ finished = "always" }', [FINISHED]),
        ('{ disliked = "12h" }', [DISLIKED]),
        ('{ bought = "1d", finished = "always", disliked = "always" }', [BOUGHT, FINISHED, DISLIKED]),
    ],
)
def test_each_way_of_having_seen_an_item(
    state: RankingState, someone: Profile, popular: list[str], policy: str, expected: list[int]
) -> None:
    assert hidden(state, someone, popular, policy) == expected


@pytest.mark.parametrize(
    ("policy", "still_s", "back_s"),
    [
        ('{ bought = "30d" }', 30 * DAY_S, 31 * DAY_S),
        ('{ viewed = "30m" }', 30 * 60 - 180, 30 * 60),  # it was viewed two minutes before now
        ('{ viewed = "12h" }', 12 * 3600 - 180, 12 * 3600),
        ('{ disliked = "1d" }', DAY_S, 2 * DAY_S),
    ],
)
def test_what_was_hidden_comes_back(
    state: RankingState,
    someone: Profile,
    popular: list[str],
    policy: str,
    still_s: float,
    back_s: float,
) -> None:
    assert len(hidden(state, someone, popular, policy, still_s)) == 1
    assert hidden(state, someone, popular, policy, back_s) == []


@pytest.mark.parametrize("policy", ['{ finished = "always" }', '{ finished = "12h" }'])
def test_who_left_in_the_credits_has_finished_too(
    state: RankingState, popular: list[str], policy: str
) -> None:
    player = EventType.VIDEO_PROGRESS
    watched = viewer((popular[0], player, 0.97), (popular[1], player, 0.5), (popular[2], player, 0.95))
    assert hidden(state, watched, popular, policy) == [0, 2]


def test_for_ever_is_for_ever(state: RankingState, someone: Profile, popular: list[str]) -> None:
    policy = '{ finished = "always", disliked = "always" }'
    assert hidden(state, someone, popular, policy, 3000 * DAY_S) == [FINISHED, DISLIKED]


def test_each_reason_has_its_own_day(state: RankingState, popular: list[str]) -> None:
    """Viewed today, bought two months ago: it was still bought two months ago."""
    both = viewer(
        (popular[0], EventType.PURCHASE, 0.0, NOW_S - 60 * DAY_S), (popular[0], EventType.VIEW, 0.0, NOW_S)
    )
    assert hidden(state, both, popular, '{ bought = "30d" }') == []
    assert hidden(state, both, popular, '{ bought = "90d" }') == [0]
    assert hidden(state, both, popular, '{ viewed = "1h" }') == [0]


def test_what_is_hidden_stays_hidden_where_the_list_is_filled(
    state: RankingState, someone: Profile, shop_items: list[Item], popular: list[str]
) -> None:
    file = '[scenarios.own]\nsources = ["recently_viewed"]\nfill = ["trending", "popular", "catalogue"]\n'
    own = read_scenarios(file + 'hide = { bought = "30d" }').by_name["own"]
    shown = ids(rank(state, someone, RankRequest(NOW_MS, own, n=200), None))
    assert len(shown) == 200
    assert popular[BOUGHT] not in shown


def shown_to(profile: Profile, items: list[str], place: int, ago_s: int = 0) -> None:
    """An impression of some items."""
    change = Change(
        *(Position(1, 0, 10_000 + place), 10_000 + place, NOW_MS, NOW_S - ago_s, int(EventType.IMPRESSION)),
        *(0, ()),
        shown=tuple(fingerprint(item_key(item_id)) for item_id in items),
    )
    profile.apply(change, RULES)


def test_the_same_list_is_not_shown_for_ever(shop_items: list[Item], release: Release) -> None:
    """Four looks at a page: what was ignored three times makes room, and a click says that it was not."""
    counts = {item.item_id: 300.0 / (at + 1) for at, item in enumerate(shop_items[100:200])}
    state = state_of(shop_items, release, aggregates_of(counts, counts))
    profile = profile_of(release, [(shop_items[0].item_id, EventType.VIEW)])
    lists = []
    for look in range(4):
        found = answer(state, profile, RankRequest(NOW_MS))
        lists.append([str(item_id) for item_id in ids(found)])
        shown_to(profile, lists[-1], look)
    assert lists[0] == lists[1] == lists[2]
    assert len(set(lists[3]) - set(lists[0])) >= 3, "after three impressions without a click"
    ignored = [item_id for item_id in lists[0] if item_id not in lists[3]]
    assert ignored
    clicked = copy_profile(profile)
    clicked.apply(
        Change(
            *(Position(1, 0, 20_000), 20_000, NOW_MS, NOW_S, int(EventType.CLICK), SEEN_VIEWED),
            (Line(item_key(ignored[0]), 1.0, float("nan")),),
        ),
        RULES._replace(space=release.space.at(1), vector_of=release.vector_of),
    )
    assert ignored[0] in ids(answer(state, clicked, RankRequest(NOW_MS)))
    later = answer(state, profile, RankRequest(NOW_MS + 31 * 60 * 1000))
    assert set(ignored) & set(ids(later)), "another session begins anew"


def test_who_never_clicked_does_not_see_the_same_list_for_ever_either(shop_items: list[Item]) -> None:
    """Nothing is known of a new visitor but what was shown: what is trending turns, the best first again."""
    counts = {item.item_id: 300.0 / (at + 1) for at, item in enumerate(shop_items[100:200])}
    state = state_of(shop_items, None, aggregates_of(counts))
    profile = Profile.empty(NO_SPACE)
    lists = []
    for look in range(7):
        lists.append([str(item_id) for item_id in ids(answer(state, profile, RankRequest(NOW_MS)))])
        shown_to(profile, lists[-1], look)
    best = list(counts)
    assert lists[0] == lists[1] == lists[2] == best[:10]
    assert lists[3] == lists[4] == lists[5] == best[10:20]
    assert lists[6] == best[20:29] + best[:1], "ignored three times, the best is as good as the thirtieth"
    plain = answer(state, profile, RankRequest(NOW_MS, built_in()["trending"]))
    assert ids(plain) == best[:10], "a list of facts does not turn"
