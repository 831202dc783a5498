"""What was shown in a session and left alone, and why something is hidden, each with its own day."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from services.kernel.bank import NO_SPACE
from services.kernel.event_type import EventType
from services.kernel.position import Position
from services.kernel.profile import (
    SEEN_BOUGHT,
    SEEN_DISLIKED,
    SEEN_VIEWED,
    Change,
    Line,
    Profile,
    ProfileRules,
)
from services.kernel.profile_merge import merge_profiles
from services.kernel.ring import SESSION_GAP_S
from services.kernel.seen import SEEN_DTYPE, mark_seen, merge_seen
from services.kernel.shown import SHOWN_CAPACITY, SHOWN_COUNT_MAX, add_shown, read_shown, without_shown

START_S = 1_700_000_000
RULES = ProfileRules(NO_SPACE, lambda _: None, lambda _number, _value: 1.0, 90 * 86_400_000, 512)
IMPRESSION = int(EventType.IMPRESSION)


def apply(
    profile: Profile, at_s: int, items: Sequence[int], number: int = IMPRESSION, reason: int = SEEN_VIEWED
) -> None:
    lines = tuple(Line(item, 1.0, math.nan) for item in items) if number != IMPRESSION else ()
    shown = tuple(items) if number == IMPRESSION else ()
    offset = profile.counter
    profile.apply(
        Change(
            *(Position(1, 0, offset), offset, START_S * 1000, START_S + at_s, number, reason, lines),
            shown=shown,
        ),
        RULES,
    )


def shown(profile: Profile) -> list[tuple[int, int, int]]:
    return [(mark, at_s - START_S, count) for mark, at_s, count in profile.shown.tolist()]


def test_impressions_of_a_session_add_up() -> None:
    profile = Profile.empty(NO_SPACE)
    apply(profile, 0, [1, 2, 3])
    apply(profile, 60, [3, 4, 4])
    assert shown(profile) == [(1, 0, 1), (2, 0, 1), (3, 60, 2), (4, 60, 1)]
    assert len(profile.ring) == len(profile.seen) == 0


def test_another_session_begins_with_nothing_shown() -> None:
    profile = Profile.empty(NO_SPACE)
    apply(profile, 0, [1, 2])
    apply(profile, 100, [3])
    apply(profile, SESSION_GAP_S, [4])
    assert [mark for mark, _, _ in shown(profile)] == [1, 2, 3, 4], "half an hour is still the session"
    apply(profile, SESSION_GAP_S + 1, [5, 1])
    assert shown(profile) == [
        (3, 100, 1),
        (4, SESSION_GAP_S, 1),
        *((n, SESSION_GAP_S + 1, 1) for n in (5, 1)),
    ]
    apply(profile, 50, [6])
    assert len(shown(profile)) == 5
    apply(profile, 0, [7])
    assert len(shown(profile)) == 5, "an impression of an earlier session comes too late"
    apply(profile, 5 * SESSION_GAP_S, [8])
    assert shown(profile) == [(8, 5 * SESSION_GAP_S, 1)]


def test_what_is_clicked_was_not_ignored_and_a_dislike_is_no_click() -> None:
    profile = Profile.empty(NO_SPACE)
    apply(profile, 0, [1, 2, 3])
    apply(profile, 10, [2], EventType.CLICK)
    apply(profile, 11, [1], EventType.DISLIKE, SEEN_DISLIKED)
    apply(profile, 12, [3], EventType.CART_REMOVE, 0)
    assert [mark for mark, _, _ in shown(profile)] == [1, 3]
    apply(profile, 20, [2])
    assert shown(profile)[-1] == (2, 20, 1), "shown again, it counts from one"
    apply(profile, 15, [2], EventType.VIEW)
    assert [mark for mark, _, _ in shown(profile)] == [1, 3], "clocks and senders are not that exact"
    apply(profile, -SESSION_GAP_S - 1, [1], EventType.PURCHASE, SEEN_BOUGHT)
    assert [mark for mark, _, _ in shown(profile)] == [1, 3], "imported history says nothing of today"
    apply(profile, 30, [1, 3], EventType.PURCHASE, SEEN_BOUGHT)
    assert len(profile.shown) == 0
    assert profile.encode()[3] == 0


Steps = list[tuple[int, list[int], bool]]
STEPS = st.lists(
    st.tuples(
        st.integers(0, 3 * SESSION_GAP_S), st.lists(st.integers(0, 12), min_size=1, max_size=6), st.booleans()
    ),
    max_size=40,
)


@settings(max_examples=200)
@given(STEPS, st.integers(0, 2**32 - 1 - 4 * SESSION_GAP_S))
def test_packed_entries_are_what_the_rule_says(steps: Steps, start_s: int) -> None:
    section, newest = b"", 0
    expected: dict[int, tuple[int, int]] = {}
    for after_s, marks, impression in steps:
        at_s = start_s + after_s
        if impression:
            section = add_shown(section, marks, at_s)
            if at_s >= newest - SESSION_GAP_S:
                newest = max(newest, at_s)
                expected = {m: known for m, known in expected.items() if known[0] >= newest - SESSION_GAP_S}
                for mark in set(marks):
                    known_s, count = expected.get(mark, (0, 0))
                    expected[mark] = max(known_s, at_s), min(count + 1, SHOWN_COUNT_MAX)
        else:
            section = without_shown(section, marks[0], at_s)
            if marks[0] in expected and expected[marks[0]][0] - SESSION_GAP_S <= at_s:
                del expected[marks[0]]
        if not expected:
            newest = 0
        found = read_shown(section)
        assert {mark: (at_s, count) for mark, at_s, count in found.tolist()} == expected
        assert (np.diff(found["time"].astype(np.int64)) >= 0).all()


def test_the_bounds_of_an_entry_and_of_all() -> None:
    section = b""
    for _ in range(50):
        section = add_shown(section, [2**32 - 1], 2**32 - 1)
    assert read_shown(section).tolist() == [(2**32 - 1, 2**32 - 1, SHOWN_COUNT_MAX)]
    section = add_shown(add_shown(b"", range(100), START_S), range(100, 200), START_S + 1)
    assert len(read_shown(section)) == SHOWN_CAPACITY
    assert read_shown(section)["fingerprint"].tolist() == list(range(200 - SHOWN_CAPACITY, 200))


def test_two_profiles_add_up_what_was_shown_and_left_alone_in_both() -> None:
    anonymous, user = Profile.empty(NO_SPACE), Profile.empty(NO_SPACE)
    apply(anonymous, 0, [1, 2, 3])
    apply(user, 60, [3, 4])
    apply(user, 90, [2], EventType.CLICK)
    apply(user, 91, [1], EventType.DISLIKE, SEEN_DISLIKED)
    merged = merge_profiles([anonymous, user], RULES)
    assert shown(merged) == [(1, 0, 1), (3, 60, 2), (4, 60, 1)]
    assert Profile.decode(merged.encode()).encode() == merged.encode()
    apply(user, SESSION_GAP_S + 30, [9])
    assert [mark for mark, _, _ in shown(merge_profiles([anonymous, user], RULES))] == [3, 4, 9]


def entries(section: bytes) -> list[tuple[int, int, int]]:
    found: list[tuple[int, int, int]] = np.frombuffer(section, SEEN_DTYPE).tolist()
    return found


def test_each_reason_has_its_own_day() -> None:
    section = mark_seen(b"", 7, 100, SEEN_BOUGHT, 16)
    section = mark_seen(section, 8, 150, SEEN_VIEWED, 16)
    section = mark_seen(section, 7, 200, SEEN_VIEWED, 16)
    assert entries(section) == [(7, 100, SEEN_BOUGHT), (8, 150, SEEN_VIEWED), (7, 200, SEEN_VIEWED)]
    assert entries(mark_seen(section, 7, 120, SEEN_VIEWED, 16)) == entries(section), "a late view is no newer"
    assert entries(mark_seen(section, 7, 120, SEEN_BOUGHT, 16))[0] == (7, 120, SEEN_BOUGHT)
    assert entries(mark_seen(section, 9, 300, SEEN_VIEWED, 3)) == [*entries(section)[1:], (9, 300, 1)]


def test_several_reasons_in_one_old_entry_part_as_they_are_seen_again() -> None:
    old = np.array([(7, 100, SEEN_BOUGHT | SEEN_VIEWED), (8, 100, SEEN_VIEWED)], dtype=SEEN_DTYPE).tobytes()
    section = mark_seen(old, 7, 105, SEEN_VIEWED, 16)
    assert entries(section) == [(7, 100, SEEN_BOUGHT), (8, 100, SEEN_VIEWED), (7, 105, SEEN_VIEWED)]
    assert entries(mark_seen(old, 7, 105, SEEN_DISLIKED, 16)) == [*entries(old), (7, 105, SEEN_DISLIKED)]
    assert entries(merge_seen([old, section], 16)) == [
        (7, 100, SEEN_BOUGHT),
        (8, 100, SEEN_VIEWED),
        (7, 105, SEEN_VIEWED),
    ]


MARKS = st.lists(
    st.tuples(st.integers(0, 9), st.integers(0, 2**16 - 1), st.sampled_from([1, 2, 4, 8])), max_size=60
)


@given(MARKS, MARKS)
def test_marks_are_the_newest_day_of_each_reason(
    left: list[tuple[int, int, int]], right: list[tuple[int, int, int]]
) -> None:
    expected: dict[tuple[int, int], int] = {}
    sections = []
    for marks in (left, right):
        section = b""
        for mark, day, reason in marks:
            section = mark_seen(section, mark, day, reason, 512)
            expected[mark, reason] = max(day, expected.get((mark, reason), 0))
        sections.append(section)
        days = [day for _, day, _ in entries(section)]
        assert days == sorted(days)
    merged = entries(merge_seen(sections, 512))
    assert {(mark, reason): day for mark, day, reason in merged} == expected
    assert len(merged) == len(expected)
