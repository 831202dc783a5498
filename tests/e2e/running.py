"""A running Freshet for tests: `freshet run` in a process of its own, spoken to over HTTP."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tests.processes import ServerProcess, free_ports

# Long waits only bound a hang; a test that passes never comes near them.
WAIT_S = 60.0
_POLL_S = 0.02


class FreshetProcess(ServerProcess):
    """`freshet run`: data directory and port stay the same over `restart`.

    `start` waits until /readyz answers 200. `kill` is SIGKILL, `stop` SIGTERM.
    """

    def __init__(self, directory: Path, arguments: Sequence[str], environment: dict[str, str]) -> None:
        self.port = free_ports(1)[0]
        self.data_dir = directory / "data"
        self.run_arguments = list(arguments)
        self.variables = {
            **clean_environment(),
            "FRESHET_PORT": str(self.port),
            "FRESHET_DATA_DIR": str(self.data_dir),
            # A busy machine is no failure: what a deadline does has tests of its own.
            "FRESHET_DEADLINE_MS": "10000",
            "COLUMNS": "200",
            **environment,
        }
        super().__init__(self._command, self._is_up, directory, self.variables)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def _command(self) -> list[str]:
        return [*freshet(), "run", *self.run_arguments]

    def _is_up(self) -> bool:
        try:
            return self.call("GET", "/readyz")[0] == 200
        except OSError:
            return False

    def call(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[int, Any]:
        """One request: status and decoded JSON (or text)."""
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, headers or {}, method=method)
        if data is not None and not request.has_header("Content-type"):
            request.add_header("Content-Type", "application/json")
        try:
            with urllib.request.urlopen(request, timeout=WAIT_S) as answer:
                return answer.status, _decoded(answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return error.code, _decoded(error.read())

    def get(self, path: str) -> Any:
        """The body of a GET that must succeed."""
        status, body = self.call("GET", path)
        assert status == 200, (path, status, body)
        return body

    def post_event(self, **event: Any) -> str:
        """Post one event; its position."""
        status, body = self.call("POST", "/events", event)
        assert status == 202, body
        return str(body["positions"][0])

    def recommended(self, user_id: str, query: str = "") -> list[str]:
        """The item ids of an answer."""
        return [item["item_id"] for item in self.get(f"/recommend/{user_id}?{query}")["items"]]

    def command(self, *arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run another `freshet` command in the same environment."""
        return subprocess.run(
            [*freshet(), *arguments],
            env=self.variables,
            cwd=self.directory,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=10 * WAIT_S,
            check=False,
        )


def freshet() -> list[str]:
    """The command, as the console script would run it."""
    return [sys.executable, "-m", "services.cli"]


def clean_environment() -> dict[str, str]:
    """This environment without settings of Freshet, with this checkout importable from anywhere."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("FRESHET_")}
    for name in (
        "PORT",
        "PYTHONDONTWRITEBYTECODE",  # compiling everything anew takes some seconds a start
        *("MAKEFLAGS", "MFLAGS", "MAKELEVEL"),  # of the make that runs the tests: one below it talks more
    ):
        kept.pop(name, None)
    return {**kept, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}


def eventually(look: Callable[[], Any], holds: Callable[[Any], bool]) -> Any:
    """What `look` answers once `holds` does; fails with the last answer."""
    give_up_s = time.monotonic() + WAIT_S
    while True:
        found = look()
        if holds(found):
            return found
        assert time.monotonic() < give_up_s, f"still {found!r}"
        time.sleep(_POLL_S)


def becomes(look: Callable[[], Any], expected: Any) -> None:
    """Wait until `look` answers `expected`; fails with the last answer."""
    eventually(look, lambda found: found == expected)


def _decoded(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return body.decode(errors="replace")
