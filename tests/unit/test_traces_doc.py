"""docs/TRACES.md and the files that switch traces on name variables, files and attributes that there are."""

from __future__ import annotations

import re
from pathlib import Path

import opentelemetry.sdk.environment_variables as standard
import pytest

from services.kernel.settings import catalogue

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/TRACES.md").read_text()
TOLD = (
    "docs/TRACES.md",
    "deploy/compose.traces.yml",
    "deploy/knative/components/traces/settings.yaml",
    "services/tracing/open.py",
)


@pytest.mark.parametrize("path", TOLD)
def test_every_variable_is_one_that_somebody_reads(path: str) -> None:
    text = (ROOT / path).read_text()
    known = {name for name, _, _ in catalogue()} | set(vars(standard))
    known.add("OTEL_TRACES_EXPORTER")  # the standard's, read by services/tracing/open.py
    found = set(re.findall(r"\b(?:FRESHET|OTEL)_[A-Z_]*[A-Z]\b", text))
    assert found
    assert found <= known, found - known


def test_every_attribute_of_ours_is_on_the_page_and_the_other_way_round() -> None:
    code = "".join(path.read_text() for path in (ROOT / "services").rglob("traced.py"))
    used = set(re.findall(r'"(freshet\.[a-z_]+)":', code))
    assert used
    assert set(re.findall(r"`(freshet\.[a-z_]+)`", PAGE)) == used


def test_the_links_of_the_page_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)", PAGE):
        assert (ROOT / "docs" / target).exists(), target
    for name in re.findall(r"`(deploy/\S+?)`", PAGE):
        assert (ROOT / name).exists(), name
