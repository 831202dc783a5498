"""The end of the ladder: ranking itself fails, and what may not be shown is still not shown."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from services.kernel.item import Item
from services.ranking.filter_json import parse_filter
from services.ranking.scenario_file import built_in
from services.recommender import answer as answering
from services.recommender.deadline import Deadline
from services.recommender.query import Query, Row
from services.recommender.settings import RecommenderSettings
from services.recommender.state import State, now_ms

DAY_MS = 86_400_000
LONG_MS = 30_000.0  # no test waits for a deadline


def broken(*_: Any) -> Any:
    raise RuntimeError("a bug")


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answering, "rank", broken)


def items_of(query: Query) -> list[list[str]]:
    """The lists of a question to a shop of six items, two of which are sold now."""

    async def ask() -> dict[str, Any]:
        state = State(RecommenderSettings())
        catalogue = state.catalogue.catalogue
        for item in (
            Item(item_id="gone", available=False),
            Item(item_id="over", expires_at=now_ms() - DAY_MS),
            Item(item_id="later", published_at=now_ms() + DAY_MS),
            Item(item_id="a"),
            Item(item_id="b"),
            Item(item_id="taken out"),
        ):
            catalogue.upsert(item)
        catalogue.delete("taken out")
        try:
            return (await answering.answer(state, query, Deadline(LONG_MS))).content
        finally:
            await state.connection.close()

    content = asyncio.run(ask())
    lists = content["rows"] if query.rows else [content]
    return [[item["item_id"] for item in one["items"]] for one in lists]


@pytest.mark.usefixtures("failing")
def test_what_is_not_available_is_not_shown_when_ranking_fails() -> None:
    assert items_of(Query()) == [["a", "b"]]
    assert items_of(Query(n=1, exclude=frozenset({"a"}))) == [["b"]]


@pytest.mark.usefixtures("failing")
def test_a_list_that_cannot_be_filtered_is_empty() -> None:
    for_you = built_in()["for_you"]
    narrowed = replace(for_you, filter=parse_filter({"brand": "Acme"}))
    rows = (
        Row("rights", narrowed, 5),
        Row("plain", for_you, 5),
        Row("on", built_in()["continue_watching"], 5),
    )
    assert items_of(Query(rows=rows, dedupe=False)) == [[], ["a", "b"], []]
    assert items_of(Query(candidates=("a", "gone"))) == [[]]


def test_what_is_not_available_is_not_shown_otherwise_either() -> None:
    assert items_of(Query()) == [["a", "b"]]
