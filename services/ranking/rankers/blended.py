"""A weighted sum of a few terms: what orders a list before anything is trained."""

from __future__ import annotations

from services.ranking.blend import WEIGHTS
from services.ranking.gather import Pool
from services.ranking.question import Question
from services.ranking.rankers.protocol import Ranker, Scored
from services.ranking.reasons import Reasons
from services.ranking.state import Reason


class Blended(Ranker):
    """See `services.ranking.blend`. Says nothing where the profile says nothing about this catalogue."""

    text = "similarity, popularity, covisitation, repeat and session, weighted"
    terms = frozenset(WEIGHTS)

    def score(self, question: Question, pool: Pool) -> Scored | None:
        """See Ranker.score."""
        if not question.blend.founded or not len(pool.rows):
            return None
        state, evidence, blend, say = question.state, question.evidence, question.blend, question.say
        terms = blend.terms(pool.rows)

        def reasons_of(places: list[int]) -> list[Reason]:
            return Reasons(state, evidence, terms, places, say).all()

        strategy = "model" if blend.by_model else "session"
        return Scored(pool.rows, question.catalogue.keys[pool.rows], terms.score, strategy, reasons_of)
