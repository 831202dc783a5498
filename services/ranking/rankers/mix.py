"""Several sources mixed by their weights."""

from __future__ import annotations

from typing import Final

import numpy as np

from services.ranking.gather import Pool
from services.ranking.question import Question
from services.ranking.rankers.protocol import Ranker, Scored
from services.ranking.state import Reason

# Cormack, Clarke and Büttcher, "Reciprocal Rank Fusion outperforms Condorcet and individual Rank Learning
# Methods", SIGIR 2009: score = Σ weight / (60 + place).
RANK_OFFSET: Final = 60.0


class Mix(Ranker):
    """Reciprocal rank fusion: what several sources place high comes first. No unit has to be compared."""

    text = "several sources mixed: Σ weight / (60 + place)"

    def score(self, question: Question, pool: Pool) -> Scored | None:
        """See Ranker.score."""
        rows = pool.rows
        if not len(rows):
            return None
        score = np.zeros(len(rows))
        for part in pool.led:
            found = part.found.rows[part.found.rows >= 0]
            at = np.minimum(rows.searchsorted(found), len(rows) - 1)
            there = (rows[at] == found).nonzero()[0][::-1]  # of an item found twice the first place counts
            score[at[there]] += part.use.weight / (RANK_OFFSET + 1.0 + there)

        def reasons_of(places: list[int]) -> list[Reason]:
            return [pool.reason_of(int(rows[at])) for at in places]

        strategy = next((part.source.strategy for part in pool.parts if len(part.found.rows)), "catalogue")
        return Scored(rows, question.catalogue.keys[rows], score, strategy, reasons_of)
