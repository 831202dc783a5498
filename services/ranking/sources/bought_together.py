"""What others bought in one go with an item."""

from __future__ import annotations

from services.ranking.question import Question
from services.ranking.sources.protocol import Found, Source, nothing


class BoughtTogether(Source):
    """Co-purchases of the item that the request names, else of the subject's last one."""

    strategy = "session"
    text = "what others bought in one go with `item_id`"

    def find(self, question: Question, limit: int | None) -> Found:
        """See Source.find."""
        return nothing()
