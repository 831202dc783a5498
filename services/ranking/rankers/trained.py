"""The second graph of a trained release."""

from __future__ import annotations

import numpy as np

from services.ranking.gather import Pool
from services.ranking.question import Question
from services.ranking.rankers.protocol import Ranker, Scored
from services.ranking.reasons import Reasons
from services.ranking.state import Reason


class Trained(Ranker):
    """Scores 21 features of each candidate (`services.ranking.features`). Says nothing without a ranker in
    the release, or when the model is late.
    """

    text = "the release's second graph, over 21 features of each candidate"

    def score(self, question: Question, pool: Pool) -> Scored | None:
        """See Ranker.score."""
        state, ranked, rows = question.state, question.ranked, pool.rows
        ranker = state.model.ranker if state.model is not None else None
        if ranker is None or ranked is None or not question.blend.founded or not len(rows):
            return None
        evidence, blend, say = question.evidence, question.blend, question.say

        def reasons_of(places: list[int]) -> list[Reason]:
            """By the blend's terms, worked out for what is shown alone: its own features name no evidence."""
            shown = rows[places]
            rising = np.sort(shown)
            places = np.searchsorted(rising, shown).tolist()
            return Reasons(state, evidence, blend.terms(rising), places, say, personal_first=True).all()

        score = ranker.scores(ranked.features(rows))
        return Scored(rows, question.catalogue.keys[rows], score, "model", reasons_of)
