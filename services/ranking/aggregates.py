"""What all users did, merged from the partitions into memory: trending, popular, what goes with an item, what
is popular in a segment.

Scores are log2 of weights that grow with time (forward decay): L = log2(Σ w·2^(t/H)), t in s. Their order
never changes by time passing. To read one as a count it is divided by 2^(t/H) of the newest event.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from itertools import accumulate
from typing import Final

import numpy as np
from numpy.typing import NDArray

from services.kernel.covisits import bought_row_key
from services.kernel.segments import segment_key

KeyArray = NDArray[np.uint64]
ScoreArray = NDArray[np.float64]
RowArray = NDArray[np.int64]

TREND_HALF_LIFE_S: Final = 86_400.0
POPULAR_HALF_LIFE_S: Final = 30 * 86_400.0
COVISIT_HALF_LIFE_S: Final = 30 * 86_400.0
# Best keys that are held in order. A list has 200 items; rules take away some more.
TOP_MAX: Final = 1000
# The spread of log popularity that a young shop is given at least: one view must not look like a bestseller.
POPULARITY_SPREAD_MIN: Final = 0.25


class Scores:
    """log2 scores by item key, and the best of them in order. Immutable."""

    def __init__(self, keys: KeyArray, scores: ScoreArray) -> None:
        """`keys` u64[n] distinct, `scores` f64[n] log2; any order."""
        self.keys = keys
        self.scores = scores
        # What a catalogue makes of `keys` and `top`, each beside the layout that it was made for.
        self.places: tuple[object, RowArray] | None = None
        self.top_rows: tuple[object, RowArray] | None = None

    def __len__(self) -> int:
        return len(self.keys)

    def of(self, keys: KeyArray) -> ScoreArray:
        """Scores of many keys, f64 of the same shape, -inf where there is none."""
        known, scores = self._by_key
        if not len(known):
            return np.full(keys.shape, -np.inf)
        at = np.minimum(np.searchsorted(known, keys), len(known) - 1)
        return np.where(known[at] == keys, scores[at], -np.inf)

    @cached_property
    def _by_key(self) -> tuple[KeyArray, ScoreArray]:
        if (self.keys[1:] > self.keys[:-1]).all():  # as `merge` leaves them
            return self.keys, self.scores
        order = np.argsort(self.keys)
        return self.keys[order], self.scores[order]

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

    def prepare(self) -> None:
        """Make what is made at first use."""
        _ = self._by_key, self._ordered

    def top(self, n: int) -> list[int]:
        """Up to `n` (≤ TOP_MAX) best keys, best first; ties by key."""
        return self._ordered[:n]


class Aggregates:
    """One snapshot. `neighbours` maps a row key to its scores: an item's own key to what was chosen with it,
    `bought_row_key` to what was bought with it (Scores, ≤ 64 each), `segment_key` to what is popular there
    (≤ 256). A recommender holds only the rows that it was told to have (`want`)."""

    def __init__(self, trending: Scores, popular: Scores, neighbours: Mapping[int, Scores]) -> None:
        self.trending = trending
        self.popular = popular
        self.neighbours = neighbours
        # Made here, by whoever merges in a thread, and not by the first answer.
        logs = self._log_counts(popular.scores)
        self._log_sums = float(logs.sum()), float((logs * logs).sum())
        for scores in (trending, popular):
            scores.prepare()

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
        for scores, half_life_s in ((self.trending, TREND_HALF_LIFE_S), (self.popular, POPULAR_HALF_LIFE_S)):
            if np.isfinite(scores.best):
                return scores.best * half_life_s
        return 0.0

    def popularity_scale(self, items: int) -> tuple[float, float]:
        """(mean, spread) of `log_counts` over the `items` of a catalogue."""
        items = max(items, len(self.popular), 1)
        mean, square = (total / items for total in self._log_sums)
        return mean, max(square - mean * mean, POPULARITY_SPREAD_MIN**2) ** 0.5

    def log_counts(self, keys: KeyArray) -> ScoreArray:
        """ln(1 + decayed count) of item keys, f64 of the same shape."""
        return self._log_counts(self.popular.of(keys))

    def log_trends(self, keys: KeyArray) -> ScoreArray:
        """ln(1 + count that decays within days) of item keys, f64 of the same shape."""
        counts = np.exp2(np.minimum(self.trending.of(keys) - self.newest_s / TREND_HALF_LIFE_S, 60.0))
        logs: ScoreArray = np.log1p(counts)
        return logs

    def bought_with(self, item: int) -> Scores | None:
        """How often others were bought together with an item, by its key; None: not that anybody knew.

        Each visit to the shop counts a pair once, whatever was spent: a count above 1 (`counts`) is more than
        one visit. Rows and baskets are bounded, so that counts may fall short and never exceed.
        """
        return self.neighbours.get(bought_row_key(item))

    def segment(self, segment: str) -> Scores | None:
        """What is popular in a segment such as "country=DE" (`segments_of` reads them from a context).

        Weights decay as those of `popular` do, and fall short of the truth for what is rare there. Raises
        ValueError for no segment.
        """
        return self.neighbours.get(segment_key(segment))

    def counts(self, row: Scores) -> ScoreArray:
        """Decayed counts of a row (of an item or a segment) f64[n], in the order of its keys; 30 days halve
        one. Zeros where the snapshot holds nothing: rows are read on demand, and without it nobody knows how
        old they are."""
        if self.newest_s == 0.0:
            return np.zeros(len(row))
        counts: ScoreArray = np.exp2(np.minimum(row.scores - self.newest_s / COVISIT_HALF_LIFE_S, 60.0))
        return counts

    def covisit_shares(self, rows: Sequence[Scores]) -> ScoreArray:
        """How strong each neighbour is, 0 to 1: its decayed count over its row's strongest one plus PRIOR.

        The rows stand one after the other; none may be empty.
        """
        scores = np.concatenate([row.scores for row in rows])
        counts = np.exp2(np.minimum(scores - self.newest_s / COVISIT_HALF_LIFE_S, 60.0))
        lengths = [len(row) for row in rows]
        best = np.maximum.reduceat(counts, list(accumulate(lengths[:-1], initial=0)))
        shares: ScoreArray = counts / (best + COVISIT_PRIOR).repeat(lengths)
        return shares

    def _log_counts(self, scores: ScoreArray) -> ScoreArray:
        counts = np.exp2(np.minimum(scores - self.newest_s / POPULAR_HALF_LIFE_S, 60.0))
        logs: ScoreArray = np.log1p(counts)
        return logs


# Pairs that must be seen before a neighbour counts half: one coincidence is none.
COVISIT_PRIOR: Final = 2.0
# The least count of `bought_with` that "often bought with" may be said of. One visit counts 1 at most, so it
# takes two of the last days, or three of the last month.
BOUGHT_COUNT_MIN: Final = 1.5
