"""The replay of the trainer against the profiler that it stands for."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from services.kernel.change import weight_of
from services.kernel.contributions import contributions_of
from services.kernel.covisits import NEIGHBOUR
from services.kernel.event_type import EventTypes
from services.kernel.ids import item_key
from services.kernel.profile import Profile
from services.profiler.contributions import fold, touched
from services.ranking.scenario_file import read_scenarios
from services.release.files import Release, open_release
from services.store.aggregates import Rows
from services.trainer import replay as replaying
from services.trainer.day0 import build_day0
from services.trainer.replay import DAY_MS, LiveAggregates, Profiles, ReplayRules, records_of
from services.trainer.world import Asked, World, ids_of, recommended, replay
from tests.unit.trainer_events import circle_items, walks

RULES = ReplayRules(EventTypes())


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Release:
    return open_release(build_day0(circle_items(), tmp_path_factory.mktemp("release"), d=8))


def test_aggregates_are_those_that_the_profiler_would_store(release: Release) -> None:
    table = walks(25, seed=6)
    profiles, live = Profiles(table, release, RULES), LiveAggregates(RULES)
    trend: dict[int, float] = {}
    popular: dict[int, float] = {}
    rows: dict[int, bytes] = {}
    for record in records_of(table):
        change = profiles.change_of(record)
        before = profiles.get(record.subject)
        live.add(before, change, profiles.space)
        made = contributions_of(
            before or Profile.empty(profiles.space),
            change,
            weight_of(RULES.types),
            RULES.profile_ttl_days * DAY_MS,
        )
        scored, visited = touched(made)
        stored = Rows(
            np.array([trend.get(item, -np.inf) for item in scored]),
            np.array([popular.get(item, -np.inf) for item in scored]),
            [rows.get(item) for item in visited],
        )
        folded = fold(made, scored, visited, stored)
        trend |= folded.trend
        popular |= folded.popular
        rows |= folded.neighbours
        profiles.apply(record, change)
    snapshot = live.snapshot()
    for scores, expected in ((snapshot.trending, trend), (snapshot.popular, popular)):
        assert dict(zip(scores.keys.tolist(), scores.scores.tolist(), strict=True)) == expected
    assert rows
    for key, row in rows.items():
        found = snapshot.neighbours.get(key)
        assert found is not None
        entries = np.frombuffer(row, NEIGHBOUR)
        np.testing.assert_array_equal(found.keys, entries["item"])
        np.testing.assert_array_equal(found.scores, entries["score"])


def test_events_are_read_in_pieces_and_none_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    table = walks(20, seed=1)
    records = np.sort(np.random.default_rng(0).integers(0, 150, len(table))).astype(np.int64)
    table = dataclasses.replace(table, records=records)
    whole = list(records_of(table))
    monkeypatch.setattr(replaying, "RECORDS_AT_ONCE", 7)
    assert repr(list(records_of(table))) == repr(whole)
    assert [one.number for one in whole] == np.unique(records).tolist()
    assert sum(len(one.items) for one in whole) == len(table)


def test_a_question_knows_what_came_before_its_event_and_no_more(release: Release) -> None:
    table = walks(12, seed=3)
    world = World.of(release, circle_items())
    cut_s = int(table.times_s[len(table) // 2])
    asked: list[tuple[int, list[int], tuple[str, ...]]] = []

    def ask(one: Asked) -> None:
        asked.append((one.record.number, one.profile.ring["item"].tolist(), one.wanted))

    replay(world, table, cut_s, RULES, ask)
    for number, ring, wanted in asked:
        mine = (table.subjects == table.subjects[number]) & (np.arange(len(table)) < number)
        assert ring == [item_key(table.item_ids[item]) for item in table.items[mine].tolist()]
        assert wanted == (table.item_ids[table.items[number]],)
        assert table.times_s[number] >= cut_s
    assert len(asked) > 50


def test_lists_are_those_that_the_deployment_serves(release: Release) -> None:
    shelf = [f"i{number:03d}" for number in range(10, 20)]
    mine = read_scenarios(
        f'[scenarios.for_you]\nextends = "for_you"\nfilter = {{ item_id = {shelf} }}\n'.replace("'", '"')
    )
    table = walks(12, seed=3)
    world = World.of(release, circle_items())
    found: list[set[str]] = []

    def ask(one: Asked) -> None:
        found.append(set(ids_of(recommended(one, 5))))

    replay(world, table, int(table.times_s[-50]), RULES._replace(scenarios=mine.by_name), ask)
    assert found
    assert all(len(ids) == 5 and ids <= set(shelf) for ids in found)
