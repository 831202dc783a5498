"""What an answer says about a request that names items which are not there: it stays an answer."""

from __future__ import annotations

from services.ranking.catalogue import Catalogue
from services.ranking.state import Unknown
from services.recommender.query import Query, Row


def notes_of(query: Query, row: Row, catalogue: Catalogue) -> list[Unknown]:
    """The item that a list is about, and the request's pins, where they are in no catalogue.

    Pins of the scenario itself are a warning of GET /scenarios. Nothing is said while the catalogue is still
    being loaded.
    """
    scenario = row.scenario
    if (row.item_id is None and not scenario.pins) or catalogue.size > len(catalogue):
        return []
    notes = []
    if row.item_id is not None and catalogue.row_of(row.item_id) < 0:
        notes.append(_note("item_id", row.item_id, catalogue))
    written = query.scenarios.by_name.get(scenario.name)
    own = () if written is None else written.pins
    asked = [pin.item_id for pin in scenario.pins if pin not in own]
    return notes + [_note("pins", item_id, catalogue) for item_id in asked if catalogue.row_of(item_id) < 0]


def _note(field: str, item_id: str, catalogue: Catalogue) -> Unknown:
    """To look for the nearest among all ids would take longer than the list; other letters cost nothing."""
    others = (item_id.strip(), item_id.lower(), item_id.upper())
    meant = next((other for other in others if catalogue.row_of(other) >= 0), None)
    hint = "" if meant is None else f"; did you mean {meant!r}?"
    return Unknown(field, item_id, f"{field}: no item {item_id!r} is in the catalogue{hint}")
