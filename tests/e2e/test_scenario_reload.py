"""The scenario file of a running recommender is edited: what is right serves, what is wrong is named."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.recommender_shop import Shop, eventually, ids_of, ready, recommender, shop_items
from tests.servers import ValkeyServer

SHELF = """\
[scenarios.shelf]
text = "One shelf, what is wanted most first."
sources = ["trending"]
fill = ["popular", "catalogue"]
filter = { categories = "Food > Cheese" }
pins = [{ item = "p8", slot = 1 }]
caps = [{ field = "brand", most = 2 }]
"""
BREAD = SHELF.replace("Cheese", "Bread").replace("p8", "p9")


@pytest.fixture
def shop(valkey: ValkeyServer, tmp_path: Path) -> Shop:
    shop = Shop(valkey.url, f"t{uuid.uuid4().hex[:12]}", tmp_path / "releases")
    shop.open()
    shop.put(shop_items())
    shop.release()
    shop.aggregate({"p4": 5.0, "p5": 4.0})
    return shop


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "scenarios.toml"
    path.write_text(SHELF)
    return path


@pytest.fixture
def client(shop: Shop, file: Path) -> Iterator[httpx.Client]:
    with recommender(shop, scenarios=str(file)) as client:
        ready(client)
        yield client


def shelf(client: httpx.Client) -> list[str]:
    answer = client.get("/recommend?scenario=shelf&n=5")
    assert answer.status_code == 200, answer.text
    return ids_of(answer.json())


def facts(client: httpx.Client) -> dict[str, Any]:
    content: dict[str, Any] = client.get("/scenarios").json()
    return content


def test_a_new_version_serves_without_a_restart(client: httpx.Client, file: Path) -> None:
    assert shelf(client)[:2] == ["p8", "p4"], "the pin, then what is trending on that shelf"
    before = facts(client)
    listed = {entry["scenario"]: entry for entry in before["scenarios"]}
    assert listed["shelf"]["own"]
    assert not listed["for_you"]["own"]
    assert listed["shelf"]["filter"] == {"categories": "Food > Cheese"}
    assert (before["file"]["path"], before["file"]["problem"]) == (str(file), None)
    assert before["warnings"] == []
    file.write_text(BREAD)
    eventually(lambda: shelf(client)[:2] == ["p9", "p5"], why="the other shelf is served")
    after = facts(client)
    assert after["file"]["version"] != before["file"]["version"]
    assert f'freshet_scenario_info{{version="{after["file"]["version"]}"}} 1.0' in client.get("/metrics").text


def test_what_holds_in_every_list(client: httpx.Client, file: Path) -> None:
    def shelves(**asked: Any) -> set[str]:
        answer = client.get("/recommend", params={"n": 20, "fields": "categories", **asked})
        assert answer.status_code == 200, answer.text
        return {path for item in answer.json()["items"] for path, *_ in [item["categories"][0][-1:]]}

    names = [entry["scenario"] for entry in facts(client)["scenarios"]]
    assert facts(client)["all"] == {}
    assert len(shelves(scenario="trending")) > 1
    file.write_text('[all]\nfilter = { categories = "Food > Bread" }\n' + SHELF.replace("Cheese", "Bread"))
    eventually(lambda: shelves(scenario="trending") == {"Bread"}, why="it holds in a scenario of Freshet's")
    for name in names:
        assert shelves(scenario=name, item_id="p8") <= {"Bread"}, name
    asked = {"relax": ["categories"], "at_least": 20}
    assert client.post("/recommend", json=asked).status_code == 422
    told = facts(client)
    assert told["all"] == {"filter": {"categories": "Food > Bread"}}
    assert "filter" not in told["scenarios"][0]
    listed = freshet("list", "--url", str(client.base_url))
    assert 'in all of them:\n  filter {"categories": "Food > Bread"}' in listed.stdout


def test_a_bad_version_leaves_the_old_one_serving_and_is_named(client: httpx.Client, file: Path) -> None:
    file.write_text(BREAD.replace("trending", "trendign").replace('"brand"', '"bramd"'))
    problem = eventually(lambda: facts(client)["file"]["problem"], why="the mistakes are told")
    assert "2 mistakes" in problem
    told = facts(client)["file"]["problems"]
    assert [(one["line"], one["where"]) for one in told] == [
        (3, "scenarios.shelf.sources[0]"),
        (7, "scenarios.shelf.caps[0].field"),
    ]
    assert "did you mean 'trending'?" in told[0]["message"]
    assert "did you mean 'brand'?" in told[1]["message"]
    assert shelf(client)[:2] == ["p8", "p4"], "the old version serves on"
    assert client.get("/readyz").status_code == 200
    assert any("trendign" in reason for reason in client.get("/releases").json()["degraded"])
    metrics = client.get("/metrics").text
    assert "freshet_scenario_ok 0.0" in metrics
    assert 'freshet_scenario_loads_total{outcome="refused"} 1.0' in metrics
    file.unlink()
    eventually(lambda: "no such file" in facts(client)["file"]["problem"], why="that it vanished is told")
    assert shelf(client)[:2] == ["p8", "p4"]
    file.write_text(BREAD)
    eventually(lambda: shelf(client)[:2] == ["p9", "p5"], why="the mended file serves")
    assert facts(client)["file"]["problem"] is None
    assert "freshet_scenario_ok 1.0" in client.get("/metrics").text


def test_what_the_catalogue_does_not_have_is_a_warning(client: httpx.Client, file: Path) -> None:
    file.write_text(
        SHELF.replace("Food > Cheese", "Food > Chese")
        + 'boosts = [{ filter = { brand = "brand 9" }, by = 1 }]\n'
        + '[scenarios.other]\nsources = ["popular"]\npins = [{ item = "nope", slot = 2 }]\n'
        + 'caps = [{ field = "properties.season", most = 1 }]\n'
        + "filter = { price = { gt = 100000 } }\n"
    )
    warnings = eventually(lambda: facts(client)["warnings"], why="warnings come")
    assert [(one["line"], one["where"]) for one in warnings] == [
        (5, "scenarios.shelf.filter"),
        (8, "scenarios.shelf.boosts[0].filter"),
        (11, "scenarios.other.pins[0]"),
        (13, "scenarios.other.filter"),
        (12, "scenarios.other.caps[0].field"),
    ]
    messages = [one["message"] for one in warnings]
    assert "did you mean 'Food > Cheese'?" in messages[0]
    assert "'brand 9'" in messages[1]
    assert "'nope'" in messages[2]
    assert messages[3] == "no item of the catalogue passes it"
    assert "no item has it" in messages[4]


def freshet(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "services.cli", "scenarios", *words],
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_file_is_checked_before_it_is_used(client: httpx.Client, tmp_path: Path) -> None:
    url, other = str(client.base_url), tmp_path / "other.toml"
    other.write_text(BREAD.replace("p9", "p999"))
    done = freshet("check", str(other), "--url", url)
    assert done.returncode == 3, done.stderr
    assert "warning: line 6: scenarios.shelf.pins[0]: no item 'p999' is in the catalogue" in done.stdout
    assert facts(client)["scenarios"][-1]["pins"] == [{"item": "p8", "slot": 1}], "it is not in use"
    other.write_text(BREAD)
    told = freshet("check", str(other), "--url", url, "--json")
    assert told.returncode == 0
    assert json.loads(told.stdout) == {
        "ok": True,
        "all": {},
        "own": ["shelf"],
        "problems": [],
        "warnings": [],
        "compared_with_catalogue": True,
    }
    assert client.post("/scenarios/check", content=b"[scenarios.a]").json()["problems"][0]["line"] == 1
    assert freshet("check", str(other), "--url", "http://127.0.0.1:1").returncode == 1
    listed = freshet("list", "--url", url)
    assert listed.returncode == 0
    assert "shelf" in listed.stdout
    assert "new_arrivals" in listed.stdout


def test_a_bad_file_at_the_start_stops_the_service(tmp_path: Path) -> None:
    path = tmp_path / "scenarios.toml"
    path.write_text('[scenarios.shelf]\nsources = ["trending"]\ndiversty = 0.5\n')
    done = subprocess.run(
        [sys.executable, "-m", "services.recommender"],
        env={**os.environ, "FRESHET_SCENARIOS": str(path), "FRESHET_STORE_URL": "valkey://127.0.0.1:1/0"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert f"FRESHET_SCENARIOS={path}: 1 mistake\n  line 3: scenarios.shelf.diversty" in done.stderr
    assert "did you mean 'diversity'?" in done.stderr
    assert "Traceback" not in done.stderr
