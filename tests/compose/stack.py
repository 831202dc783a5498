"""One `docker compose` project of its own: name, ports, no .env; spoken to over HTTP through the gateway."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.processes import free_ports

ROOT = Path(__file__).resolve().parents[2]
PROJECT = "freshet-test"
# Long waits only bound a hang; Kafka needs some 25 s to come back.
WAIT_S = 180.0
_POLL_S = 0.1
_LOG_LINES = 40


class StepError(AssertionError):
    """A step did not hold. `services`: whose logs tell more."""

    def __init__(self, text: str, *services: str) -> None:
        super().__init__(text)
        self.services = services


def check(holds: bool, text: str, *services: str) -> None:
    """Raise StepError unless it holds."""
    if not holds:
        raise StepError(text, *services)


def note(text: str) -> None:
    """A line for people, on standard error."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


@contextmanager
def step(name: str, timings: dict[str, float]) -> Iterator[None]:
    """Says what is done and how long it took."""
    began_s = time.monotonic()
    note(f"   ...   {name}")
    yield
    timings[name] = time.monotonic() - began_s
    note(f"{timings[name]:7.1f} s {name}")


class Stack:
    """The project. `keys` is what FRESHET_KEYS holds, comma-separated."""

    def __init__(self) -> None:
        names = ("GATEWAY_PORT", "KAFKA_PORT", "PROMETHEUS_PORT", "GRAFANA_PORT")
        self.ports = dict(zip(names, free_ports(len(names)), strict=True))
        self.keys = ""

    @property
    def url(self) -> str:
        """The gateway."""
        return f"http://localhost:{self.ports['GATEWAY_PORT']}"

    def compose(self, *arguments: str, timeout_s: float = 1800.0) -> str:
        """Run `docker compose`; answers its output. Raises StepError when it fails."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("FRESHET_")}
        ended = subprocess.run(
            ["docker", "compose", "--env-file", os.devnull, "-p", PROJECT, *arguments],
            cwd=ROOT,
            env={**kept, **{name: str(port) for name, port in self.ports.items()}, "FRESHET_KEYS": self.keys},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        if ended.returncode:
            raise StepError(f"docker compose {' '.join(arguments)}: {ended.stdout[-4000:]}")
        return ended.stdout

    def up(self, *arguments: str) -> None:
        """`up --wait`, as the README says it."""
        self.compose("up", "--wait", *arguments)

    def down(self) -> None:
        """Take it away, volumes too."""
        self.compose("--profile", "*", "down", "--volumes", "--remove-orphans", "--timeout", "30")

    def container(self, service: str) -> str:
        """Its id."""
        return self.compose("ps", "--all", "--quiet", service).strip().splitlines()[-1]

    def inspect(self, service: str) -> dict[str, Any]:
        """What the engine says about it."""
        told = docker("inspect", self.container(service))
        found: dict[str, Any] = json.loads(told)[0]
        return found

    def inside(self, service: str, *command: str) -> tuple[int, str]:
        """Run something in a running container: status and output."""
        ended = subprocess.run(
            ["docker", "exec", self.container(service), *command],
            capture_output=True,
            text=True,
            check=False,
        )
        return ended.returncode, ended.stdout + ended.stderr

    def kill(self, service: str) -> bool:
        """SIGKILL to its first process.

        True: past the engine, which starts it again by its restart policy (needs root on the engine's own
        machine). False: through the engine, which takes that for a wish and leaves it dead.
        """
        container = self.inspect(service)
        pid: int = container["State"]["Pid"]
        try:  # of an engine elsewhere the number may be another process of this machine
            if container["Id"] in Path(f"/proc/{pid}/cgroup").read_text():
                os.kill(pid, signal.SIGKILL)
                return True
        except OSError:
            pass
        docker("kill", container["Id"])
        return False

    def is_healthy(self, service: str) -> bool:
        """Whether its health check passes now."""
        state = self.inspect(service)["State"]
        return bool(state["Running"]) and state.get("Health", {}).get("Status") == "healthy"

    def call(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[int, Any]:
        """One request through the gateway: status (0: nobody answers) and decoded body."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, headers or {}, method=method)
        if self.keys:
            request.add_header("X-API-Key", self.keys.split(",")[0])
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, _decoded(answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return error.code, _decoded(error.read())
        except OSError as error:
            return 0, str(error)

    def get(self, path: str) -> Any:
        """The body of a GET that must succeed."""
        status, body = self.call("GET", path)
        check(status == 200, f"GET {path}: {status} {body}", "gateway", "recommender")
        return body

    def logs(self, *services: str) -> str:
        """The end of what they wrote."""
        return self.compose("logs", "--no-color", "--tail", str(_LOG_LINES), *services)

    def report(self, error: BaseException) -> None:
        """What somebody needs to see why it failed."""
        try:
            services = error.services if isinstance(error, StepError) else ()
            note(self.logs(*services))
            note(self.compose("ps", "--all", "--format", "{{.Service}}: {{.Status}}"))
        except (StepError, OSError) as unseen:
            note(f"(and no more is to be seen: {unseen})")
        note(f"FAILED: {error!r}")


def docker(*arguments: str) -> str:
    """Run `docker`. Raises StepError when it fails."""
    ended = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False)
    if ended.returncode:
        raise StepError(f"docker {' '.join(arguments)}: {ended.stderr.strip()}")
    return ended.stdout


def wait_until(what: str, holds: Any, *services: str) -> float:
    """Wait until `holds()`; answers how long it took, s. Raises StepError."""
    began_s = time.monotonic()
    while not holds():
        check(time.monotonic() - began_s < WAIT_S, f"{what}: not after {WAIT_S:.0f} s", *services)
        time.sleep(_POLL_S)
    return time.monotonic() - began_s


def _decoded(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return body.decode(errors="replace")
