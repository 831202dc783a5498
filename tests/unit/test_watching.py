"""What a player reports every ten seconds counts once a watching, and leaves room for all else."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.kernel.bank import RING_CAPACITY, FloatArray, Space, rebuild_flat_bank
from services.kernel.change import weight_of
from services.kernel.contributions import contributions_of
from services.kernel.event_type import EventType, EventTypes
from services.kernel.position import Position
from services.kernel.profile import SEEN_VIEWED, Change, Line, Profile, ProfileRules
from services.kernel.ring import SESSION_GAP_S

SPACE = Space("films", 5, 1, 4)
START_S = 1_700_000_000
TTL_MS = 90 * 86_400_000
WEIGHTS = weight_of(EventTypes())
PROGRESS = int(EventType.VIDEO_PROGRESS)
VIEW = int(EventType.VIEW)
_TABLE = np.random.default_rng(3).integers(-8, 8, (64, 4)).astype(np.float32)  # whole: sums are exact


def vector_of(item: int) -> FloatArray | None:
    vector: FloatArray = _TABLE[item % 64]
    return vector


RULES = ProfileRules(SPACE, vector_of, WEIGHTS, TTL_MS, 512)


def event(offset: int, item: int, at_s: int, number: int = PROGRESS, value: float = math.nan) -> Change:
    lines = (Line(item, WEIGHTS(number, value), value),)
    return Change(Position(1, 0, offset), offset, START_S * 1000, START_S + at_s, number, SEEN_VIEWED, lines)


def profile_of(*events: tuple[int, int, int, float]) -> Profile:
    """Of (item, seconds, type, value)."""
    profile = Profile.empty(SPACE)
    for offset, (item, at_s, number, value) in enumerate(events):
        profile.apply(event(offset, item, at_s, number, value), RULES)
    return profile


def ring(profile: Profile) -> list[tuple[int, int, float]]:
    return [(item, at_s - START_S, value) for item, at_s, value, _ in profile.ring.tolist()]


def test_three_films_for_hours_leave_what_was_viewed_before() -> None:
    viewed = [(item, item * 10, VIEW, math.nan) for item in range(1, 41)]
    films = [(50 + step // 720, 400 + step * 10, PROGRESS, step % 720 / 720) for step in range(3 * 720)]
    profile = profile_of(*viewed, *films)
    assert profile.events == 40 + 3 * 720
    assert profile.ring["item"].tolist() == [*range(1, 41), 50, 51, 52]
    assert [value for _, _, value in ring(profile)[40:]] == pytest.approx([719 / 720] * 3)
    begun = profile_of(*viewed, films[0], films[720], films[1440])
    assert profile.bank.tobytes() == begun.bank.tobytes()
    assert profile.bank_weight[-1] == 43
    assert sorted(profile.seen["fingerprint"].tolist()) == [*range(1, 41), 50, 51, 52]


def test_films_watched_in_turns_stand_where_they_were_last_heard_of() -> None:
    profile = profile_of(
        (1, 0, PROGRESS, 0.1), (2, 100, PROGRESS, 0.1), (9, 150, VIEW, 5.0), (1, 200, PROGRESS, 0.2)
    )
    assert ring(profile) == [(2, 100, pytest.approx(0.1)), (9, 150, 5.0), (1, 200, pytest.approx(0.2))]


def test_who_comes_back_after_more_than_half_an_hour_watches_again() -> None:
    last = SESSION_GAP_S + 7
    once = profile_of((1, 7, PROGRESS, 0.1), (1, last, PROGRESS, 0.2))
    twice = profile_of((1, 7, PROGRESS, 0.1), (1, last + 1, PROGRESS, 0.2))
    assert [len(profile.ring) for profile in (once, twice)] == [1, 2]
    assert [profile.bank_weight[-1] for profile in (once, twice)] == [1, 2]


@pytest.mark.parametrize("late_s", [0, 60, 99])
def test_a_late_heartbeat_counts_and_changes_nothing(late_s: int) -> None:
    profile = profile_of((1, 0, PROGRESS, 0.1), (1, 100, PROGRESS, 0.5), (2, 150, VIEW, math.nan))
    before = Profile.decode(profile.encode())
    assert profile.apply(event(9, 1, late_s, PROGRESS, 0.3), RULES)
    for name in ("bank", "bank_weight", "ring", "seen"):
        assert getattr(profile, name).tobytes() == getattr(before, name).tobytes()
    assert (profile.counter, profile.events) == (before.counter + 1, before.events + 1)
    assert profile.duplicates[-1] == 9


def test_a_heartbeat_newer_than_its_own_last_takes_its_place_among_others() -> None:
    profile = profile_of((1, 0, PROGRESS, 0.1), (2, 50, VIEW, 1.0), (3, 100, VIEW, 1.0))
    profile.apply(event(9, 1, 70, PROGRESS, 0.25), RULES)
    assert ring(profile) == [(2, 50, 1.0), (1, 70, 0.25), (3, 100, 1.0)]


def test_without_progress_the_known_one_stays() -> None:
    assert ring(profile_of((1, 0, PROGRESS, 0.5), (1, 10, PROGRESS, math.nan))) == [(1, 10, 0.5)]


def test_other_events_of_the_film_are_no_heartbeats() -> None:
    kinds = (EventType.VIDEO_START, EventType.VIDEO_COMPLETE, EventType.VIDEO_START, EventType.VIEW)
    profile = profile_of(*((1, at, int(kind), 0.0) for at, kind in enumerate(kinds)), (1, 9, PROGRESS, 0.0))
    assert len(profile.ring) == 5


def test_what_a_full_ring_has_forgotten_weighs_nothing() -> None:
    profile = profile_of(*((item, 10_000 + item, VIEW, math.nan) for item in range(RING_CAPACITY)))
    before = profile.bank.copy(), profile.ring.tobytes()
    assert profile.is_heartbeat(event(500, 1, 0), 1)
    for offset in range(500, 520):
        profile.apply(event(offset, 1, offset), RULES)
    assert profile.ring.tobytes() == before[1]
    assert profile.bank.tobytes() == before[0].tobytes()


HEARTBEATS = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 9000), st.sampled_from([PROGRESS] * 4 + [VIEW])), max_size=60
)


@settings(max_examples=200)
@given(HEARTBEATS)
def test_the_ring_is_what_the_rule_says(log: list[tuple[int, int, int]]) -> None:
    expected: list[list[int]] = []
    for item, at_s, number in log:
        near = [
            entry
            for entry in expected
            if entry[1:] == [item, PROGRESS] and abs(entry[0] - at_s) <= SESSION_GAP_S
        ]
        if number == PROGRESS and near:
            if near[-1][0] > at_s:
                continue
            expected = [entry for entry in expected if entry is not near[-1]]
        expected.append([at_s, item, number])
        expected.sort(key=lambda entry: entry[0])
    profile = profile_of(*((item, at_s, number, math.nan) for item, at_s, number in log))
    assert [[at_s - START_S, item, number] for item, at_s, _, number in profile.ring.tolist()] == expected
    rebuilt = rebuild_flat_bank(profile.ring, vector_of, WEIGHTS, SPACE)
    endless = slice(5 * SPACE.d, 6 * SPACE.d)
    assert np.array_equal(rebuilt[endless], profile.bank[-1]), "the sum that never decays is the ring's"
    assert rebuilt[-1] == profile.bank_weight[-1]


def test_a_film_is_popular_once_a_watching() -> None:
    profile = Profile.empty(SPACE)
    counted = []
    for offset, at_s in enumerate([0, 10, 20, 15, 1820, 3700, 3710]):
        one = event(offset, 1, at_s)
        counted += [made.time_s - START_S for made in contributions_of(profile, one, WEIGHTS, TTL_MS)]
        profile.apply(one, RULES)
    assert counted == [0, 3700]
    forgotten = event(90, 1, 3715)._replace(received_at_ms=START_S * 1000 + TTL_MS + 1)
    assert len(contributions_of(profile, forgotten, WEIGHTS, TTL_MS)) == 1
