"""`freshet evaluate` beside a running Freshet: the lists it judges are those that HTTP answers."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from services.kernel.event_type import EventTypes
from services.release.files import open_release
from services.release.source import ReleaseSource
from services.trainer.events import read_events, read_items
from services.trainer.replay import ReplayRules
from services.trainer.world import Asked, World, ids_of, recommended, replay
from tests.e2e.conftest import FreshetMaker
from tests.e2e.running import FreshetProcess, eventually

USERS, VISITS, SHELVES = 30, 12, 5
ASKED_S = int(time.time()) // 60 * 60 - 60
# Long enough ago that the session is over: what is answered then does not depend on the second.
BEGIN_S = ASKED_S - 86_400


def shop(folder: Path) -> tuple[Path, Path, list[dict[str, Any]]]:
    """Items and events as files; everybody looks through one shelf, a minute a look."""
    items = [
        {"item_id": f"gid://i/{n}", "title": f"thing {n}", "categories": [f"shelf {n // 12}"]}
        for n in range(12 * SHELVES)
    ]
    events = [
        {
            "event_id": f"e{user}-{visit}",
            "user_id": f"u{user}",
            "event_type": "view",
            "item_id": f"gid://i/{12 * (user % SHELVES) + (user * 5 + visit * (1 + user % 3)) % 12}",
            "timestamp": BEGIN_S + 40 * user + 60 * visit,
        }
        for user in range(USERS)
        for visit in range(VISITS)
    ]
    events.sort(key=lambda event: str(event["timestamp"]))
    for name, rows in (("items", items), ("events", events)):
        (folder / f"{name}.ndjson").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder / "items.ndjson", folder / "events.ndjson", events


@pytest.fixture
def running(freshet_process: FreshetMaker, tmp_path: Path) -> FreshetProcess:
    """A Freshet that has the shop's items, events, and a day-0 release of them."""
    process = freshet_process("--empty", FRESHET_RELEASE_POLL_MS="50")
    process.start()
    items, events, _ = shop(tmp_path)
    for command in (("items", "import", str(items)), ("release", "init", "--items", str(items))):
        told = process.command(*command)
        assert told.returncode == 0, told.stderr
    told = process.command("events", "import", str(events))
    assert told.returncode == 0, told.stderr
    for user in range(USERS):
        eventually(
            lambda user=user: process.call("GET", f"/users/u{user}/profile")[1].get("events"),  # type: ignore[misc]
            lambda count: count == VISITS,
        )
    eventually(lambda: process.get("/recommend/u0")["strategy"], lambda strategy: strategy == "model")
    return process


def test_the_evaluator_judges_what_http_answers(running: FreshetProcess, tmp_path: Path) -> None:
    items, events, rows = shop(tmp_path)
    # A last event of everybody, about now: the question before it is what HTTP is asked now.
    last = [
        {"user_id": f"u{user}", "event_type": "view", "item_id": "gid://i/0", "timestamp": ASKED_S}
        for user in range(USERS)
    ]
    longer = tmp_path / "longer.ndjson"
    longer.write_text("".join(json.dumps(row) + "\n" for row in [*rows, *last]))
    types = EventTypes()
    release = open_release(ReleaseSource(str(running.data_dir / "releases")).live())
    lists: dict[str, list[str]] = {}
    table = read_events(str(longer), event_types=types)

    def ask(asked: Asked) -> None:
        lists[table.subject_ids[asked.record.subject]] = list(ids_of(recommended(asked, 10)))

    world = World.of(release, read_items(str(items)))
    replay(world, table, ASKED_S, ReplayRules(types), ask, frozen=True)
    assert len(lists) == USERS
    time.sleep(1.2)  # aggregates are merged once a second
    for subject, expected in lists.items():
        served = running.recommended(subject.removeprefix("u:"), "n=10")
        assert served == expected, subject

    plot = tmp_path / "plot.svg"
    told = running.command(
        *("evaluate", "--events", str(events), "--k", "5", "--refresh", "live,1h", "--json"),
        *("--plot", str(plot), "--from", str(BEGIN_S + 900)),
    )
    assert told.returncode == 0, told.stderr
    report = json.loads(told.stdout)
    assert report["release"] == release.name
    assert report["questions"] == sum(row["timestamp"] >= BEGIN_S + 900 for row in rows) - _first_late(rows)
    assert [one["name"] for one in report["methods"]][:2] == ["for_you", "popular"]
    assert [one["name"] for one in report["refresh"]] == ["live", "1h"]
    assert plot.read_text().startswith("<?xml")
    shown = running.command("evaluate", "--events", str(events), "--holdout-share", "0.2")
    assert shown.returncode == 0, shown.stderr
    assert "HR − for_you" in shown.stdout
    refused = running.command("evaluate", "--events", str(events), "--from", "2100-01-01")
    assert refused.returncode == 1
    assert "no event is as new as 2100-01-01T00:00:00Z" in refused.stderr


def _first_late(rows: list[dict[str, Any]]) -> int:
    """How many people come for the first time when questions have begun."""
    first: dict[str, int] = {}
    for row in rows:
        first.setdefault(row["user_id"], row["timestamp"])
    return sum(moment >= BEGIN_S + 900 for moment in first.values())
