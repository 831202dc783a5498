"""The catalogue in memory: loaded whole in bounded steps, then kept up with the stream of changes."""

from __future__ import annotations

import asyncio
import logging
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable

from services.kernel.event import PoisonError
from services.kernel.item import decode_item
from services.ranking.aggregates import Aggregates
from services.ranking.catalogue import Catalogue
from services.ranking.model import OnnxModel
from services.recommender.first_items import FirstItems
from services.recommender.live_epoch import LiveEpoch
from services.release.files import Release
from services.store.catalogue import CatalogueReader, Cursor
from services.store.errors import StoreError

log = logging.getLogger(__name__)

# A change is in the answers after at most this and one round trip; well under the 250 ms promised.
POLL_S = 0.1
RETRY_S = 0.5  # while the store is away
SCAN_BATCH = 1000  # items a step of the first load; some ms of the loop each
CHANGES_BATCH = 500
# Rows of items that are gone are never used again. A shop that imports all its items under new ids each night
# would fill the memory with them, so that a catalogue with more of them than items is loaded anew.
ROWS_GONE_MAX = 10_000
# The request that woke the service is answered first; what loads the catalogue would take its core.
LOAD_AFTER_S = 0.1


class CatalogueFollower:
    """Follows the catalogue of the live epoch. `catalogue` is replaced as a whole when all is loaded anew.

    `release_of` answers the release in use, to which a new catalogue is bound; `fields_of` the fields that
    scenarios filter by, which get their columns while it is built.
    """

    def __init__(
        self,
        reader: CatalogueReader,
        live: LiveEpoch,
        release_of: Callable[[], Release | None],
        fields_of: Callable[[Catalogue], Iterable[str]] = lambda _: (),
    ) -> None:
        self._reader = reader
        self._live = live
        self._release_of = release_of
        self._fields_of = fields_of
        self._sorted_ids: list[str] = []
        self._cursor: Cursor | None = None
        self._store_id = ""
        self.epoch = 0
        self.catalogue = Catalogue()
        self.loaded = False
        self.whole = asyncio.Event()  # set with `loaded`
        self.first: FirstItems | None = None  # what fills `catalogue` until it is loaded

    @property
    def usable(self) -> bool:
        """Whether lists can be made: of the whole catalogue, or of what is fetched for each."""
        return self.loaded or len(self.catalogue) > 0

    async def begin(self, model: OnnxModel, aggregates: Aggregates) -> None:
        """Be usable before all is loaded. Raises StoreError."""
        meta = self._live.meta
        if self.loaded or meta is None:
            return
        first = FirstItems(self._reader, meta.epoch, Catalogue(model.release), model)
        await first.seed(aggregates)
        if len(first.catalogue):
            self.first, self.catalogue = first, first.catalogue

    async def load(self) -> None:
        """Load everything beside what is served, then swap. Raises StoreError.

        1. Take the cursor first, so that what changes during the scan is seen afterwards.
        2. Scan in steps. A store that came back empty meanwhile is no reason to forget the catalogue.
        3. Build the new catalogue off the event loop.
        4. Swap, bound to the release that is live by then.
        5. Catch up with what changed meanwhile.
        """
        await self._live.look()
        meta = await self._live.wait_for_meta()
        # 1.
        cursor = await self._reader.cursor(meta.epoch)
        # 2.
        raw_items: dict[str, bytes] = {}
        async for batch in self._reader.scan(meta.epoch, SCAN_BATCH):
            raw_items.update(batch)
        await self._live.look()
        if self._live.trouble is not None or self._live.meta != meta:
            await asyncio.sleep(RETRY_S)
            return
        # 3.
        release = self._release_of()
        fields = {*self.catalogue.columns.in_use(), *self._fields_of(self.catalogue)}
        catalogue, ids = await asyncio.to_thread(_build, release, raw_items, fields)
        # 4.
        if self._release_of() is not release:
            catalogue.bind(self._release_of())
        self.catalogue, self._sorted_ids, self.first = catalogue, ids, None
        self._cursor, self.epoch, self._store_id = cursor, meta.epoch, meta.store_id
        log.info("catalogue of epoch %d loaded: %d items", meta.epoch, len(ids))
        # 5.
        while await self.catch_up():
            pass
        self._caught_up()

    def _caught_up(self) -> None:
        if self._cursor is not None:
            self.loaded = True
            self.whole.set()

    async def catch_up(self) -> bool:
        """Apply the next changes. False: there are no more for now. Raises StoreError."""
        if self._cursor is None:
            return False
        changes = await self._reader.changes(self.epoch, self._cursor, CHANGES_BATCH)
        if changes.lost:
            log.warning("changes of the catalogue were trimmed or lost: loading it anew")
            self._cursor = None
            return False
        await self.reread(dict.fromkeys(changes.item_ids))
        self._cursor = changes.cursor
        return bool(changes.item_ids)

    async def reread(self, item_ids: Iterable[str]) -> None:
        """Take some items as they stand in the store now. Raises StoreError."""
        wanted = list(item_ids)
        if not wanted:
            return
        for item_id, raw in zip(wanted, await self._reader.items(self.epoch, wanted), strict=True):
            self._apply(item_id, raw)

    def _apply(self, item_id: str, raw: bytes | None) -> None:
        at = bisect_left(self._sorted_ids, item_id)
        known = at < len(self._sorted_ids) and self._sorted_ids[at] == item_id
        if raw is None:
            self.catalogue.delete(item_id)
            if known:
                del self._sorted_ids[at]
            return
        try:
            self.catalogue.upsert(decode_item(raw))
        except PoisonError as error:
            log.warning("an item in the store cannot be read, the one before stays: %s", error)
            return
        if not known:
            self._sorted_ids.insert(at, item_id)

    def page(self, after: str | None, limit: int) -> list[str]:
        """Up to `limit` ids in the order of their text, those behind `after`."""
        at = 0 if after is None else bisect_right(self._sorted_ids, after)
        return self._sorted_ids[at : at + limit]

    async def run(self) -> None:
        """Load, follow, load anew when the epoch or the store is another, changes were lost, or most of what
        is held is gone; for ever.
        """
        if self.first is not None:
            await asyncio.sleep(LOAD_AFTER_S)
        while True:
            meta = self._live.meta
            try:
                other = meta is not None and (meta.epoch, meta.store_id) != (self.epoch, self._store_id)
                if self._cursor is None or other or _is_worn(self.catalogue):
                    await self.load()
                elif not await self.catch_up():
                    self._caught_up()  # the store went away when `load` was about to
                    await asyncio.sleep(POLL_S)
            except StoreError:
                await asyncio.sleep(RETRY_S)  # LiveEpoch says so, once
            except Exception:
                log.exception("the catalogue could not be followed; the last one stays, trying again")
                await asyncio.sleep(RETRY_S)


def _is_worn(catalogue: Catalogue) -> bool:
    """Whether most rows, and of every mask and column most cells, are of items that are gone."""
    return catalogue.row_count > 2 * len(catalogue) + ROWS_GONE_MAX


def _build(
    release: Release | None, raw_items: dict[str, bytes], fields: Iterable[str]
) -> tuple[Catalogue, list[str]]:
    """One item after the other: all of them decoded at once would be most of the memory of the process."""
    catalogue = Catalogue()
    catalogue.columns.want(sorted(fields))
    ids: list[str] = []
    for item_id in sorted(raw_items):
        try:
            catalogue.add(raw_items.pop(item_id))
        except PoisonError as error:
            log.warning("an item in the store cannot be read and is left out: %s", error)
        else:
            ids.append(item_id)
    catalogue.bind(release)
    return catalogue, ids
