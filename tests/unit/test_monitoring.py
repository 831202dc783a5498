"""The dashboard and what it rests on: metrics that exist, expressions that parse, mounts that are there."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from services.kernel.metrics import CATALOGUE, Metric

ROOT = Path(__file__).resolve().parents[2]
DASHBOARD = ROOT / "deploy/grafana/dashboards/freshet.json"
# What Prometheus adds to each sample, and what a histogram's buckets have.
EVERYWHERE = {"job", "instance", "le"}
_SUFFIXES = {"histogram": ("_bucket", "_sum", "_count"), "counter": ("",), "gauge": ("",)}


def published() -> dict[str, Metric]:
    """Every sample name that the services publish."""
    return {metric.name + suffix: metric for metric in CATALOGUE for suffix in _SUFFIXES[metric.kind]}


def panels() -> list[dict[str, Any]]:
    """The dashboard's panels that show something."""
    return [panel for panel in json.loads(DASHBOARD.read_text())["panels"] if panel["type"] != "row"]


def expressions() -> Iterator[tuple[str, str]]:
    """(panel, PromQL), with Grafana's variable replaced by what it comes to."""
    for panel in panels():
        for target in panel["targets"]:
            yield panel["title"], target["expr"].replace("$__rate_interval", "1m")


def rules() -> str:
    """The expressions as a rules file, which `promtool check rules` parses."""
    listed = [{"record": f"check:n{number}", "expr": text} for number, (_, text) in enumerate(expressions())]
    return json.dumps({"groups": [{"name": "dashboard", "rules": listed}]})  # JSON is YAML


def test_every_metric_of_the_dashboard_is_published_with_its_labels() -> None:
    known = published()
    for panel, text in expressions():
        names = set(re.findall(r"freshet_\w+", text))
        assert names <= known.keys(), f"{panel}: {names - known.keys()}"
        grouped = {word for words in re.findall(r"by \(([^)]*)\)", text) for word in words.split(", ")}
        chosen = set(re.findall(r"[{,]\s*(\w+)\s*[!=]", text))
        labels = EVERYWHERE.union(*(known[name].labels for name in names))
        assert grouped | chosen <= labels, f"{panel}: {(grouped | chosen) - labels}"


def test_legends_name_labels_that_the_expression_keeps() -> None:
    for panel in panels():
        for target in panel["targets"]:
            legend = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
            kept = {
                word for words in re.findall(r"by \(([^)]*)\)", target["expr"]) for word in words.split(", ")
            }
            assert legend <= (kept or EVERYWHERE), panel["title"]


def test_every_metric_is_on_the_dashboard() -> None:
    shown = " ".join(text for _, text in expressions())
    assert [metric.name for metric in CATALOGUE if metric.name not in shown] == []


def test_the_panels_do_not_overlap_and_each_says_what_it_means() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in panels():
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= 24
        assert panel["description"].endswith(".")
        taken |= cells


def test_the_expressions_parse(tmp_path: Path) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not here; `make test-compose` asks the one of the Prometheus image")
    (tmp_path / "rules.yml").write_text(rules())
    checked = subprocess.run(
        [promtool, "check", "rules", str(tmp_path / "rules.yml")], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
