"""The loop closed: events come in, `freshet train --publish` learns from them, `freshet run` serves it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from services.kernel.item import encode_item
from tests.e2e.running import FreshetProcess, eventually
from tests.processes import scratch_directory
from tests.unit.trainer_events import CIRCLE, circle_items, walks

SUBJECTS = 300
SMALL = ("--d", "16", "--hidden", "32", "--epochs", "4", "--learning-rate", "0.01")


class Visitors(threading.Thread):
    """Asks for recommendations without a pause; keeps what was not 200, and the releases that answered."""

    def __init__(self, shop: FreshetProcess) -> None:
        super().__init__()
        self._shop = shop
        self._over = threading.Event()
        self.failed: list[int] = []
        self.releases: dict[str, int] = {}

    def run(self) -> None:
        """Until `end`."""
        number = 0
        while not self._over.is_set():
            number += 1
            status, body = self._shop.call("GET", f"/recommend/u{number % SUBJECTS}?n=5")
            if status != 200 or len(body["items"]) != 5:
                self.failed.append(status)
            else:
                name = str(body["release"])
                self.releases[name] = self.releases.get(name, 0) + 1

    def end(self) -> None:
        """Stop asking."""
        self._over.set()
        self.join()


@pytest.fixture(scope="module")
def shop() -> Iterator[FreshetProcess]:
    """A Freshet whose visitors walk round in circles, with its day-0 release."""
    with scratch_directory("train") as directory:
        with FreshetProcess(Path(directory), ["--empty"], {"FRESHET_RELEASE_POLL_MS": "50"}) as process:
            process.start()
            items = [msgspec.json.decode(encode_item(item)) for item in circle_items()]
            assert process.call("POST", "/items", items)[0] == 202
            table = walks(SUBJECTS, seed=5)
            columns = (table.subjects.tolist(), table.items.tolist(), table.times_s.tolist())
            lines = [
                json.dumps(
                    {
                        "user_id": table.subject_ids[subject],
                        "item_id": table.item_ids[item],
                        "event_type": "view",
                        "timestamp": time_s,
                    }
                )
                for subject, item, time_s in zip(*columns, strict=True)
            ]
            told = process.command(
                "events", "import", "-", "--format", "ndjson", stdin="\n".join(lines) + "\n"
            )
            assert told.returncode == 0, told.stderr
            eventually(lambda: process.get("/recommend/u1?n=5")["release"], bool)
            yield process


def test_a_trained_release_is_served_without_a_failed_request(shop: FreshetProcess) -> None:
    before = shop.get("/recommend/u1?n=5")["release"]
    assert before.startswith("day0-")
    visitors = Visitors(shop)
    visitors.start()
    told = shop.command("train", "--publish", "--json", *SMALL)
    assert told.returncode == 0, told.stderr
    made = json.loads(told.stdout)
    eventually(lambda: visitors.releases.get(made["release"], 0), lambda count: count > 50)
    visitors.end()
    assert not visitors.failed
    assert set(visitors.releases) == {before, made["release"]}
    figures = made["metrics"]
    assert figures["held_out"]["ndcg_at_10"] > figures["live"]["ndcg_at_10"]
    answer = shop.get("/recommend/u1?n=5")
    assert answer["strategy"] == "model"


def test_its_lists_follow_the_walk(shop: FreshetProcess) -> None:
    """Somebody new walks three steps of a circle: the next one stands on top."""
    name = eventually(
        lambda: shop.get("/recommend/u1?n=5")["release"], lambda name: not name.startswith("day0")
    )
    for at in (3, 4, 5):
        position = shop.post_event(
            user_id=f"walker-{name}", event_type="view", item_id=f"i{2 * CIRCLE + at:03d}"
        )
    found = shop.recommended(f"walker-{name}", f"n=3&after={position}")
    assert f"i{2 * CIRCLE + 6:03d}" in found[:2]


def test_the_evaluator_says_what_a_release_has_seen(shop: FreshetProcess) -> None:
    archive = str(shop.data_dir / "archive")
    told = shop.command("evaluate", "--events", archive, "--k", "5", "--from", "2023-11-14", "--json")
    assert told.returncode == 0, told.stderr
    assert "its figures flatter it" in told.stderr
    report = json.loads(told.stdout)
    methods = [method["name"] for method in report["methods"]]
    assert report["seen"]
    assert methods[:5] == ["for_you", "popular", "trending", "co-visitation", "repeat"], (
        "its tables know the answers"
    )
    assert shop.command("events", "export", "--to", archive).returncode == 0
    told = shop.command("evaluate", "--events", archive, "--k", "5", "--json")
    assert "asking about what came after" in told.stderr  # the walker of the test above
    legend = shop.command("evaluate", "--help").stdout
    assert all(
        f"\n  {column}" in legend
        for column in ("HR ", "NDCG, MRR ", "recall ", "coverage ", "popularity, bias ")
    )
    report = json.loads(told.stdout)
    assert not report["seen"]
    assert "transitions" in [method["name"] for method in report["methods"]]


def test_without_new_events_there_is_nothing_to_do(shop: FreshetProcess) -> None:
    told = shop.command("train", "--publish", *SMALL)
    assert told.returncode == 0, told.stderr
    assert "nothing to do" in told.stdout
    assert "--force" in told.stdout


def test_what_cannot_be_trained_says_why(shop: FreshetProcess, tmp_path: Path) -> None:
    few = tmp_path / "few.ndjson"
    few.write_text('{"user_id": "a", "item_id": "i001", "event_type": "view", "timestamp": 1700000000}\n')
    told = shop.command("train", "--events", str(few), "--to", str(tmp_path))
    assert told.returncode == 1
    assert "500 is the least to learn from" in told.stderr
    told = shop.command("train", "--events", str(tmp_path / "nowhere.parquet"), "--to", str(tmp_path))
    assert told.returncode == 1
    assert "nowhere.parquet" in told.stderr
    told = shop.command("train", "--publish", "--to", str(tmp_path))
    assert told.returncode == 1
    assert "take one of them" in told.stderr
