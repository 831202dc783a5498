"""What all subjects of a partition did together: trending, popular, co-visitation.

Scores are log2 of a sum of weights that grow with time (forward decay), so nothing is ever rescaled; they
round-trip exactly. One profiler owns a partition; the fence finds out when it no longer does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from services.store.connection import Connection
from services.store.fence import Fence

MAX_NEIGHBOURS = 64  # per item: more never reach a list
# 200,000 items hold any shop's year of demand and cost about 30 MB a partition besides co-visitation.
MAX_ITEMS = 200_000
# Eviction happens where the offset crosses a multiple of this, so it is a function of the log.
EVICT_EVERY_RECORDS = 8_192
# One Lua call of 8 MiB holds the server for some 20 ms. Batches that touch more are cut in two by the profiler.
MAX_WRITE_BYTES = 8 << 20
NEIGHBOUR = np.dtype([("item", "<u8"), ("score", "<f8")])  # a co-visitation row is ≤ MAX_NEIGHBOURS of these

KeyArray = NDArray[np.uint64]
ScoreArray = NDArray[np.float64]


class Rows(NamedTuple):
    """Stored values of some items, in the order asked. An absent score is -inf, an absent row is None."""

    trend: ScoreArray  # (n,)
    popular: ScoreArray  # (n,)
    neighbours: list[bytes | None]  # packed NEIGHBOUR, as written


class Ranked(NamedTuple):
    """Items by falling log2 score; equal scores by rising key."""

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
        """What the call will carry; more than MAX_WRITE_BYTES is refused with ValueError."""
        raise NotImplementedError


class AggregateStore:
    """For the profiler. All methods raise StoreUnavailableError or StoreMisconfiguredError."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def fence(self, epoch: int, partition: int) -> Fence | None:
        """How far the partition is applied; None before its first record."""
        raise NotImplementedError

    async def load(
        self, epoch: int, partition: int, scored: Sequence[int], visited: Sequence[int] = ()
    ) -> Rows:
        """Trend and popular scores of the items `scored`, rows of the items `visited`. One round trip."""
        raise NotImplementedError

    async def write(self, epoch: int, partition: int, write: AggregateWrite) -> bool:
        """One atomic call: everything, or (False) nothing, because the stored fence is not `write.read`.

        True also when the stored fence already is `write.fence` (a call repeated after a lost answer).
        Raises ValueError above MAX_WRITE_BYTES, for scores that are not finite and rows that are too long.
        """
        raise NotImplementedError


class AggregateReader:
    """For the recommender: the sum over all partitions (`range(meta.partitions)`)."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def fences(self, epoch: int, partitions: int) -> list[Fence | None]:
        """How far each partition is applied. Unchanged since the last look: nothing to merge anew."""
        raise NotImplementedError

    async def trending(self, epoch: int, partitions: int, limit: int) -> Ranked:
        """The best `limit` items now (half-life of a day)."""
        raise NotImplementedError

    async def popular(self, epoch: int, partitions: int, limit: int) -> Ranked:
        """The best `limit` items of the month (half-life of 30 days)."""
        raise NotImplementedError

    async def neighbours(
        self, epoch: int, partitions: int, items: Sequence[int], limit: int = MAX_NEIGHBOURS
    ) -> list[Ranked]:
        """What was visited together with each item, in the order of `items`. One round trip a node."""
        raise NotImplementedError
