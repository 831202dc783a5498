"""What is wanted where this request comes from."""

from __future__ import annotations

from services.ranking.question import Question
from services.ranking.sources.protocol import Found, Source, nothing


class PopularHere(Source):
    """Popular in the country and on the device that the request names in `context`."""

    strategy = "popular"
    text = "what is popular in the country and on the device of the request"

    def find(self, question: Question, limit: int | None) -> Found:
        """See Source.find."""
        return nothing()
