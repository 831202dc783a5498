"""What everybody wants, by the catalogue's rows, so that an answer reads arrays and hardly a key."""

from __future__ import annotations

from typing import Final
from weakref import WeakKeyDictionary, ref

import numpy as np
from numpy.typing import NDArray

from services.ranking.aggregates import Aggregates
from services.ranking.catalogue import Catalogue
from services.ranking.state import RankingState

TRENDING_PLACES: Final = 100  # the best so many are called trending
POPULAR_PLACES: Final = 200
NEW_POPULARITY: Final = 0.0


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
        self.trending = frozenset(catalogue.places_of_keys(aggregates.trending.top(TRENDING_PLACES)).tolist())
        self.popular = frozenset(catalogue.places_of_keys(aggregates.popular.top(POPULAR_PLACES)).tolist())

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


def demand_of(state: RankingState) -> Demand:
    """Made anew for another snapshot, and when items come or go; some 0.1 ms."""
    catalogue, aggregates = state.catalogue, state.aggregates
    kept = _kept.get(aggregates)
    if kept is None or kept.layout is not catalogue.layout:
        kept = _kept[aggregates] = Demand(aggregates, catalogue)
    return kept


_kept: WeakKeyDictionary[Aggregates, Demand] = WeakKeyDictionary()
