"""docs/METRICS.md, the code, the dashboards and the alerts name the same metrics, labels and values."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from services.ingest.segment import KINDS
from services.kernel.metrics import CATALOGUE, Metric
from services.log.protocol import Topic
from tests.unit.monitoring import ROOT, alerts, choices_of, drawn, expressions, metrics_of, published

PAGE = (ROOT / "docs/METRICS.md").read_text()
SERVICES = ROOT / "services"
# Labels whose values stand in the code as words: where, and how they are written there.
WRITTEN = {
    ("freshet_ingest_records_total", "outcome"): ("ingest/publisher.py", r'\("accepted", "(\w+)", "(\w+)"\)'),
    ("freshet_ingest_calls_total", "api"): ("ingest/client_routes.py", r'__init__\(state, calls, "(\w+)"\)'),
    ("freshet_ingest_calls_total", "outcome"): ("ingest/*.py", r'Unused\("(\w+)"'),
    ("freshet_profiler_records_total", "outcome"): (
        "profiler/updater.py",
        r'for outcome in \("(\w+)", "(\w+)", "(\w+)", "(\w+)"\)',
    ),
    ("freshet_profiler_item_lines_total", "known"): ("profiler/*.py", r'lines\.labels\("(\w+)"\)'),
    ("freshet_profiler_conflicts_total", "kind"): ("profiler/*.py", r'_conflicts\.labels\("(\w+)"\)'),
    ("freshet_recommendations_total", "strategy"): (
        "ranking/**/*.py",
        r'\bstrategy = "(\w+)"|_strategy or "(\w+)"',
    ),
    ("freshet_recommend_stage_duration_seconds", "stage"): ("recommender/*.py", r'\.mark\("(\w+)"\)'),
    ("freshet_recommend_fallbacks_total", "step"): ("recommender/*.py", r'\.fell\("(\w+)"'),
    ("freshet_recommend_fallbacks_total", "cause"): (
        "recommender/*.py",
        r'\.fell\("\w+", "(\w+)"\)|trouble="(\w+)"(?: if .* else "(\w+)")?',
    ),
    ("freshet_release_loads_total", "service"): (
        "*/*.py",
        r'(?:_loads|counter\(RELEASE_LOADS\))\.labels\("(\w+)"',
    ),
    ("freshet_release_loads_total", "outcome"): (
        "*/*release*.py",
        r'_counted\("(\w+)"\)|_loads\.labels\("\w+", "(\w+)"',
    ),
    ("freshet_release_info", "service"): ("*/*.py", r'InUse\(.*RELEASE_INFO\), "(\w+)"\)'),
    ("freshet_start_time_seconds", "service"): ("*/*.py", r'\bStart\([\w.]*metrics, "(\w+)"\)'),
    ("freshet_start_seconds", "service"): ("*/*.py", r'\bStart\([\w.]*metrics, "(\w+)"\)'),
    ("freshet_start_seconds", "step"): ("*/*.py", r'\.reached\("(\w+)"\)'),
    ("freshet_scenario_loads_total", "outcome"): (
        "recommender/follow_scenarios.py",
        r'_counted\("(\w+)"(?: if \w+ else "(\w+)")?\)',
    ),
}
IMPLIED = {("freshet_ingest_records_total", "outcome"): {"accepted"}} | {
    ("freshet_ingest_calls_total", "outcome"): {"accepted"}
}


def _rows(line_start: str = "| `") -> list[list[str]]:
    lines = [line for line in PAGE.split("\n") if line.startswith(line_start)]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def described() -> dict[str, list[str]]:
    """Rows of the tables of metrics: name, then type, labels, unit, meaning, normal, shown."""
    return {cells[0].strip("| `"): cells[1:] for cells in _rows() if len(cells) == 7}


def values() -> dict[tuple[str, str], set[str] | None]:
    """Values of each label of each metric; None for an open one."""
    found: dict[tuple[str, str], set[str] | None] = {}
    for cells in _rows():
        if len(cells) == 3:
            closed = None if cells[2].startswith("open: ") else _words(cells[2])
            for name in re.findall(r"`(\w+)`", cells[0]):
                (label,) = re.findall(r"`(\w+)`", cells[1])
                assert (name, label) not in found, f"{name}{{{label}}} stands twice"
                found[name, label] = closed
    return found


def _words(cell: str) -> set[str]:
    """The values of a cell, without what stands in brackets."""
    return set(re.findall(r"`(\w+)`", re.sub(r"\([^)]*\)", "", cell)))


def _routes() -> set[str]:
    """Every route of the services, as the label has it."""
    texts = [
        path.read_text() for path in SERVICES.rglob("*.py") if re.search("route|health|stream", path.name)
    ]
    found = {route for text in texts for route in re.findall(r'"(/[a-z][\w/{}:]*)"', text)}
    return {route.replace(":path", "") for route in found}


@pytest.mark.parametrize("metric", CATALOGUE, ids=lambda metric: metric.name)
def test_a_metric_is_described_as_it_is(metric: Metric) -> None:
    kind, labels, unit, meaning, normal, _ = described()[metric.name]
    assert kind == metric.kind
    assert tuple(re.findall(r"`(\w+)`", labels)) == metric.labels
    assert (unit == "s") == metric.name.endswith("_seconds")
    assert unit
    assert meaning.endswith((".", ")"))
    assert normal


def test_nothing_else_is_described() -> None:
    assert described().keys() == {metric.name for metric in CATALOGUE}
    assert values().keys() == {(metric.name, label) for metric in CATALOGUE for label in metric.labels}
    named = set(re.findall(r"freshet_\w+", PAGE))
    assert named <= {metric.name for metric in CATALOGUE}


@pytest.mark.parametrize("metric", CATALOGUE, ids=lambda metric: metric.name)
def test_where_a_metric_is_shown_is_where_it_is_shown(metric: Metric) -> None:
    known = published()
    used = {asked.shown for asked in expressions() if metric in {known[n] for n in metrics_of(asked.text)}}
    told = described()[metric.name][-1].strip("| ")
    assert {re.sub(r"\[(\w+)\]\(.*\)", r"\1", word) for word in told.split(", ")} == used
    links = {rule["alert"]: rule["annotations"]["runbook_url"].removeprefix("docs/") for rule in alerts()}
    assert all(links[name] == to for name, to in re.findall(r"\[(\w+)\]\(([^)]*)\)", told))


def test_what_no_panel_draws_is_listed() -> None:
    known = published()
    shown = {known[name].name for asked in drawn() for name in metrics_of(asked.text)}
    (listed,) = re.findall(r"^\*\*Not drawn:\*\* (.*)$", PAGE, re.MULTILINE)
    assert {metric.name for metric in CATALOGUE} - shown == set(re.findall(r"`(\w+)`", listed))


def test_expressions_choose_values_that_there_are() -> None:
    known, there, routes = published(), values(), _routes()
    assert {"/recommend/{user_id}", "/recommend/batch", "/readyz"} <= routes
    checked = 0
    for shown, place, text in expressions():
        for name, label, operator, value in choices_of(text):
            if name not in known or label == "le":
                continue
            closed = routes if label == "route" else there[known[name].name, label]
            if closed is None:
                continue
            wanted = value.split("|") if operator in {"=~", "!~"} and "(" not in value else [value]
            for one in wanted:
                fits = [have for have in closed if re.fullmatch(one, have)] if "~" in operator else [one]
                assert fits, f"{shown}, {place}: no {label} of {name} is {one}"
                assert set(fits) <= closed, f"{shown}, {place}: {name} has no {label}={one!r}"
                checked += 1
    assert checked > 50


def test_buckets_that_are_asked_for_exist() -> None:
    for shown, place, text in expressions():
        for name, label, _, value in choices_of(text):
            if label == "le":
                assert float(value) in published()[name].buckets, f"{shown}, {place}: {value}"
                assert value == str(float(value)), "as the exposition writes it"


@pytest.mark.parametrize(("metric", "label"), WRITTEN, ids=".".join)
def test_the_values_are_those_in_the_code(metric: str, label: str) -> None:
    where, pattern = WRITTEN[metric, label]
    found = {
        word
        for path in SERVICES.glob(where)
        for match in re.finditer(pattern, path.read_text())
        for word in match.groups()
        if word
    }
    assert found | IMPLIED.get((metric, label), set()) == values()[metric, label]


def test_topics_and_calls_are_those_in_the_code() -> None:
    closed = values()
    topics = {topic.value for topic in Topic}
    assert closed["freshet_ingest_ack_duration_seconds", "topic"] == topics
    for (name, label), there in closed.items():
        if label == "topic" and name != "freshet_ingest_ack_duration_seconds":
            assert there == topics - {Topic.DEAD.value}, name
    assert closed["freshet_ingest_calls_total", "call"] == {*KINDS, "other", "event"}


def test_the_page_points_to_files_that_are_there() -> None:
    for path in re.findall(r"\]\(\.\./([\w./]+)\)", PAGE):
        assert (ROOT / Path(path)).exists(), path
