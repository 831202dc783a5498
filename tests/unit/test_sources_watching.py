"""Continue watching: what was begun, how far, and what comes after what was finished."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from services.kernel.change import FINISHED_FROM
from services.kernel.event_type import EventType
from services.kernel.ids import item_key
from services.ranking.rank import rank
from services.ranking.scenario_file import built_in, read_scenarios
from services.ranking.state import RankedItem, RankingState, RankRequest
from services.ranking.watching import AGAIN_BELOW, watched_in
from tests.unit.films import COMPLETE, DISLIKE, PROGRESS, START, Deed, cinema, films, viewer
from tests.unit.shop import NOW_MS, NOW_S

METROPOLIS, GENERAL, NOSFERATU = "metropolis", "the-general", "nosferatu"


def vampires(number: int) -> str:
    return f"les-vampires-{number:02}"


@pytest.fixture(scope="module")
def state() -> RankingState:
    return cinema()


def continued(state: RankingState, *deeds: Deed, **asked: Any) -> list[RankedItem]:
    request = RankRequest(NOW_MS, built_in()["continue_watching"], **asked)
    return rank(state, viewer(*deeds), request, None).items


def told(items: list[RankedItem]) -> list[tuple[str | None, str, Any]]:
    """Each line with its reason, and how far it has run or what it comes after."""
    return [(item.item_id, item.reason.code, item.reason.progress or item.reason.item_id) for item in items]


def going(item_id: str, progress: float | None = None) -> tuple[str, str, float | None]:
    return item_id, "continue_watching", progress


def following(item_id: str, before: str) -> tuple[str, str, str]:
    return item_id, "next_episode", before


def test_what_was_begun_stands_there_with_its_progress_the_last_first(state: RankingState) -> None:
    shown = continued(
        state,
        (METROPOLIS, START, 0.0),
        (METROPOLIS, PROGRESS, 0.4),
        (GENERAL, EventType.VIEW),
        (NOSFERATU, START),
        (GENERAL, PROGRESS, 0.25),
        (METROPOLIS, EventType.VIEW),  # looking at its page is no watching
    )
    assert told(shown) == [going(GENERAL, 0.25), going(NOSFERATU), going(METROPOLIS, 0.4)]
    assert shown[0].reason.text == "You have not finished this"
    assert b"progress" not in msgspec.json.encode(shown[1].reason), "nobody said how far"
    assert shown[2].score < shown[1].score < shown[0].score
    (begun,) = continued(state, (METROPOLIS, START, 0.0))
    assert msgspec.json.decode(msgspec.json.encode(begun.reason))["progress"] == 0.0


def test_nobody_and_who_watched_nothing_get_nothing(state: RankingState) -> None:
    request = RankRequest(NOW_MS, built_in()["continue_watching"])
    assert rank(state, None, request, None).items == []
    assert continued(state, (METROPOLIS, EventType.VIEW), (GENERAL, DISLIKE)) == []


def test_what_is_finished_or_disliked_leaves(state: RankingState) -> None:
    begun: tuple[Deed, ...] = ((METROPOLIS, PROGRESS, 0.5), (GENERAL, PROGRESS, 0.5))
    assert len(continued(state, *begun)) == 2
    assert told(continued(state, *begun, (METROPOLIS, COMPLETE))) == [going(GENERAL, 0.5)]
    assert told(continued(state, *begun, (METROPOLIS, DISLIKE))) == [going(GENERAL, 0.5)]
    tolerant = read_scenarios('[scenarios.all]\nsources = ["continue_watching"]\nranker = "in_order"')
    request = RankRequest(NOW_MS, tolerant.by_name["all"])
    profile = viewer(*begun, (METROPOLIS, DISLIKE))
    assert told(rank(state, profile, request, None).items) == [going(GENERAL, 0.5)]
    profile = viewer(*begun, (METROPOLIS, DISLIKE), (METROPOLIS, START, 0.6))
    on_second_thoughts = rank(state, profile, request, None).items
    assert told(on_second_thoughts) == [going(METROPOLIS, 0.6), going(GENERAL, 0.5)]


def test_who_leaves_in_the_credits_has_seen_the_film(state: RankingState) -> None:
    assert continued(state, (METROPOLIS, PROGRESS, FINISHED_FROM)) == []
    assert continued(state, (METROPOLIS, PROGRESS, 0.97)) == []
    assert told(continued(state, (METROPOLIS, PROGRESS, 0.94))) == [going(METROPOLIS, 0.94)]
    shown = continued(state, (vampires(1), START, 0.0), (vampires(1), PROGRESS, 0.97))
    assert told(shown) == [following(vampires(2), vampires(1))]


def test_what_a_player_says_late_or_of_the_end_begins_nothing_anew(state: RankingState) -> None:
    at = NOW_S - 4000
    late: list[Deed] = [(METROPOLIS, COMPLETE, 1.0, at), (METROPOLIS, PROGRESS, 0.5, at - 20)]
    assert continued(state, *late) == []
    assert continued(state, (METROPOLIS, COMPLETE, 1.0, at), (METROPOLIS, PROGRESS, 0.3, at)) == []
    assert continued(state, (METROPOLIS, COMPLETE), (METROPOLIS, PROGRESS, AGAIN_BELOW)) == []
    assert continued(state, (METROPOLIS, COMPLETE), (METROPOLIS, PROGRESS)) == []
    after_two_days = [(METROPOLIS, PROGRESS, 0.6, at), (METROPOLIS, PROGRESS, 0.2, at - 172_800)]
    assert told(continued(state, *after_two_days)) == [going(METROPOLIS, 0.6)]


def test_a_finished_film_is_begun_again(state: RankingState) -> None:
    seen: tuple[Deed, ...] = ((METROPOLIS, PROGRESS, 0.9), (METROPOLIS, COMPLETE, 1.0))
    assert told(continued(state, *seen, (METROPOLIS, START))) == [going(METROPOLIS)]
    again = (*seen, (METROPOLIS, START, 0.0), (METROPOLIS, PROGRESS, 0.1))
    assert told(continued(state, *again)) == [going(METROPOLIS, 0.1)]
    assert told(continued(state, *seen, (METROPOLIS, PROGRESS, 0.1))) == [going(METROPOLIS, 0.1)]
    assert continued(state, *again, (METROPOLIS, COMPLETE)) == []


def test_who_comes_back_keeps_the_place(state: RankingState) -> None:
    shown = continued(state, (METROPOLIS, PROGRESS, 0.4), (GENERAL, PROGRESS, 0.1), (METROPOLIS, START))
    assert told(shown) == [going(METROPOLIS, 0.4), going(GENERAL, 0.1)]


def test_the_next_episode_comes_at_its_place(state: RankingState) -> None:
    shown = continued(
        state, (METROPOLIS, PROGRESS, 0.4), (vampires(1), START), (vampires(1), COMPLETE), (GENERAL, START)
    )
    assert told(shown) == [
        going(GENERAL),
        following(vampires(2), vampires(1)),
        going(METROPOLIS, 0.4),
    ]
    assert shown[1].reason.text == "Comes after Les Vampires 1: The Severed Head"


def finished(*numbers: int) -> list[Deed]:
    return [deed for number in numbers for deed in ((vampires(number), START), (vampires(number), COMPLETE))]


@pytest.mark.parametrize(
    ("deeds", "expected"),
    [
        pytest.param(finished(1, 2, 3), following(vampires(4), vampires(3)), id="several"),
        pytest.param(finished(3, 1), following(vampires(2), vampires(1)), id="the last one decides"),
        pytest.param(finished(2, 3, 1), following(vampires(4), vampires(1)), id="seen ones are left out"),
        pytest.param(
            [(vampires(2), PROGRESS, 0.3), *finished(1)], going(vampires(2), 0.3), id="the next is begun"
        ),
        pytest.param([*finished(1), (vampires(2), START)], going(vampires(2)), id="the next begins"),
        pytest.param(
            [(vampires(2), PROGRESS, 0.5), (vampires(3), PROGRESS, 0.2)],
            going(vampires(3), 0.2),
            id="one of a group",
        ),
        pytest.param(finished(*range(1, 11)), None, id="the last episode"),
        pytest.param([*finished(1, 2), (vampires(2), DISLIKE)], None, id="disliked"),
        pytest.param(
            [(vampires(2), DISLIKE), *finished(1)], following(vampires(3), vampires(1)), id="next disliked"
        ),
        pytest.param(
            finished(1, 2, 3, 1), following(vampires(2), vampires(1)), id="from the beginning again"
        ),
        pytest.param(finished(1, 2, 3, 1, 2), following(vampires(3), vampires(2)), id="and on"),
        pytest.param(finished(1, 2, 3, 1, 2, 3), following(vampires(4), vampires(3)), id="and further"),
        pytest.param([*finished(1, 2, 3), (vampires(1), START)], going(vampires(1)), id="begun again"),
    ],
)
def test_a_series(state: RankingState, deeds: list[Deed], expected: object) -> None:
    assert told(continued(state, *deeds)) == ([] if expected is None else [expected])


def test_an_episode_that_may_not_be_shown_is_passed_over() -> None:
    hidden = cinema(les_vampires_02={"available": False}, les_vampires_03={"published_at": NOW_MS + 1})
    assert told(continued(hidden, *finished(1))) == [following(vampires(4), vampires(1))]
    kids = read_scenarios(
        '[scenarios.kids]\nextends = "continue_watching"\nfilter = { not = { item_id = "les-vampires-02" } }'
    )
    request = RankRequest(NOW_MS, kids.by_name["kids"])
    assert told(rank(cinema(), viewer(*finished(1)), request, None).items) == [
        following(vampires(3), vampires(1))
    ]


def test_what_stands_elsewhere_on_the_page_is_not_replaced_by_what_comes_later(state: RankingState) -> None:
    assert continued(state, *finished(1), exclude=frozenset({vampires(2)})) == []


def test_what_is_in_no_catalogue_is_left_out(state: RankingState) -> None:
    shown = continued(state, ("a lost film", PROGRESS, 0.5), (METROPOLIS, PROGRESS, 0.5))
    assert told(shown) == [going(METROPOLIS, 0.5)]


def test_what_left_the_ring_stays_finished(state: RankingState) -> None:
    """Marks reach further back than the last 128 events."""
    long_ago: list[Deed] = finished(2)
    since: list[Deed] = [(f"page {number}", EventType.VIEW) for number in range(126)]
    profile = viewer(*long_ago, *since, *finished(1))
    assert item_key(vampires(2)) not in profile.ring["item"].tolist()
    request = RankRequest(NOW_MS, built_in()["continue_watching"])
    assert told(rank(state, profile, request, None).items) == [following(vampires(3), vampires(1))]


def test_series_change_while_they_run() -> None:
    state = cinema()
    episode = next(film for film in films() if film.item_id == vampires(10))
    assert continued(state, *finished(10)) == []
    state.catalogue.upsert(msgspec.structs.replace(episode, item_id="les-vampires-11", group_order=11.0))
    assert told(continued(state, *finished(10))) == [following("les-vampires-11", vampires(10))]
    state.catalogue.upsert(msgspec.structs.replace(episode, item_id="les-vampires-11", group_order=None))
    assert continued(state, *finished(10)) == []
    state.catalogue.delete(vampires(2))
    assert told(continued(state, *finished(1))) == [following(vampires(3), vampires(1))]
    assert len(state.catalogue.groups.after(state.catalogue.row_of(vampires(1)))) == 8


def test_the_ring_is_read_once_and_only_for_videos(state: RankingState) -> None:
    assert watched_in(viewer((METROPOLIS, EventType.VIEW), (METROPOLIS, EventType.PURCHASE))) == []
    (video,) = watched_in(viewer(*[(METROPOLIS, PROGRESS, 0.3)] * 3))
    assert (video.key, video.progress, video.finished_times) == (item_key(METROPOLIS), 0.3, 0)


def test_the_films_are_what_they_are_said_to_be() -> None:
    every = films()
    assert len({film.item_id for film in every}) == len(every) == 72
    orders: dict[str, list[float | None]] = {}
    for film in every:
        assert film.title
        assert isinstance(film.properties["year"], int) if film.properties else False
        if film.group_id is not None:
            orders.setdefault(film.group_id, []).append(film.group_order)
    assert len(orders) == 4
    assert all(order == list(range(1, len(order) + 1)) for order in orders.values())
