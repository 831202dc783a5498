"""Candidates for a filter that lets little in, which sources that look at everything may miss."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from services.ranking.question import Question

RowArray = NDArray[np.int64]

# A category page has some hundred items, and all of them are candidates. Of more, the nearest to a vector:
# of so many rows at most, evenly drawn: most of the time goes into fetching their vectors, .1 ms for 1,000.
ALL: Final = 512
LOOKED_AT: Final = 2048
NEAREST: Final = 256


def matching(question: Question, vector: NDArray[np.float32] | None) -> RowArray:
    """Rising rows that the filter lets in and that may be shown: all, or those nearest to `vector` f32[d]."""
    rules = question.rules
    rows = rules.matched
    if len(rows) > LOOKED_AT:
        rows = rows[np.linspace(0, len(rows) - 1, LOOKED_AT, dtype=np.int64)]
        rows = rules.with_entries(rows)
    rows = rows[rules.allowed(rows)]
    if len(rows) <= ALL or vector is None:
        return rows[:ALL]
    vectors, _ = question.catalogue.vectors(rows)
    best = np.argpartition(-(vectors @ vector), NEAREST)[:NEAREST]
    nearest: RowArray = np.sort(rows[best])
    return nearest
