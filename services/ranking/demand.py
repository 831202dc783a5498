"""What everybody wants, by the catalogue's rows, so that an answer reads arrays and hardly a key."""

from __future__ import annotations

from functools import cached_property
from typing import Final
from weakref import WeakKeyDictionary, ref

import numpy as np
from numpy.typing import NDArray

from services.ranking.aggregates import POPULAR_HALF_LIFE_S, TREND_HALF_LIFE_S, Aggregates
from services.ranking.catalogue import Catalogue
from services.ranking.state import RankingState

TRENDING_PLACES: Final = 100  # the best so many are called trending
POPULAR_PLACES: Final = 200
NEW_POPULARITY: Final = 0.0
# Scores never reach zero: among what nobody has asked for in a year something still comes first. So old may
# the newest event of an item be, at most, that is wanted "right now" and "over the last weeks".
NOW_DAYS: Final = 10.0
WEEKS_DAYS: Final = 42.0
_DAY_S: Final = 86_400.0
_TINY: Final = 1e-300  # both counts know the same items, but for a moment while they are written
# What a day's age adds to log2 of the quotient of both counts, where all events are of one age.
_BITS_A_DAY: Final = _DAY_S / TREND_HALF_LIFE_S - _DAY_S / POPULAR_HALF_LIFE_S


class Demand:
    """A snapshot of the aggregates over one layout of a catalogue."""

    def __init__(self, aggregates: Aggregates, catalogue: Catalogue) -> None:
        self._aggregates = ref(aggregates)  # a strong one would keep every snapshot in `_kept` for ever
        self._catalogue = catalogue
        self.layout = catalogue.layout
        # Looked up when a row is first asked for: a deep snapshot must not hold up the answer that meets it.
        self._log_counts = np.full(catalogue.row_count, np.nan)
        self._trends = np.full(catalogue.row_count, np.nan)
        # A new item has had no chance to be popular: for_you takes it to be as popular as the mean, at least.
        self.least = np.full(catalogue.row_count, -np.inf)
        self.least[catalogue.new_rows()] = NEW_POPULARITY
        # Rows that are called so.
        trending = catalogue.places_of_keys(aggregates.trending.top(TRENDING_PLACES))
        popular = catalogue.places_of_keys(aggregates.popular.top(POPULAR_PLACES))
        trending, popular = trending[trending >= 0], popular[popular >= 0]
        self._newest_days = float(self._moments(trending).max(initial=-np.inf))
        self.trending = frozenset(trending[self.since(trending, NOW_DAYS)].tolist())
        self.popular = frozenset(popular[self.since(popular, WEEKS_DAYS)].tolist())

    @property
    def _snapshot(self) -> Aggregates:
        aggregates = self._aggregates()
        assert aggregates is not None  # whoever asks holds the state that it stands in
        return aggregates

    def popularity(self, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """z-scores of ln(1 + decayed count) among all items of the catalogue."""
        mean, spread = self._snapshot.popularity_scale(self._catalogue.size)
        return (self.log_counts(rows) - mean) / spread

    def log_counts(self, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """ln(1 + decayed count)."""
        logs = self._log_counts.take(rows)
        if np.isnan(logs.sum()):
            missing = rows[np.isnan(logs)]
            self._log_counts[missing] = self._snapshot.log_counts(self._catalogue.keys[missing])
            logs = self._log_counts.take(rows)
        return logs

    def trend(self, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """ln(1 + count that decays within days)."""
        found = self._trends.take(rows)
        if np.isnan(found.sum()):
            missing = rows[np.isnan(found)]
            self._trends[missing] = self._snapshot.log_trends(self._catalogue.keys[missing])
            found = self._trends.take(rows)
        return found

    @cached_property
    def trending_rows(self) -> NDArray[np.int64]:
        """The best of the snapshot that are trending, best first."""
        rows = self._catalogue.rows_of_top(self._snapshot.trending)
        return rows[self.since(rows, NOW_DAYS)]

    @cached_property
    def popular_since(self) -> NDArray[np.bool_]:
        """Which of the catalogue's `rows_of_top` of the popular are called so."""
        return self.since(self._catalogue.rows_of_top(self._snapshot.popular), WEEKS_DAYS)

    def since(self, rows: NDArray[np.int64], days: float) -> NDArray[np.bool_]:
        """Which rows certainly had an event in the last `days` of the shop (its newest event ends them)."""
        return self._moments(rows) >= self._newest_days - days

    def _moments(self, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """A moment that the newest event of each row does not lie before, in days by this snapshot's clock.

        Were no event younger than a, the count that halves in a day would be at most the one that halves in
        30 days times 2^(-a · 29/30). What is wanted all the time looks 4.6 days older than it is. -inf: its
        events are three years old, or there are none.
        """
        trend, count = np.expm1(self.trend(rows)), np.expm1(self.log_counts(rows))
        moments = np.full(len(rows), -np.inf)
        (known,) = (trend > 0).nonzero()
        moments[known] = np.log2(trend[known] / np.maximum(count[known], _TINY)) / _BITS_A_DAY
        return moments


def demand_of(state: RankingState) -> Demand:
    """Made anew for another snapshot, and when items come or go; some 0.1 ms."""
    catalogue, aggregates = state.catalogue, state.aggregates
    kept = _kept.get(aggregates)
    if kept is None or kept.layout is not catalogue.layout:
        kept = _kept[aggregates] = Demand(aggregates, catalogue)
    return kept


_kept: WeakKeyDictionary[Aggregates, Demand] = WeakKeyDictionary()
