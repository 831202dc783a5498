"""Which events are asked about, from which profile, and what the baselines answer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from services.kernel.event_type import EventType, EventTypes
from services.kernel.ids import item_key
from services.kernel.item import Item
from services.kernel.profile import Profile
from services.ranking.transitions import Transitions
from services.release.files import Release
from services.trainer.baselines import Baselines
from services.trainer.choosing import Cursor, choose
from services.trainer.event_table import EventTable
from services.trainer.refresh import AgedProfiles, interval_s
from services.trainer.replay import Profiles, Record, ReplayRules, records_of
from services.trainer.world import Asked, World
from tests.unit.shop import NOW_S, aggregates_of, profile_of, state_of

TYPES = EventTypes()
RULES = ReplayRules(TYPES)
KS = (5, 10)


def table(rows: Sequence[tuple[int, int, int, int]], item_ids: Sequence[str]) -> EventTable:
    """Rows (subject, item, type, second), in the order of time; those of one moment and subject are one
    event."""
    columns = np.array(rows, dtype=np.int64).reshape(-1, 4)
    moments = columns[:, [0, 3]]
    new = np.concatenate(([False], (moments[1:] != moments[:-1]).any(axis=1)))
    return EventTable(
        subjects=columns[:, 0].astype(np.int32),
        items=columns[:, 1].astype(np.int32),
        types=columns[:, 2].astype(np.uint8),
        values=np.full(len(rows), np.nan, np.float32),
        times_s=columns[:, 3],
        records=np.cumsum(new),
        subject_ids=[f"u{number}" for number in range(9)],
        item_ids=list(item_ids),
    )


VIEW, DISLIKE = int(EventType.VIEW), int(EventType.DISLIKE)


def test_first_events_unknown_items_and_dislikes_are_not_asked_about() -> None:
    events = table(
        [
            (0, 0, VIEW, 10),
            (0, 1, VIEW, 20),  # 1: before the questions begin
            (0, 2, VIEW, 100),  # 2: asked
            (1, 0, VIEW, 110),  # 3: the first of its subject
            (0, 3, VIEW, 120),  # 4: in no catalogue
            (0, 1, DISLIKE, 130),  # 5: nobody wants that
            (1, 3, VIEW, 140),  # 6: an order of two, one of them unknown
            (1, 2, VIEW, 140),
        ],
        "abcd",
    )
    known = np.array([True, True, True, False])
    chosen = choose(events, known, TYPES, from_s=100, questions_max=0, seed=1)
    assert chosen.records.tolist() == [2, 6]
    assert (chosen.possible, chosen.unknown, chosen.new) == (2, 1, 1)
    cursor = Cursor(chosen.records)
    assert [record.number for record in records_of(events) if cursor(record)] == [2, 6]
    only = choose(events, known, TYPES, from_s=0, questions_max=0, seed=1, only=frozenset({6, 1}))
    assert only.records.tolist() == [1, 6]


def test_a_sample_is_seeded() -> None:
    events = table([(0, 0, VIEW, second) for second in range(500)], "a")
    known = np.ones(1, dtype=np.bool_)
    first, again, other = (
        choose(events, known, TYPES, from_s=0, questions_max=50, seed=seed).records for seed in (1, 1, 2)
    )
    assert len(first) == 50
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert (np.diff(first) > 0).all()


def test_refresh_intervals() -> None:
    assert [interval_s(text) for text in ("live", "90s", "1min", "2h", "7d")] == [0, 90, 60, 7200, 604_800]
    for text in ("1w", "0h", "-1min", "min", "1.5h", ""):
        with pytest.raises(ValueError, match="live, or a number"):
            interval_s(text)


class _Batch:
    """Profiles brought up to date every minute, and the events that are to come."""

    def __init__(self, release: Release, rows: Sequence[tuple[int, int, int, int]]) -> None:
        self.events = table(rows, release.item_ids[:8])
        self.source = Profiles(self.events, release, RULES)
        self.aged = AgedProfiles(Profiles(self.events, release, RULES), 60)

    def hear_all(self) -> None:
        for record in records_of(self.events):
            self.hear(record)

    def hear(self, record: Record) -> None:
        self.aged.hear(record, self.source.change_of(record))

    def known_at(self, now_s: int) -> list[int]:
        """When the events happened that the profile holds."""
        profile = self.aged.at(0, now_s)
        return [] if profile is None else profile.ring["time"].tolist()


def test_an_event_on_the_boundary_waits_for_the_next_one(release: Release) -> None:
    batch = _Batch(release, [(0, 0, VIEW, 119), (0, 1, VIEW, 120), (0, 2, VIEW, 121)])
    first, second, third = records_of(batch.events)
    batch.hear(first)
    assert batch.known_at(119) == []
    assert batch.known_at(120) == [119], "at the boundary: what was before it"
    batch.hear(second)
    batch.hear(third)
    assert batch.known_at(179) == [119], "120 and 121 are not before 120"
    assert not batch.aged.is_live(0)
    assert batch.known_at(180) == [119, 120, 121]
    assert batch.aged.is_live(0)
    assert batch.aged.at(1, 500) is None
    assert batch.aged.is_live(1), "of nobody nothing waits"


def test_a_profile_never_sees_its_own_minute(release: Release) -> None:
    """Asked before each event, as a replay asks."""
    batch = _Batch(release, [(0, n % 8, VIEW, 1000 + 17 * n) for n in range(30)])
    for record in records_of(batch.events):
        boundary_s = record.time_s // 60 * 60
        expected = [time_s for time_s in batch.events.times_s.tolist() if time_s < boundary_s]
        assert batch.known_at(record.time_s) == expected
        batch.hear(record)


def test_a_late_event_waits_for_those_before_it_on_the_log(release: Release) -> None:
    batch = _Batch(release, [(0, 0, VIEW, 10), (0, 1, VIEW, 130), (0, 2, VIEW, 130)])
    first, second = records_of(batch.events)
    batch.hear(first)
    batch.hear(second)
    batch.hear(second._replace(number=9, time_s=50))  # came after, happened before
    assert batch.known_at(150) == [10]
    assert batch.known_at(180) == [10, 50, 50, 130, 130]


def test_an_aged_profile_ends_as_the_live_one(release: Release) -> None:
    batch = _Batch(release, [(0, n % 8, VIEW, 7 * n) for n in range(200)])
    live = Profiles(batch.events, release, RULES)
    for record in records_of(batch.events):
        live.apply(record, live.change_of(record))
    batch.hear_all()
    aged, expected = batch.aged.at(0, 10_000), live.get(0)
    assert aged is not None
    assert expected is not None
    assert aged.encode() == expected.encode()


def test_a_profile_that_has_expired_is_nobodys(release: Release) -> None:
    batch = _Batch(release, [(0, 0, VIEW, 10)])
    batch.hear_all()
    assert batch.known_at(90 * 86_400) == [10]
    assert batch.known_at(90 * 86_400 + 60) == []


class _Asking:
    """A question to the baselines over the first items of the shop."""

    def __init__(self, release: Release, items: Sequence[Item], *, hidden: Sequence[str] = ()) -> None:
        self.items = [
            Item(item_id=item.item_id, title=item.title, available=item.item_id not in hidden)
            for item in items[:40]
        ]
        self.release = release
        self.world = World.of(release, self.items)
        self.ids = [self.world.catalogue.id_of(row) for row in range(len(self.items))]
        self.baselines = Baselines(self.world)

    def ask(self, name: str, profile: Profile, **aggregates: dict[str, float]) -> list[list[str]]:
        state = state_of(self.items, self.release, aggregates_of(**aggregates))  # type: ignore[arg-type]
        state.catalogue = self.world.catalogue
        asked = Asked(state, profile, Record(1, 0, NOW_S, VIEW, (0,), (0.0,)), (self.ids[0],))
        lists = self.baselines.methods[name](asked, KS)
        return [[self.ids[row] for row in rows] for rows in lists]


def test_popular_and_trending_keep_the_rules_of_for_you(release: Release, shop_items: list[Item]) -> None:
    ids = sorted(item.item_id for item in shop_items[:40])
    asking = _Asking(release, shop_items, hidden=ids[:1])
    counts = {item_id: float(40 - place) for place, item_id in enumerate(ids)}
    finished = profile_of(release, [(ids[1], EventType.VIDEO_COMPLETE), (ids[2], EventType.VIEW)])
    short, long = asking.ask("popular", finished, popular=counts)
    assert long == ids[2:12], "neither what is not available nor what was finished"
    assert short == long[:5]
    assert asking.ask("trending", finished, trending=counts, popular={ids[9]: 1.0})[1] == ids[2:12]


def test_repeat_is_by_frequency_then_recency(release: Release, shop_items: list[Item]) -> None:
    asking = _Asking(release, shop_items)
    a, b, c, d, e = asking.ids[10:15]
    profile = profile_of(release, [(item, EventType.PURCHASE) for item in (a, a, b, b, c, d)])
    found = asking.ask("repeat", profile, popular={e: 9.0, a: 2.0})[0]
    assert found == [b, a, d, c, e], "then what is popular, each item once"


def test_transitions_come_from_the_table_or_from_what_is_live(
    release: Release, shop_items: list[Item], monkeypatch: pytest.MonkeyPatch
) -> None:
    asking = _Asking(release, shop_items)
    a, b, c, d, e = asking.ids[:5]
    profile = profile_of(release, [(a, EventType.VIEW), (b, EventType.VIEW)])
    assert "transitions" not in asking.baselines.methods
    together: dict[str, dict[str, float]] = {b: {c: 8.0, d: 2.0}, a: {e: 1.0}}
    found = asking.ask("co-visitation", profile, together=together)[0]  # type: ignore[arg-type]
    assert found == [c, d, e], "and nothing is popular"
    index = [release.index_of(item_key(item)) for item in (a, b, c, d, e)]
    starts = np.zeros(release.manifest.items + 1, dtype=np.int64)
    starts[index[0] + 1 :] += 1
    starts[index[1] + 1 :] += 2
    rows = {index[0]: [(index[4], 0.5)], index[1]: [(index[3], 0.3), (index[2], 0.2)]}
    ordered = [pair for source in sorted(rows) for pair in rows[source]]
    forward = Transitions(
        starts,
        np.array([item for item, _ in ordered], dtype=np.int32),
        np.array([(0.0, share) for _, share in ordered], dtype=np.float32),
    )
    monkeypatch.setattr(asking.baselines, "_forward", forward)
    found = asking.ask("transitions", profile, popular={a: 5.0})[0]
    assert found == [e, d, c, a], "0.8 · 0.5 before 0.3 before 0.2, then what is popular"
