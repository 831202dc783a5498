"""Ids of items in no catalogue: profiles know them by key, the store's registry by id."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Iterable, Sequence

from services.recommender.live_epoch import LiveEpoch
from services.store.coalescer import Coalescer
from services.store.profiles import ProfileStore

# A key never changes its id. At some 150 B each, 7 MB.
KEPT = 50_000


class ItemNames:
    """Looks ids up in the registry, and remembers a bounded number of them."""

    def __init__(self, store: ProfileStore, live: LiveEpoch) -> None:
        self._store = store
        self._live = live
        self._known: OrderedDict[int, str] = OrderedDict()
        self._reads: Coalescer[int, str | None] = Coalescer(self._fetch)

    async def _fetch(self, keys: Sequence[int]) -> Sequence[str | None]:
        found = await self._store.item_ids(self._live.epoch, keys)
        return [found.get(key) for key in keys]

    async def of(self, keys: Iterable[int]) -> dict[int, str]:
        """Ids by key; keys that nobody knows are left out. Raises StoreError."""
        wanted = list(dict.fromkeys(keys))
        missing = [key for key in wanted if key not in self._known]
        if missing:
            for key, name in zip(missing, await asyncio.gather(*map(self._reads.get, missing)), strict=True):
                if name is not None:
                    self._known[key] = name
        names = {key: self._known[key] for key in wanted if key in self._known}
        for key in names:
            self._known.move_to_end(key)
        while len(self._known) > KEPT:
            self._known.popitem(last=False)
        return names

    async def close(self) -> None:
        """Ask no more."""
        await self._reads.close()
