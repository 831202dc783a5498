"""Which data epoch of the store is live, and whether the store is one that a profiler has filled."""

from __future__ import annotations

import asyncio
import logging

from services.store.errors import StoreError
from services.store.meta import Meta, MetaStore

log = logging.getLogger(__name__)

# One small read a second: a switch of epochs after a replay is seen as soon as that.
POLL_S = 1.0


class LiveEpoch:
    """The store's identity as last seen. While the store is away the last one stays."""

    def __init__(self, meta_store: MetaStore) -> None:
        self._store = meta_store
        self._changed = asyncio.Event()
        self.meta: Meta | None = None
        self.trouble: str | None = "the store has not answered yet"

    @property
    def epoch(self) -> int:
        """The live epoch; 1 before the store was ever seen."""
        return self.meta.epoch if self.meta else 1

    @property
    def partitions(self) -> int:
        """How many partitions have aggregates."""
        return self.meta.partitions if self.meta else 0

    async def look(self) -> None:
        """Read the identity once; never raises for a store that is away."""
        try:
            meta = await self._store.read()
        except StoreError as error:
            self._note(f"the store does not answer: {error}")
            return
        if meta is None:
            # What is in memory stays: an answer from it beats none while somebody mends the store.
            self._note(
                "the store is empty (no store_id): start a profiler on it, or, if it held data before, "
                "run `freshet replay`"
            )
            return
        self._note(None)
        if meta != self.meta:
            self.meta = meta
            self._changed.set()

    async def run(self) -> None:
        """Look again every POLL_S, for ever."""
        while True:
            await self.look()
            await asyncio.sleep(POLL_S)

    async def wait_for_meta(self) -> Meta:
        """The identity, as soon as there is one."""
        while self.meta is None:
            self._changed.clear()
            await self._changed.wait()
        return self.meta

    def _note(self, trouble: str | None) -> None:
        if trouble != self.trouble:
            if trouble is not None:
                log.warning("%s", trouble)
            elif self.meta is not None:
                log.info("the store answers again")
        self.trouble = trouble
