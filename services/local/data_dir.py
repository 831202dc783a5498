"""The data directory of `freshet run`: one process at a time, everything it keeps in one place."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import Self

from services.local.failure import LocalError


class DataDir:
    """An exclusive hold on a data directory; made when absent. The kernel lets go when the process dies."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self._lock: int | None = None

    @property
    def valkey(self) -> Path:
        """The embedded store's own directory."""
        return self.path / "valkey"

    @property
    def releases(self) -> Path:
        """Where releases live unless FRESHET_RELEASE_URL says otherwise."""
        return self.path / "releases"

    @property
    def demo_mark(self) -> Path:
        """How far the demo shop is loaded."""
        return self.path / "demo.json"

    def __enter__(self) -> Self:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise LocalError(
                f"{self.path} cannot be used ({error.strerror}); set FRESHET_DATA_DIR to a writable directory"
            ) from None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.read(lock, 32).decode(errors="replace").strip() or "unknown"
            os.close(lock)
            raise LocalError(
                f"{self.path} is in use by process {holder}; stop it (kill {holder}), "
                "or set FRESHET_DATA_DIR to run a second Freshet beside it"
            ) from None
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
        self._lock = lock
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
