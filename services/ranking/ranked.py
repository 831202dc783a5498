"""A trained release's for_you: what followed the last items, and what the ranker is asked about."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from services.ranking.blend import Neighbours
from services.ranking.demand import demand_of
from services.ranking.evidence import Evidence
from services.ranking.features import FloatArray, Sources, features_of
from services.ranking.model import ModelAnswer
from services.ranking.state import RankingState
from services.ranking.transitions import Tables

RowArray = NDArray[np.int64]

NETWORK_CANDIDATES: Final = 100  # with 200 the lists are no better, and cost as much more
FOLLOWED_ITEMS: Final = 5  # last items whose transitions are candidates
FOLLOWERS: Final = 40  # of each of them, in each direction
_NO_INDICES: Final = np.zeros(0, dtype=np.int64)


class Ranked:
    """One for_you list in the making. The trainer asks the same questions as `rank`."""

    def __init__(
        self,
        state: RankingState,
        evidence: Evidence,
        answer: ModelAnswer,
        tables: Tables,
        neighbours: Neighbours,
    ) -> None:
        catalogue = state.catalogue
        self._catalogue = catalogue
        recent = np.array([item.row for item in evidence.recent], dtype=np.int64)
        indices = np.where(recent >= 0, catalogue.indices_of_rows(np.maximum(recent, 0)), -1)
        self._sources = Sources(
            catalogue,
            demand_of(state),
            evidence,
            answer,
            indices.tolist(),
            tables,
            neighbours.rows,
            neighbours.share,
        )

    def followers(self) -> RowArray:
        """Rows of what came before and after the last items; -1 for what is in no catalogue."""
        sources = self._sources
        found: list[NDArray[Any]] = [_NO_INDICES]
        for table in (sources.tables.forward, sources.tables.backward):
            if table is not None:
                found += [table.row(index, FOLLOWERS) for index in sources.recent[:FOLLOWED_ITEMS]]
        return self._catalogue.rows_of_indices(np.concatenate(found))

    def features(self, rows: RowArray) -> FloatArray:
        """f32[n, len(FEATURES)] of rising `rows`."""
        return features_of(rows, self._sources)
