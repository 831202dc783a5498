"""What is like the item that is being looked at right now."""

from __future__ import annotations

from services.ranking.question import Question
from services.ranking.sources.protocol import Found, Source, always, nothing


class Session(Source):
    """Nearest to the last item, while the session is warm; a trained ranker has `transitions` instead."""

    strategy = "session"
    text = "what is nearest to the item looked at last, for two hours"

    def find(self, question: Question, limit: int | None) -> Found:
        """See Source.find."""
        row = question.blend.last_row
        if row < 0 or question.ranked is not None:
            return nothing()
        return Found(
            question.catalogue.nearest(row)[:limit], always(question.say.about("similar_to_item", row))
        )
