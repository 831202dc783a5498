"""What the profiler adds to trending, popular and co-visitation."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from services.kernel.bank import NO_SPACE
from services.kernel.change import weight_of
from services.kernel.contributions import Contribution, contributions_of
from services.kernel.covisits import (
    COVISIT_PAIRS_MAX,
    DAY_S,
    MAX_NEIGHBOURS,
    NEIGHBOUR,
    TREND_HALF_LIFE_S,
    add_neighbour,
    log_add,
    term,
)
from services.kernel.event_type import EventTypes
from services.kernel.position import Position
from services.kernel.profile import Change, Line, Profile, ProfileRules
from services.profiler.contributions import fold, touched
from services.store.aggregates import Rows

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


@settings(max_examples=50)
@given(
    seen=st.lists(st.tuples(st.integers(0, 90), st.integers(0, 10 * DAY_S)), max_size=200),
    cut=st.integers(0, 200),
)
def test_rows_are_the_same_however_batches_are_cut(seen: list[tuple[int, int]], cut: int) -> None:
    made = [Contribution(item, 1.0, START_S + at, ((item + 1) % 90, 200)) for item, at in seen]

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
