"""A whole evaluation on a small synthetic history."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from services.kernel.event_type import EventType, EventTypes
from services.kernel.item import Item
from services.kernel.release import ReleaseError
from services.release.files import Release, open_release
from services.trainer.day0 import build_day0
from services.trainer.event_table import EventTable
from services.trainer.plots import draw_methods
from services.trainer.refresh import interval_s
from services.trainer.replay import ReplayRules
from services.trainer.report import methods_table, refresh_table, report_of, summary_of
from services.trainer.side_by_side import DAY0, EvaluateConfig, EvaluateError, evaluate, items_of

ITEMS, SUBJECTS, VISITS = 60, 40, 12
START_S = 1_700_000_000
RULES = ReplayRules(EventTypes())
CONFIG = EvaluateConfig(ks=(3, 10), from_s=START_S + 3000)


def history() -> EventTable:
    """Everybody walks up the items of one shelf, from a place and at a moment of their own."""
    generator = np.random.default_rng(3)
    begins_s = START_S + generator.permutation(SUBJECTS * 100)[:SUBJECTS]
    shelf = generator.integers(0, 6, SUBJECTS)
    place = generator.integers(0, 10, SUBJECTS)
    subjects = np.repeat(np.arange(SUBJECTS), VISITS)
    visit = np.tile(np.arange(VISITS), SUBJECTS)
    times_s = begins_s[subjects] + 40 * visit
    items = shelf[subjects] * 10 + (place[subjects] + visit) % 10
    order = np.argsort(times_s, kind="stable")
    return EventTable(
        subjects=subjects[order].astype(np.int32),
        items=items[order].astype(np.int32),
        types=np.full(len(order), int(EventType.VIEW), np.uint8),
        values=np.full(len(order), np.nan, np.float32),
        times_s=times_s[order].astype(np.int64),
        records=np.arange(len(order), dtype=np.int64),
        subject_ids=[f"u{number}" for number in range(SUBJECTS)],
        item_ids=[f"i{number:02d}" for number in range(ITEMS)],
    )


def shelf_items() -> list[Item]:
    return [
        Item(item_id=f"i{number:02d}", title=f"thing {number}", tags=[f"shelf {number // 10}"])
        for number in range(ITEMS)
    ]


@pytest.fixture(scope="module")
def shelves(tmp_path_factory: pytest.TempPathFactory) -> Release:
    """A release from bare ids: it knows nothing of shelves, and day 0 does."""
    bare = [Item(item_id=item.item_id, title="thing") for item in shelf_items()]
    return open_release(build_day0(bare, tmp_path_factory.mktemp("shelves"), d=8))


@pytest.fixture(scope="module")
def report(shelves: Release) -> dict[str, Any]:
    names = ("live", "1s", "1min", "1d")
    config = replace(CONFIG, refresh={name: interval_s(name) for name in names})
    twin = Release(shelves.path, msgspec.structs.replace(shelves.manifest, name="day0-twin"))
    told: list[float] = []
    evaluation = evaluate(
        history(),
        shelf_items(),
        shelves,
        RULES,
        config,
        compare=[twin],
        tell=lambda _what, share: told.append(share),
    )
    assert told == sorted(told)
    assert told[-1] == 1.0
    return report_of(evaluation)


def of(report: dict[str, Any], name: str, part: str = "methods") -> dict[str, Any]:
    (found,) = [one for one in report[part] if one["name"] == name]
    return dict(found["at"]["10"])


def test_everyone_answers_the_same_questions(report: dict[str, Any]) -> None:
    table = history()
    late = table.times_s >= START_S + 3000
    first: dict[int, int] = {}
    for record, subject in zip(table.records.tolist(), table.subjects.tolist(), strict=True):
        first.setdefault(subject, record)
    asked = [record for record in table.records[late].tolist() if record not in set(first.values())]
    assert report["questions"] == report["possible"] == len(asked)
    assert [one["name"] for one in report["methods"]] == [
        *("for_you", "day0-twin", "popular", "trending", "co-visitation", "repeat", DAY0)
    ]
    assert report["catalogue"] == ITEMS
    assert report["seed"] == 7
    assert report["from"].startswith("2023-11-14T23:03")


def test_a_release_of_the_same_space_is_asked_in_the_same_pass(report: dict[str, Any]) -> None:
    twin = of(report, "day0-twin")
    assert twin["hr"] == of(report, "for_you")["hr"]
    assert twin["difference"]["ndcg"] == {"value": 0.0, "low": 0.0, "high": 0.0}


def test_who_knows_more_hits_more(report: dict[str, Any]) -> None:
    assert of(report, DAY0)["hr"]["value"] > of(report, "popular")["hr"]["value"] + 0.2
    assert of(report, DAY0)["difference"]["hr"]["low"] <= of(report, DAY0)["difference"]["hr"]["value"]
    for one in report["methods"]:
        at = one["at"]["10"]
        assert 0 <= at["hr"]["low"] <= at["hr"]["value"] <= at["hr"]["high"] <= 1
        assert at["recall"] == at["hr"], "every event has one item"
        assert at["ndcg"]["value"] <= at["hr"]["value"]
        assert one["at"]["3"]["coverage"] <= at["coverage"] <= 1
    assert of(report, "popular")["popularity"]["value"] > of(report, DAY0)["popularity"]["value"]


def test_fresh_profiles_answer_as_live_ones(report: dict[str, Any]) -> None:
    """No two events of a subject share a second."""
    served, by_second = of(report, "for_you"), of(report, "1s", "refresh")
    assert of(report, "live", "refresh") == served
    assert by_second["hr"] == served["hr"]
    assert by_second["difference"]["hr"] == {"value": 0.0, "low": 0.0, "high": 0.0}
    empty = {one["name"]: one["empty"] for one in report["refresh"]}
    assert empty["live"] == empty["1s"] == 0.0
    assert 0.0 < empty["1min"] < empty["1d"] == 1.0, "all of it is one day"
    assert of(report, "1d", "refresh")["hr"]["value"] < served["hr"]["value"]


def test_tables_and_plot(report: dict[str, Any], tmp_path: Path) -> None:
    header, rows = methods_table(report)
    assert {len(row) for row in rows} == {len(header)}
    assert len(rows) == 2 * len(report["methods"])
    header, rows = refresh_table(report)
    assert {len(row) for row in rows} == {len(header)}
    assert f"{report['questions']:,} questions of" in summary_of(report)
    draw_methods(report, tmp_path / "one.svg")
    drawn = (tmp_path / "one.svg").read_text()
    draw_methods(report, tmp_path / "two.svg")
    assert (tmp_path / "two.svg").read_text() == drawn, "the same figures, the same file"
    assert "HR@3" in drawn
    assert "co-visitation" in drawn
    assert f"{report['questions']:,} questions" in drawn
    with pytest.raises(ReleaseError, match=r"\.svg or \.png"):
        draw_methods(report, tmp_path / "one.pdf")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"from_s": START_S + 10**6}, "no event is as new as 2023-11-26"),
        ({"ks": (10, 500)}, "between 1 and 200"),
        ({"from_s": None, "holdout_share": 1.5}, "between 0 and 1"),
    ],
)
def test_what_cannot_be_asked(shelves: Release, change: dict[str, Any], says: str) -> None:
    config = replace(CONFIG, **change)
    with pytest.raises(EvaluateError, match=says):
        evaluate(history(), shelf_items(), shelves, RULES, config)


def test_histories_that_say_nothing(shelves: Release) -> None:
    table = history()
    _, first = np.unique(table.subjects, return_index=True)
    for events, items, says in (
        (table.take(np.sort(first)), shelf_items(), r"40 are somebody's first"),
        (table, [Item(item_id="other")], "is in the catalogue"),
        (table.take(slice(0, 0)), shelf_items(), "no events to replay"),
    ):
        with pytest.raises(EvaluateError, match=says):
            evaluate(events, items, shelves, RULES, replace(CONFIG, from_s=START_S))
    late = replace(table, times_s=table.times_s + np.where(table.records < 300, 0, 86_400 * 91))
    with pytest.raises(EvaluateError, match="nobody is known"):
        evaluate(_lone(late), shelf_items(), shelves, RULES, replace(CONFIG, from_s=START_S + 86_400))


def _lone(table: EventTable) -> EventTable:
    """Of each subject one event before the gap and one after it."""
    seen: dict[tuple[int, bool], int] = {}
    for line, (subject, time_s) in enumerate(
        zip(table.subjects.tolist(), table.times_s.tolist(), strict=True)
    ):
        seen.setdefault((subject, time_s > START_S + 86_400), line)
    both = [line for (subject, _), line in seen.items() if {(subject, True), (subject, False)} <= seen.keys()]
    return table.take(np.array(sorted(both)))


def test_the_catalogue_of_a_release(shelves: Release) -> None:
    found: Sequence[Item] = items_of(shelves)
    assert [item.item_id for item in found] == [f"i{number:02d}" for number in range(ITEMS)]
    assert found[0].title == "thing"
