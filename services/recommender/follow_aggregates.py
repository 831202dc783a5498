"""Trending and popular in memory, read anew every second; co-visitation rows on demand."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence

from services.ranking.aggregates import Aggregates, Scores
from services.recommender.live_epoch import LiveEpoch
from services.store.aggregates import AggregateReader, Ranked
from services.store.coalescer import Coalescer
from services.store.errors import StoreError
from services.store.fence import Fence

log = logging.getLogger(__name__)

POLL_S = 1.0
# Deep lists hold a store of one thread for some 10 ms a call. The long rests keep that share of its time, and
# so of everybody's p99, at 2 % for trending and half a percent for popular; while a shop is small, both are
# read every second.
TRENDING_REST_TIMES = 50
POPULAR_REST_TIMES = 200
TRENDING_LIMIT = 400  # twice the longest list, so that filters leave enough
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


# (epoch, partitions, limit) → the best of all partitions
ReadTop = Callable[[int, int, int], Awaitable[Ranked]]


class Board:
    """One of the two lists, read anew when something was applied and its rest is over."""

    def __init__(
        self, read: Callable[[int, int, int], Awaitable[Ranked]], limit: int, rest_times: int
    ) -> None:
        self._read = read
        self._limit = limit
        self._rest_times = rest_times
        self._not_before_s = 0.0
        self.scores = Scores.merge([])
        self.is_stale = False

    async def refresh(self, epoch: int, partitions: int) -> bool:
        """True: read. Raises StoreError."""
        started_s = time.monotonic()
        if not self.is_stale or started_s < self._not_before_s:
            return False
        self.is_stale = False  # what is applied from here on makes it stale again
        try:
            ranked = await self._read(epoch, partitions, self._limit)
        except BaseException:
            self.is_stale = True
            raise
        took_s = time.monotonic() - started_s
        # An answer that took seconds says more about the store's health than about the list.
        self._not_before_s = time.monotonic() + self._rest_times * min(took_s, POLL_S)
        self.scores = Scores(ranked.items, ranked.scores)
        return True

    def rush(self) -> None:
        """Another epoch or store: do not wait for the rest to be over."""
        self._not_before_s = 0.0


class AggregatesFollower:
    """Keeps `aggregates` up to date with the live epoch."""

    def __init__(self, reader: AggregateReader, live: LiveEpoch) -> None:
        self._reader = reader
        self._live = live
        self._applied: tuple[int, list[Fence | None]] | None = None
        self._trending = Board(reader.trending, TRENDING_LIMIT, TRENDING_REST_TIMES)
        self._popular = Board(reader.popular, POPULAR_LIMIT, POPULAR_REST_TIMES)
        self.neighbours = NeighbourRows(reader, live)
        self.aggregates = Aggregates(self._trending.scores, self._popular.scores, self.neighbours)

    async def refresh(self) -> bool:
        """Read what changed. False: nothing did, or it is too early. Raises StoreError.

        The fences are read before the scores, so what is written meanwhile is read again next time.
        """
        epoch, partitions = self._live.epoch, self._live.partitions
        if not partitions:
            return False
        fences = await self._reader.fences(epoch, partitions)
        if self._applied != (epoch, fences):
            if (
                self._applied is not None
                and self._applied[0] == epoch
                and _went_back(self._applied[1], fences)
            ):
                await self._live.look()
                if (
                    self._live.trouble is not None
                ):  # the store lost its data: what is in memory is all there is
                    return False
            for board in (self._trending, self._popular):
                board.is_stale = True
                if self._applied is None or self._applied[0] != epoch:
                    board.rush()
            self._applied = (epoch, fences)
        changed = [await board.refresh(epoch, partitions) for board in (self._trending, self._popular)]
        if any(changed):
            self.aggregates = Aggregates(self._trending.scores, self._popular.scores, self.neighbours)
        return any(changed)

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
