"""What the subject looked at last."""

from __future__ import annotations

import numpy as np

from services.ranking.evidence import viewed
from services.ranking.question import Question
from services.ranking.sources.protocol import Found, Source, nothing
from services.ranking.state import Reason


class RecentlyViewed(Source):
    """The ring, newest first, each item once; items in no catalogue too, which have a key alone."""

    strategy = "session"
    text = "what the user looked at, carted or bought, the last first; items in no catalogue too"

    def find(self, question: Question, limit: int | None) -> Found:
        """See Source.find."""
        if question.profile is None:
            return nothing()
        items = viewed(question.profile, question.catalogue)[:limit]

        say = question.say

        def reason_of(place: int) -> Reason:
            return say.did(items[place].type_number)

        rows = np.array([item.row for item in items], dtype=np.int64)
        return Found(rows, reason_of, np.array([item.key for item in items], dtype=np.uint64))
