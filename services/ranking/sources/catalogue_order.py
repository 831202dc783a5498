"""The catalogue in its own order: the end of the ladder."""

from __future__ import annotations

import numpy as np

from services.ranking.question import Question
from services.ranking.sources.protocol import Found, Source, always
from services.ranking.state import MAX_N

# A list takes MAX_N; groups and caps take some away.
ENOUGH = 4 * MAX_N


class CatalogueOrder(Source):
    """Whatever may be shown, in the order in which it came; the candidates of a request in theirs."""

    strategy = "catalogue"
    text = "the catalogue in its own order"

    def find(self, question: Question, limit: int | None) -> Found:
        """See Source.find. Looks no further than it has to."""
        rules, catalogue = question.rules, question.catalogue
        if rules.candidates is not None:
            return Found(
                np.array(rules.candidates, dtype=np.int64)[:limit], always(question.say.plain("catalogue"))
            )
        if rules.mask is not None:
            (rows,) = rules.mask.nonzero()
            return Found(
                rows[rules.allowed(rows)][: limit or ENOUGH], always(question.say.plain("catalogue"))
            )
        found = []
        count, start = 0, 0
        while start >= 0 and count < (limit or ENOUGH):
            rows, start = catalogue.in_order(start, question.request.now_ms)
            rows = rows[rules.allowed(rows)]
            found.append(rows)
            count += len(rows)
        return Found(np.concatenate(found)[:limit], always(question.say.plain("catalogue")))
