"""The command line against one running Freshet, as a newcomer meets it: JSON everywhere, and ways out."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from services.cli.__main__ import main
from tests.e2e.running import FreshetProcess, eventually, freshet
from tests.processes import scratch_directory

KEY = "a-key-of-this-test"
SCENARIOS = '[scenarios.sale]\nsources = ["trending"]\n'
EVENT = {"user_id": "ada", "event_type": "view", "item_id": "p_1"}


@pytest.fixture(scope="module")
def shop() -> Iterator[FreshetProcess]:
    """A Freshet with a key, a scenario file, one item and nothing else, started with --json."""
    with scratch_directory("newcomer") as name:
        file = Path(name) / "scenarios.toml"
        file.write_text(SCENARIOS)
        settings = {"FRESHET_KEYS": KEY, "FRESHET_SCENARIOS": str(file)}
        with FreshetProcess(Path(name), ["--empty", "--json"], settings) as process:
            process.start()
            yield process


def answered(shop: FreshetProcess, *words: str, stdin: str | None = None) -> Any:
    """The one JSON document that a command prints."""
    done = shop.command(*words, "--json", stdin=stdin)
    assert done.returncode in {0, 3}, done.stderr
    return json.loads(done.stdout)


def findings(told: dict[str, Any], part: str) -> list[dict[str, Any]]:
    return [finding for finding in told["findings"] if finding["part"] == part]


def problem(shop: FreshetProcess) -> Any:
    """Why the scenario file is not in use."""
    return shop.call("GET", "/scenarios", headers={"Authorization": f"Bearer {KEY}"})[1]["file"]["problem"]


def test_events_and_profiles_are_json(shop: FreshetProcess) -> None:
    items = answered(
        shop, "items", "import", "-", "--format", "ndjson", stdin='{"item_id":"p_1","title":"One"}'
    )
    assert items["accepted"] == 1
    assert len(answered(shop, "events", "send", json.dumps(EVENT))["positions"]) == 1
    eventually(lambda: answered(shop, "profile", "show", "ada")["events"], lambda events: events == 1)
    (line,) = shop.command("events", "tail", "--from-start", "-n", "1", "--json").stdout.splitlines()
    assert json.loads(line)["user_id"] == "ada"
    tail = [*freshet(), "events", "tail", "--from-start"]
    with subprocess.Popen(tail, env=shop.variables, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        assert running.stdout.readline().strip() == line
        running.stdout.close()  # as `| head -1` does, with no further event to come
        assert running.wait(timeout=30) == 1
    assert "sale" in {one["scenario"] for one in answered(shop, "scenarios", "list")["scenarios"]}
    assert answered(shop, "recommend", "ada")["items"] is not None
    assert answered(shop, "users", "delete", "ada")["applied"]


def test_a_wrong_key_is_told_with_what_to_do(shop: FreshetProcess) -> None:
    refused = shop.command("profile", "show", "ada", "--key", "wrong-key-of-a-newcomer", "--json")
    assert (refused.returncode, refused.stdout) == (1, "")
    told = json.loads(refused.stderr)
    assert told["exit_status"] == 1
    assert "give one with --key or FRESHET_KEYS" in told["error"]


def test_doctor_names_a_scenario_file_that_is_not_in_use(shop: FreshetProcess) -> None:
    file = Path(shop.variables["FRESHET_SCENARIOS"])
    assert findings(answered(shop, "doctor"), "scenarios")[0]["level"] == "ok"
    file.write_text(SCENARIOS.replace("trending", "trendign"))
    eventually(lambda: problem(shop), lambda told: told is not None)
    done = shop.command("doctor")
    file.write_text(SCENARIOS)
    assert done.returncode == 1, done.stdout
    assert "as it is now is not in use" in done.stdout
    assert "'trendign' is no source" in done.stdout
    assert f"→ freshet scenarios check {file}" in done.stdout
    eventually(lambda: problem(shop), lambda told: told is None)


def settings_of(shop: FreshetProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let commands of this process find it."""
    for name in [name for name in os.environ if name.startswith("FRESHET_")]:
        monkeypatch.delenv(name)
    for name, value in shop.variables.items():
        if name.startswith("FRESHET_"):
            monkeypatch.setenv(name, value)


def test_doctor_says_how_to_mend_all_that_is_down(
    shop: FreshetProcess, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settings_of(shop, monkeypatch)
    for name in ("FRESHET_STORE_URL", "FRESHET_LOG_URL"):
        monkeypatch.setenv(name, "valkey://127.0.0.1:1/0")
    monkeypatch.setenv("FRESHET_KEYS", "not-the-key-of-the-server")
    assert main(["doctor", "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    amiss = [one for one in told["findings"] if one["level"] != "ok"]
    assert all(one["mend"] for one in amiss), amiss
    by_part = {one["part"]: one for one in amiss}
    assert "FRESHET_STORE_URL leads to it" in by_part["store"]["mend"]
    assert "FRESHET_LOG_URL leads to it" in by_part["log"]["mend"]
    assert "refuses the key" in by_part["server"]["text"]
    assert by_part["clock"]["text"] == "not looked at to the end, because of log", "the reason is told once"


def test_doctor_compares_every_clock(
    shop: FreshetProcess, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The clock of this process is put back an hour, beside a store, a log and a server that run on."""
    assert shop.call("POST", "/events", EVENT, {"Authorization": f"Bearer {KEY}"})[0] == 202
    settings_of(shop, monkeypatch)
    for back_s, level in ((0, "ok"), (3600, "warn")):
        clock = SimpleNamespace(time=lambda back_s=back_s: time.time() - back_s)
        monkeypatch.setattr("services.cli.doctor_clock.time", clock)
        assert main(["doctor", "--json"]) in {0, 3}
        found = findings(json.loads(capsys.readouterr().out), "clock")
        assert {one["level"] for one in found} == {level}, found
        compared = {one["details"]["of"] for one in found}
        assert compared == ({"store", "server"} if level == "ok" else {"store", "server", "log"})
        for one in found if level == "warn" else ():
            assert -3_605_000 < one["details"]["ahead_ms"] < -3_000_000  # the log's: since its newest event
            assert "NTP" in one["mend"]


def test_run_says_once_that_it_is_up(shop: FreshetProcess) -> None:
    told = eventually(lambda: [line for line in shop.log_tail().splitlines() if line[0] == "{"], bool)
    assert [json.loads(line)["url"] for line in told] == [shop.url]
    assert "Freshet is up" not in shop.log_tail(), "that is for people"
