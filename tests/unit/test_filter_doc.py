"""docs/FILTERS.md says what the code does: its examples are read, its mistakes are made."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from services.ranking import filter_json, filter_nearest, filter_text
from services.ranking.columns import PROPERTIES_MAX
from services.ranking.filter_fields import FIELDS
from services.ranking.filters import Filter, FilterError

DOC = (Path(__file__).resolve().parents[2] / "docs" / "FILTERS.md").read_text(encoding="utf-8")


def rows_of(heading: str) -> list[list[str]]:
    """The cells of the first table behind a heading, without its own two lines."""
    table = re.search(r"((?:^\|.*\n)+)", DOC[DOC.index(heading) :], re.MULTILINE)
    assert table is not None
    lines = table.group(1).strip().split("\n")[2:]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def code_in(cell: str) -> str:
    """The first piece of code in a cell."""
    found = re.search(r"`(.*?)`", cell)
    return found.group(1) if found is not None else ""


def read(written: str) -> Filter:
    if written.startswith("{"):
        return filter_json.parse_filter(json.loads(written))
    return filter_text.parse_short(written)


@pytest.mark.parametrize("row", rows_of("# Filters"), ids=lambda row: row[0])
def test_both_forms_of_an_example_are_one_filter(row: list[str]) -> None:
    _, as_json, short = row
    found = read(code_in(as_json))
    if code_in(short):
        assert read(code_in(short)) == found


@pytest.mark.parametrize("row", rows_of("## Mistakes"), ids=lambda row: row[0])
def test_a_mistake_is_answered_as_it_says(row: list[str]) -> None:
    code, example, answer = map(code_in, row)
    written = example or ";".join(["tags:a"] * 65)
    with pytest.raises(FilterError) as caught:
        read(written)
    assert caught.value.code == code
    assert str(caught.value).startswith(answer.removesuffix("…").strip())


def test_operators_and_fields_are_those_of_the_code() -> None:
    named = re.findall(r"`(\w+)`", "".join(row[0] for row in rows_of("## Operators")))
    assert sorted(named) == sorted(filter_json.OPERATORS)
    fields = DOC[DOC.index("## Fields") : DOC.index("## Operators")]
    assert not [name for name in FIELDS if f"`{name}`" not in fields]


def test_bounds_are_those_of_the_code() -> None:
    bounds = DOC[DOC.index("## Bounds") :]
    for text in (
        f"| {filter_json.DEPTH_MAX} levels",
        f"| {filter_json.CLAUSES_MAX} clauses",
        f"| {filter_json.VALUES_MAX:,} values a clause, {filter_json.ALL_VALUES_MAX:,} a filter",
        f"| {filter_text.SHORT_CHARS_MAX:,} characters",
        f"| {PROPERTIES_MAX} properties",
    ):
        assert text in bounds
    assert f"among {filter_nearest.LOOKED_AT:,} values" in DOC
