"""Trending and popular in memory, read anew every second; co-visitation rows on demand."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from services.ranking.aggregates import Aggregates, Scores
from services.recommender.live_epoch import LiveEpoch
from services.store.aggregates import AggregateReader
from services.store.coalescer import Coalescer
from services.store.errors import StoreError
from services.store.fence import Fence

log = logging.getLogger(__name__)

POLL_S = 1.0
# Reading may take a twentieth of the time, so that it never shows in the answers' p99.
REST_TIMES = 20
TRENDING_LIMIT = 1000  # five times the longest list, so that filters leave enough
POPULAR_LIMIT = 10_000  # a feature of every candidate, so deep enough for most catalogues; 160 KB
ROW_AGE_S = 1.0  # as fresh as the other aggregates
ROWS_KEPT = 20_000  # at 64 neighbours and 16 B each, 20 MB when all are full


class NeighbourRows(Mapping[int, Scores]):
    """Co-visitation rows by item key: bounded, each at most ROW_AGE_S old when it was asked for anew."""

    def __init__(self, reader: AggregateReader, live: LiveEpoch) -> None:
        self._reader = reader
        self._live = live
        self._rows: OrderedDict[int, tuple[float, Scores]] = OrderedDict()
        # One entry a request, not one an item: a future for each of ten rows costs more than reading them.
        self._fetching: Coalescer[tuple[int, ...], None] = Coalescer(self._fetch)

    async def _fetch(self, wanted: Sequence[tuple[int, ...]]) -> Sequence[None]:
        keys = list({key: None for some in wanted for key in some})
        now_s = time.monotonic()
        rows = await self._reader.neighbours(self._live.epoch, self._live.partitions, keys)
        for key, ranked in zip(keys, rows, strict=True):
            self._rows[key] = (now_s, Scores(ranked.items, ranked.scores))
            self._rows.move_to_end(key)
        while len(self._rows) > ROWS_KEPT:
            self._rows.popitem(last=False)
        return [None] * len(wanted)

    async def want(self, keys: Iterable[int]) -> None:
        """Have the rows of `keys` here, no older than ROW_AGE_S. Raises StoreError."""
        now_s = time.monotonic()
        rows = self._rows
        stale = tuple(key for key in keys if (row := rows.get(key)) is None or now_s - row[0] > ROW_AGE_S)
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


class AggregatesFollower:
    """Keeps `aggregates` up to date with the live epoch. `fences` says how far each partition is applied."""

    def __init__(self, reader: AggregateReader, live: LiveEpoch) -> None:
        self._reader = reader
        self._live = live
        self._read: tuple[int, list[Fence | None]] | None = None
        self.neighbours = NeighbourRows(reader, live)
        empty = Aggregates.empty()
        self.aggregates = Aggregates(empty.trending, empty.popular, self.neighbours)

    async def refresh(self) -> bool:
        """Read what changed. False: nothing did. Raises StoreError.

        The fences are read before the scores, so what is written meanwhile is read again next time.
        """
        epoch, partitions = self._live.epoch, self._live.partitions
        if not partitions:
            return False
        fences = await self._reader.fences(epoch, partitions)
        if self._read == (epoch, fences):
            return False
        if self._read is not None and self._read[0] == epoch and _went_back(self._read[1], fences):
            await self._live.look()
            if self._live.trouble is not None:  # the store lost its data: what is in memory is all there is
                return False
        trending = await self._reader.trending(epoch, partitions, TRENDING_LIMIT)
        popular = await self._reader.popular(epoch, partitions, POPULAR_LIMIT)
        self.aggregates = Aggregates(
            Scores(trending.items, trending.scores), Scores(popular.items, popular.scores), self.neighbours
        )
        self._read = (epoch, fences)
        return True

    async def run(self) -> None:
        """Refresh for ever; what goes wrong is tried again."""
        while True:
            started_s = time.perf_counter()
            try:
                await self.refresh()
            except StoreError:
                pass  # LiveEpoch says so, once
            except Exception:
                log.exception("the aggregates could not be read; the last ones stay")
            took_s = time.perf_counter() - started_s
            await asyncio.sleep(max(POLL_S, REST_TIMES * took_s) if took_s < POLL_S else POLL_S)


def _went_back(before: list[Fence | None], now: list[Fence | None]) -> bool:
    return any(old is not None and new is None for old, new in zip(before, now, strict=False))
