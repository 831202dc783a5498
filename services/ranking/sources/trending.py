"""What many turn to now."""

from __future__ import annotations

from services.ranking.question import Question
from services.ranking.sources.demanded import wanted_most
from services.ranking.sources.protocol import Found, Source


class Trending(Source):
    """By a count that halves within a day."""

    strategy = "trending"
    text = "what many turn to now (half-life of a day)"

    def find(self, question: Question, limit: int | None) -> Found:
        """See Source.find."""
        return wanted_most(question, question.state.aggregates.trending, "trending", limit)
