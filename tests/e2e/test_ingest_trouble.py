"""Ingest while the log is away, slow, full or behind: bounded answers, bounded memory."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from services.ingest.app import create_ingest_app
from services.ingest.settings import IngestSettings
from tests.processes import free_ports
from tests.servers import ValkeyServer, valkey_server
from tests.serving import serving

EVENT = {"event_id": "e", "user_id": "u", "event_type": "view", "item_id": "i"}
ACK_TIMEOUT_MS = 400
MAX_IN_FLIGHT_BYTES = 1 << 20


@pytest.fixture
def own_valkey() -> Iterator[ValkeyServer]:
    """A server that a test may stop."""
    with valkey_server(append_only=True) as server:
        yield server


def settings_for(server: ValkeyServer, **more: Any) -> IngestSettings:
    bounds = {"ack_timeout_ms": ACK_TIMEOUT_MS, "max_in_flight_bytes": MAX_IN_FLIGHT_BYTES}
    return IngestSettings(log_url=server.url, **{**bounds, **more})


def outcomes_of(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 503, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert int(answer.headers["retry-after"]) >= 1
    if answer.json()["code"] == "overloaded":  # its body was not even read
        return ["rejected"]
    return [outcome["outcome"] for outcome in answer.json()["outcomes"]]


def until(http: httpx.Client, path: str, status: int) -> httpx.Response:
    """Ask until `status` comes; the test's own time limit ends it otherwise."""
    while (answer := http.get(path)).status_code != status:
        pass
    return answer


def in_flight_bytes(http: httpx.Client) -> float:
    lines = http.get("/metrics").text.splitlines()
    return next(
        float(line.split()[1]) for line in lines if line.startswith("freshet_ingest_in_flight_bytes ")
    )


def test_a_log_that_is_away_at_start_is_waited_for(own_valkey: ValkeyServer) -> None:
    own_valkey.stop()
    with (
        serving(create_ingest_app(settings_for(own_valkey))) as url,
        httpx.Client(base_url=url, timeout=60) as http,
    ):
        assert http.get("/healthz").status_code == 200
        not_ready = http.get("/readyz")
        assert (not_ready.status_code, not_ready.json()["code"]) == (503, "not_ready")
        assert outcomes_of(http.post("/events", json=[EVENT, {}])) == ["rejected", "rejected"]
        own_valkey.start()
        until(http, "/readyz", 200)
        assert http.post("/events", json=EVENT).status_code == 202


def test_a_log_that_stops_answering_leaves_unknown_outcomes_and_the_ids_to_retry_with(
    own_valkey: ValkeyServer,
) -> None:
    with (
        serving(create_ingest_app(settings_for(own_valkey))) as url,
        httpx.Client(base_url=url, timeout=60) as http,
    ):
        assert http.post("/events", json=EVENT).status_code == 202
        own_valkey.pause()
        answer = http.post("/events", json=[{**EVENT, "event_id": None}, {**EVENT, "price": -1}])
        assert outcomes_of(answer) == ["unknown", "rejected"]
        assert answer.json()["code"] == "log_timeout"
        made, refused = answer.json()["outcomes"]
        assert made["event_id"]
        assert (refused["event_id"], refused["code"]) == ("e", "invalid_price")
        one = http.delete("/items/x")
        assert (one.status_code, one.json()["outcome"]) == (503, "unknown")
        assert http.get("/readyz").status_code == 503
        assert in_flight_bytes(http) > 0
        own_valkey.resume()
        until(http, "/readyz", 200)
        again = http.post("/events", json={**EVENT, "event_id": made["event_id"]})
        assert again.json()["event_ids"] == [made["event_id"]]
        while in_flight_bytes(http) > 0:
            pass


def test_memory_is_bounded_while_the_log_stalls(own_valkey: ValkeyServer) -> None:
    """More is offered than the bound; what passes it is refused at once. What has timed out still counts."""
    big = [{**EVENT, "user_id": str(n), "properties": {"x": "y" * 4000}} for n in range(40)]

    async def offer(url: str) -> list[httpx.Response]:
        async with httpx.AsyncClient(base_url=url, timeout=60) as http:
            return await asyncio.gather(*(http.post("/events", json=big) for _ in range(20)))

    with (
        serving(create_ingest_app(settings_for(own_valkey))) as url,
        httpx.Client(base_url=url, timeout=60) as http,
    ):
        assert http.post("/events", json=EVENT).status_code == 202
        own_valkey.pause()
        answers = asyncio.run(offer(url))
        outcomes = [set(outcomes_of(answer)) for answer in answers]
        assert {"unknown"} in outcomes
        assert outcomes.count({"rejected"}) > outcomes.count({"unknown"})
        assert 0 < in_flight_bytes(http) <= MAX_IN_FLIGHT_BYTES
        own_valkey.resume()
        while http.post("/events", json=EVENT).status_code != 202:
            pass


def test_a_log_that_died_and_came_back(own_valkey: ValkeyServer) -> None:
    with (
        serving(create_ingest_app(settings_for(own_valkey))) as url,
        httpx.Client(base_url=url, timeout=60) as http,
    ):
        assert http.post("/events", json=EVENT).status_code == 202
        own_valkey.kill()
        assert http.post("/events", json=EVENT).status_code == 503
        own_valkey.restart()
        until(http, "/readyz", 200)
        assert http.post("/events", json=EVENT).status_code == 202


def test_a_full_log_says_so(own_valkey: ValkeyServer) -> None:
    settings = settings_for(own_valkey, log_max_records=1000, log_partitions=1)
    events = [{**EVENT, "user_id": str(n)} for n in range(1000)]
    with serving(create_ingest_app(settings)) as url, httpx.Client(base_url=url, timeout=60) as http:
        answers = [http.post("/events", json=events) for _ in range(3)]
        assert answers[-1].json()["code"] == "log_full"
        assert set(outcomes_of(answers[-1])) == {"rejected"}


class Process:
    """`python -m services.ingest` with an environment of its own."""

    def __init__(self, **environment: str) -> None:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("FRESHET_")}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "services.ingest"],
            env={**clean, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def wait_for(self, url: str) -> None:
        while self._process.poll() is None:
            try:
                if httpx.get(url).status_code == 200:
                    return
            except httpx.TransportError:
                continue
        raise AssertionError(self._process.communicate()[0])

    def end(self, number: signal.Signals | None = None) -> tuple[int, str]:
        if number is not None:
            self._process.send_signal(number)
        output, _ = self._process.communicate(timeout=60)
        return self._process.returncode, output


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_process_serves_on_port_and_stops_cleanly(
    valkey: ValkeyServer, namespace: str, number: signal.Signals
) -> None:
    (port,) = free_ports(1)
    process = Process(FRESHET_LOG_URL=valkey.url, FRESHET_NAMESPACE=namespace, PORT=str(port))
    process.wait_for(f"http://127.0.0.1:{port}/readyz")
    posted = httpx.post(
        f"http://127.0.0.1:{port}/events", content=json.dumps({**EVENT, "user_id": "private-name"})
    )
    assert posted.status_code == 202
    status, output = process.end(number)
    assert status == 0, output
    assert "private-name" not in output
    assert "Traceback" not in output


@pytest.mark.parametrize(
    ("environment", "says"),
    [
        ({"FRESHET_HOST": "0.0.0.0"}, "set FRESHET_KEYS"),
        ({"FRESHET_LOG_ULR": "x"}, "did you mean FRESHET_LOG_URL"),
        ({"FRESHET_EVENT_TYPES": "wish"}, "FRESHET_EVENT_TYPES"),
        ({"FRESHET_LOG_URL": "mqtt://x"}, "FRESHET_LOG_URL"),
        ({"FRESHET_PORT": "http"}, "FRESHET_PORT"),
    ],
)
def test_a_wrong_setting_is_one_line_that_says_what_to_change(environment: dict[str, str], says: str) -> None:
    status, output = Process(**environment).end()
    assert status == 2
    assert says in output
    assert "Traceback" not in output
    assert len(output.splitlines()) == 1
