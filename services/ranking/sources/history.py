"""What the subject had to do with before."""

from __future__ import annotations

import numpy as np

from services.ranking.question import Question
from services.ranking.sources.protocol import Found, Source
from services.ranking.state import Reason


class History(Source):
    """The subject's own items; those most likely to be wanted again come first."""

    strategy = "session"
    text = "what the user viewed or bought before, the likeliest to be wanted again first"

    def find(self, question: Question, limit: int | None) -> Found:
        """See Source.find. A trained ranker judges by itself which of them are wanted again."""
        evidence, say = question.evidence, question.say
        worth = evidence.repeats
        if question.ranked is not None:
            worth = {row: had.worth for row, had in evidence.had.items()}
        rows = sorted(worth, key=lambda row: (-worth[row], evidence.had[row].ago))[:limit]

        def reason_of(place: int) -> Reason:
            return say.had_before(evidence, rows[place])

        return Found(np.array(rows, dtype=np.int64), reason_of)
