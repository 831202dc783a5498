"""The dashboards and what they rest on: metrics that exist, expressions that parse, panels to read."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.unit.monitoring import (
    BOARDS,
    EVERYWHERE,
    ROOT,
    board,
    expressions,
    groupings_of,
    metrics_of,
    panels,
    published,
    rules,
)

NAMES = tuple(BOARDS)


def test_every_expression_names_metrics_that_are_published_with_their_labels() -> None:
    known = published()
    for shown, place, text in expressions():
        names = metrics_of(text)
        assert names <= known.keys(), f"{shown}, {place}: {names - known.keys()}"
        chosen = set(re.findall(r"[{,]\s*(\w+)\s*(?:=~|!~|!=|=)\s*\"", text))
        labels = EVERYWHERE.union(*(known[name].labels for name in names))
        unknown = (groupings_of(text) | chosen) - labels
        assert not unknown, f"{shown}, {place}: {unknown}"


@pytest.mark.parametrize("name", NAMES)
def test_legends_name_labels_that_the_expression_keeps(name: str) -> None:
    for panel in panels(name):
        for target in panel["targets"]:
            legend = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
            kept = {
                word for words in re.findall(r"by \(([^)]*)\)", target["expr"]) for word in words.split(", ")
            }
            assert legend <= (kept or EVERYWHERE), panel["title"]


@pytest.mark.parametrize("name", NAMES)
def test_the_panels_do_not_overlap_and_each_says_what_it_means(name: str) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in board(name)["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= 24
        assert panel["type"] == "row" or panel["description"].endswith("."), panel["title"]
        taken |= cells


@pytest.mark.parametrize("name", NAMES)
def test_what_grafana_needs_to_tell_parts_apart_is_unique(name: str) -> None:
    shown = board(name)["panels"]
    assert len({panel["id"] for panel in shown}) == len(shown)
    titles = [panel["title"] for panel in shown]
    assert len(set(titles)) == len(titles)
    assert {target["datasource"]["uid"] for panel in panels(name) for target in panel["targets"]} == {
        "freshet-prometheus"
    }
    for panel in panels(name):
        letters = [target["refId"] for target in panel["targets"]]
        assert len(set(letters)) == len(letters), panel["title"]


def test_the_dashboards_lead_to_each_other_and_all_that_lie_there_are_known() -> None:
    assert set((ROOT / "deploy/grafana/dashboards").iterdir()) == set(BOARDS.values())
    boards = [board(name) for name in NAMES]
    assert len({one["uid"] for one in boards}) == len({one["title"] for one in boards}) == len(NAMES)
    for one in boards:
        assert one["description"]
        assert [link["tags"] for link in one["links"]] == [one["tags"]] == [["freshet"]]


def test_the_home_dashboard_of_compose_is_there() -> None:
    (home,) = re.findall(
        r"HOME_DASHBOARD_PATH: /etc/grafana/(\S+)", (ROOT / "docker-compose.yml").read_text()
    )
    assert (ROOT / "deploy/grafana" / home) == BOARDS["overview"]


def test_the_expressions_parse(tmp_path: Path) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not here; `make test-compose` asks the one of the Prometheus image")
    (tmp_path / "rules.yml").write_text(rules())
    checked = subprocess.run(
        [promtool, "check", "rules", str(tmp_path / "rules.yml")], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
