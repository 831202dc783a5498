"""Which store, which servers and which data epoch a profiler believes it writes."""

from __future__ import annotations

from services.profiler.outcomes import BatchDroppedError
from services.profiler.stores import Stores
from services.store.meta import Meta


class StoreView:
    """What was true when the offsets to start from were chosen. A batch that finds anything else is dropped.

    `pinned` is the epoch that a replay builds; without it the live epoch is written.
    """

    def __init__(self, stores: Stores, pinned: int | None = None) -> None:
        self._stores = stores
        self._pinned = pinned
        self._store_id: str | None = None
        self._identity = ""
        self.epoch = pinned if pinned is not None else 0

    @property
    def is_live(self) -> bool:
        """Whether what is written is what readers see."""
        return self._pinned is None

    async def adopt(self) -> Meta | None:
        """Take the store as it is now; None for an empty one. Raises StoreUnavailableError."""
        # The identity first: a server that changes right after shows in the next batch.
        identity = await self._stores.connection.identity()
        meta = await self._stores.meta.read()
        self._identity = identity
        self._store_id = meta.store_id if meta is not None else None
        if self._pinned is None and meta is not None:
            self.epoch = meta.epoch
        return meta

    def check(self, meta: Meta | None, identity: str) -> None:
        """Raise BatchDroppedError unless the store is the one adopted."""
        if (meta.store_id if meta is not None else None) != self._store_id:
            raise BatchDroppedError("store", "the store is another one, or empty, since the last batch")
        if identity != self._identity:
            raise BatchDroppedError("failover", "a server of the store has restarted or failed over")
        if self._pinned is None and meta is not None and meta.epoch != self.epoch:
            raise BatchDroppedError("epoch", f"the live epoch is {meta.epoch} now: a replay has switched")

    async def recheck(self) -> None:
        """Like `check`, on what the store says now."""
        meta = await self._stores.meta.read()
        self.check(meta, await self._stores.connection.identity())
