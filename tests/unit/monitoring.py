"""Dashboards and alert rules, read as Grafana and Prometheus read them, and what they name."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from services.kernel.metrics import CATALOGUE, Metric

ROOT = Path(__file__).resolve().parents[2]
BOARDS = {
    name: ROOT / f"deploy/grafana/dashboards/{file}.json"
    for name, file in (("overview", "freshet"), ("pipeline", "pipeline"), ("answers", "answers"))
}
ALERTS = ROOT / "deploy/prometheus/alerts.yml"
# What Prometheus adds to each sample and to its alerts, and what a histogram's buckets have.
EVERYWHERE = {"job", "instance", "le", "alertname", "alertstate", "severity"}
_SUFFIXES = {"histogram": ("_bucket", "_sum", "_count"), "counter": ("",), "gauge": ("",)}


class Expression(NamedTuple):
    """A PromQL expression and where it stands: a dashboard's panel, or an alert."""

    shown: str
    place: str
    text: str


class Choice(NamedTuple):
    """One label matcher of a selector."""

    metric: str
    label: str
    operator: str
    value: str


def published() -> dict[str, Metric]:
    """Every sample name that the services publish."""
    names = {metric.name + suffix: metric for metric in CATALOGUE for suffix in _SUFFIXES[metric.kind]}
    began = {
        metric.name.removesuffix("_total") + "_created": metric
        for metric in CATALOGUE
        if metric.kind == "counter"
    }
    return names | began


def board(name: str) -> dict[str, Any]:
    """A dashboard as it is provisioned."""
    read: dict[str, Any] = json.loads(BOARDS[name].read_text())
    return read


def panels(name: str) -> list[dict[str, Any]]:
    """A dashboard's panels that show something."""
    return [panel for panel in board(name)["panels"] if panel["type"] != "row"]


def alerts() -> list[dict[str, Any]]:
    """The alert rules of all groups."""
    return [rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]


def drawn() -> Iterator[Expression]:
    """What the panels ask for, with Grafana's variable replaced by what it comes to."""
    for name in BOARDS:
        for panel in panels(name):
            for target in panel["targets"]:
                yield Expression(name, panel["title"], target["expr"].replace("$__rate_interval", "1m"))


def expressions() -> list[Expression]:
    """What panels and alerts ask for."""
    return [*drawn(), *(Expression(rule["alert"], "expr", rule["expr"]) for rule in alerts())]


def metrics_of(text: str) -> set[str]:
    """Sample names of ours in an expression."""
    return set(re.findall(r"\bfreshet_\w+", text))


def choices_of(text: str) -> list[Choice]:
    """Label matchers of an expression."""
    found = []
    for name, inside in re.findall(r"(\w+)\{((?:[^\"{}]|\"[^\"]*\")*)\}", text):
        for label, operator, value in re.findall(r"(\w+)\s*(=~|!~|!=|=)\s*\"([^\"]*)\"", inside):
            found.append(Choice(name, label, operator, value))
    return found


def groupings_of(text: str) -> set[str]:
    """Labels that an expression groups or joins by."""
    lists = re.findall(r"\b(?:by|on|without|group_left|group_right|ignoring)\s*\(([^)]*)\)", text)
    return {word.strip() for words in lists for word in words.split(",") if word.strip()}


def rules() -> str:
    """The panels' expressions as a rules file, which `promtool check rules` parses."""
    listed = [
        {"record": f"check:n{number}", "expr": asked.text} for number, asked in enumerate(drawn())
    ]  # JSON is YAML
    return json.dumps({"groups": [{"name": "dashboards", "rules": listed}]})
