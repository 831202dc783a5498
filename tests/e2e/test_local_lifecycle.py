"""Starting, stopping and killing `freshet run`."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

from services.local.demo_shop import read_shop
from tests.e2e.conftest import FreshetMaker
from tests.e2e.running import WAIT_S, FreshetProcess, becomes, eventually, freshet

ITEMS = [
    {"item_id": f"film{n}", "title": f"Film {n}", "categories": [["Films", "Noir" if n % 2 else "Comedy"]]}
    for n in range(40)
]
NOBODY = "valkey://127.0.0.1:1/0"


def profile_events(process: FreshetProcess, user_id: str) -> int:
    status, body = process.call("GET", f"/users/{user_id}/profile")
    return int(body["events"]) if status == 200 else 0


def test_sigkill_loses_nothing_acknowledged_and_doubles_nothing(freshet_process: FreshetMaker) -> None:
    process = freshet_process("--demo-orders", "300")
    process.start()
    total = len(read_shop(300).items)
    becomes(lambda: len(_all_items(process)), total)  # the recommender's mirror follows a moment later
    for round_ in range(3):
        for number in range(20):
            process.post_event(user_id="u1", event_type="view", item_id=f"i{round_}-{number}")
        process.restart()  # SIGKILL, at once after the last 202
        becomes(lambda: profile_events(process, "u1"), 20 * (round_ + 1))
    becomes(lambda: len(_all_items(process)), total)
    assert process.recommended("u1", "scenario=recently_viewed&n=3") == ["i2-19", "i2-18", "i2-17"]
    process.stop()
    process.start()
    assert profile_events(process, "u1") == 60


def test_killed_while_the_demo_loads(freshet_process: FreshetMaker) -> None:
    """Each order counts once, however often the loading is cut."""
    process = freshet_process("--demo-orders", "3000")
    mark = process.data_dir / "demo.json"
    for wanted in (1, 1000, 2000):
        spawn(process)
        while _orders_done(mark) < wanted:
            assert process.running, process.log_tail()
            time.sleep(0.01)
        process.kill()
    process.start()
    orders_of: dict[str, int] = {}
    for order in read_shop(3000).orders:
        orders_of[order["user_id"]] = orders_of.get(order["user_id"], 0) + 1
    busiest = sorted(orders_of, key=lambda user: -orders_of[user])[:100]
    assert {user: profile_events(process, user) for user in busiest} == {
        user: orders_of[user] for user in busiest
    }


def test_a_leftover_valkey_is_stopped(freshet_process: FreshetMaker) -> None:
    """Run and guard are killed together, so that the Valkey stays behind; the next start deals with it."""
    process = freshet_process("--empty")
    process.start()
    process.post_event(user_id="u1", event_type="view", item_id="a")
    leftover = int((process.data_dir / "valkey" / "valkey.pid").read_text())
    for guard in _guards_of(leftover):
        os.kill(guard, signal.SIGKILL)
    process.kill()
    assert _is_alive(leftover)
    process.start()
    assert not _is_alive(leftover)
    becomes(lambda: profile_events(process, "u1"), 1)


def test_the_valkey_is_started_again_when_it_dies(freshet_process: FreshetMaker) -> None:
    process = freshet_process("--empty")
    process.start()
    process.post_event(user_id="u1", event_type="view", item_id="a")
    os.kill(int((process.data_dir / "valkey" / "valkey.pid").read_text()), signal.SIGKILL)
    eventually(lambda: _post_status(process), lambda status: status == 202)
    eventually(lambda: process.call("GET", "/readyz")[0], lambda status: status == 200)
    eventually(lambda: profile_events(process, "u1"), lambda events: events >= 2)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_is_clean(freshet_process: FreshetMaker, number: signal.Signals) -> None:
    process = freshet_process("--empty")
    process.start()
    process.post_event(user_id="u1", event_type="view", item_id="a")
    pid, valkey = process.pid, int((process.data_dir / "valkey" / "valkey.pid").read_text())
    os.kill(pid, number)
    eventually(lambda: process.running, lambda running: not running)
    assert not _is_alive(valkey)
    assert "Traceback" not in process.log_tail()
    process.stop()
    process.start()
    assert profile_events(process, "u1") == 1


def test_a_second_run_on_the_same_directory_names_the_first(freshet_process: FreshetMaker) -> None:
    process = freshet_process("--empty")
    process.start()
    second = process.command("run", "--empty")
    assert second.returncode == 1
    assert f"in use by process {process.pid}" in second.stderr
    assert "FRESHET_DATA_DIR" in second.stderr
    assert process.get("/readyz")["status"] == "ready"


def test_a_port_in_use_is_said(freshet_process: FreshetMaker) -> None:
    process = freshet_process("--empty")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", process.port))
        taken.listen()
        started = process.command("run", "--empty")
    assert started.returncode == 1
    assert "FRESHET_PORT" in started.stderr
    assert "Traceback" not in started.stderr


@pytest.mark.parametrize(
    ("environment", "told"),
    [
        ({"FRESHET_HOST": "0.0.0.0"}, "FRESHET_KEYS"),
        ({"FRESHET_PROT": "1"}, "FRESHET_PORT"),
        ({"FRESHET_PORT": "web"}, "FRESHET_PORT"),
        (
            {"FRESHET_STORE_URL": "valkey://127.0.0.1:1/0", "FRESHET_LOG_URL": "valkey://127.0.0.1:1/0"},
            "127.0.0.1:1",
        ),
        ({"FRESHET_LOG_URL": "rabbit://x"}, "kafka://"),
        ({"FRESHET_DATA_DIR": "/proc/nowhere"}, "FRESHET_DATA_DIR"),
    ],
)
def test_a_wrong_setting_is_a_sentence(
    freshet_process: FreshetMaker, environment: dict[str, str], told: str
) -> None:
    started = freshet_process("--empty", **environment).command("run", "--empty")
    assert started.returncode == 1
    assert told in started.stderr
    assert "Traceback" not in started.stderr


def test_empty_then_a_catalogue_of_ones_own(freshet_process: FreshetMaker, tmp_path: Path) -> None:
    """No groceries, an empty list and no error; with items a release comes by itself."""
    process = freshet_process("--empty")
    process.start()
    answer = process.get("/recommend/u1")
    assert answer["items"] == []
    status, _ = process.call("POST", "/items", ITEMS)
    assert status == 202
    eventually(lambda: len(process.recommended("u1", "n=5")), lambda count: count == 5)
    eventually(lambda: _live_release(process), bool)
    process.post_event(user_id="u1", event_type="view", item_id="film1")
    answer = eventually(lambda: process.get("/recommend/u1?n=10"), lambda found: found["strategy"] == "model")
    assert answer["items"]
    process.stop()
    process.run_arguments = []  # without --empty: the decision of the first start stays
    process.start()
    assert {item["item_id"] for item in process.get("/items?limit=200")["items"]} == {
        i["item_id"] for i in ITEMS
    }


def test_a_directory_with_spaces_and_a_long_name(freshet_process: FreshetMaker) -> None:
    process = freshet_process("--empty")
    process.variables["FRESHET_DATA_DIR"] = str(process.directory / ("a data 'dir' é " + "x" * 100))
    process.start()
    process.post_event(user_id="u1", event_type="view", item_id="a")
    process.restart()
    becomes(lambda: profile_events(process, "u1"), 1)


def test_it_speaks_http_as_the_services_alone_do(freshet_process: FreshetMaker) -> None:
    freshet = freshet_process("--empty")
    freshet.start()
    with socket.create_connection(("127.0.0.1", freshet.port), timeout=WAIT_S) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Long: ")
        with pytest.raises(ConnectionError):  # noqa: PT012 - the server hangs up in the middle
            for _ in range(1000):
                connection.sendall(b"y" * 65_536)
            connection.recv(1)


def test_keys_guard_everything_but_health(freshet_process: FreshetMaker) -> None:
    process = freshet_process("--empty", FRESHET_KEYS="secret", FRESHET_WRITE_KEYS="browser")
    process.start()
    assert process.call("GET", "/recommend/u1")[0] == 401
    assert process.call("GET", "/recommend/u1", headers={"X-API-Key": "secret"})[0] == 200
    assert process.command("recommend", "u1").returncode == 0
    assert "Bearer KEY" in process.log_tail()
    assert "secret" not in process.log_tail(), "a log is no place for a key"
    refused = process.command("recommend", "u1", "--key", "wrong")
    assert refused.returncode == 1
    assert "--key" in refused.stderr


def spawn(process: FreshetProcess) -> None:
    """Start without waiting until it is ready."""
    process._is_ready = lambda: True
    process.start()
    process._is_ready = process._is_up


def _orders_done(mark: Path) -> int:
    try:
        return int(json.loads(mark.read_bytes())["orders_done"])
    except OSError:
        return 0


def _post_status(process: FreshetProcess) -> int:
    return process.call("POST", "/events", {"user_id": "u1", "event_type": "view", "item_id": "b"})[0]


def _live_release(process: FreshetProcess) -> bool:
    return any(entry["live"] for entry in json.loads(process.command("release", "list", "--json").stdout))


def _all_items(process: FreshetProcess) -> list[str]:
    found: list[str] = []
    cursor = ""
    while True:
        page = process.get(f"/items?limit=200{f'&cursor={cursor}' if cursor else ''}")
        found += [item["item_id"] for item in page["items"]]
        cursor = page["next_cursor"]
        if not cursor:
            return found


def _guards_of(pid: int) -> list[int]:
    listed = subprocess.run(["ps", "-eo", "pid,args"], capture_output=True, text=True, check=True).stdout
    lines = [line.split(None, 1) for line in listed.splitlines()[1:]]
    return [int(guard) for guard, command in lines if "while read" in command and command.endswith(f" {pid}")]


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{pid}/stat")
    return not state.exists() or ") Z" not in state.read_text()


def test_help_is_there_without_anything_running() -> None:
    shown = subprocess.run([*freshet(), "--help"], capture_output=True, text=True, check=True)
    assert "freshet run" in shown.stdout
