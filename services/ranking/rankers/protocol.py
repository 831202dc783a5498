"""What a ranker is."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from services.ranking.gather import Pool
from services.ranking.question import Question
from services.ranking.state import Reason

RowArray = NDArray[np.int64]
ScoreArray = NDArray[np.float64]
KeyArray = NDArray[np.uint64]


class Scored(NamedTuple):
    """Candidates and what orders them, all of length n.

    `rows` i64[n] of the catalogue, -1 for items that are in none; `keys` u64[n] of the items; `score` f64[n],
    the higher the better, finite, in any unit. `reasons_of` gives a reason for each of some places.
    """

    rows: RowArray
    keys: KeyArray
    score: ScoreArray
    strategy: str  # the step of the ladder
    reasons_of: Callable[[list[int]], list[Reason]]
    in_order: bool = False  # best first already


class Ranker(Protocol):
    """One way to order candidates. Holds no state: all it knows is in question and pool."""

    # One line for the documentation and `GET /scenarios`.
    text: str
    # What `weights` of a scenario may name.
    terms: frozenset[str] = frozenset()

    def score(self, question: Question, pool: Pool) -> Scored | None:
        """Score the pool's rows, or those of them that it can; None where it has nothing to say, and the
        list is filled as the scenario says.
        """
        ...
