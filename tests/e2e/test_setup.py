"""`freshet setup` beside a running Freshet: once, again, killed on the way, beside data of somebody's own."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from services.cli.__main__ import main
from services.local.demo_shop import read_shop
from tests.conftest import needed_kafka
from tests.e2e.conftest import FreshetMaker
from tests.e2e.recommender_shop import Shop, recommender
from tests.e2e.running import FreshetProcess, eventually, freshet
from tests.servers import ValkeyServer

ORDERS = 600


def set_up(process: FreshetProcess, *arguments: str) -> dict[str, Any]:
    """What `freshet setup` says."""
    ended = process.command("setup", *arguments, "--json")
    assert ended.returncode == 0, ended.stderr
    answer: dict[str, Any] = json.loads(ended.stdout)
    return answer


def counted(process: FreshetProcess) -> dict[str, int]:
    """Events in the profile of every household of the demo that is loaded here."""
    users = {order["user_id"] for order in read_shop(ORDERS).orders}
    return {user: process.get(f"/users/{user}/profile")["events"] for user in sorted(users)}


def orders_by_user() -> dict[str, int]:
    """What `counted` must answer once everything is there."""
    found: dict[str, int] = {}
    for order in read_shop(ORDERS).orders:
        found[order["user_id"]] = found.get(order["user_id"], 0) + 1
    return dict(sorted(found.items()))


def test_without_a_catalogue_there_is_no_release_and_that_is_said(freshet_process: FreshetMaker) -> None:
    process = freshet_process("--empty", FRESHET_LOG_PARTITIONS="3")
    process.start()
    done = set_up(process)
    assert done["topics"] == {"events": 3, "items": 3, "dead": 3}
    assert (done["release"], done["release_built"], done["demo"]) == (None, False, "none")
    told = process.command("setup")
    assert told.returncode == 0
    assert "release: none yet" in told.stdout


def test_where_no_profiler_ever_ran_the_recommender_becomes_ready(
    valkey: ValkeyServer, namespace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a cluster where the profiler waits at zero for a first record."""
    shop = Shop(valkey.url, namespace, tmp_path / "releases")
    for name, value in {"STORE_URL": valkey.url, "LOG_URL": valkey.url, "NAMESPACE": namespace}.items():
        monkeypatch.setenv(f"FRESHET_{name}", value)
    monkeypatch.setenv("FRESHET_RELEASE_URL", str(shop.releases))
    for _ in range(2):
        assert main(["setup", "--json"]) == 0
    with recommender(shop) as client:
        eventually(lambda: client.get("/readyz").status_code == 200, bool)


def test_a_broker_that_never_had_a_group_is_waited_for(
    valkey: ValkeyServer, namespace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For its first second it does not know who coordinates the groups whose commits are asked for."""
    monkeypatch.setenv("FRESHET_NAMESPACE", namespace)
    monkeypatch.setenv("FRESHET_STORE_URL", valkey.url)
    monkeypatch.setenv("FRESHET_RELEASE_URL", str(tmp_path / "releases"))
    with needed_kafka() as broker:
        monkeypatch.setenv("FRESHET_LOG_URL", broker.url)
        assert main(["setup", "--json"]) == 0


def test_the_demo_is_loaded_once(freshet_process: FreshetMaker) -> None:
    process = freshet_process("--empty")
    process.start()
    done = set_up(process, "--demo", "--demo-orders", str(ORDERS))
    assert (done["demo"], done["release_built"]) == ("loaded", True)
    assert process.get("/items?limit=1")["total"] == len(read_shop(ORDERS).items)
    before = counted(process)
    assert before == orders_by_user()
    again = set_up(process, "--demo", "--demo-orders", str(ORDERS))
    assert (again["demo"], again["release_built"]) == ("there", False)
    assert again["release"] == done["release"]
    assert again["demo_records"] == done["demo_records"]
    assert counted(process) == before


def test_killed_anywhere_it_goes_on_and_counts_nothing_twice(freshet_process: FreshetMaker) -> None:
    process = freshet_process("--empty")
    process.start()
    command = [*freshet(), "setup", "--demo", "--demo-orders", str(ORDERS)]

    def killed_when(holds: Callable[[], bool]) -> None:
        running = subprocess.Popen(
            command, env=process.variables, cwd=process.directory, stderr=subprocess.PIPE
        )
        with running:
            eventually(lambda: running.poll() is not None or holds(), bool)
            running.send_signal(signal.SIGKILL)

    killed_when(lambda: process.get("/items?limit=1")["total"] > 0)
    some = read_shop(ORDERS).orders[0]["user_id"]
    killed_when(lambda: process.get(f"/users/{some}/profile")["events"] > 0)
    set_up(process, "--demo", "--demo-orders", str(ORDERS))
    assert counted(process) == orders_by_user()


def test_it_never_loads_the_demo_beside_data_of_somebody(freshet_process: FreshetMaker) -> None:
    process = freshet_process("--empty")
    process.start()
    process.post_event(user_id="u1", event_type="view", item_id="i1")
    done = set_up(process, "--demo")
    assert (done["demo"], done["demo_records"]) == ("refused", 0)
    assert process.get("/items?limit=1")["total"] == 0


def test_a_first_release_of_a_file_then_the_live_one_stays(
    freshet_process: FreshetMaker, tmp_path: Path
) -> None:
    process = freshet_process("--empty")
    process.start()
    items = tmp_path / "items.ndjson"
    items.write_text(
        "".join(json.dumps({"item_id": f"i{n}", "title": f"red shoe {n}"}) + "\n" for n in range(9))
    )
    done = set_up(process, "--items", str(items))
    assert done["release_built"]
    items.write_text(json.dumps({"item_id": "other", "title": "blue hat"}) + "\n")
    assert set_up(process, "--items", str(items))["release"] == done["release"]


def test_it_waits_for_log_and_store_and_not_for_ever(tmp_path: Path, freshet_process: FreshetMaker) -> None:
    process = freshet_process(
        FRESHET_LOG_URL="valkey://127.0.0.1:9/0", FRESHET_STORE_URL="valkey://127.0.0.1:9/0"
    )
    began_s = time.monotonic()
    ended = process.command("setup", "--wait-s", "1")
    assert ended.returncode == 1
    assert time.monotonic() - began_s > 1.0
    assert "FRESHET_STORE_URL" in ended.stderr
    assert "--wait-s" in ended.stderr
