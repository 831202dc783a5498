"""What an answer says of items that a request names and the catalogue does not have."""

from __future__ import annotations

from typing import Any

from services.kernel.item import Item
from services.ranking.catalogue import Catalogue
from services.ranking.scenario_file import read_scenarios, with_rules
from services.recommender.notes import notes_of
from services.recommender.query import Query, Row

SCENARIOS = read_scenarios("""[scenarios.sale]
sources = ["trending"]
pins = [{ item = "gone", slot = 1 }]
""")


def told(scenario: str, item_id: str | None = None, more: int = 0, **rules: Any) -> list[str]:
    catalogue = Catalogue()
    catalogue.upsert(Item(item_id="P-1"))
    catalogue.whole_size = len(catalogue) + more
    row = Row("", with_rules(SCENARIOS.by_name[scenario], rules), 10, item_id)
    return [note.problem for note in notes_of(Query(scenarios=SCENARIOS), row, catalogue)]


def test_an_item_that_is_not_there_is_named_with_what_was_meant() -> None:
    assert told("similar", "P-1") == told("similar") == told("for_you") == []
    assert told("similar", "P-9") == ["item_id: no item 'P-9' is in the catalogue"]
    for near in ("p-1", " P-1"):
        assert told("bought_together", near) == [
            f"item_id: no item {near!r} is in the catalogue; did you mean 'P-1'?"
        ]


def test_pins_of_the_request_and_not_of_the_scenario() -> None:
    assert told("sale") == []
    pins = [{"item": "P-1", "slot": 2}, {"item": "p-1", "slot": 3}]
    assert told("sale", pins=pins) == ["pins: no item 'p-1' is in the catalogue; did you mean 'P-1'?"]


def test_nothing_is_said_of_a_catalogue_that_is_still_being_loaded() -> None:
    assert told("similar", "P-9", more=1, pins=[{"item": "x", "slot": 1}]) == []
