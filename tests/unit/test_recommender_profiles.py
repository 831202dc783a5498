"""Profiles as answers read them: merged, moved to another space, with recent items; never changed."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.kernel.bank import FloatArray, Space, space_id_of
from services.kernel.event_type import EventTypes
from services.kernel.ids import item_key
from services.kernel.position import Position
from services.kernel.profile import Change, Line, Profile, ProfileRules
from services.kernel.profile_merge import copy_profile, merge_profiles
from services.recommender.freshness import reached
from services.recommender.profiles import alive, rules_of, view_of
from services.recommender.query import QueryError, RecentItem

TYPES = EventTypes()
TTL_MS = 90 * 86_400_000
NOW_MS = 1_800_000_000_000


def vector_of(d: int, key: int) -> FloatArray:
    return np.random.default_rng(key % 2**32).standard_normal(d).astype(np.float32)


def rules(d: int = 8, name: str = "space") -> ProfileRules:
    space = Space(name, space_id_of(name), 1, d)
    return ProfileRules(space, lambda key: vector_of(d, key), TYPES.weight, TTL_MS, 512)


def profile_of(events: list[tuple[int, int]], with_rules: ProfileRules, partition: int = 0) -> Profile:
    """A profile of (time_s, item) views in the order given."""
    profile = Profile.empty(with_rules.space)
    for offset, (time_s, item) in enumerate(events):
        line = Line(item_key(f"p{item}"), 1.0, math.nan)
        position = Position(1, partition, offset)
        profile.apply(Change(position, offset + partition * 1000, NOW_MS, time_s, 1, 1, (line,)), with_rules)
    return profile


Events = list[tuple[int, int]]
EVENTS = st.lists(st.tuples(st.integers(1, 50), st.integers(0, 9)), max_size=40)


@given(EVENTS, EVENTS)
def test_two_merged_are_as_one_that_had_all_events(
    left: list[tuple[int, int]], right: list[tuple[int, int]]
) -> None:
    with_rules = rules()
    both = sorted([*left, *right], key=lambda event: event[0])
    one = profile_of(both, with_rules)
    parts = [profile_of(left, with_rules), profile_of(right, with_rules, partition=1)]
    before = [part.encode() for part in parts]
    merged = merge_profiles(parts, with_rules)
    assert merged.events == one.events
    assert merged.ring["time"].tolist() == one.ring["time"].tolist()
    assert sorted(merged.ring["item"].tolist()) == sorted(one.ring["item"].tolist())
    assert set(merged.seen["fingerprint"].tolist()) == set(one.seen["fingerprint"].tolist())
    # The sum that never decays and all weights do not depend on the order of events of one second.
    np.testing.assert_allclose(merged.bank[-1], one.bank[-1], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(merged.bank_weight, one.bank_weight, rtol=1e-4, atol=1e-4)
    assert [part.encode() for part in parts] == before
    assert Profile.decode(merged.encode()).encode() == merged.encode()


def test_more_events_than_a_ring_holds_still_count_in_the_endless_sum() -> None:
    with_rules = rules()
    parts = [
        profile_of([(at, at % 7) for at in range(1, 121)], with_rules, partition) for partition in (0, 1)
    ]
    merged = merge_profiles(parts, with_rules)
    assert len(merged.ring) == 128
    assert merged.bank_weight[-1] == 240.0


def test_one_alone_in_its_space_is_itself() -> None:
    with_rules = rules()
    profile = profile_of([(1, 1)], with_rules)
    assert merge_profiles([profile], with_rules) is profile
    assert merge_profiles([], with_rules).events == 0


def test_another_space_is_rebuilt_from_the_ring() -> None:
    profile = profile_of([(1, 1), (2, 2)], rules())
    other = rules(d=4, name="other")
    moved = merge_profiles([profile], other)
    assert moved.bank.shape == (6, 4)
    np.testing.assert_array_equal(moved.bank, profile_of([(1, 1), (2, 2)], other).bank)
    assert (moved.events, moved.position) == (2, profile.position)
    assert profile.d == 8


def test_recent_items_are_seen_on_a_copy() -> None:
    with_rules = rules()
    profile = profile_of([(NOW_MS // 1000 - 100, 1)], with_rules)
    before = profile.encode()
    view = view_of([profile], [RecentItem("p2"), RecentItem("p3", "cart_add")], with_rules, TYPES, NOW_MS)
    assert view is not None
    assert view.ring["item"].tolist() == [item_key(f"p{number}") for number in (1, 2, 3)]
    assert not np.array_equal(view.bank, profile.bank)
    assert profile.encode() == before


def test_a_recent_item_that_the_log_has_counts_once() -> None:
    with_rules = rules()
    profile = profile_of([(1000, 1)], with_rules)
    view = view_of([profile], [RecentItem("p1", "view", 1000_000)], with_rules, TYPES, NOW_MS)
    assert view is not None
    assert len(view.ring) == 1


def test_recent_items_of_nobody_make_somebody() -> None:
    view = view_of([], [RecentItem("p1"), RecentItem("p1", "search")], rules(), TYPES, NOW_MS)
    assert view is not None
    assert len(view.ring) == 1
    assert view_of([], [], rules(), TYPES, NOW_MS) is None
    with pytest.raises(QueryError, match="view"):
        view_of([], [RecentItem("p1", "veiw")], rules(), TYPES, NOW_MS)


def test_without_a_release_profiles_are_readable_too() -> None:
    bare = rules_of(None, lambda _key: None, TYPES, TTL_MS, 512)
    profile = profile_of([(1, 1)], rules())
    view = view_of([profile, profile_of([(2, 2)], rules())], [RecentItem("p3")], bare, TYPES, NOW_MS)
    assert view is not None
    assert len(view.ring) == 3


def test_forgotten_and_deleted_is_nobody() -> None:
    profile = profile_of([(1, 1)], rules())
    assert alive(profile, NOW_MS + TTL_MS, TTL_MS) is profile
    assert alive(profile, NOW_MS + TTL_MS + 1, TTL_MS) is None
    deleted = copy_profile(profile)
    deleted.delete(Position(1, 0, 9), NOW_MS)
    assert alive(deleted, NOW_MS, TTL_MS) is None
    assert alive(None, NOW_MS, TTL_MS) is None


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        (None, False),
        (Position(1, 2, 29), False),
        (Position(1, 2, 30), True),
        (Position(1, 2, 31), True),
        (Position(1, 3, 99), False),
        (Position(2, 0, 0), True),
        (Position(0, 2, 99), False),
    ],
)
def test_what_reaches_a_position(at: Position | None, expected: bool) -> None:
    assert reached(at, Position(1, 2, 30)) is expected
