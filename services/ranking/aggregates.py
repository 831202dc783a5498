"""What all users did: trending, popular and co-visitation, merged from the partitions into memory.

Scores are log2 of weights that grow with time (forward decay): L = log2(Σ w·2^(t/H)), t in s. Their order
never changes by time passing. To read one as a count it is divided by 2^(t/H) of the newest event.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

KeyArray = NDArray[np.uint64]
ScoreArray = NDArray[np.float64]

TREND_HALF_LIFE_S: Final = 86_400.0
POPULAR_HALF_LIFE_S: Final = 30 * 86_400.0
COVISIT_HALF_LIFE_S: Final = 30 * 86_400.0
# Best keys that are held in order. A list has 200 items; rules take away some more.
TOP_MAX: Final = 1000
# The spread of log popularity that a young shop is given at least: one view must not look like a bestseller.
POPULARITY_SPREAD_MIN: Final = 0.25


class Scores:
    """log2 scores by item key: sorted by key for look-ups, and the best of them in order. Immutable."""

    def __init__(self, keys: KeyArray, scores: ScoreArray) -> None:
        """`keys` u64[n] distinct, `scores` f64[n] log2; any order."""
        order = np.argsort(keys)
        self.keys: KeyArray = np.ascontiguousarray(keys[order], dtype=np.uint64)
        self.scores: ScoreArray = np.ascontiguousarray(scores[order], dtype=np.float64)

    def __len__(self) -> int:
        return len(self.keys)

    @classmethod
    def merge(cls, parts: Sequence[tuple[KeyArray, ScoreArray]]) -> Scores:
        """The sum of the partitions' scores: log2(Σ 2^score) by key."""
        filled = [part for part in parts if len(part[0])]
        if not filled:
            return cls(np.zeros(0, np.uint64), np.zeros(0, np.float64))
        keys = np.concatenate([part[0] for part in filled])
        scores = np.concatenate([part[1] for part in filled])
        order = np.argsort(keys, kind="stable")
        keys, scores = keys[order], scores[order]
        starts = np.flatnonzero(np.concatenate(([True], keys[1:] != keys[:-1])))
        return cls(keys[starts], np.logaddexp2.reduceat(scores, starts))

    def of(self, keys: KeyArray) -> ScoreArray:
        """Scores of many keys, f64 of the same shape, -inf where there is none."""
        if not len(self.keys):
            return np.full(keys.shape, -np.inf)
        at = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        return np.where(self.keys[at] == keys, self.scores[at], -np.inf)

    @cached_property
    def best(self) -> float:
        """The highest score; -inf where there is none."""
        return float(self.scores.max()) if len(self.scores) else -np.inf

    @cached_property
    def _ordered(self) -> list[int]:
        scores = self.scores
        few = np.arange(len(scores))
        if len(scores) > TOP_MAX:  # all that tie with the last one stay, so that keys decide
            least = np.partition(scores, len(scores) - TOP_MAX)[len(scores) - TOP_MAX]
            few = np.flatnonzero(scores >= least)
        order = np.lexsort((self.keys[few], -scores[few]))[:TOP_MAX]
        found: list[int] = self.keys[few[order]].tolist()
        return found

    def top(self, n: int) -> list[int]:
        """Up to `n` (≤ TOP_MAX) best keys, best first; ties by key."""
        return self._ordered[:n]


class Aggregates:
    """One snapshot. `neighbours` maps an item key to what was chosen with it (Scores, ≤ 64 a partition)."""

    def __init__(self, trending: Scores, popular: Scores, neighbours: Mapping[int, Scores]) -> None:
        self.trending = trending
        self.popular = popular
        self.neighbours = neighbours
        self._scales: dict[int, tuple[float, float]] = {}

    @classmethod
    def empty(cls) -> Aggregates:
        """Nobody did anything yet."""
        return cls(Scores.merge([]), Scores.merge([]), {})

    @cached_property
    def newest_s(self) -> float:
        """When the newest event was, Unix s, or a little later: the heat of an item adds log2 of it in days.

        Taken from the trending scores, whose half-life is short, so that ranking needs no clock of its own:
        the history of a shop that has stood still for a year keeps its order and its proportions.
        """
        best = self.trending.best
        return best * TREND_HALF_LIFE_S if np.isfinite(best) else self.popular.best * POPULAR_HALF_LIFE_S

    def popularity(self, keys: KeyArray, items: int) -> ScoreArray:
        """z-score of ln(1 + decayed count) among the `items` of the catalogue, f64 of the same shape."""
        if not len(self.popular):
            return np.zeros(keys.shape)
        if items not in self._scales:
            logs = self._log_counts(self.popular.scores)
            mean = float(logs.sum()) / max(items, len(logs))
            square = float((logs * logs).sum()) / max(items, len(logs))
            self._scales = {items: (mean, max(square - mean * mean, POPULARITY_SPREAD_MIN**2) ** 0.5)}
        mean, spread = self._scales[items]
        return (self._log_counts(self.popular.of(keys)) - mean) / spread

    def covisit_shares(self, neighbours: Scores) -> ScoreArray:
        """How strong each neighbour is, 0 to 1: its decayed count over the strongest one's plus PRIOR."""
        counts = np.exp2(np.minimum(neighbours.scores - self.newest_s / COVISIT_HALF_LIFE_S, 60.0))
        shares: ScoreArray = counts / (counts.max(initial=0.0) + COVISIT_PRIOR)
        return shares

    def _log_counts(self, scores: ScoreArray) -> ScoreArray:
        counts = np.exp2(np.minimum(scores - self.newest_s / POPULAR_HALF_LIFE_S, 60.0))
        logs: ScoreArray = np.log1p(counts)
        return logs


# Pairs that must be seen before a neighbour counts half: one coincidence is none.
COVISIT_PRIOR: Final = 2.0
