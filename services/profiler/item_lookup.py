"""What the updater must know about items before it applies a batch: vectors, and who has an entry already."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Set
from typing import Final

from services.kernel.bank import FloatArray
from services.release.files import Release
from services.store.catalogue import CatalogueReader

# About 60 MB at d = 64; what is out is read again.
_VECTORS_MAX: Final = 200_000
_KNOWN_MAX: Final = 500_000
# An item that had no vector is asked for again after this long; its upsert may be on the way.
_ABSENT_S: Final = 1.0
# An item in no catalogue is looked for again after this long while events on it come: one field of a read.
_UNLISTED_S: Final = 10.0
# A registry entry lives for months; its expiry is pushed out this often.
_REGISTER_AGAIN_S: Final = 6 * 3600.0


class ItemLookup:
    """Vectors of items that came after one release, and which items need a registry entry."""

    def __init__(
        self,
        catalogue: CatalogueReader,
        release: Release | None,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._catalogue = catalogue
        self._release = release
        self._clock_s = clock_s
        self._vectors: dict[int, FloatArray] = {}
        self._absent_until_s: dict[int, float] = {}
        self._registered_until_s: dict[int, float] = {}
        self._unlisted_until_s: dict[int, float] = {}  # of items in no catalogue, when to look again
        self._epoch = 0

    def vector_of(self, key: int) -> FloatArray | None:
        """f32[d] of an item, from the release or among those that `prepare` has read."""
        release = self._release
        if release is None:
            return None
        vector = release.vector_of(key)
        return vector if vector is not None else self._vectors.get(key)

    async def prepare(self, epoch: int, keys: Iterable[int]) -> set[int]:
        """Read what is missing about items, in one round trip; answers those in no release and no catalogue
        that are due for a registry entry. Raises StoreUnavailableError."""
        now_s = self._clock_s()
        release = self._release
        self._make_room(epoch)
        new = [key for key in keys if release is None or not release.has(key)]
        if not new:
            return set()
        vectorless = (
            [key for key in new if key not in self._vectors and self._absent_until_s.get(key, 0.0) <= now_s]
            if release is not None
            else []
        )
        nameless = {key for key in new if self._registered_until_s.get(key, 0.0) <= now_s}
        asked = nameless | {key for key in new if self._unlisted_until_s.get(key, now_s + 1) <= now_s}
        listed, _ = await asyncio.gather(
            self._listed(epoch, list(asked)), self._read_vectors(vectorless, now_s)
        )
        for key in listed:
            self._registered_until_s[key] = now_s + _REGISTER_AGAIN_S
            self._unlisted_until_s.pop(key, None)
        for key in asked - listed:
            self._unlisted_until_s[key] = now_s + _UNLISTED_S
        return nameless - listed

    def unlisted(self, keys: Set[int]) -> Set[int]:
        """Those of `keys`, prepared before, that are in no release and no catalogue, as far as was seen in
        the last seconds."""
        return self._unlisted_until_s.keys() & keys if self._unlisted_until_s else frozenset()

    def registered(self, keys: Iterable[int]) -> None:
        """These have their registry entries now."""
        until_s = self._clock_s() + _REGISTER_AGAIN_S
        for key in keys:
            self._registered_until_s[key] = until_s

    def _make_room(self, epoch: int) -> None:
        if epoch != self._epoch:
            self._epoch = epoch
            self.forget()
        if len(self._vectors) > _VECTORS_MAX:
            self._vectors.clear()
        held = (self._absent_until_s, self._registered_until_s, self._unlisted_until_s)
        if sum(map(len, held)) > _KNOWN_MAX:
            self.forget()

    def forget(self) -> None:
        """The store may have lost what was registered."""
        self._registered_until_s.clear()
        self._absent_until_s.clear()
        self._unlisted_until_s.clear()

    async def _listed(self, epoch: int, keys: list[int]) -> set[int]:
        return set(await self._catalogue.item_ids(epoch, keys)) if keys else set()

    async def _read_vectors(self, keys: list[int], now_s: float) -> None:
        release = self._release
        if not keys or release is None:
            return
        found = await self._catalogue.vectors(release.space.space_id, keys)
        for key, vector in zip(keys, found, strict=True):
            if vector is not None and len(vector) == release.space.d:
                self._vectors[key] = vector
            else:
                self._absent_until_s[key] = now_s + _ABSENT_S
