"""`freshet run` on a real Kafka broker, the store embedded; and on servers of one's own altogether."""

from __future__ import annotations

import json
from pathlib import Path

from tests.e2e.conftest import FreshetMaker
from tests.e2e.running import FreshetProcess, becomes
from tests.servers import KafkaBroker, ValkeyServer


def events_of(process: FreshetProcess, user_id: str) -> int:
    status, body = process.call("GET", f"/users/{user_id}/profile")
    return int(body["events"]) if status == 200 else 0


def test_the_log_on_kafka(freshet_process: FreshetMaker, kafka: KafkaBroker, namespace: str) -> None:
    process = freshet_process("--demo-orders", "300", FRESHET_LOG_URL=kafka.url, FRESHET_NAMESPACE=namespace)
    process.start()
    item = process.get("/items?limit=1")["items"][0]["item_id"]
    position = process.post_event(user_id="u1", event_type="view", item_id=item)
    assert process.recommended("u1", f"scenario=recently_viewed&after={position}") == [item]
    process.restart()
    becomes(lambda: events_of(process, "u1"), 1)
    doctor = json.loads(process.command("doctor", "--json").stdout)
    assert "fail" not in {finding["level"] for finding in doctor["findings"]}, doctor
    replayed = process.command("replay", "--json")
    assert replayed.returncode == 0, replayed.stderr
    becomes(lambda: events_of(process, "u1"), 1)


def test_data_of_ones_own_is_left_alone(
    freshet_process: FreshetMaker, valkey: ValkeyServer, namespace: str
) -> None:
    """No groceries beside events that were there before this machine's first start."""
    there = {"FRESHET_LOG_URL": valkey.url, "FRESHET_STORE_URL": valkey.url, "FRESHET_NAMESPACE": namespace}
    first = freshet_process("--empty", **there)
    first.start()
    first.call("POST", "/items", [{"item_id": "mine", "title": "Mine"}])
    becomes(lambda: [item["item_id"] for item in first.get("/items")["items"]], ["mine"])
    first.stop()
    elsewhere = freshet_process(**there)  # a new data directory, so it is a first start again
    elsewhere.start()
    assert [item["item_id"] for item in elsewhere.get("/items")["items"]] == ["mine"]
    assert not Path(elsewhere.data_dir / "valkey").exists()
