"""What came before and after the last items, from the tables of a trained release."""

from __future__ import annotations

from services.ranking.question import Question
from services.ranking.sources.protocol import Found, Source, always, nothing


class Transitions(Source):
    """Followers and predecessors of the last five items."""

    strategy = "model"
    needs_model = True
    text = "what came before and after the last items, in the events that the release was trained on"

    def find(self, question: Question, limit: int | None) -> Found:
        """See Source.find."""
        if question.features is None:
            return nothing()
        return Found(question.features.followers()[:limit], always(question.say.plain("taste")))
