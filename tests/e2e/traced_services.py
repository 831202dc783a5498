"""Ingest, profiler and recommender as processes of their own, for tests of what goes between them."""

from __future__ import annotations

import sys
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.running import clean_environment
from tests.processes import ServerProcess, free_ports, scratch_directory


@dataclass(frozen=True, slots=True)
class Urls:
    """Where to post, and where to ask."""

    ingest: str
    recommender: str


@contextmanager
def three_services(environment: Mapping[str, str]) -> Iterator[Urls]:
    """All three, ready."""
    ports = dict(zip(("ingest", "profiler", "recommender"), free_ports(3), strict=True))
    with ExitStack() as held:
        root = Path(held.enter_context(scratch_directory("services")))
        # The recommender's readiness waits for the identity that the profiler gives to a new store.
        for name, port in ports.items():
            variables = {
                **clean_environment(),
                "FRESHET_RELEASE_URL": str(root / "releases"),
                "FRESHET_DEADLINE_MS": "10000",
                "FRESHET_PORT": str(port),
                **environment,
            }
            process = held.enter_context(_service(name, port, root / name, variables))
            process.start()
        yield Urls(f"http://127.0.0.1:{ports['ingest']}", f"http://127.0.0.1:{ports['recommender']}")


def _is_ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5.0) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _service(name: str, port: int, directory: Path, variables: Mapping[str, str]) -> ServerProcess:
    command = [sys.executable, "-m", f"services.{name}"]
    return ServerProcess(lambda: command, lambda: _is_ready(port), directory, variables)
