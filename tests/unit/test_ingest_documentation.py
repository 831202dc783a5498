"""What /docs says of events and items is what is read."""

from __future__ import annotations

from typing import Any

import pytest

from services.ingest.documentation import CALLS
from services.ingest.documentation_fields import EVENT, ITEM
from services.kernel.change import FINISHED_FROM
from services.kernel.event import Event
from services.kernel.event_input import parse_event
from services.kernel.event_type import EventType, EventTypes
from services.kernel.item import Item, parse_item, parse_patch

NOW_MS = 1_767_225_600_000
TYPES = EventTypes()


def examples(call: str) -> list[Any]:
    content = CALLS[call]["requestBody"]["content"]["application/json"]
    found: list[Any] = []
    for example in content["examples"].values():
        value = example["value"]
        found += value if isinstance(value, list) else [value]
    return found


def test_every_field_of_an_event_is_told_and_no_other() -> None:
    assert EVENT["properties"].keys() == set(Event.__struct_fields__) - {"received_at"}
    for one in EventType:
        assert one.name.lower() in EVENT["properties"]["event_type"]["description"]
    assert f"from {FINISHED_FROM} on" in EVENT["properties"]["progress"]["description"]


@pytest.mark.parametrize("name", EVENT["properties"])
def test_every_example_of_a_field_is_read(name: str) -> None:
    schema = EVENT["properties"][name]
    for example in schema.get("examples", ()):
        event: dict[str, Any] = {"user_id": "u", "event_type": "view", "item_id": "p", name: example}
        if name == "items":
            del event["item_id"]
        assert getattr(parse_event(event, NOW_MS, TYPES), name) not in (None, {})


def test_every_field_of_an_item_is_told_and_no_other() -> None:
    assert ITEM["properties"].keys() == set(Item.__struct_fields__)
    sample = {
        name: schema["examples"][0] for name, schema in ITEM["properties"].items() if "examples" in schema
    }
    item = parse_item(sample)
    assert all(getattr(item, name) for name in sample)


def test_the_examples_are_read() -> None:
    for event in examples("POST /events"):
        assert not parse_event(event, NOW_MS, TYPES).properties, "each field is known"
    for item in examples("POST /items"):
        assert parse_item(item).item_id
    for item in examples("PUT /items/{item_id}"):
        assert parse_item(item, "p_67890").title
    for patch in examples("PATCH /items/{item_id}"):
        assert parse_patch(patch, "p")
