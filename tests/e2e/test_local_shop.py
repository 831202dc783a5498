"""`freshet run` with its demo shop: an event posted now changes the next answer."""

from __future__ import annotations

import json
import re
import subprocess
import time

from services.local.demo_shop import read_shop
from services.local.welcome import SAMPLE_EVENT
from tests.e2e.running import FreshetProcess, eventually, freshet
from tests.processes import free_ports

SAMPLE = json.loads(SAMPLE_EVENT)


def test_the_sample_event_as_it_stands(demo_shop: FreshetProcess) -> None:
    status, accepted = demo_shop.call("POST", "/events", SAMPLE)
    assert (status, accepted["accepted"]) == (202, 1)
    after = accepted["positions"][0]
    assert demo_shop.recommended("u_12345", f"scenario=recently_viewed&after={after}") == ["p_67890"]
    profile = demo_shop.get("/users/u_12345/profile")
    assert [entry["item_id"] for entry in profile["recent"]] == ["p_67890"]
    assert profile["events"] == 1


def test_an_event_on_a_catalogue_item_changes_for_you(demo_shop: FreshetProcess) -> None:
    item = demo_shop.get("/items?limit=1")["items"][0]
    before = demo_shop.recommended("u_new", "n=20")
    assert before
    position = demo_shop.post_event(user_id="u_new", event_type="view", item_id=item["item_id"])
    assert demo_shop.recommended("u_new", f"n=20&after={position}") != before


def test_the_history_is_there(demo_shop: FreshetProcess) -> None:
    shop = read_shop(600)
    newest = shop.orders[-1]
    profile = demo_shop.get(f"/users/{newest['user_id']}/profile")
    bought = {line["item_id"] for line in newest["items"]}
    assert bought <= {entry["item_id"] for entry in profile["recent"]}
    ages_s = [time.time() - _seconds(entry["timestamp"]) for entry in profile["recent"]]
    assert -60 < min(ages_s) < 3600, "the last order is made at the first start"
    assert demo_shop.recommended("u_nobody", "scenario=trending")
    assert demo_shop.recommended("u_nobody", "scenario=popular")


def test_one_app_for_everything(demo_shop: FreshetProcess) -> None:
    paths = demo_shop.get("/openapi.json")["paths"]
    assert {"/events", "/items", "/recommend/{user_id}", "/readyz", "/metrics"} <= {
        re.sub(r":path\}", "}", path) for path in paths
    }
    for path in ("/healthz", "/health", "/readyz", "/ready", "/docs", "/metrics"):
        assert demo_shop.call("GET", path)[0] == 200, path
    loaded = re.findall(r'(?:href|src)="([^"]+)"', demo_shop.get("/docs"))
    assert len(loaded) == 3
    for path in loaded:  # all of it from here: the page works without a network
        assert demo_shop.call("GET", path)[0] == 200, path
    assert {"log", "recommender", "demo"} <= demo_shop.get("/readyz")["checks"].keys()
    exposed = demo_shop.get("/metrics")
    for name in ("freshet_ingest_", "freshet_profiler_", "freshet_recommend"):
        assert name in exposed, name
    in_use = re.findall(r'^freshet_release_info\{release="([^"]+)",service="(\w+)"\} 1.0$', exposed, re.M)
    assert sorted(service for _, service in in_use) == ["profiler", "recommender"]
    assert len({release for release, _ in in_use}) == 1


def test_the_three_calls_that_it_prints_work(demo_shop: FreshetProcess) -> None:
    calls = [line.strip() for line in demo_shop.log_tail().splitlines() if line.strip().startswith("curl")]
    assert len(calls) == 3
    for call in calls:
        done = subprocess.run(["bash", "-c", f"{call} -fsS"], capture_output=True, text=True, check=False)
        assert done.returncode == 0, (call, done.stderr)
        json.loads(done.stdout)


def test_doctor_finds_nothing_amiss(demo_shop: FreshetProcess) -> None:
    eventually(
        lambda: json.loads(demo_shop.command("doctor", "--json").stdout)["worst"],
        lambda worst: worst == "ok",
    )
    told = demo_shop.command("doctor")
    assert told.returncode == 0, told
    for part in ("settings", "server", "log", "store", "profiler", "release", "catalogue", "clock"):
        assert f"ok   {part}: " in told.stdout


def test_doctor_says_what_does_not_answer(demo_shop: FreshetProcess) -> None:
    told = doctor(demo_shop, FRESHET_PORT=str(free_ports(1)[0]))
    assert told.returncode == 3
    assert "warn server: nobody answers at" in told.stdout
    told = doctor(demo_shop, FRESHET_STORE_URL="redis://127.0.0.1:1")
    assert told.returncode == 1
    assert told.stdout.count("fail ") == told.stdout.count("fail store: ") == 1
    told = doctor(demo_shop, FRESHET_DATA_DIR="nothing_here")
    assert told.returncode == 1
    assert "FRESHET_DATA_DIR" in told.stderr


def doctor(process: FreshetProcess, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*freshet(), "doctor"],
        env=process.variables | environment,
        cwd=process.directory,
        capture_output=True,
        text=True,
        check=False,
    )


def test_small_commands(demo_shop: FreshetProcess) -> None:
    sent = demo_shop.command(
        "events", "send", '{"user_id": "u_cli", "event_type": "view", "item_id": "x/y z"}'
    )
    assert json.loads(sent.stdout)["accepted"] == 1
    eventually(lambda: demo_shop.command("profile", "show", "u_cli").stdout, lambda told: '"x/y z"' in told)
    listed = demo_shop.command("recommend", "u_cli", "-n", "3")
    assert listed.returncode == 0, listed.stderr
    assert len(listed.stdout.splitlines()) == 1 + 3 + 2
    tailed = demo_shop.command("events", "tail", "--from-start", "-n", "5")
    assert len([json.loads(line) for line in tailed.stdout.splitlines()]) == 5
    releases = demo_shop.command("release", "list", "--json")
    assert [entry["live"] for entry in json.loads(releases.stdout)] == [True]
    assert demo_shop.command("release", "check").returncode == 0
    refused = demo_shop.command("events", "send", '{"user_id": "u"}')
    assert refused.returncode == 1
    assert "event_type" in refused.stderr


def _seconds(moment: object) -> float:
    number = float(str(moment))
    return number / 1000 if number > 1e11 else number


def test_tail_begins_now(demo_shop: FreshetProcess) -> None:
    """The history is thousands of orders; somebody who watches wants what comes."""
    tail = subprocess.Popen(
        [*freshet(), "events", "tail", "-n", "1"],
        env=demo_shop.variables,
        stdout=subprocess.PIPE,
        text=True,
    )
    with tail:
        while tail.poll() is None:
            demo_shop.post_event(user_id="u_tail", event_type="view", item_id="p_1")
            time.sleep(0.05)
        assert tail.stdout is not None
        assert json.loads(tail.stdout.read())["user_id"] == "u_tail"
