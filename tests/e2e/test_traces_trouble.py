"""Traces when there is no collector, or one that hangs, or no packages; and Knative's way to carry them."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from services.kernel.event import Event
from services.kernel.tracing import carrier_of
from services.log.protocol import Record, Topic
from services.log.traced import headers_of
from tests.e2e.conftest import FreshetMaker
from tests.e2e.kafka_source import posted
from tests.e2e.profiler_world import NOW_MS, World, draft_of, make_release
from tests.e2e.pushing import pushed_to, records_of, wait_ready
from tests.e2e.running import FreshetProcess, clean_environment, eventually
from tests.otlp import collector
from tests.processes import free_ports
from tests.servers import KafkaBroker, ValkeyServer

# The last one is loaded when the exporter is made.
MISSING = (
    ("ingest", "opentelemetry.sdk"),
    ("profiler", "opentelemetry.exporter"),
    ("recommender", "requests"),
)


def lively(process: FreshetProcess, events: int) -> None:
    """It takes events and answers with them, as if nobody ever heard of traces."""
    for number in range(events):
        position = process.post_event(user_id="u", event_type="view", item_id=f"p{number}")
    assert process.recommended("u", f"scenario=recently_viewed&after={position}")[0] == f"p{events - 1}"


def warnings_in(log: str) -> list[str]:
    return [line for line in log.splitlines() if "could not be sent" in line]


def test_a_collector_that_is_away_costs_one_line(freshet_process: FreshetMaker) -> None:
    nobody = f"http://127.0.0.1:{free_ports(1)[0]}"
    process = freshet_process(
        "--empty",
        FRESHET_TRACES="otlp",
        OTEL_EXPORTER_OTLP_ENDPOINT=nobody,
        OTEL_BSP_SCHEDULE_DELAY="20",
        OTEL_EXPORTER_OTLP_TIMEOUT="0.1",  # s: so that it gives up many times
    )
    process.start()
    lively(process, 5)
    eventually(lambda: warnings_in(process.log_tail()), lambda found: found)
    lively(process, 20)
    process.stop()
    log = process.log_tail()
    assert len(warnings_in(log)) == 1, log
    assert "OTEL_EXPORTER_OTLP_ENDPOINT" in log
    assert "Traceback" not in log


def test_a_collector_that_hangs_holds_up_neither_answers_nor_the_end(freshet_process: FreshetMaker) -> None:
    """Its spans do not fit the queue either."""
    with collector() as receiver:
        receiver.hangs.set()
        process = freshet_process(
            "--empty",
            **receiver.environment,
            OTEL_EXPORTER_OTLP_TIMEOUT="600",  # s: longer than any test waits
            OTEL_BSP_MAX_QUEUE_SIZE="8",
            OTEL_BSP_MAX_EXPORT_BATCH_SIZE="8",
        )
        process.start()
        lively(process, 1)
        assert receiver.asked.wait(60.0)
        lively(process, 20)
        os.kill(process.pid, signal.SIGTERM)
        eventually(lambda: process.running, lambda is_running: not is_running)
        assert receiver.spans() == []


@pytest.mark.parametrize(("service", "missing"), MISSING)
def test_without_the_packages_the_start_says_which_command_installs_them(service: str, missing: str) -> None:
    code = (
        f"import sys; sys.modules[{missing!r}] = None; sys.argv = ['services.{service}']\n"
        f"from services.{service}.__main__ import main; sys.exit(main())"
    )
    done = run(code, FRESHET_TRACES="otlp")
    assert done.returncode == 2, done.stderr
    assert "pip install -e '.[otel]'" in done.stderr
    assert missing in done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr


@pytest.mark.parametrize(
    ("environment", "told"),
    [
        ({"FRESHET_TRACES": "jaeger"}, "FRESHET_TRACES: must be 'off' or 'otlp', not 'jaeger'"),
        (
            {"FRESHET_TRACES": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
            "OTEL_EXPORTER_OTLP_PROTOCOL=grpc",
        ),
        ({"FRESHET_TRACES": "otlp", "OTEL_BSP_MAX_QUEUE_SIZE": "0"}, "OTEL_"),
    ],
)
def test_settings_that_cannot_be_followed_are_told(environment: dict[str, str], told: str) -> None:
    done = run("from services.ingest.__main__ import main; main()", **environment)
    assert done.returncode == 2, done.stderr
    assert told in done.stderr


def run(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**clean_environment(), "FRESHET_LOG_URL": "valkey://127.0.0.1:1/0", **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_record_that_a_kafka_source_posts_brings_its_trace(
    kafka: KafkaBroker,
    valkey: ValkeyServer,
    namespace: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of a record's headers it keeps those of CloudEvents; the HTTP request has a trace of Knative's own."""
    trace, span = secrets.token_hex(16), secrets.token_hex(8)
    world = World(kafka.url, valkey.url, namespace, make_release(tmp_path / "releases"))
    event = Event(
        event_id="e", event_type="view", item_id="p1", user_id="u", timestamp=NOW_MS, received_at=NOW_MS
    )
    draft = draft_of(event)
    carried = headers_of(carrier_of(f"00-{trace}-{span}-01", "vendor=1"))
    asyncio.run(world.publish([draft._replace(headers=(*draft.headers, *carried))]))
    record = next(iter(asyncio.run(records_of(world, Topic.EVENTS, 1)).values()))[0]
    with collector() as receiver:
        for name, value in receiver.environment.items():
            if name.startswith("OTEL_"):
                monkeypatch.setenv(name, value)
        with pushed_to(world, traces="otlp") as http:
            wait_ready(http)
            hop = secrets.token_hex(16)
            assert push(http, record, traceparent=f"00-{hop}-{span}-01") == 204
            assert push(http, record) == 204  # again, and of no trace of Knative's: nothing begins here
            spans = eventually(
                lambda: [one for one in receiver.spans(trace) if one.name.startswith("process ")],
                lambda found: len(found) == 2,
            )
    assert [(one.parent, one.attributes["freshet.outcome"]) for one in spans] == [
        (span, "applied"),
        (span, "old"),
    ]
    servers = [one for one in receiver.spans() if one.kind == "SERVER"]
    assert [(one.name, one.trace) for one in servers] == [("POST /", hop)]


def push(http: Any, record: Record, **headers: str) -> int:
    request = posted(record)
    return int(
        http.post("/", headers={**request["headers"], **headers}, content=request["content"]).status_code
    )
