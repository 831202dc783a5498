"""What the release's network finds for this user."""

from __future__ import annotations

from typing import Final

import numpy as np

from services.ranking.question import Question
from services.ranking.sources.protocol import NO_ROWS, Found, Source, always, nothing

NEW_TO_IT: Final = 32  # items that came after the release, by the same vector


class Model(Source):
    """The network's best, and the nearest of the items that came after the release."""

    strategy = "model"
    needs_model = True
    text = "what the release's network finds for this user"

    def find(self, question: Question, limit: int | None) -> Found:
        """See Source.find."""
        catalogue, answer, user = question.catalogue, question.answer, question.blend.user
        if not question.blend.founded:
            return nothing()
        rows = NO_ROWS if answer is None else catalogue.rows_of_indices(answer.item_indices[:limit])
        if user is not None:
            rows = np.concatenate([rows, catalogue.nearest_new(user, NEW_TO_IT)])
        return Found(rows, always(question.say.plain("taste")))
