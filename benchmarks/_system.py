"""Starts the real thing, `freshet run`, in a folder of its own, and stops it."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

START_TIMEOUT_S = 300


@dataclass
class System:
    """A running Freshet."""

    port: int
    process: subprocess.Popen[bytes]
    ready_s: float


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def running(data_dir: Path | None = None, *arguments: str, **environment: str) -> Iterator[System]:
    """`freshet run` with its demo data until the block ends. Raises RuntimeError with what it printed."""
    with tempfile.TemporaryDirectory(prefix="freshet-bench-") as scratch:
        port = free_port()
        folder = data_dir or Path(scratch) / "data"
        output = Path(scratch) / "output.txt"
        variables = {
            **{name: value for name, value in os.environ.items() if not name.startswith("FRESHET_")},
            "FRESHET_PORT": str(port),
            "FRESHET_DATA_DIR": str(folder),
            **environment,
        }
        began = time.monotonic()
        with output.open("wb") as sink:
            process = subprocess.Popen(
                [sys.executable, "-m", "services.cli", "run", *arguments],
                env=variables,
                stdout=sink,
                stderr=subprocess.STDOUT,
            )
        try:
            _wait_until_ready(port, process, output)
            yield System(port, process, time.monotonic() - began)
        finally:
            end(process)


def end(process: subprocess.Popen[bytes]) -> None:
    """Stop it, cleanly if it takes less than a minute."""
    process.terminate()
    try:
        process.wait(timeout=60)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _wait_until_ready(port: int, process: subprocess.Popen[bytes], output: Path) -> None:
    began = time.monotonic()
    while time.monotonic() - began < START_TIMEOUT_S:
        if process.poll() is not None:
            raise RuntimeError(f"freshet run ended with {process.returncode}:\n{output.read_text()[-4000:]}")
        with contextlib.suppress(urllib.error.URLError, OSError):
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=2) as answer:
                if answer.status == 200:
                    return
        time.sleep(0.05)
    raise RuntimeError(f"not ready after {START_TIMEOUT_S} s:\n{output.read_text()[-4000:]}")
