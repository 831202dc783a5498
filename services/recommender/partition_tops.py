"""The top of every partition's trending or popular list in memory, kept up page by page.

A score only ever rises (forward decay on event time), so what was read once is a lower bound for good: pages
may be read seconds apart, items may move between them, and nothing that is known has to be taken back.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from services.ranking.aggregates import KeyArray, ScoreArray, Scores
from services.store.aggregates import AggregateReader, Board, Ranked
from services.store.fence import Fence
from services.store.rows import PAGE_ITEMS

# The best so many are summed over all partitions, also where one of them ranks them below its `depth`: twice
# the longest list, so that filters leave enough. One command a partition.
SUMMED_ITEMS: Final = 400


class _Part:
    """One partition: distinct keys in order, their scores as high as the store's or lower."""

    def __init__(self) -> None:
        self.keys: KeyArray = np.empty(0, np.uint64)
        self.scores: ScoreArray = np.empty(0, np.float64)
        self.pages: list[Ranked] = []  # read and not yet folded in
        self.place = 0  # where the pass goes on; 0: none is under way
        self.floor = -math.inf  # the lowest score of the last pass where the list went on below it
        self.fence: Fence | None = None  # as it stood when the last pass began
        self.was_read = False  # a pass was completed

    def fold(self, kept: int) -> None:
        """Take the pages in: the higher score of each item, the best `kept` of them."""
        if not self.pages:
            return
        keys = np.concatenate([self.keys, *(page.items for page in self.pages)])
        scores = np.concatenate([self.scores, *(page.scores for page in self.pages)])
        self.pages = []
        if not len(keys):
            return
        order = np.argsort(keys, kind="stable")
        keys, scores = keys[order], scores[order]
        starts = np.flatnonzero(np.concatenate(([True], keys[1:] != keys[:-1])))
        keys, scores = keys[starts], np.maximum.reduceat(scores, starts)
        if len(keys) > kept:
            best = np.sort(np.argpartition(scores, len(keys) - kept)[len(keys) - kept :])
            keys, scores = keys[best], scores[best]
        self.keys, self.scores = keys, scores

    def lie_below(self, keys: KeyArray, score: float) -> NDArray[np.bool_]:
        """Which of `keys` are held with a lower score, or not at all."""
        if not len(self.keys):
            return np.ones(keys.shape, np.bool_)
        at = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        below: NDArray[np.bool_] = (self.keys[at] != keys) | (self.scores[at] < score)
        return below


class PartitionTops:
    """One list of all partitions of one epoch.

    `depth`: places of each partition that a pass reads. `kept`: items held of each, 16 B each; those that
    have sunk below `depth` still count in the sums.
    """

    def __init__(
        self, reader: AggregateReader, board: Board, epoch: int, partitions: int, *, depth: int, kept: int
    ) -> None:
        self._reader = reader
        self._board: Board = board
        self._epoch = epoch
        self._depth = depth
        self._kept = kept
        self._parts = [_Part() for _ in range(partitions)]
        self._turn = 0
        self._best: KeyArray = np.empty(0, np.uint64)
        self.has_news = False  # a pass was completed since the last `merge`

    async def read(self, fences: Sequence[Fence | None], pages_max: float = math.inf) -> None:
        """Read at most `pages_max` pages where something was applied.

        1. Go round the partitions from where the last call stopped; pass by those whose fence stands where
           it stood when their last pass began.
        2. Read page after page. The fence is older than the pages, so what is written meanwhile moves it.
        3. At the end of a pass ask for the best items of all partitions that lie deeper in this one.

        Raises StoreError; the next call goes on at the same page.
        """
        for _ in self._parts:
            part, fence = self._parts[self._turn], fences[self._turn]
            # Step 1.
            is_over = part.place == 0 and part.was_read and part.fence == fence
            # Step 2.
            if part.place == 0 and not is_over:
                part.fold(self._kept)  # what a call left that broke off
            while not is_over:
                if pages_max < 1:
                    return
                pages_max -= 1
                is_over = await self._read_page(part, fence)
                # Step 3.
                if is_over:
                    part.was_read = self.has_news = True
                    await self._sum(self._turn)
            self._turn = (self._turn + 1) % len(self._parts)

    async def sum_best(self) -> None:
        """Ask every partition for what it holds of the best items below its `depth`. Raises StoreError."""
        self.has_news = True
        for partition in range(len(self._parts)):
            await self._sum(partition)

    def merge(self) -> Scores:
        """Fold in what was read and add up the partitions. Some ms of numpy: for a thread, while no `read`
        is under way."""
        self.has_news = False
        for part in self._parts:
            part.fold(self._kept)
        merged = Scores.merge([(part.keys, part.scores) for part in self._parts])
        self._best = np.array(merged.top(SUMMED_ITEMS), dtype=np.uint64)
        return merged

    async def _read_page(self, part: _Part, fence: Fence | None) -> bool:
        """True: it was the last of the pass."""
        page = await self._reader.page(self._epoch, self._turn, self._board, part.place)
        part.pages.append(page)
        if part.place == 0:
            part.fence = fence
        part.place += PAGE_ITEMS
        goes_on = len(page.items) == PAGE_ITEMS
        if goes_on and part.place < self._depth:
            return False
        part.floor = float(page.scores[-1]) if goes_on else -math.inf
        part.place = 0
        return True

    async def _sum(self, partition: int) -> None:
        part = self._parts[partition]
        if part.floor == -math.inf or not len(self._best):
            return
        deeper = self._best[part.lie_below(self._best, part.floor)]
        if len(deeper):
            scores = await self._reader.shares(self._epoch, partition, self._board, deeper)
            stored = scores > -math.inf
            part.pages.append(Ranked(deeper[stored], scores[stored]))
