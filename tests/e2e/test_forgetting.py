"""A person asks what is stored, is forgotten, and comes back: by HTTP and the command line, on both logs."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import FreshetMaker
from tests.e2e.running import FreshetProcess, becomes, eventually
from tests.servers import KafkaBroker

ADA = "gid://shopify/Customer/1"
VISITOR = "visitor 1"


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
    eventually(lambda: len(process.get("/items?limit=4")["items"]), lambda count: count == 4)
    return process


def path_of(user_id: str, below: str = "") -> str:
    return f"/users/{user_id.replace('/', '%2F').replace(' ', '%20')}{below}"


def exported(shop: FreshetProcess, user_id: str) -> dict[str, Any]:
    found: dict[str, Any] = shop.get(path_of(user_id, "/export"))
    return found


def written(shop: FreshetProcess, user_id: str, *flags: str) -> dict[str, Any]:
    """What `freshet users export` writes."""
    done = shop.command("users", "export", user_id, "--json", *flags)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def positions(records: list[dict[str, Any]], kind: str, source: str = "log") -> list[str]:
    return [entry["position"] for entry in records if (entry["kind"], entry["source"]) == (kind, source)]


def knows_nothing_of(shop: FreshetProcess, user_id: str) -> None:
    """Profile and recommendations are those of somebody never heard of."""
    profile = shop.get(path_of(user_id, "/profile"))
    assert (profile["events"], profile["recent"], profile["interests"]) == (0, [], [])
    quoted = path_of(user_id).removeprefix("/users/")
    for scenario in ("for_you", "recently_viewed"):
        query = f"scenario={scenario}&n=20"
        mine, nobodys = (shop.get(f"/recommend/{who}?{query}") for who in (quoted, "nobody-at-all"))
        assert mine["profile_events"] == 0
        assert mine["strategy"] == nobodys["strategy"]
        assert [item["item_id"] for item in mine["items"]] == [item["item_id"] for item in nobodys["items"]]


def test_deleted_is_deleted_and_stays_so(shop: FreshetProcess, tmp_path: Path) -> None:
    items = [item["item_id"] for item in shop.get("/items?limit=4")["items"]]
    before = [
        shop.post_event(user_id=ADA, event_type="view", item_id=items[0], event_id="one"),
        shop.post_event(user_id=ADA, event_type="purchase", item_id=items[1], anonymous_id=VISITOR),
        shop.post_event(user_id=ADA, event_type="view", item_id="in no catalogue"),
    ]
    visit = shop.post_event(anonymous_id=VISITOR, event_type="view", item_id=items[2])
    becomes(lambda: exported(shop, ADA)["events"], 3)
    becomes(lambda: exported(shop, VISITOR)["events"], 1)

    # What is stored: the profile, and each event on the log; the visitor's too that names the user.
    told = written(shop, ADA)
    assert told["profile"]["position"] == before[-1]
    assert [entry["item_id"] for entry in told["profile"]["recent"]] == [
        items[0],
        items[1],
        "in no catalogue",
    ]
    assert positions(told["records"], "event") == before
    assert told["records"][0]["event"]["event_id"] == "one"
    assert set(positions(written(shop, VISITOR)["records"], "event")) == {visit, before[1]}
    archive = str(tmp_path / "archive")
    assert shop.command("events", "export", "--to", archive).returncode == 0
    assert positions(written(shop, ADA, "--archive", archive)["records"], "event", "archive") == before

    done = shop.command("users", "delete", ADA, "--json")
    assert done.returncode == 0, done.stderr
    deletion = json.loads(done.stdout)
    assert deletion["applied"] is True
    knows_nothing_of(shop, ADA)
    assert exported(shop, ADA).keys() == {
        "user_id", "exported_at", "state", "events", "deleted_at", "position",
    }  # fmt: skip
    assert exported(shop, VISITOR)["events"] == 1, "an id of its own, deleted by itself"

    # A crash makes the profiler read again what it had not committed; a replay reads everything again.
    shop.restart()
    assert exported(shop, ADA)["position"] == deletion["position"]
    replayed = shop.command("replay", "--json")
    assert replayed.returncode == 0, replayed.stderr
    becomes(lambda: exported(shop, ADA)["position"], deletion["position"])
    assert exported(shop, ADA)["state"] == "deleted"
    knows_nothing_of(shop, ADA)

    # What remains is raw: on the log until its retention ends, in the archive until its next export.
    assert positions(written(shop, ADA)["records"], "event") == before
    assert positions(written(shop, ADA)["records"], "deletion") == [deletion["position"]]
    assert shop.command("events", "export", "--to", archive).returncode == 0
    left = written(shop, ADA, "--archive", archive)
    assert positions(left["records"], "event", "archive") == []
    assert left["summary"]["archive"]["events"] == 0
    assert positions(written(shop, VISITOR, "--archive", archive)["records"], "event", "archive") == [visit]

    # Somebody who comes back begins anew, and stays so.
    again = shop.post_event(user_id=ADA, event_type="view", item_id=items[3])
    for replayed_again in (False, True):
        if replayed_again:
            shop.command("replay")
        becomes(lambda: exported(shop, ADA)["position"], again)
        found = exported(shop, ADA)
        assert (found["state"], found["events"]) == ("known", 1)
        assert [entry["item_id"] for entry in found["recent"]] == [items[3]]
        assert [mark["item_ids"] for mark in found["seen"]] == [[items[3]]]

    assert shop.command("users", "delete", VISITOR).returncode == 0
    knows_nothing_of(shop, VISITOR)
    assert exported(shop, ADA)["events"] == 1


def test_an_export_is_a_file_of_lines_for_its_owner_alone(shop: FreshetProcess, tmp_path: Path) -> None:
    position = shop.post_event(user_id="eve", event_type="view", item_id="x")
    becomes(lambda: exported(shop, "eve")["events"], 1)
    target = tmp_path / "eve.ndjson"
    done = shop.command("users", "export", "eve", "--to", str(target))
    assert done.returncode == 0, done.stderr
    assert "1 event in the log" in done.stderr
    lines = [json.loads(line) for line in target.read_text().splitlines()]
    assert [line["kind"] for line in lines] == ["profile", "event", "summary"]
    assert lines[1]["position"] == position
    assert lines[2]["summary"]["log"]["looked_at"] > 1
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    only = shop.command("users", "export", "nobody", "--no-log", "--json")
    assert json.loads(only.stdout) == {
        "profile": json.loads(only.stdout)["profile"],
        "records": [],
        "summary": {"state": "unknown", "log": None, "archive": None},
    }
    for flags, told in (
        (["--archive", str(tmp_path / "none")], "archive.json"),
        (["--to", str(tmp_path / "no" / "x")], "--to"),
    ):
        refused = shop.command("users", "export", "eve", *flags)
        assert refused.returncode == 1
        assert told in refused.stderr
        assert "Traceback" not in refused.stderr
    assert shop.command("users", "delete", "a\nb").returncode == 2
