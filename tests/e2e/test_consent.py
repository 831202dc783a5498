"""Somebody says no, and later yes: profile, recommendations, export, archive and training, on both logs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from services.kernel.event_type import EventTypes
from services.trainer.archive_place import open_archive_place
from services.trainer.events import read_events
from tests.e2e.conftest import FreshetMaker
from tests.e2e.running import FreshetProcess, becomes, eventually
from tests.servers import KafkaBroker
from tests.unit.archive_log import archived


@pytest.fixture(params=["embedded", "kafka"])
def shop(request: pytest.FixtureRequest, freshet_process: FreshetMaker, namespace: str) -> FreshetProcess:
    """A running Freshet with some of the demo shop, its log in the embedded Valkey or on Kafka."""
    variables = {}
    if request.param == "kafka":
        broker = request.getfixturevalue("kafka")
        assert isinstance(broker, KafkaBroker)
        variables = {"FRESHET_LOG_URL": broker.url, "FRESHET_NAMESPACE": namespace}
    process = freshet_process("--demo-orders", "200", **variables)
    process.start()
    eventually(lambda: len(process.get("/items?limit=6")["items"]), lambda count: count == 6)
    return process


def reached(shop: FreshetProcess, user_id: str, position: str) -> dict[str, Any]:
    """The export, once the profile is that far."""
    becomes(lambda: shop.get(f"/users/{user_id}/export").get("position"), position)
    found: dict[str, Any] = shop.get(f"/users/{user_id}/export")
    return found


def knows_nothing_of(shop: FreshetProcess, user_id: str) -> None:
    """Profile and recommendations are those of somebody never heard of."""
    profile = shop.get(f"/users/{user_id}/profile")
    assert (profile["events"], profile["recent"], profile["interests"]) == (0, [], [])
    for scenario in ("for_you", "recently_viewed"):
        query = f"scenario={scenario}&n=20"
        mine, nobodys = (shop.get(f"/recommend/{who}?{query}") for who in (user_id, "nobody-at-all"))
        assert mine["profile_events"] == 0
        assert mine["strategy"] == nobodys["strategy"]
        assert [item["item_id"] for item in mine["items"]] == [item["item_id"] for item in nobodys["items"]]


def archived_of(archive: Path, subject: str) -> set[str]:
    events = archived(open_archive_place(str(archive))).values()
    return {event.event_id for event in events if event.subject == subject}


def test_no_is_no_until_yes(shop: FreshetProcess, tmp_path: Path) -> None:
    items = [item["item_id"] for item in shop.get("/items?limit=6")["items"]]
    archive = tmp_path / "archive"

    def view(number: int, user_id: str = "ada", **more: Any) -> str:
        return shop.post_event(
            user_id=user_id, event_type="view", item_id=items[number], event_id=f"{user_id}-{number}", **more
        )

    def export() -> dict[str, Any]:
        done = shop.command("events", "export", "--to", str(archive), "--json")
        assert done.returncode == 0, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    view(0)
    view(0, "bea")
    position = shop.post_event(user_id="ada", event_type="impression", items=[items[4], items[5]])
    found = reached(shop, "ada", position)
    assert (found["consent"], found["events"]) == (None, 2)
    assert [mark["item_ids"] for mark in found["shown"]] == [[items[4]], [items[5]]]
    assert shop.get("/users/ada/profile")["consent"] is None
    export()
    assert archived_of(archive, "ada")

    # No: the profile is emptied, and what was archived goes; nothing that follows is kept.
    view(1, consent={"personalization": "denied"})
    position = view(2)
    found = reached(shop, "ada", position)
    assert (found["state"], found["consent"], found["events"]) == ("known", "withheld", 0)
    assert found["recent"] == found["seen"] == found["shown"] == found["interests"] == []
    assert found["bank"]["sums"] == found["bank"]["weights"] == []
    assert shop.get("/users/ada/profile")["consent"] == "withheld"
    knows_nothing_of(shop, "ada")
    done = export()
    assert (done["events_withheld"], done["events_deleted"], done["refusals"]) == (2, 2, 1)
    assert archived_of(archive, "ada") == set()
    assert archived_of(archive, "bea") == {"bea-0"}
    assert "ada" not in read_events(str(archive), event_types=EventTypes()).subject_ids

    # A replay builds the same, and a later run remembers.
    assert shop.command("replay").returncode == 0
    assert reached(shop, "ada", position)["consent"] == "withheld"
    knows_nothing_of(shop, "ada")
    view(3)
    assert export()["events_withheld"] == 1

    # Yes: what comes from here on counts, nothing of before comes back.
    position = view(4, consent=True)
    found = reached(shop, "ada", position)
    assert (found["consent"], found["events"]) == (None, 1)
    assert [entry["item_id"] for entry in found["recent"]] == [items[4]]
    assert export()["refusals"] == 0
    assert archived_of(archive, "ada") == {"ada-4"}
