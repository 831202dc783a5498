"""What the profiler adds to trending, popular and co-visitation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.kernel.bank import NO_SPACE
from services.kernel.change import weight_of
from services.kernel.contributions import Contribution, contributions_of
from services.kernel.covisits import (
    BOUGHT_PAIRS_MAX,
    BOUGHT_ROW,
    COVISIT_PAIRS_MAX,
    COVISIT_WINDOW_S,
    DAY_S,
    MAX_NEIGHBOURS,
    NEIGHBOUR,
    POPULAR_HALF_LIFE_S,
    TREND_HALF_LIFE_S,
    add_neighbour,
    bought_row_key,
    log_add,
    term,
)
from services.kernel.event_type import EventType, EventTypes
from services.kernel.position import Position
from services.kernel.profile import Change, Line, Profile, ProfileRules
from services.kernel.segments import segment_key
from services.profiler.contributions import fold, touched
from services.store.aggregates import Rows

PURCHASE = int(EventType.PURCHASE)
START_S = 1_700_000_000
WEIGHTS = weight_of(EventTypes())
RULES = ProfileRules(NO_SPACE, lambda _: None, WEIGHTS, 90 * DAY_S * 1000, 64)


def change(offset: int, items: tuple[int, ...], *, at_s: int = 0, number: int = 1) -> Change:
    lines = tuple(Line(item, 1.0, math.nan) for item in items)
    return Change(Position(1, 0, offset), offset, START_S * 1000, START_S + at_s, number, 1, lines)


def add(profile: Profile, one: Change) -> list[Contribution]:
    made = contributions_of(profile, one, WEIGHTS, RULES.ttl_ms)
    return made if profile.apply(one, RULES) else []


@settings(max_examples=200)
@given(left=st.floats(-1e4, 1e4), right=st.floats(-1e4, 1e4))
def test_log_add_is_the_log_of_the_sum(left: float, right: float) -> None:
    assert math.isclose(log_add(left, right), float(np.logaddexp2(left, right)), rel_tol=1e-12, abs_tol=1e-9)
    assert log_add(-math.inf, right) == right


def test_a_day_halves_a_trend_and_order_never_changes_by_waiting() -> None:
    young, old = term(1.0, START_S, TREND_HALF_LIFE_S), term(1.0, START_S - DAY_S, TREND_HALF_LIFE_S)
    assert young - old == 1.0
    assert term(2.0, START_S - DAY_S, TREND_HALF_LIFE_S) == young


def test_pairs_are_the_latest_five_others_within_half_an_hour() -> None:
    profile = Profile.empty(NO_SPACE)
    for offset, item in enumerate([1, 2, 3, 4, 5, 6, 7, 6]):
        add(profile, change(offset, (item,), at_s=offset))
    (made,) = add(profile, change(20, (9,), at_s=60))
    assert made.partners == (6, 7, 5, 4, 3)
    (same,) = add(profile, change(21, (6,), at_s=61))
    assert same.partners == (9, 7, 5, 4, 3)
    (alone,) = add(profile, change(22, (8,), at_s=10_000))
    assert alone.partners == ()
    assert add(profile, change(23, (8,), at_s=10_001, number=11)) == [], "nobody is led to what is disliked"
    assert add(profile, change(24, (), number=13)) == []


def test_what_is_bought_meets_what_the_subject_bought_within_half_an_hour() -> None:
    profile = Profile.empty(NO_SPACE)
    add(profile, change(0, (1,), number=PURCHASE))
    (viewed,) = add(profile, change(1, (2,), at_s=1))
    assert viewed.bought == (), "a view is no purchase"
    (made,) = add(profile, change(2, (3,), at_s=COVISIT_WINDOW_S, number=PURCHASE))
    assert made.bought == (1,), "what was only viewed was not bought"
    assert made.partners == (2, 1)
    (late,) = add(profile, change(3, (4,), at_s=COVISIT_WINDOW_S + 1, number=PURCHASE))
    assert late.bought == (3,)


def test_an_order_counts_the_same_as_one_event_and_as_many() -> None:
    items = (5, 9, 5, 2, 9, 7)
    as_one = [one.bought for one in add(Profile.empty(NO_SPACE), change(0, items, number=PURCHASE))]
    assert as_one == [(), (5,), (), (5, 9), (), (9, 2, 5)], "each pair once"
    profile = Profile.empty(NO_SPACE)
    each = [add(profile, change(at, (item,), number=PURCHASE))[0].bought for at, item in enumerate(items)]
    assert each == as_one


def test_pairs_of_a_large_order_are_bounded() -> None:
    made = add(Profile.empty(NO_SPACE), change(0, tuple(range(100)), number=PURCHASE))
    assert made[9].bought == (8, 7, 6, 5, 4)
    assert len(made) == 100
    assert sum(len(one.bought) for one in made) == BOUGHT_PAIRS_MAX


def test_lines_count_in_the_segments_of_their_event() -> None:
    def made(number: int) -> list[Contribution]:
        return add(Profile.empty(NO_SPACE), change(0, (1, 2), number=number)._replace(segments=(70, 71)))

    assert [one.segments for one in made(1)] == [(70, 71)] * 2
    assert made(11) == [], "what is disliked is not popular"


def test_rows_say_how_often_and_where() -> None:
    segment = segment_key("country=DE")
    profile = Profile.empty(NO_SPACE)
    made: list[Contribution] = []
    for visit in range(3):
        order = change(visit, (1, 2), at_s=visit * DAY_S, number=PURCHASE)._replace(segments=(segment,))
        made += add(profile, order)
    scored, visited = touched(made)
    assert sorted(visited) == sorted([1, 2, bought_row_key(1), bought_row_key(2), segment])
    empty = np.full(len(scored), -np.inf)
    rows = fold(made, scored, visited, Rows(empty, empty, [None] * len(visited))).neighbours

    def counts(key: int) -> dict[int, float]:
        found = np.frombuffer(rows[key], NEIGHBOUR)
        now = (START_S + 2 * DAY_S) / POPULAR_HALF_LIFE_S
        return dict(zip(found["item"].tolist(), np.exp2(found["score"] - now).tolist(), strict=True))

    visits = sum(2 ** (-day / 30) for day in range(3))
    assert counts(bought_row_key(1)) == pytest.approx({2: visits})
    assert counts(bought_row_key(2)) == pytest.approx({1: visits})
    weight = WEIGHTS(PURCHASE, math.nan)
    assert counts(segment) == pytest.approx({1: weight * visits, 2: weight * visits})


def test_lines_of_an_order_meet_each_other_within_the_bound() -> None:
    made = add(Profile.empty(NO_SPACE), change(0, tuple(range(40)), number=5))
    assert [one.partners for one in made[:3]] == [(), (0,), (1, 0)]
    assert len(made) == 40
    assert sum(len(one.partners) for one in made) == COVISIT_PAIRS_MAX


def test_a_subject_forgotten_has_no_neighbours() -> None:
    profile = Profile.empty(NO_SPACE)
    add(profile, change(0, (1,)))
    later = change(1, (2,))._replace(received_at_ms=START_S * 1000 + RULES.ttl_ms + 1)
    (made,) = add(profile, later)
    assert made.partners == ()


def test_nothing_of_a_subject_who_denies_personalisation_counts_until_it_is_allowed_or_forgotten() -> None:
    profile = Profile.empty(NO_SPACE)
    assert len(add(profile, change(0, (1,)))) == 1
    assert add(profile, change(1, (2,))._replace(personalization=False)) == []
    assert add(profile, change(2, (3,), number=PURCHASE)) == []
    (again,) = add(profile, change(3, (4,))._replace(personalization=True))
    assert (again.item, again.partners) == (4, ()), "it begins anew"
    assert add(profile, change(4, (5,))._replace(personalization=False)) == []
    later = change(5, (6,))._replace(received_at_ms=START_S * 1000 + RULES.ttl_ms + 1)
    assert [one.item for one in add(profile, later)] == [6]


@settings(max_examples=50)
@given(
    seen=st.lists(st.tuples(st.integers(0, 90), st.integers(0, 10 * DAY_S)), max_size=200),
    cut=st.integers(0, 200),
)
def test_rows_are_the_same_however_batches_are_cut(seen: list[tuple[int, int]], cut: int) -> None:
    others = [((item + 1) % 90, 200) for item, _ in seen]
    made = [
        Contribution(item, 1.0, START_S + at, pair, pair[: item % 3], (1000, 1001)[item % 2 :])
        for (item, at), pair in zip(seen, others, strict=True)
    ]

    def folded(parts: list[list[Contribution]]) -> tuple[dict[int, float], dict[int, bytes]]:
        trend: dict[int, float] = {}
        rows: dict[int, bytes] = {}
        for part in parts:
            scored, visited = touched(part)
            stored = Rows(
                np.array([trend.get(item, -math.inf) for item in scored]),
                np.array([trend.get(item, -math.inf) for item in scored]),
                [rows.get(item) for item in visited],
            )
            new = fold(part, scored, visited, stored)
            trend |= new.trend
            rows |= new.neighbours
        return trend, rows

    assert folded([made]) == folded([made[:cut], made[cut:]]) == folded([[one] for one in made])


def test_a_full_row_lets_the_smallest_go_and_of_equals_the_smallest_key() -> None:
    row = bytearray()
    for key in range(MAX_NEIGHBOURS):
        add_neighbour(row, (key + 10).to_bytes(8, "little"), 5.0)
    add_neighbour(row, (11).to_bytes(8, "little"), 5.0)
    add_neighbour(row, (1).to_bytes(8, "little"), 4.0)
    add_neighbour(row, (5).to_bytes(8, "little"), 5.0)
    assert not {1, 5} & set(np.frombuffer(bytes(row), NEIGHBOUR)["item"].tolist())
    add_neighbour(row, (99).to_bytes(8, "little"), 5.0)
    held = np.frombuffer(bytes(row), NEIGHBOUR)
    assert len(held) == MAX_NEIGHBOURS
    assert {10, 99} & set(held["item"].tolist()) == {99}
    assert held["score"][held["item"] == 11].tolist() == [6.0]


def test_a_row_that_is_cut_keeps_the_best_and_takes_the_new_one_in() -> None:
    row = bytearray()
    for key in range(BOUGHT_ROW.entries):
        add_neighbour(row, key.to_bytes(8, "little"), 5.0 + key % 2, BOUGHT_ROW)
    add_neighbour(row, (999).to_bytes(8, "little"), 1.0, BOUGHT_ROW)
    held = np.frombuffer(bytes(row), NEIGHBOUR)["item"].tolist()
    odd, even = range(1, BOUGHT_ROW.entries, 2), range(0, BOUGHT_ROW.entries, 2)
    best = {*odd, *list(even)[len(odd) - BOUGHT_ROW.kept :]}
    assert held == [*sorted(best), 999], "of equal scores the smallest keys go, the others keep their order"
