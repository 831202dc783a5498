"""What all users did: trending, popular and co-visitation, merged from the partitions into memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

KeyArray = NDArray[np.uint64]
ScoreArray = NDArray[np.float64]


class Scores:
    """log2 scores by item key: sorted by key for look-ups, and the best of them in order. Immutable."""

    def __init__(self, keys: KeyArray, scores: ScoreArray) -> None:
        """`keys` u64[n] distinct, `scores` f64[n] log2; any order."""
        raise NotImplementedError

    @classmethod
    def merge(cls, parts: Sequence[tuple[KeyArray, ScoreArray]]) -> Scores:
        """The sum of the partitions' scores: log2(Σ 2^score) by key."""
        raise NotImplementedError

    def of(self, keys: KeyArray) -> ScoreArray:
        """Scores of many keys, f64 of the same shape, -inf where there is none."""
        raise NotImplementedError

    def top(self, n: int) -> KeyArray:
        """Up to `n` (≤ TOP_MAX) best keys, best first; ties by key."""
        raise NotImplementedError


class Aggregates:
    """One snapshot. `neighbours` maps an item key to what was chosen with it (Scores, ≤ 64 a partition)."""

    def __init__(self, trending: Scores, popular: Scores, neighbours: Mapping[int, Scores]) -> None:
        self.trending = trending
        self.popular = popular
        self.neighbours = neighbours

    @classmethod
    def empty(cls) -> Aggregates:
        """Nobody did anything yet."""
        raise NotImplementedError
