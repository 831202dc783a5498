"""What the sources of popular things share."""

from __future__ import annotations

import numpy as np

from services.ranking.aggregates import TOP_MAX, Scores
from services.ranking.question import Question
from services.ranking.sources.protocol import Found, RowArray, always


def wanted_most(question: Question, scores: Scores, code: str, limit: int | None) -> Found:
    """The best of a snapshot; under a filter the best of those that it lets in, however far down they are."""
    if question.rules.mask is None:
        rows = question.catalogue.rows_of_top(scores)
    else:
        rows = _best_of(question, scores, question.rules.mask)
    return Found(rows[:limit], always(question.say.plain(code)))


def _best_of(question: Question, scores: Scores, mask: np.typing.NDArray[np.bool_]) -> RowArray:
    rows = question.catalogue.places_of(scores)
    (there,) = ((rows >= 0) & mask[rows]).nonzero()
    worth = scores.scores[there]
    if len(there) > TOP_MAX:
        best = np.argpartition(-worth, TOP_MAX)[:TOP_MAX]
        there, worth = there[best], worth[best]
    found: RowArray = rows[there[np.lexsort((scores.keys[there], -worth))]]
    return found
