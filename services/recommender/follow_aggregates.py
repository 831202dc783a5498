"""Trending and popular in memory, kept up every second; rows of items and segments on demand."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from services.kernel.covisits import MAX_NEIGHBOURS
from services.ranking.aggregates import Aggregates, Scores
from services.recommender.live_epoch import LiveEpoch
from services.recommender.partition_tops import PartitionTops
from services.store.aggregates import AggregateReader
from services.store.coalescer import Coalescer
from services.store.errors import StoreError
from services.store.fence import Fence
from services.store.rows import PAGE_ITEMS

log = logging.getLogger(__name__)

POLL_S = 1.0
# The pace: at most so many pages of each list a poll, one after the other with others' commands in between.
# 48 pages of about 0.12 ms are 0.6 % of the store's thread, and nothing while no event comes. Only the first
# load of an epoch does not count them.
PAGES_A_POLL = 24
TRENDING_DEPTH = 2 * PAGE_ITEMS  # PAGES_A_POLL brings 12 partitions up to date each second
TRENDING_KEPT = 4_000  # what sank below `depth` since it was touched; 64 KB a partition
# Popularity is a feature of every candidate, so it goes deep; it moves slowly, so 10 s for all of it will do.
# Shared by the partitions: 2 MB, and some 10 ms of a thread to merge, however many there are.
POPULAR_ENTRIES = 120_000
ROW_AGE_S = 1.0  # as fresh as the other aggregates
# A row longer than any item's is that of a busy segment: it moves as slowly as popularity, and to merge it
# from 12 partitions takes 0.4 ms of the event loop.
LONG_ROW_AGE_S = 10.0
# At 64 neighbours and 16 B each, 20 MB when all are full; the few hundred segments there can be add 3 MB.
ROWS_KEPT = 20_000


class NeighbourRows(Mapping[int, Scores]):
    """Rows of scores by row key: what was visited with an item (its own key), bought with it
    (`bought_row_key`), what is popular in a segment (`segment_key`).

    Bounded. One asked for anew is at most ROW_AGE_S old, a long one LONG_ROW_AGE_S.
    """

    def __init__(self, reader: AggregateReader, live: LiveEpoch) -> None:
        self._reader = reader
        self._live = live
        self._rows: OrderedDict[int, tuple[float, Scores]] = OrderedDict()  # each with when it gets old
        # One entry a request, not one an item: a future for each of ten rows costs more than reading them.
        self._fetching: Coalescer[tuple[int, ...], None] = Coalescer(self._fetch)

    async def _fetch(self, wanted: Sequence[tuple[int, ...]]) -> Sequence[None]:
        keys = list({key: None for some in wanted for key in some})
        now_s = time.monotonic()
        rows = await self._reader.neighbours(self._live.epoch, self._live.partitions, keys)
        for key, ranked in zip(keys, rows, strict=True):
            age_s = LONG_ROW_AGE_S if len(ranked.items) > MAX_NEIGHBOURS else ROW_AGE_S
            self._rows[key] = (now_s + age_s, Scores(ranked.items, ranked.scores))
            self._rows.move_to_end(key)
        while len(self._rows) > ROWS_KEPT:
            self._rows.popitem(last=False)
        return [None] * len(wanted)

    async def want(self, keys: Iterable[int]) -> None:
        """Have the rows of `keys` here, none too old. Raises StoreError."""
        now_s = time.monotonic()
        rows = self._rows
        stale = tuple(key for key in keys if (row := rows.get(key)) is None or now_s > row[0])
        if stale and self._live.partitions:
            await self._fetching.get(stale)

    async def close(self) -> None:
        """Ask no more."""
        await self._fetching.close()

    def __getitem__(self, key: int) -> Scores:
        return self._rows[key][1]

    def __iter__(self) -> Iterator[int]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)


class Source(NamedTuple):
    """Whose aggregates these are."""

    store_id: str
    epoch: int
    partitions: int


class AggregatesFollower:
    """Keeps `aggregates` up to date with the live epoch."""

    def __init__(self, reader: AggregateReader, live: LiveEpoch) -> None:
        self._reader = reader
        self._live = live
        self._source: Source | None = None
        self._fences: list[Fence | None] = []
        self._trending = self._popular = PartitionTops(reader, "trend", 0, 0, depth=0, kept=0)
        self.neighbours = NeighbourRows(reader, live)
        self.aggregates = Aggregates(Scores.merge([]), Scores.merge([]), self.neighbours)
        self.loaded = False

    async def refresh(self) -> bool:
        """Read what changed; True when `aggregates` is a new one. Raises StoreError.

        1. The fences are read before the scores, so what is written meanwhile is read again next time.
        2. Another store, epoch or count of partitions is loaded whole, beside what is served.
        3. A fence that vanished: the store lost its data, and what is in memory is all there is.
        4. Read a bounded number of pages of both lists.
        5. Merge in a thread and swap.
        """
        meta = self._live.meta
        if meta is None:
            return False
        source = Source(meta.store_id, meta.epoch, meta.partitions)
        # Step 1.
        fences = await self._reader.fences(source.epoch, source.partitions)
        # Step 2.
        if source != self._source:
            await self._load(source, fences)
            return True
        # Step 3.
        if _went_back(self._fences, fences):
            await self._live.look()
            if self._live.trouble is not None or self._live.meta != meta:
                return False
        self._fences = fences
        # Step 4.
        await self._trending.read(fences, PAGES_A_POLL)
        await self._popular.read(fences, PAGES_A_POLL)
        # Step 5.
        if not (self._trending.has_news or self._popular.has_news):
            return False
        self.aggregates = await asyncio.to_thread(self._merged, self.aggregates)
        return True

    async def _load(self, source: Source, fences: list[Fence | None]) -> None:
        _, epoch, partitions = source
        depth = POPULAR_ENTRIES // max(1, partitions)
        trending = PartitionTops(
            self._reader, "trend", epoch, partitions, depth=TRENDING_DEPTH, kept=TRENDING_KEPT
        )
        popular = PartitionTops(self._reader, "popular", epoch, partitions, depth=depth, kept=depth)
        for tops in (trending, popular):
            await tops.read(fences)
            await asyncio.to_thread(tops.merge)
            await tops.sum_best()
        self._trending, self._popular = trending, popular
        self.aggregates = await asyncio.to_thread(self._merged, Aggregates.empty())
        self._source, self._fences = source, fences
        self.loaded = True

    def _merged(self, before: Aggregates) -> Aggregates:
        """A new snapshot, its orders worked out here and not by its first answer on the event loop."""
        trending = self._trending.merge() if self._trending.has_news else before.trending
        popular = self._popular.merge() if self._popular.has_news else before.popular
        trending.top(1)
        popular.top(1)
        return Aggregates(trending, popular, self.neighbours)

    async def run(self) -> None:
        """Refresh for ever; what goes wrong is tried again."""
        while True:
            try:
                await self.refresh()
            except StoreError:
                pass  # LiveEpoch says so, once
            except Exception:
                log.exception("the aggregates could not be read; the last ones stay")
            await asyncio.sleep(POLL_S)


def _went_back(before: list[Fence | None], now: list[Fence | None]) -> bool:
    return any(old is not None and new is None for old, new in zip(before, now, strict=False))
