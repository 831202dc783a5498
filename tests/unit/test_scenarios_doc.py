"""docs/SCENARIOS.md: its example files can be used as they stand, and its tables hold all there is."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from services.ranking.rankers import RANKERS
from services.ranking.reason_texts import CODES
from services.ranking.scenario import SEEN_REASONS
from services.ranking.scenario_file import built_in, read_scenarios, with_rules
from services.ranking.scenario_parts import KEYS
from services.ranking.scenario_problems import ScenarioError
from services.ranking.scenario_rules import CAP_FIELDS, RULES
from services.ranking.sources import SOURCES

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/SCENARIOS.md").read_text()
RANKING = ROOT / "services/ranking"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def rows(heading: str) -> dict[str, list[str]]:
    """The table below a heading, by the name in its first column."""
    part = PAGE.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    lines = [line.strip("|").split("|") for line in part.split("\n") if line.startswith("| `")]
    return {cells[0].strip().strip("`"): [cell.strip() for cell in cells[1:]] for cells in lines}


SHOP, STREAMING, WRONG = blocks("toml")


@pytest.mark.parametrize("text", [SHOP, STREAMING], ids=["shop", "streaming"])
def test_the_examples_are_read_without_a_warning(text: str) -> None:
    made = read_scenarios(text)
    assert made.warnings == ()
    assert len(made.own) >= 4
    assert "de" in made.texts.by_language


def test_the_mistakes_are_told_as_the_page_says() -> None:
    with pytest.raises(ScenarioError) as caught:
        read_scenarios(WRONG)
    told = [re.sub(r"There are: .*", "There are: …", str(one)) for one in caught.value.problems]
    said = PAGE.split("is answered with\n\n```\n", 1)[1].split("\n```", 1)[0]
    assert told == said.splitlines()


def test_the_rules_of_a_request_are_taken() -> None:
    (body,) = blocks("json")
    made = with_rules(built_in()["for_you"], json.loads(body))
    assert made.diversity == 0.3
    part = PAGE.split("\n## Rules of a request\n", 1)[1].split("```", 1)[0]
    assert set(re.findall(r"`(\w+)`", part)) == set(RULES) | {"rows"}


def test_the_tables_hold_all_there_is() -> None:
    assert set(rows("Keys")) == set(KEYS)
    assert {name: cells[0] for name, cells in rows("Sources").items()} == {
        name: source.text for name, source in SOURCES.items()
    }
    assert {name: cells[0] for name, cells in rows("Rankers").items()} == {
        name: ranker.text for name, ranker in RANKERS.items()
    }
    told = {code: set(re.findall(r"\{(\w+)\}", cells[0])) for code, cells in rows("Texts of reasons").items()}
    assert told == {code: set(placeholders) for code, placeholders in CODES.items()}
    assert all(f"`{name}`" in PAGE for name in (*built_in(), *SEEN_REASONS, *CAP_FIELDS))


def test_every_code_is_said_by_something() -> None:
    """A text that nobody can ever see is not worth translating."""
    code = "\n".join(
        path.read_text() for path in RANKING.rglob("*.py") if path.name not in {"reason_texts.py"}
    )
    # `trending` and `popular` say both in whole and of a category: f"{code}_in_category".
    assert [
        name
        for name in CODES
        if f'"{name}"' not in code and f'"{name.removesuffix("_in_category")}"' not in code
    ] == []
