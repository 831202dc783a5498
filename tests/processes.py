"""Child processes that cannot outlive the test run, and ports for them."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

# Below Linux's and macOS's ranges of outgoing ports: nobody takes the port while its server is down.
_PORTS = range(20_000, 32_000)
# Generous: a slow machine under load only makes the tests slower.
_READY_TIMEOUT_S = 60.0
_STOP_TIMEOUT_S = 60.0
_POLL_S = 0.01
# Reads a pipe whose other end is the test run; when that is gone, by whatever means, so is the server.
_GUARD = 'while read -r _; do :; done; kill -9 "$0" 2>/dev/null'


class ServerError(Exception):
    """A server of the tests did not come up; the message carries the end of its log."""


def free_ports(count: int) -> list[int]:
    """`count` neighbouring TCP ports of the loopback address that nobody listens on."""
    chance = random.Random(os.urandom(8))
    while True:
        first = chance.randrange(_PORTS.start, _PORTS.stop - count)
        ports = list(range(first, first + count))
        if all(_is_free(port) for port in ports):
            return ports


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


class ServerProcess:
    """One server process: start, kill (SIGKILL), restart with the same arguments, stop (SIGTERM)."""

    def __init__(
        self,
        arguments: Callable[[], Sequence[str]],
        is_ready: Callable[[], bool],
        directory: Path,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._arguments = arguments
        self._is_ready = is_ready
        self._environment = dict(environment) if environment is not None else None
        self.directory = directory
        self._log_path = directory / "server.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process id. Raises ServerError when it is not running."""
        if self._process is None:
            raise ServerError("not running")
        return self._process.pid

    @property
    def running(self) -> bool:
        """Started and not dead yet."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start and wait until it answers. Raises ServerError."""
        self.directory.mkdir(parents=True, exist_ok=True)
        with self._log_path.open("ab") as log:
            self._process = subprocess.Popen(
                self._arguments(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.directory,
                env=self._environment,
                start_new_session=True,  # Ctrl-C is for the tests, which then stop their servers
            )
        self._guard = subprocess.Popen(
            ["sh", "-c", _GUARD, str(self._process.pid)], stdin=subprocess.PIPE, start_new_session=True
        )
        give_up = time.monotonic() + _READY_TIMEOUT_S
        while not self._is_ready():
            if not self.running or time.monotonic() > give_up:
                tail = self.log_tail()
                self.kill()
                raise ServerError(f"did not come up; the end of its log:\n{tail}")
            time.sleep(_POLL_S)

    def kill(self) -> None:
        """SIGKILL: what a crash or the kernel's out-of-memory killer does."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """SIGTERM, then SIGKILL where that takes too long. Nothing happens when it is not running."""
        self._end(signal.SIGTERM)

    def restart(self) -> None:
        """Kill it if it runs, and start again on the same directory and port."""
        self.kill()
        self.start()

    def pause(self) -> None:
        """SIGSTOP: alive, connected, silent."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        os.kill(self.pid, signal.SIGCONT)

    def log_tail(self) -> str:
        """The last lines that the server wrote."""
        if not self._log_path.exists():
            return ""
        return "\n".join(self._log_path.read_text(errors="replace").splitlines()[-20:])

    def _end(self, number: signal.Signals) -> None:
        process, guard = self._process, self._guard
        self._process = self._guard = None
        if guard is not None:  # first, or it would signal a process id that is somebody else's by now
            guard.kill()
            guard.wait()
            if guard.stdin is not None:
                guard.stdin.close()
        if process is None:
            return
        if process.poll() is None:
            process.send_signal(signal.SIGCONT)
            process.send_signal(number)
        try:
            process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


def scratch_directory(prefix: str) -> tempfile.TemporaryDirectory[str]:
    """A directory of its own, with a path short enough for a Unix socket in it."""
    return tempfile.TemporaryDirectory(prefix=f"freshet-{prefix}-", ignore_cleanup_errors=True)
