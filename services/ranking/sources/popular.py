"""What many turned to over the last weeks."""

from __future__ import annotations

from services.ranking.question import Question
from services.ranking.sources.demanded import wanted_most
from services.ranking.sources.protocol import Found, Source


class Popular(Source):
    """By a count that halves within a month."""

    strategy = "popular"
    text = "what many turned to over the last weeks (half-life of a month)"

    def find(self, question: Question, limit: int | None) -> Found:
        """See Source.find."""
        return wanted_most(question, question.state.aggregates.popular, "popular", limit)
