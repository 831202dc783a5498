"""What all subjects of a partition did together: trending, popular, and rows of items with scores.

A row holds what was visited with an item, what was bought with it (`bought_row_key`), or what is popular in a
segment (`segment_key`); `neighbours` below is any of the three.

Scores are log2 of a sum of weights that grow with time (forward decay), so nothing is ever rescaled; they
round-trip exactly. One profiler owns a partition; the fence finds out when it no longer does.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, NamedTuple

import numpy as np

from services.kernel.covisits import MAX_NEIGHBOURS, NEIGHBOUR, ROW_ENTRIES_MAX, SEGMENT_ROW
from services.kernel.segments import is_segment_key
from services.store.connection import Connection
from services.store.fence import Fence, encode_optional
from services.store.keys import AggregateKeys
from services.store.rows import (
    PAGE_ITEMS,
    ROWS_A_CALL,
    SCORES_A_CALL,
    KeyArray,
    ScoreArray,
    pack_key,
    pack_keys,
    page_call,
    unpack_page,
    unpack_scores,
)
from services.store.scripts import Script

# 200,000 items hold any shop's year of demand and cost about 30 MB a partition besides their rows.
MAX_ITEMS = 200_000
# Eviction happens where the offset crosses a multiple of this, so it is a function of the log.
EVICT_EVERY_RECORDS = 8_192
# One Lua call of 8 MiB holds the server for some 20 ms. The profiler cuts a larger batch in two.
MAX_WRITE_BYTES = 8 << 20

# What a reader is given of a segment: a list shows 200, and all partitions know the best 256 of theirs.
SEGMENT_LIMIT = SEGMENT_ROW.kept
# How deep an exact list looks into a partition; a list shows 200.
MAX_TOP = 10_000
Board = Literal["trend", "popular"]  # half-lives of a day and of 30 days
_WRITE: Final = Script("aggregate_write")
_PAIR_BYTES: Final = 44  # score as text, member, their lengths on the wire
_FIELD_BYTES: Final = 24  # a row's field and lengths


class Rows(NamedTuple):
    """Stored values of some items, in the order asked. An absent score is -inf, an absent row is None."""

    trend: ScoreArray  # (n,)
    popular: ScoreArray  # (n,)
    neighbours: list[bytes | None]  # packed NEIGHBOUR, as written


class Ranked(NamedTuple):
    """Items by falling log2 score, equal scores by rising key. A list that is cut among equal scores leaves
    open which of them are in it."""

    items: KeyArray  # (n,) u64
    scores: ScoreArray  # (n,) f64


@dataclass(slots=True)
class AggregateWrite:
    """Absolute new values of a batch, and the fence before and after it."""

    read: Fence | None
    fence: Fence
    trend: Mapping[int, float] = field(default_factory=dict)
    popular: Mapping[int, float] = field(default_factory=dict)
    neighbours: Mapping[int, bytes] = field(default_factory=dict)
    evict: bool = False  # after setting, cut `popular` to `max_items` (lowest scores, then lowest key bytes)
    max_items: int = MAX_ITEMS

    @property
    def size_bytes(self) -> int:
        """What the call will carry, nearly; more than MAX_WRITE_BYTES is refused with ValueError."""
        scores = len(self.trend) + len(self.popular)
        rows = sum(len(row) for row in self.neighbours.values()) + _FIELD_BYTES * len(self.neighbours)
        return scores * _PAIR_BYTES + rows

    def check(self) -> None:
        """Raises ValueError for what must not be sent."""
        if self.size_bytes > MAX_WRITE_BYTES:
            raise ValueError(
                f"an aggregate write of {self.size_bytes} bytes is above {MAX_WRITE_BYTES}: "
                "cut the batch in two"
            )
        if not all(
            math.isfinite(score) for scores in (self.trend, self.popular) for score in scores.values()
        ):
            raise ValueError("a score is not finite")
        for row in self.neighbours.values():
            if len(row) % NEIGHBOUR.itemsize or not 0 < len(row) <= ROW_ENTRIES_MAX * NEIGHBOUR.itemsize:
                raise ValueError(f"a row of {len(row)} bytes is not 1 to {ROW_ENTRIES_MAX} neighbours")


class AggregateStore:
    """For the profiler. All methods raise StoreUnavailableError or StoreMisconfiguredError."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def fence(self, epoch: int, partition: int) -> Fence | None:
        """How far the partition is applied; None before its first record."""
        key = self._connection.keys.aggregates(epoch, partition).fence
        return Fence.decode(await self._connection.execute("GET", key))

    async def load(
        self, epoch: int, partition: int, scored: Sequence[int], visited: Sequence[int] = ()
    ) -> Rows:
        """Trend and popular scores of the items `scored`, rows of the items `visited`. One round trip."""
        keys = self._connection.keys.aggregates(epoch, partition)
        members, fields = pack_keys(scored, SCORES_A_CALL), pack_keys(visited, ROWS_A_CALL)
        trend = [("ZMSCORE", keys.trend, some) for some in members]
        popular = [("ZMSCORE", keys.popular, some) for some in members]
        replies = await self._connection.pipeline(
            [*trend, *popular, *(("HMGET", keys.covis, some) for some in fields)]
        )
        half = len(members)
        return Rows(
            unpack_scores(replies[:half]),
            unpack_scores(replies[half : 2 * half]),
            [row for reply in replies[2 * half :] for row in reply],
        )

    async def write(self, epoch: int, partition: int, write: AggregateWrite) -> bool:
        """One atomic call: everything, or (False) nothing, because the stored fence is not `write.read`.

        True also when the stored fence already is `write.fence` (a call repeated after a lost answer).
        Raises ValueError above MAX_WRITE_BYTES, for scores that are not finite and rows that are too long.
        """
        write.check()
        # repr is the shortest text that reads back as the same f64.
        pairs: list[Any] = []
        for scores in (write.trend, write.popular):
            for item, score in scores.items():
                pairs += (repr(float(score)), pack_key(item))
        for item, row in write.neighbours.items():
            pairs += (pack_key(item), row)
        command = _WRITE.call(
            self._connection.keys.aggregates(epoch, partition),
            encode_optional(write.read),
            write.fence.encode(),
            len(write.trend),
            len(write.popular),
            len(write.neighbours),
            write.max_items if write.evict else -1,
            *pairs,
        )
        return bool(await self._connection.execute(*command))


class AggregateReader:
    """For the recommender: the sum over all partitions (`range(meta.partitions)`).

    Lists are read in pages, each an exchange of its own: the server works through a pipeline without a look
    at anybody else, so a pipeline of pages would hold it as long as one large command.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def fences(self, epoch: int, partitions: int) -> list[Fence | None]:
        """How far each partition is applied. Unchanged since the last look: nothing to merge anew."""
        keys = self._partition_keys(epoch, partitions)
        return [
            Fence.decode(reply) for reply in await self._connection.pipeline([("GET", k.fence) for k in keys])
        ]

    async def page(self, epoch: int, partition: int, board: Board, first: int) -> Ranked:
        """One partition's items from place `first` on, PAGE_ITEMS of them; fewer mean the end.

        Items move between two pages: one may come twice, one that rose meanwhile not at all.
        """
        return Ranked(
            *unpack_page(
                await self._connection.execute(*page_call(self._zset(epoch, partition, board), first))
            )
        )

    async def shares(self, epoch: int, partition: int, board: Board, items: KeyArray) -> ScoreArray:
        """Scores (n,) of `items` in one partition, -inf where absent."""
        zset = self._zset(epoch, partition, board)
        return unpack_scores(
            [
                await self._connection.execute("ZMSCORE", zset, members)
                for members in pack_keys(items, SCORES_A_CALL)
            ]
        )

    async def trending(self, epoch: int, partitions: int, limit: int) -> Ranked:
        """The best `limit` items now (half-life of a day)."""
        return await self._top(epoch, partitions, "trend", limit)

    async def popular(self, epoch: int, partitions: int, limit: int) -> Ranked:
        """The best `limit` items of the month (half-life of 30 days)."""
        return await self._top(epoch, partitions, "popular", limit)

    async def neighbours(
        self, epoch: int, partitions: int, items: Sequence[int], limit: int | None = None
    ) -> list[Ranked]:
        """The merged row of each key, in the order of `items`; one round trip (one a node).

        Its best `limit`; None: MAX_NEIGHBOURS of an item, SEGMENT_LIMIT of a segment.
        """
        fields = pack_keys(items, ROWS_A_CALL)
        commands = [
            ("HMGET", keys.covis, some) for keys in self._partition_keys(epoch, partitions) for some in fields
        ]
        rows = [row for reply in await self._connection.pipeline(commands) for row in reply]
        return [
            self._merge_rows(rows[index :: len(items)], _limit_of(key) if limit is None else limit)
            for index, key in enumerate(items)
        ]

    async def _top(self, epoch: int, partitions: int, board: Board, limit: int) -> Ranked:
        """1. The highest of each partition.
        2. Exact scores of all of these in every partition, added.
        3. What nobody listed scores at most the sum of the partitions' last: if that could enter, look wider.

        Exact but for what ranks below MAX_TOP in every partition, and for what changes meanwhile.
        """
        width = min(2 * limit + 64, MAX_TOP)  # twice: the partitions' orders differ in the tail
        while True:
            # Step 1.
            parts = [await self._highest(epoch, partition, board, width) for partition in range(partitions)]
            if not parts:
                return merge([], [], limit)
            items = np.unique(np.concatenate([part.items for part in parts]))
            # Step 2.
            scores = [await self.shares(epoch, partition, board, items) for partition in range(partitions)]
            ranked = merge([items] * partitions, scores, limit)
            # Step 3.
            unseen = -math.inf
            for part in parts:
                if len(part.items) >= width:
                    unseen = float(np.logaddexp2(unseen, part.scores[-1]))
            full = len(ranked.items) == limit and bool(limit == 0 or ranked.scores[-1] >= unseen)
            if full or unseen == -math.inf or width == MAX_TOP:
                return ranked
            width = min(4 * width, MAX_TOP)

    async def _highest(self, epoch: int, partition: int, board: Board, width: int) -> Ranked:
        """Whole pages, `width` items or more."""
        pages = [await self.page(epoch, partition, board, 0)]
        while len(pages[-1].items) == PAGE_ITEMS and len(pages) * PAGE_ITEMS < width:
            pages.append(await self.page(epoch, partition, board, len(pages) * PAGE_ITEMS))
        return Ranked(
            np.concatenate([page.items for page in pages]), np.concatenate([page.scores for page in pages])
        )

    @staticmethod
    def _merge_rows(rows: list[bytes | None], limit: int) -> Ranked:
        parts = [np.frombuffer(row, dtype=NEIGHBOUR) for row in rows if row]
        return merge([part["item"] for part in parts], [part["score"] for part in parts], limit)

    def _zset(self, epoch: int, partition: int, board: Board) -> bytes:
        keys = self._connection.keys.aggregates(epoch, partition)
        return keys.trend if board == "trend" else keys.popular

    def _partition_keys(self, epoch: int, partitions: int) -> list[AggregateKeys]:
        return [self._connection.keys.aggregates(epoch, partition) for partition in range(partitions)]


def _limit_of(key: int) -> int:
    return SEGMENT_LIMIT if is_segment_key(key) else MAX_NEIGHBOURS


def merge(items: Sequence[KeyArray], scores: Sequence[ScoreArray], limit: int) -> Ranked:
    """Add the sums behind log2 scores (log2 Σ 2^s) item by item, in the order of the parts; the best `limit`,
    without items that are absent (-inf) everywhere."""
    if not items:
        return Ranked(np.empty(0, np.uint64), np.empty(0, np.float64))
    distinct, place = np.unique(np.concatenate(items).astype(np.uint64), return_inverse=True)
    sums = np.full(len(distinct), -np.inf)
    np.logaddexp2.at(sums, place, np.concatenate(scores))
    order = np.lexsort((distinct, -sums))[:limit]
    order = order[sums[order] > -np.inf]
    return Ranked(distinct[order], sums[order])
