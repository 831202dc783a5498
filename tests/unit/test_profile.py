"""The promises of a profile, as properties."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.kernel.bank import NO_SPACE, RING_CAPACITY, FloatArray, Space, rebuild_bank
from services.kernel.position import Position
from services.kernel.profile import (
    DUPLICATES_CAPACITY,
    GUARD,
    SEEN_BOUGHT,
    SEEN_VIEWED,
    Change,
    LayoutError,
    Line,
    PositionMismatchError,
    Profile,
    ProfileRules,
)

SPACE = Space("test", 7, 1, 8)
DAY_MS = 86_400_000
START_S = 1_700_000_000
_TABLE = np.random.default_rng(5).standard_normal((50, 16)).astype(np.float32)


def rules(space: Space = SPACE, seen_capacity: int = 16) -> ProfileRules:
    def vector_of(item: int) -> FloatArray | None:
        return _TABLE[item, : space.d] if item < 40 and space.d else None

    def weight_of(number: int, value: float) -> float:
        return value if not math.isnan(value) else float(number % 4)

    return ProfileRules(space, vector_of, weight_of, 90 * DAY_MS, seen_capacity)


def change(
    offset: int,
    items: Sequence[int] = (1,),
    *,
    time_s: int | None = None,
    event: int | None = None,
    received_at_ms: int | None = None,
    number: int = 1,
    reason: int = SEEN_VIEWED,
    value: float = math.nan,
    personalization: bool | None = None,
    shown: Sequence[int] = (),
) -> Change:
    weight = float(number % 4)
    at_s = START_S + offset if time_s is None else time_s
    return Change(
        Position(1, 3, offset),
        10_000 + offset if event is None else event,
        START_S * 1000 + offset * 1000 if received_at_ms is None else received_at_ms,
        at_s,
        number,
        reason,
        tuple(Line(item, weight, value) for item in items),
        personalization=personalization,
        shown=tuple(shown),
    )


@st.composite
def logs(draw: st.DrawFn) -> list[Change]:
    """A subject's log: late events, duplicates, orders, films, impressions, searches, personalisation denied
    and allowed, gaps longer than the TTL."""
    made = []
    received_at_ms = START_S * 1000
    spread_s = draw(st.sampled_from([400_000, 4000]))
    words = st.sampled_from([None] * 30 + [True, False] * draw(st.integers(0, 1)))
    for offset in range(draw(st.integers(1, 160))):
        received_at_ms += draw(st.sampled_from([0, 5, 1000, 1000, 60_000, 91 * DAY_MS]))
        made.append(
            change(
                offset * 2,
                draw(st.sampled_from([(1,), (2,), (), (49,)]))
                or tuple(draw(st.lists(st.integers(0, 49), max_size=5))),
                time_s=START_S + draw(st.integers(-spread_s, spread_s)),
                event=draw(st.integers(0, 300)),
                received_at_ms=received_at_ms,
                number=draw(st.sampled_from([*range(13), 7, 7, 7])),
                reason=draw(st.sampled_from([0, 1, 2, 4, 8])),
                personalization=draw(words),
                shown=draw(st.sampled_from([(), (), (1, 2), (2, 3, 49)])),
            )
        )
    return made


def apply_all(changes: Sequence[Change], applied_by: ProfileRules) -> Profile:
    profile = Profile.empty(applied_by.space)
    for one in changes:
        assert profile.is_new(one.position)
        profile.apply(one, applied_by)
    return profile


@settings(max_examples=90)
@given(log=logs(), cuts=st.sets(st.integers(0, 160)))
def test_one_by_one_is_any_batch_split_byte_for_byte(log: list[Change], cuts: set[int]) -> None:
    whole = apply_all(log, rules()).encode()
    for cut_after in (cuts, set(range(len(log)))):
        stored = b""
        profile = Profile.empty(SPACE)
        for index, one in enumerate(log):
            profile.apply(one, rules())
            if index in cut_after:
                stored = profile.encode()
                profile = Profile.decode(stored)
                assert profile.guard == stored[GUARD]
                assert not any(profile.is_new(old.position) for old in log[: index + 1]), "redelivered"
        assert profile.encode() == whole


@settings(max_examples=60)
@given(log=logs())
def test_decode_gives_back_what_was_encoded(log: list[Change]) -> None:
    profile = apply_all(log, rules())
    again = Profile.decode(profile.encode())
    names = "position counter events received_at_ms space_id space_epoch tombstone withheld"
    for name in names.split():
        assert getattr(again, name) == getattr(profile, name)
    for name in ("bank", "bank_weight", "ring", "seen", "duplicates", "shown"):
        assert getattr(again, name).tobytes() == getattr(profile, name).tobytes()
    assert (np.diff(again.ring["time"].astype(np.int64)) >= 0).all()
    assert (np.diff(again.seen["day"].astype(np.int64)) >= 0).all()
    assert len(np.unique(again.seen[["fingerprint", "reason"]])) == len(again.seen) <= 16
    assert (np.diff(again.shown["time"].astype(np.int64)) >= 0).all()
    assert len(np.unique(again.shown["fingerprint"])) == len(again.shown)
    assert len(again.ring) <= RING_CAPACITY
    assert len(again.duplicates) <= DUPLICATES_CAPACITY


@settings(max_examples=60)
@given(log=logs(), back=st.integers(1, DUPLICATES_CAPACITY))
def test_a_duplicate_changes_position_and_counter_only(log: list[Change], back: int) -> None:
    profile = apply_all(log, rules())
    if len(profile.duplicates) < back:
        return
    before = bytearray(profile.encode())
    late = log[-1].received_at_ms + DAY_MS
    again = change(10_000, (3,), event=int(profile.duplicates[-back]), received_at_ms=late)
    assert not profile.apply(again, rules())
    after = bytearray(profile.encode())
    assert profile.position == Position(1, 3, 10_000)
    assert before[GUARD] != after[GUARD]
    before[GUARD] = after[GUARD]
    assert before == after


@settings(max_examples=100)
@given(times=st.lists(st.integers(0, 30), min_size=2, max_size=60), late=st.integers(0, 29))
def test_a_late_event_lands_where_its_time_says(times: list[int], late: int) -> None:
    profile = Profile.empty(SPACE)
    ordered = [change(n, (n % 40,), time_s=START_S + at) for n, at in enumerate(sorted(times))]
    for one in ordered:
        profile.apply(one, rules())
    before = profile.bank.copy()
    profile.apply(change(1000, (45,), time_s=START_S + late), rules())
    place = sum(at <= late for at in times)
    assert profile.ring["item"][place] == 45
    if place < len(times):
        assert profile.bank.tobytes() == before.tobytes(), "an item with no vector adds nothing"
        profile.apply(change(1001, (39,), time_s=START_S + late), rules())
        newer = len(times) - place
        gammas = np.array(SPACE.gammas) ** newer
        expected = before + gammas[:, None] * _TABLE[39, :8]
        np.testing.assert_allclose(profile.bank, expected, rtol=1e-5, atol=1e-6)


def test_history_older_than_a_full_ring_still_counts_for_the_long_sums() -> None:
    profile = apply_all([change(n, (n % 40,)) for n in range(200)], rules())
    ring, long_sum, short_sum = profile.ring.tobytes(), profile.bank[5].copy(), profile.bank[1].copy()
    profile.apply(change(500, (5,), time_s=START_S - 1_000_000), rules())
    assert profile.ring.tobytes() == ring
    np.testing.assert_allclose(profile.bank[5], long_sum + _TABLE[5, :8], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(profile.bank[1], short_sum, rtol=1e-6)


def test_an_order_of_forty_lines_is_one_record() -> None:
    profile = apply_all(
        [change(0, (3,)), change(1, tuple(range(40)), number=5, reason=SEEN_BOUGHT)], rules(seen_capacity=64)
    )
    assert (profile.events, profile.counter, len(profile.duplicates)) == (2, 2, 2)
    assert profile.position == Position(1, 3, 1)
    assert profile.ring["item"].tolist() == [3, *range(40)]
    marks = profile.seen[["fingerprint", "reason"]].tolist()
    assert marks == [(3, SEEN_VIEWED), *((n, SEEN_BOUGHT) for n in range(40))]


def test_a_gap_longer_than_the_ttl_finds_the_sections_empty() -> None:
    first = change(0, tuple(range(10)))
    gap_ms = 90 * DAY_MS + 1
    late = change(1, (7,), event=first.event_hash, received_at_ms=first.received_at_ms + gap_ms)
    profile = apply_all([first, late], rules())
    alone = apply_all([change(1, (7,), event=first.event_hash, received_at_ms=late.received_at_ms)], rules())
    kept = apply_all([first, late._replace(received_at_ms=late.received_at_ms - 1)], rules())
    assert profile.counter == 2
    assert profile.encode()[32:] == alone.encode()[32:]
    assert kept.events == 1
    assert len(kept.ring) == 10


def test_deletion_leaves_a_header_alone_and_the_next_event_starts_anew() -> None:
    profile = apply_all([change(n) for n in range(20)], rules())
    profile.delete(Position(1, 3, 50), START_S * 1000 + 60_000)
    stored = profile.encode()
    assert len(stored) == 64
    again = Profile.decode(stored)
    assert again.tombstone
    assert (again.position, again.counter, again.events) == (Position(1, 3, 50), 21, 0)
    assert again.bank.size == 0
    assert again.space_epoch == SPACE.epoch
    again.apply(change(60), rules())
    assert again.encode()[1] == 0, "no flag"
    assert again.encode()[32:] == apply_all([change(60)], rules()).encode()[32:]
    assert again.counter == 22


# Written before there were `shown`, `withheld` and one seen entry a reason: item 1 viewed and bought, item 2
# bought, item 3 watched.
OLD = bytes.fromhex(
    "010002000200040001000000030000000300000000000000040000000000000007000000000000000100000003000400"
    "04000000000000000368e5cf8b0100000000c03e0000b03f0000803f000090400000603f000040400100000000000000"
    "00f153650000803e01020000000000000032f153650000803e05010000000000000080e557650000803e050300000000"
    "0000008ae557650000803e0702000000db4c0201000000de4c0303000000de4c01e803000000000000e9030000000000"
    "00ea03000000000000eb03000000000000"
)


def test_a_profile_of_an_older_version_is_read_and_goes_on() -> None:
    profile = Profile.decode(OLD)
    assert profile.encode() == OLD, "as it is, it is written as the older version reads it"
    assert profile.bank.tolist() == [[0.375, 1.375], [1.0, 4.5]]
    assert profile.ring["item"].tolist() == [1, 2, 1, 3]
    assert profile.seen.tolist() == [(2, 19675, SEEN_BOUGHT), (1, 19678, 3), (3, 19678, SEEN_VIEWED)]
    assert (profile.events, profile.withheld, len(profile.shown)) == (4, False, 0)
    day_s = 86_400
    profile.apply(change(10, (1,), time_s=19_690 * day_s), rules(Space("frozen", 7, 1, 2, (0.5, 1.0))))
    assert profile.seen[["fingerprint", "day", "reason"]].tolist() == [
        (2, 19675, SEEN_BOUGHT),
        (1, 19678, SEEN_BOUGHT),
        (3, 19678, SEEN_VIEWED),
        (1, 19690, SEEN_VIEWED),
    ]
    assert len(profile.ring) == 5


@pytest.mark.parametrize("data", [b"", b"\x02" + bytes(63), b"\x01" + bytes(30)])
def test_an_unknown_layout_is_never_guessed(data: bytes) -> None:
    with pytest.raises(LayoutError):
        Profile.decode(data)


def test_a_length_that_does_not_add_up_is_no_profile() -> None:
    stored = apply_all([change(0)], rules()).encode()
    with pytest.raises(LayoutError):
        Profile.decode(stored[:-1])


@pytest.mark.parametrize(
    ("stored", "record", "new"),
    [
        (Position(2, 3, 9), Position(2, 3, 9), False),
        (Position(2, 3, 9), Position(2, 3, 8), False),
        (Position(2, 3, 9), Position(2, 3, 10), True),
        (Position(2, 3, 9), Position(3, 1, 0), True),
        (Position(2, 3, 9), Position(1, 3, 10), None),
        (Position(2, 3, 9), Position(2, 4, 10), None),
    ],
)
def test_positions_that_cannot_be_compared_are_refused(
    stored: Position, record: Position, new: bool | None
) -> None:
    profile = Profile.empty(SPACE)
    profile.apply(change(0)._replace(position=stored), rules())
    try:
        answer: bool | None = profile.is_new(record)
    except PositionMismatchError:
        answer = None
    assert answer is new


def test_another_space_rebuilds_the_bank_from_the_ring() -> None:
    wide = Space("wide", 8, 2, 16, (0.0, 0.9))
    profile = apply_all([change(n, (n % 45,)) for n in range(60)], rules())
    profile.apply(change(100, (9,)), rules(wide))
    assert (profile.d, profile.k, profile.space_id, profile.space_epoch) == (16, 2, 8, 2)
    assert (
        profile.encode()
        == apply_all([*(change(n, (n % 45,)) for n in range(60)), change(100, (9,))], rules(wide)).encode()
    )


def test_without_a_release_the_ring_waits_for_one() -> None:
    log = [change(n, (n % 40,)) for n in range(5)]
    profile = apply_all(log, rules(NO_SPACE))
    assert profile.bank.shape == (6, 0)
    bank, weights = rebuild_bank(profile.ring, rules().vector_of, rules().weight_of, SPACE)
    direct = apply_all(log, rules())
    assert bank.tobytes() == direct.bank.tobytes()
    assert weights.tobytes() == direct.bank_weight.tobytes()


def test_sizes_stay_within_what_the_design_promises() -> None:
    space = Space("size", 9, 1, 64)
    small = apply_all([change(n, (n + 40,)) for n in range(20)], rules(space, 512))
    many = [change(n, (n + 40,)) for n in range(600)]
    full = apply_all([*many, change(600, (), shown=range(10_000, 10_200))], rules(space, 512))
    assert len(small.encode()) <= 2560
    sections = (full.ring, full.seen, full.duplicates, full.shown)
    assert [len(section) for section in sections] == [128, 512, 128, 128]
    assert len(full.encode()) == 9180 <= 9 * 1024


def test_latest_items_looks_back_from_the_events_time() -> None:
    stays = [(1, 0, 1), (2, 100, 1), (1, 200, 1), (4, 250, 4), (3, 5000, 1)]
    log = [
        change(n, (item,), time_s=START_S + at, number=number) for n, (item, at, number) in enumerate(stays)
    ]
    profile = apply_all(log, rules())

    def latest(at: int, limit: int) -> list[int]:
        return profile.latest_items(START_S + at, 1800, rules().weight_of, limit)

    assert latest(300, 5) == [1, 2], "what weighs nothing is no neighbour"
    assert latest(300, 1) == [1]
    assert latest(5000, 5) == [3]
