"""The terminals of somebody who follows the tutorial: bash, in a clone that is a scratch folder."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from queue import Empty, Queue
from typing import Final

from tests.e2e.running import WAIT_S

ROOT: Final = Path(__file__).resolve().parents[2]
_LINKED: Final = ("clients", "docs", "services")
_COPIED: Final = ("Makefile", "pyproject.toml")  # what make compares times of must not change meanwhile
_ENVIRONMENT: Final = ("lib", "lib64", "pyvenv.cfg")
_PROGRAMS: Final = ("python", "python3", "freshet", "activate")
_STAMPS: Final = (".run", ".trainer")
_COMMAND_WAIT_S: Final = 5 * WAIT_S  # training compiles its graphs; bounds a hang alone
# Reads a pipe whose other end is the test run; when that is gone, so is the terminal and all that runs there.
_GUARD: Final = 'while read -r _; do :; done; kill -9 -- "-$0" 2>/dev/null'


def make_clone(folder: Path) -> None:
    """What `git clone` and a first `make` would leave: this source tree, and this Python's environment under
    .venv with the stamps that make asks for. It must not install: that would be into our environment."""
    binaries = folder / ".venv" / "bin"
    binaries.mkdir(parents=True)
    for name in _LINKED:
        (folder / name).symlink_to(ROOT / name)
    for name in _COPIED:
        shutil.copy(ROOT / name, folder / name)
    prefix = Path(sys.prefix)
    for name in _ENVIRONMENT:
        if (prefix / name).exists():
            (folder / ".venv" / name).symlink_to(prefix / name)
    for name in _PROGRAMS:
        (binaries / name).symlink_to(prefix / "bin" / name)
    for name in _STAMPS:
        (folder / ".venv" / name).touch()


class Shell:
    """The terminal in which one command follows another: variables and the folder stay."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            ["bash", "--noprofile", "--norc"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=folder,
            env=dict(environment),
            start_new_session=True,
        )
        self._lines: Queue[str] = Queue()
        self._reader = threading.Thread(target=self._read, name="shell", daemon=True)
        self._reader.start()
        self._mark = f"--- {os.urandom(8).hex()}"

    def run(self, typed: str) -> tuple[str, int]:
        """What it prints on both streams, and its status."""
        assert self._process.stdin is not None
        # In a group, so that no command reads what is typed next.
        self._process.stdin.write(f"{{\n{typed}\n}} </dev/null\nprintf '\\n{self._mark} %s\\n' $?\n")
        self._process.stdin.flush()
        printed = ""
        give_up_s = time.monotonic() + _COMMAND_WAIT_S
        while True:
            try:
                line = self._lines.get(timeout=max(0.0, give_up_s - time.monotonic()))
            except Empty:
                raise AssertionError(f"still running, and has printed:\n{printed}\n{typed}") from None
            if line.startswith(self._mark):
                return printed.removesuffix("\n"), int(line.split()[-1])
            printed += line

    def close(self) -> None:
        """End it."""
        assert self._process.stdin is not None
        self._process.stdin.close()  # bash ends with its input
        self._process.wait(WAIT_S)
        self._reader.join()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put(f"{self._mark} 255")  # it ended by itself: nobody waits for more


class Terminal:
    """A terminal in which something runs until Ctrl-C, in a bash of its own each time."""

    def __init__(self, folder: Path, environment: Mapping[str, str], name: str) -> None:
        self._folder = folder
        self._environment = dict(environment)
        self._output = folder.parent / f"{name}.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None

    def type(self, typed: str) -> None:
        """End what runs there, and start this."""
        self.interrupt()
        with self._output.open("wb") as output:
            self._process = subprocess.Popen(
                ["bash", "--noprofile", "--norc", "-c", typed],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=self._folder,
                env=self._environment,
                start_new_session=True,
            )
        self._guard = subprocess.Popen(["sh", "-c", _GUARD, str(self._process.pid)], stdin=subprocess.PIPE)

    def printed(self) -> str:
        """All since the last command was typed."""
        return self._output.read_text(errors="replace") if self._output.exists() else ""

    def interrupt(self) -> None:
        """Ctrl-C: SIGINT to all that runs there; SIGKILL where that ends nothing."""
        process, guard = self._process, self._guard
        self._process = self._guard = None
        if process is None or guard is None:
            return
        guard.kill()
        guard.wait()
        assert guard.stdin is not None
        guard.stdin.close()
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGINT)
        try:
            process.wait(WAIT_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
