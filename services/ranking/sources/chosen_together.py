"""What others chose in one go with the subject's last items."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from services.ranking.question import Question
from services.ranking.sources.protocol import Found, Source
from services.ranking.state import RankRequest, Reason


class ChosenTogether(Source):
    """Live co-visitation of the last ten items."""

    strategy = "session"
    text = "what others looked at, carted or bought within half an hour of the user's last items"

    def find(self, question: Question, limit: int | None) -> Found:
        """See Source.find."""
        near, recent, say = question.blend.neighbours, question.evidence.recent, question.say
        best = np.lexsort((near.rows, -near.share))[:limit]
        led_by = near.led_by[best]

        def reason_of(place: int) -> Reason:
            return say.about("chosen_with_item", recent[int(led_by[place])].row)

        return Found(near.rows[best], reason_of)

    def reads(self, latest: Sequence[int], request: RankRequest) -> Iterable[int]:
        """See Source.reads."""
        return latest
