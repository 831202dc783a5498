"""The best ranker that there is for this release and this user."""

from __future__ import annotations

from services.ranking.blend import WEIGHTS
from services.ranking.gather import Pool
from services.ranking.question import Question
from services.ranking.rankers.blended import Blended
from services.ranking.rankers.protocol import Ranker, Scored
from services.ranking.rankers.trained import Trained


class Auto(Ranker):
    """The release's trained ranker; where it has none, or the model is late, the blend."""

    text = "the release's trained ranker, else the blend"
    terms = frozenset(WEIGHTS)

    def __init__(self) -> None:
        self._trained = Trained()
        self._blended = Blended()

    def score(self, question: Question, pool: Pool) -> Scored | None:
        """See Ranker.score."""
        return self._trained.score(question, pool) or self._blended.score(question, pool)
