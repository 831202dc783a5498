"""docs/EXTENDING.md: its source, its ranker and its scenario are run as they stand there."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from services.kernel.item import Item
from services.ranking import gather, rank, rankers, sources
from services.ranking.scenario_file import read_scenarios
from services.ranking.state import RankRequest
from services.release.files import Release
from tests.unit.shop import NOW_MS, aggregates_of, answer, state_of

DOC = (Path(__file__).parents[2] / "docs" / "EXTENDING.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", DOC, re.DOTALL)


def module_of(text: str, name: str, monkeypatch: pytest.MonkeyPatch) -> Mapping[str, Any]:
    module = ModuleType(name)
    monkeypatch.setitem(sys.modules, name, module)
    exec(compile(text, name, "exec"), module.__dict__)
    return module.__dict__


def test_the_page_as_it_stands(
    shop_items: list[Item], release: Release, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, ranker = blocks("python")
    same_brand = module_of(source, "same_brand", monkeypatch)["SameBrand"]()
    cheapest = module_of(ranker, "cheapest", monkeypatch)["Cheapest"]()
    for module in (sources, gather):
        monkeypatch.setattr(module, "SOURCES", {**sources.SOURCES, "same_brand": same_brand})
    for other in (rankers, rank):
        monkeypatch.setattr(other, "RANKERS", {**rankers.RANKERS, "cheapest": cheapest})
    (toml,) = blocks("toml")
    made = read_scenarios(toml)
    scenario = made.by_name["cheaper_of_this_brand"]
    state = state_of(shop_items, release, aggregates_of({}, {shop_items[3].item_id: 9.0}))
    page = next(item for item in shop_items if item.brand == "Private")
    request = RankRequest(NOW_MS, scenario, n=20, item_id=page.item_id, scenarios=made.by_name)
    ranking = answer(state, None, request)
    shown = [state.catalogue.item(item.row) for item in ranking.items]
    prices = [item.price or 0.0 for item in shown]
    assert len(shown) == 20
    assert {item.brand for item in shown} == {page.brand}
    assert prices == sorted(prices)
    assert prices[0] > 0
    assert page.item_id not in {item.item_id for item in shown}
    assert {item.reason.code for item in ranking.items} == {"catalogue"}, "a brand alone is no likeness"
    assert "same_brand" not in sources.__dict__["__all__"]
