"""`freshet doctor` names the ids of events that are in no catalogue, and what they were meant to be."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.e2e.conftest import FreshetMaker
from tests.e2e.running import FreshetProcess, becomes
from tests.servers import KafkaBroker


@pytest.fixture(params=["embedded", "kafka"])
def empty(request: pytest.FixtureRequest, freshet_process: FreshetMaker, namespace: str) -> FreshetProcess:
    """A running Freshet with nothing in it, its log in the embedded Valkey or on Kafka."""
    variables = {}
    if request.param == "kafka":
        broker = request.getfixturevalue("kafka")
        assert isinstance(broker, KafkaBroker)
        variables = {"FRESHET_LOG_URL": broker.url, "FRESHET_NAMESPACE": namespace}
    process = freshet_process("--empty", **variables)
    process.start()
    return process


def looked_at(process: FreshetProcess) -> tuple[int, dict[str, Any]]:
    """Exit status, and the finding about the items of events."""
    done = process.command("doctor", "--json")
    findings = json.loads(done.stdout)["findings"]
    (found,) = [finding for finding in findings if "unlisted_lines" in finding["details"]]
    return done.returncode, found


def views(process: FreshetProcess, *item_ids: str) -> None:
    events = [{"user_id": "ada", "event_type": "view", "item_id": item_id} for item_id in item_ids]
    assert process.call("POST", "/events", events)[0] == 202


def test_ids_that_the_catalogue_lacks_are_named_with_the_nearest_it_has(empty: FreshetProcess) -> None:
    assert empty.call("POST", "/items", [{"item_id": f"sku-{n}", "title": "T"} for n in range(3)])[0] == 202
    becomes(lambda: len(empty.get("/items")["items"]), 3)
    views(empty, *["sku-1"] * 95)
    views(empty, "SKU-1", "SKU-1", "SKU-1", "gid://shop/9", "gid://shop/9")
    assert empty.call("POST", "/events", {"user_id": "ada", "event_type": "search"})[0] == 202
    status, found = looked_at(empty)
    assert found["level"] == "ok", "5 % is what may be"
    assert (found["details"]["lines"], found["details"]["unlisted_lines"]) == (100, 5)

    views(empty, *["nowhere"] * 5, *[f"once {number}" for number in range(20)])
    status, found = looked_at(empty)
    assert (status, found["level"]) == (3, "warn")
    assert found["details"]["unlisted"][:3] == [
        {"item_id": "nowhere", "lines": 5, "meant": None},
        {"item_id": "SKU-1", "lines": 3, "meant": "sku-1"},
        {"item_id": "gid://shop/9", "lines": 2, "meant": None},
    ]
    assert len(found["details"]["unlisted"]) == 10
    told = empty.command("doctor").stdout
    assert "30 of 125 items of the newest 125 events are in no catalogue (24%)" in told
    assert "SKU-1 (3×, the catalogue has sku-1)" in told
    assert "and 13 more ids" in told

    # Mended: the alias is imported, and what was named is in the catalogue.
    names = ["nowhere", "SKU-1", "gid://shop/9", *(f"once {number}" for number in range(20))]
    assert empty.call("POST", "/items", [{"item_id": name, "title": "T"} for name in names])[0] == 202
    becomes(lambda: len(empty.get("/items")["items"]), 26)
    assert looked_at(empty)[1]["level"] == "ok"
