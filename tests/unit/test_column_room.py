"""Which properties keep their columns where a shop has more of them than there is room for."""

from __future__ import annotations

import pytest

from services.kernel.item import Item
from services.ranking import columns
from services.ranking.catalogue import Catalogue
from services.ranking.filter_masks import NO_VARIABLES
from services.ranking.filter_text import parse_short

ROOM = 4
IDLE = 10


@pytest.fixture
def catalogue(monkeypatch: pytest.MonkeyPatch) -> Catalogue:
    monkeypatch.setattr(columns, "PROPERTIES_MAX", ROOM)
    monkeypatch.setattr(columns, "IDLE_FILTERS", IDLE)
    made = Catalogue()
    made.upsert(Item(item_id="a", properties={f"p{number}": "x" for number in range(12)}))
    return made


def count(catalogue: Catalogue, text: str) -> int:
    """As an answer asks: columns that are missing are made before it."""
    asked = parse_short(text)
    catalogue.columns.want(catalogue.columns.absent(asked))
    return catalogue.columns.mask(asked, NO_VARIABLES).count


def test_what_was_named_longest_ago_gives_its_place_away(catalogue: Catalogue) -> None:
    for number in range(ROOM):
        assert count(catalogue, f"properties.p{number}:x") == 1
    assert count(catalogue, "properties.p9:x") == 0  # all of them were asked for just now
    for _ in range(IDLE):
        assert count(catalogue, "properties.p0:x") == 1
    for number in (9, 8):
        assert count(catalogue, f"properties.p{number}:x") == 1
    assert catalogue.columns.in_use() == {f"properties.p{number}" for number in (0, 3, 8, 9)}


def test_an_answer_does_not_outlive_its_column(catalogue: Catalogue) -> None:
    assert count(catalogue, "!properties.p1:y") == 1
    for number in range(2, ROOM + 1):
        assert count(catalogue, f"properties.p{number}:x") == 1
    for _ in range(IDLE + 1):
        count(catalogue, "brand:Acme")
    assert count(catalogue, "properties.p9:x") == 1
    assert "properties.p1" not in catalogue.columns.in_use()
    catalogue.upsert(Item(item_id="b", properties={"p1": "y"}))
    catalogue.upsert(Item(item_id="c", properties={"p1": "z"}))
    assert count(catalogue, "!properties.p1:y") == 2  # made anew, in place of p2


def test_names_that_are_made_up_take_no_place(catalogue: Catalogue) -> None:
    made_up = [f"properties.a{number}:x" for number in range(3 * ROOM)]
    asked = parse_short(";".join([*made_up, "properties.p1:x"]))
    assert catalogue.columns.absent(asked) == ["properties.p1"]
    assert catalogue.columns.mask(asked, NO_VARIABLES).count == 0
    assert set(catalogue.columns._last_named) == {"properties.p1"}
