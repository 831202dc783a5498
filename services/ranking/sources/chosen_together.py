"""What others chose in one go with the subject's last items."""

from __future__ import annotations

import numpy as np

from services.ranking.question import Question
from services.ranking.reasons import chosen_with
from services.ranking.sources.protocol import Found
from services.ranking.state import Reason


class ChosenTogether:
    """Live co-visitation of the last ten items."""

    strategy = "session"
    text = "what others looked at, carted or bought within half an hour of the user's last items"

    def find(self, question: Question, limit: int | None) -> Found:
        """See Source.find."""
        near, catalogue, recent = question.blend.neighbours, question.catalogue, question.evidence.recent
        best = np.lexsort((near.rows, -near.share))[:limit]
        led_by = near.led_by[best]

        def reason_of(place: int) -> Reason:
            return chosen_with(catalogue, recent[int(led_by[place])])

        return Found(near.rows[best], reason_of)
