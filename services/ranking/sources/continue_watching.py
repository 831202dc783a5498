"""What the subject began to watch."""

from __future__ import annotations

from services.ranking.question import Question
from services.ranking.sources.protocol import Found, Source, nothing


class ContinueWatching(Source):
    """Videos begun and not finished, the last first; the next episode after a finished one."""

    strategy = "session"
    text = "videos begun and not finished, and the next episode of those finished"

    def find(self, question: Question, limit: int | None) -> Found:
        """See Source.find."""
        return nothing()
