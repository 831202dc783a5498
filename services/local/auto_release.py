"""A day-0 release that comes by itself: when a catalogue first appears, and when it has grown a lot.

A release that somebody trained or published is never replaced: only day-0 ones give way to newer day-0 ones.
The build runs in a process of its own, so that requests do not wait for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from services.kernel.release import LIVE_FILE, NoReleaseError, ReleaseError
from services.kernel.settings import ReleaseSettings
from services.release.files import read_manifest
from services.release.repository import promote
from services.release.source import ReleaseSource
from services.store.catalogue import CatalogueReader
from services.store.connection import Connection
from services.store.errors import StoreError
from services.store.meta import MetaStore

DAY0_KIND = "day0"
_LOOK_INTERVAL_S = 2.0
# A catalogue is usually loaded in one go: wait until it stands still, but not for ever.
_GROWING_MAX_S = 20.0
# New items get vectors from the live release's own encoder, so a rebuild pays only for new vocabulary.
_GROWTH = 1.5
_GROWTH_ITEMS = 50
_RETRY_S = 60.0  # after a failed build: what failed is rather the disk or memory than chance

log = logging.getLogger(__name__)


class AutoRelease:
    """Looks at the catalogue now and then. `run` never ends by itself."""

    def __init__(self, connection: Connection, settings: ReleaseSettings, say: Callable[[str], None]) -> None:
        self._meta = MetaStore(connection)
        self._catalogue = CatalogueReader(connection)
        self._release_url = settings.release_url
        self._cache_dir = settings.cache_dir
        self._say = say
        self._last_count = 0
        self._growing_since_s: float | None = None

    async def run(self) -> None:
        """Build whenever one is due."""
        while True:
            await asyncio.sleep(_LOOK_INTERVAL_S)
            try:
                if await self._is_due():
                    await self.build()
            except (StoreError, ReleaseError, OSError) as error:
                log.warning("no day-0 release was built: %s", error)
                await asyncio.sleep(_RETRY_S)

    async def _is_due(self) -> bool:
        """1. Is the live release missing, or a day-0 one that the catalogue has outgrown?
        2. Does the catalogue stand still, or has it grown for too long to wait?"""
        count = await self.count()
        before, self._last_count = self._last_count, count
        covered = await asyncio.to_thread(self._covered_items)  # 1
        if covered is None or count < max(1, covered * _GROWTH, covered + _GROWTH_ITEMS if covered else 1):
            self._growing_since_s = None
            return False
        now_s = time.monotonic()  # 2
        if self._growing_since_s is None:
            self._growing_since_s = now_s
        return count == before or now_s - self._growing_since_s > _GROWING_MAX_S

    async def count(self) -> int:
        """Items in the catalogue. Raises StoreError."""
        meta = await self._meta.read()
        return 0 if meta is None else await self._catalogue.count(meta.epoch)

    def _covered_items(self) -> int | None:
        """Items of the live day-0 release; 0 without any release; None where it is not ours to replace."""
        try:
            directory = ReleaseSource(self._release_url, self._cache_dir).live()
        except NoReleaseError:
            return 0
        manifest = read_manifest(directory)
        pinned = not (directory.parent / LIVE_FILE).exists() and "://" not in self._release_url
        return None if pinned or manifest.kind != DAY0_KIND else manifest.items

    async def build(self) -> None:
        """Build from the store's catalogue, publish, promote. Raises StoreError, ReleaseError."""
        meta = await self._meta.read()
        if meta is None:
            return
        self._growing_since_s = None
        with tempfile.TemporaryDirectory(prefix="freshet-day0-") as scratch:
            items = Path(scratch) / "items.ndjson"
            with items.open("wb") as file:
                async for page in self._catalogue.scan(meta.epoch):
                    file.writelines(value + b"\n" for _, value in page)
            name = await _published(items, self._release_url)
        await asyncio.to_thread(self._promote, name)

    def _promote(self, name: str) -> None:
        if self._covered_items() is not None:  # somebody may have promoted their own meanwhile
            promote(self._release_url, name, time.time_ns() // 1_000_000)
            self._say(f"a day-0 release is live, built from the catalogue as it is now: {name}")


async def _published(items: Path, release_url: str) -> str:
    """Build and publish in another process; answers the name. Raises ReleaseError."""
    arguments = (
        "release",
        "init",
        "--items",
        str(items),
        "--no-promote",
        "--json",
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "services.cli",
        *arguments,
        # Not as an argument: every user of the machine reads those, and it may hold a password.
        env={**os.environ, "FRESHET_RELEASE_URL": release_url},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        answer, complaint = await process.communicate()
    except BaseException:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        raise
    if process.returncode:
        raise ReleaseError(
            complaint.decode(errors="replace").strip()[-500:] or f"status {process.returncode}"
        )
    return str(msgspec.json.decode(answer)["release"])
