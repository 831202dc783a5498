"""Follows the live release and keeps the store's vector space in step with it.

The space in which profilers write banks is one record in the store, with an epoch. A profiler whose live
release stands in another space than the record takes the next epoch; nobody writes an older one.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass

from services.kernel.bank import NO_SPACE, Space
from services.kernel.event_type import EventTypes
from services.kernel.metrics import RELEASE_INFO, RELEASE_LOADS, InUse, Metrics
from services.kernel.release import NoReleaseError, ReleaseError
from services.profiler.item_lookup import ItemLookup
from services.release.files import ITEM_ROLES, Release, open_release
from services.release.source import ReleaseSource
from services.store.catalogue import CatalogueReader
from services.store.errors import StoreError
from services.store.meta import MetaStore, SpaceRecord

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Live:
    """What banks are written with: a release (None: there is none yet), its space, weights and vectors."""

    release: Release | None
    space: Space
    types: EventTypes
    items: ItemLookup


class ReleaseFollower:
    """`live` is what a batch uses from its first to its last record; it is replaced, never changed."""

    def __init__(
        self,
        source: ReleaseSource,
        meta: MetaStore,
        catalogue: CatalogueReader,
        *,
        event_types: str,
        poll_ms: int,
        metrics: Metrics,
        taken: Callable[[], None] = lambda: None,
    ) -> None:
        self._taken = taken
        self._source = source
        self._meta = meta
        self._catalogue = catalogue
        self._event_types = event_types
        self._poll_s = poll_ms / 1000
        self._loads = metrics.counter(RELEASE_LOADS)
        self._info = InUse(metrics.gauge(RELEASE_INFO), "profiler")
        self._looking = asyncio.Lock()
        self.live = Live(None, NO_SPACE, EventTypes(event_types), ItemLookup(catalogue, None))
        self.trouble = ""

    async def look(self) -> Live:
        """Take the live release and agree with the store about its space. Raises StoreError.

        1. Load the live release where it is another than ours; a broken one leaves the old one in use.
        2. Where the store's space is another than the release's, write the next epoch; who comes second
           reads what the first one wrote.
        """
        async with self._looking:
            # 1.
            release = await self._load()
            if release is None:
                return self.live
            # 2.
            record = await self._agree(release)
            space = release.space.at(record.space_epoch)
            if release is not self.live.release or space != self.live.space:
                types = EventTypes(self._event_types, release.event_weights)
                self.live = Live(release, space, types, ItemLookup(self._catalogue, release))
                self._info.name(release.name)
                self._taken()
                _log.info("banks are written by release %s, space epoch %d", release.name, space.epoch)
            return self.live

    async def run(self) -> None:
        """Look again every poll interval, until cancelled."""
        told = ""
        while True:
            try:
                await self.look()
                told = ""
            except StoreError as error:
                if str(error) != told:  # once, not at every look
                    _log.warning("cannot agree on the vector space: %s", error)
                told = str(error)
            except Exception:
                _log.exception("following the release failed and is tried again")
            await asyncio.sleep(self._poll_s)

    async def _load(self) -> Release | None:
        held = self.live.release
        try:
            name = await asyncio.to_thread(self._source.live_name)
            if held is not None and held.name == name:
                self.trouble = ""
                return held
            release = await asyncio.to_thread(_open, self._source)
        except NoReleaseError:
            self.trouble = ""
            return held
        except Exception as error:  # whatever a remote place throws: the old release stays in use
            expected = isinstance(error, ReleaseError | OSError)
            if str(error) != self.trouble:
                _log.error("release refused: %s", error, exc_info=None if expected else error)
                self._loads.labels("profiler", "refused").inc()
            self.trouble = str(error)
            return held
        self.trouble = ""
        self._loads.labels("profiler", "loaded").inc()
        return release

    async def _agree(self, release: Release) -> SpaceRecord:
        while True:
            read = await self._meta.read_space()
            if read is not None and read.space_id == release.space.space_id:
                return read
            record = SpaceRecord(
                release.space.name,
                release.space.space_id,
                read.space_epoch + 1 if read is not None else 1,
                release.space.d,
                tuple(release.space.gammas),
                release.name,
            )
            if await self._meta.write_space(record, read=read):
                return record


def _open(source: ReleaseSource) -> Release:
    """Open the live release and warm what the first record would wait for."""
    release = open_release(source.live(), verify=ITEM_ROLES)
    release.has(0)
    return release
