"""Follows the deployment's scenario file: a good version is swapped in, a bad one leaves the old."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import time
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Final, NamedTuple

from services.kernel.settings import SettingsError
from services.ranking.catalogue import Catalogue
from services.ranking.scenario import Scenario
from services.ranking.scenario_file import MAX_FILE_BYTES, Scenarios, built_in_scenarios, read_file
from services.ranking.scenario_problems import MAX_PROBLEMS, Problem, ScenarioError
from services.ranking.scenario_warnings import columns_to_make

log = logging.getLogger(__name__)

POLL_S: Final = 1.0  # one stat a second
# An editor empties a file before it writes it. What changed is read again after this, and taken when it is
# the same then.
SETTLE_S: Final = 0.1
# A file system may keep times by the second: a file this young may change without its time doing so.
YOUNG_S: Final = 3.0
_ANY_VERSION: Final = "built-in"  # where there is no file
_VERSION_DIGITS: Final = 12


class _Seen(NamedTuple):
    """What tells a changed file from an unchanged one, following links: a ConfigMap swaps its own."""

    mtime_ns: int
    size_bytes: int
    inode: int
    device: int


async def _nothing_to_prepare(_scenarios: Scenarios) -> None:
    pass


class ScenariosFollower:
    """`current` is what answers are made by. `path` empty: those that come with Freshet, for ever.

    Reads the file when it is made, and raises SettingsError for one that is missing or wrong: at a start
    there is no older version that could serve. Later mistakes are logged once, counted and kept in `trouble`,
    and the old version serves on.

    `prepare` is awaited before a swap. `counted` is called with "loaded", "refused" or "missing", `swapped`
    with the version that is served from then on, `judged` with whether that is the file as it is.
    """

    def __init__(
        self,
        path: str,
        *,
        poll_s: float = POLL_S,
        settle_s: float = SETTLE_S,
        prepare: Callable[[Scenarios], Awaitable[None]] = _nothing_to_prepare,
        counted: Callable[[str], None] = lambda _: None,
        swapped: Callable[[str], None] = lambda _: None,
        judged: Callable[[bool], None] = lambda _: None,
    ) -> None:
        self.path = path
        self._file = Path(path)
        self._poll_s = poll_s
        self._settle_s = settle_s
        self._prepare = prepare
        self._counted = counted
        self._swapped = swapped
        self._judged = judged
        self._seen: _Seen | None = None
        self._looked_at: bytes | None = None  # the content that was last judged, good or bad
        self.current: Scenarios = built_in_scenarios()
        self.version = _ANY_VERSION
        self.loaded_at_ms: int | None = None
        self.problems: tuple[Problem, ...] = ()
        self.trouble: str | None = None
        if path:
            self._start()
        else:
            swapped(self.version)
            judged(True)

    def _start(self) -> None:
        try:
            self._seen = _seen_of(self._file)
            content = _content(self._file)
            self._take(content, read_file(content))
        except (OSError, ScenarioError) as error:
            raise SettingsError(f"FRESHET_SCENARIOS={self.path}: {_reason(error)}") from None

    async def look(self) -> bool:
        """Look once at the file and take a new version. True: swapped. Never raises for the file.

        1. Nothing to do for a file that looks as it did, unless it is so young that looks may deceive.
        2. Read it, and again a moment later: what is still being written waits for the next look.
        3. Read the scenarios in it, in a thread, prepare what they need, and swap.
        """
        content = None
        try:
            # 1.
            seen = await asyncio.to_thread(_seen_of, self._file)
            if seen == self._seen and time.time_ns() - seen.mtime_ns > YOUNG_S * 1e9:
                return False
            # 2.
            content = await asyncio.to_thread(_content, self._file)
            if content == self._looked_at:
                self._seen = seen
                return False
            await asyncio.sleep(self._settle_s)
            if await asyncio.to_thread(_content, self._file) != content:
                return False
            # 3.
            self._seen = seen
            made = await asyncio.to_thread(read_file, content)
            await self._prepare(made)
        except Exception as error:  # a mistake of ours, too, leaves the old one serving
            self._refuse(content, error)
            return False
        self._take(content, made)
        log.info("scenarios of %s are in use, version %s", self.path, self.version)
        return True

    def _take(self, content: bytes, made: Scenarios) -> None:
        self._looked_at = content
        self.current = made
        self.version = hashlib.sha256(content).hexdigest()[:_VERSION_DIGITS]
        self.loaded_at_ms = time.time_ns() // 1_000_000
        self.problems, self.trouble = (), None
        self._counted("loaded")
        self._swapped(self.version)
        self._judged(True)
        for warning in made.warnings:
            log.warning("%s: %s", self.path, warning)

    def _refuse(self, content: bytes | None, error: Exception) -> None:
        """Note a file that cannot be used; said once, however often it is looked at."""
        self._looked_at = content
        is_missing = isinstance(error, OSError)
        if is_missing:
            self._seen, self._looked_at = None, None  # to be read when it is there again
        trouble = f"{self.path}: {_reason(error)}\nversion {self.version} serves on"
        if trouble == self.trouble:
            return
        self.trouble = trouble
        self.problems = error.problems if isinstance(error, ScenarioError) else (Problem("", _reason(error)),)
        self._counted("missing" if is_missing else "refused")
        self._judged(False)
        expected = isinstance(error, OSError | ScenarioError)
        log.error("scenarios are not taken: %s", trouble, exc_info=None if expected else error)

    async def run(self) -> None:
        """Look again every poll interval, for ever; without a file there is nothing to look at."""
        while self.path:
            await asyncio.sleep(self._poll_s)
            await self.look()


async def have_columns(catalogue: Catalogue, scenarios: Iterable[Scenario]) -> None:
    """Make the columns that only these scenarios need, beside the answers."""
    fields = columns_to_make(scenarios, catalogue)
    if fields:
        catalogue.columns.adopt(await asyncio.to_thread(catalogue.columns.build, fields))


def _seen_of(file: Path) -> _Seen:
    found = os.stat(file)
    return _Seen(found.st_mtime_ns, found.st_size, found.st_ino, found.st_dev)


def _content(file: Path) -> bytes:
    with file.open("rb") as opened:
        return opened.read(MAX_FILE_BYTES + 1)  # one more tells that it is too large


def _reason(error: Exception) -> str:
    if isinstance(error, ScenarioError):
        found = len(error.problems)
        more = " or more" if found >= MAX_PROBLEMS else ""
        lines = "\n".join(f"  {one}" for one in error.problems)
        return f"{found} mistake{'s' if found > 1 else ''}{more}\n{lines}"
    if isinstance(error, FileNotFoundError):
        return "there is no such file"
    if isinstance(error, OSError):
        return f"cannot be read: {error.strerror or error}"
    return str(error) or type(error).__name__
