"""What came into the catalogue last."""

from __future__ import annotations

from services.ranking.question import Question
from services.ranking.sources.protocol import Found, Source, always


class New(Source):
    """Items that the release does not know yet: nothing else finds them before somebody turned to one."""

    strategy = "session"
    text = "items that came after the release, the newest first"

    def find(self, question: Question, limit: int | None) -> Found:
        """See Source.find."""
        return Found(question.catalogue.newest()[:limit], always(question.say.plain("new")))


class NewArrivals(Source):
    """By `published_at`; what has none stands behind, the last that came first."""

    strategy = "catalogue"
    text = "what came into the catalogue last, the newest first"

    def find(self, question: Question, limit: int | None) -> Found:
        """See Source.find."""
        return Found(question.catalogue.newest()[:limit], always(question.say.plain("new")))
