"""The alert rules: few, strict, with something to do, a runbook section each, and right on made-up hours."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.monitoring import ALERTS, ROOT, alerts

RUNBOOK = "docs/OPERATIONS.md"
CASES = ALERTS.with_name("alerts_test.yml")
EACH = pytest.mark.parametrize("rule", alerts(), ids=lambda rule: rule["alert"])
_DURATION = re.compile(r"[1-9]\d*[smh]")


class _Strict(yaml.SafeLoader):
    """YAML as Prometheus takes it: a key that stands twice is a mistake."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=deep) for key, _ in node.value]
        assert len(set(keys)) == len(keys), f"a key stands twice{node.start_mark}"
        return super().construct_mapping(node, deep=deep)


def _anchors(page: Path) -> list[str]:
    """Anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#{1,6} (.+)$", page.read_text(), re.MULTILINE)
    return [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings]


def test_the_file_holds_what_prometheus_takes_and_nothing_else() -> None:
    read = yaml.load(ALERTS.read_text(), _Strict)
    assert set(read) == {"groups"}
    assert len({group["name"] for group in read["groups"]}) == len(read["groups"])
    for group in read["groups"]:
        assert set(group) == {"name", "rules"}
    names = [rule["alert"] for rule in alerts()]
    assert len(set(names)) == len(names)
    assert len(names) <= 15, "who gets many alerts reads none"


@EACH
def test_an_alert_says_what_it_is_and_what_to_do(rule: dict[str, Any]) -> None:
    assert set(rule) - {"for"} == {"alert", "expr", "labels", "annotations"}
    assert re.fullmatch(r"Freshet([A-Z][a-z]+)+", rule["alert"])
    assert rule["labels"].keys() == {"severity"}
    assert rule["labels"]["severity"] in {"critical", "warning"}
    # What counts since an hour ago needs no patience: it stays.
    assert _DURATION.fullmatch(rule["for"]) if "for" in rule else "[1h]" in rule["expr"]
    told = rule["annotations"]
    assert set(told) == {"summary", "description", "runbook_url"}
    assert len(told["summary"]) <= 90
    assert told["description"].endswith(".")
    assert len(re.findall(r"[.;:](?: |$)", told["description"])) >= 2, "what it is, then what to do"


@EACH
def test_texts_name_labels_that_the_expression_keeps(rule: dict[str, Any]) -> None:
    texts = " ".join(rule["annotations"].values())
    assert texts.count("{{") == len(re.findall(r"\{\{ \$(?:value|labels\.\w+)(?: \| \w+)? \}\}", texts))
    first = re.search(r"\bby \(([^)]*)\)", rule["expr"])
    kept = (
        set(first.group(1).split(", "))
        if first and re.match(r"(sum|max|quantile) by", rule["expr"])
        else set()
    )
    assert set(re.findall(r"\$labels\.(\w+)", texts)) <= kept


@EACH
def test_the_runbook_has_a_section_for_it(rule: dict[str, Any]) -> None:
    page, _, anchor = rule["annotations"]["runbook_url"].partition("#")
    assert page == RUNBOOK
    assert anchor == re.sub(r"(?<!^)(?=[A-Z])", "-", rule["alert"]).lower()
    assert _anchors(ROOT / page).count(anchor) == 1
    section = (ROOT / page).read_text().split(f"\n### {anchor}\n", 1)[1].split("\n### ", 1)[0]
    assert re.search(r"^1\. ", section, re.MULTILINE), "steps to take"


def test_every_section_of_the_runbook_has_an_alert() -> None:
    part = (ROOT / RUNBOOK).read_text().split("\n## Runbook\n", 1)[1].split("\n## ", 1)[0]
    linked = {rule["annotations"]["runbook_url"].partition("#")[2] for rule in alerts()}
    assert set(re.findall(r"^### (.+)$", part, re.MULTILINE)) == linked


def test_links_within_the_pages_lead_somewhere() -> None:
    for page in (ROOT / RUNBOOK, ROOT / "docs/METRICS.md"):
        for file, anchor in re.findall(r"\]\(([\w./-]*)(?:#([\w-]+))?\)", page.read_text()):
            target = page.parent / file if file else page
            assert target.exists(), f"{page.name}: {file}"
            assert not anchor or anchor in _anchors(target), f"{page.name}: {file}#{anchor}"


def test_prometheus_reads_the_file_and_compose_mounts_it() -> None:
    read = yaml.safe_load(ALERTS.with_name("prometheus.yml").read_text())
    assert read["rule_files"] == [ALERTS.name]
    assert "- ./deploy/prometheus:/etc/prometheus/freshet:ro" in (ROOT / "docker-compose.yml").read_text()


def test_the_command_of_the_runbook_makes_a_prometheus_rule() -> None:
    part = (ROOT / RUNBOOK).read_text().split("\n## Runbook\n", 1)[1]
    (command,) = re.findall(r"^    (\(printf.*?\)) \| kubectl apply", part, re.MULTILINE | re.DOTALL)
    made = subprocess.run(["bash", "-c", command], cwd=ROOT, capture_output=True, text=True, check=True)
    rule = yaml.load(made.stdout, _Strict)
    assert rule["kind"] == "PrometheusRule"
    assert rule["spec"] == yaml.safe_load(ALERTS.read_text())


def test_each_alert_has_an_hour_in_which_it_must_fire() -> None:
    cases = yaml.load(CASES.read_text(), _Strict)
    assert cases["rule_files"] == [ALERTS.name]
    fired = set(re.findall(r'alertname="(\w+)"', CASES.read_text()))
    assert fired == {rule["alert"] for rule in alerts()}


def test_the_alerts_are_right_on_the_hours_made_up_for_them() -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not here; `make test-compose` asks the one of the Prometheus image")
    ran = subprocess.run(
        [promtool, "test", "rules", CASES.name], cwd=CASES.parent, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
