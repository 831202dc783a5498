"""What the operator hears when Kafka does not let Freshet in, and that it goes in when that is mended."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import FreshetMaker
from tests.e2e.running import FreshetProcess, becomes, clean_environment, eventually
from tests.kafka.secured import STRANGER, STRANGER_PASSWORD, SecuredBroker
from tests.processes import scratch_directory
from tests.servers import ValkeyServer


class Ingest(FreshetProcess):
    """Ingest alone in its process; up when it answers, ready or not."""

    def _command(self) -> list[str]:
        return [sys.executable, "-m", "services.ingest"]

    def _is_up(self) -> bool:
        try:
            return self.call("GET", "/health")[0] == 200
        except OSError:
            return False


@pytest.fixture
def variables(locked_kafka: SecuredBroker, valkey: ValkeyServer, namespace: str) -> dict[str, str]:
    """All that a deployment says."""
    return {
        **locked_kafka.environment(),
        "FRESHET_LOG_URL": locked_kafka.sasl_ssl_url,
        "FRESHET_STORE_URL": valkey.url,
        "FRESHET_NAMESPACE": namespace,
    }


@pytest.fixture
def directory() -> Iterator[Path]:
    with scratch_directory("refused") as scratch:
        yield Path(scratch)


def findings(process: FreshetProcess, part: str) -> list[dict[str, Any]]:
    """What doctor says of a part."""
    told = json.loads(process.command("doctor", "--json").stdout)
    return [finding for finding in told["findings"] if finding["part"] == part]


def test_a_wrong_password(directory: Path, variables: dict[str, str]) -> None:
    with Ingest(directory, (), variables | {"FRESHET_KAFKA_PASSWORD": "wrong"}) as ingest:
        ingest.start()
        _, body = eventually(lambda: ingest.call("GET", "/readyz"), lambda a: "refused" in str(a[1]))
        assert "FRESHET_KAFKA_PASSWORD" in body["detail"]
        status, body = ingest.call("POST", "/events", {"user_id": "u", "event_type": "view", "item_id": "i"})
        assert status == 503
        assert "FRESHET_KAFKA_PASSWORD" in json.dumps(body)
        assert "no event log: event log at localhost" in ingest.log_tail()  # told at start, too
        found = findings(ingest, "log")
        assert [finding["level"] for finding in found] == ["fail"]
        assert "FRESHET_KAFKA_PASSWORD" in found[0]["text"]


def test_a_contradiction_ends_the_start_with_one_line(directory: Path, variables: dict[str, str]) -> None:
    del variables["FRESHET_KAFKA_SASL_MECHANISM"]
    for service in ("ingest", "profiler"):
        done = subprocess.run(
            [sys.executable, "-m", f"services.{service}"],
            env=clean_environment() | variables,
            cwd=directory,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 2
        assert done.stderr.count("\n") == 1
        assert "needs FRESHET_KAFKA_SASL_MECHANISM" in done.stderr


def test_everything_over_tls_and_sasl(freshet_process: FreshetMaker, variables: dict[str, str]) -> None:
    process = freshet_process("--empty", **variables)
    process.start()
    process.call("POST", "/items", [{"item_id": "a", "title": "A"}])
    becomes(lambda: process.get("/items?limit=1")["total"], 1)  # the topics have no order among each other
    position = process.post_event(user_id="u1", event_type="view", item_id="a")
    assert process.recommended("u1", f"scenario=recently_viewed&after={position}") == ["a"]
    settings = findings(process, "settings")
    assert "over SASL_SSL as freshet by SCRAM-SHA-512" in settings[0]["text"]
    assert "fail" not in {finding["level"] for finding in findings(process, "log")}
    stranger = freshet_process(
        **variables | {"FRESHET_KAFKA_USERNAME": STRANGER, "FRESHET_KAFKA_PASSWORD": STRANGER_PASSWORD}
    )
    assert "'stranger' lacks rights" in findings(stranger, "log")[0]["text"]
