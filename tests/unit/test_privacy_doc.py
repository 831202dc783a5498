"""docs/PRIVACY.md says of consent and of settings what the code does."""

from __future__ import annotations

import json
import re
from pathlib import Path

from services.kernel.consent import personalization
from services.kernel.settings import catalogue

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/PRIVACY.md").read_text()
_MEANINGS = {"allowed": True, "denied": False, "nothing": None}


def test_each_consent_on_the_page_means_what_it_says() -> None:
    table = PAGE.split("| `consent` | means |")[1].split("\n\n")[0]
    checked = 0
    for line in table.splitlines()[2:]:
        values, meaning = line.strip("|").rsplit("|", 1)
        expected = _MEANINGS[re.split(r"[;:( ]", meaning.strip())[0]]
        for value in re.findall(r"`([^`]+)`", values):
            assert personalization(json.loads(value)) is expected, value
            checked += 1
            if "granted" in meaning and value.startswith("{"):
                assert personalization(json.loads(value.replace("denied", "granted"))) is True, value
    assert checked >= 13


def test_the_settings_and_defaults_on_the_page_are_those_there_are() -> None:
    defaults = {name: default for name, default, _ in catalogue()}
    assert set(re.findall(r"FRESHET_\w+", PAGE)) <= defaults.keys()
    said = re.findall(r"`(FRESHET_\w+)` \(([\d,]+)", PAGE)
    assert {name for name, _ in said} == {
        "FRESHET_LOG_RETENTION_H", "FRESHET_PROFILE_TTL_DAYS", "FRESHET_REFUSALS_MAX",
    }  # fmt: skip
    for name, number in said:
        assert defaults[name] == int(number.replace(",", "")), name


def test_the_tests_that_the_page_points_to_are_there() -> None:
    named = re.findall(r"tests/\S+\.py", PAGE)
    assert len(named) == 3
    assert all((ROOT / name).exists() for name in named)
