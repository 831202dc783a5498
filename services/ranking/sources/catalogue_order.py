"""The catalogue in its own order: the end of the ladder."""

from __future__ import annotations

import numpy as np

from services.ranking.question import Question
from services.ranking.sources.protocol import NO_ROWS, Found, RowArray, Source, always
from services.ranking.state import MAX_N

# A list takes MAX_N; groups and caps take some away.
ENOUGH = 4 * MAX_N


class CatalogueOrder(Source):
    """Whatever may be shown, in the order in which it came; the candidates of a request in theirs."""

    strategy = "catalogue"
    text = "the catalogue in its own order"

    def find(self, question: Question, limit: int | None) -> Found:
        """See Source.find. Looks no further than it has to."""
        rows = self._rows(question, limit or ENOUGH)
        return Found(rows, always(question.say.plain("catalogue")), score=np.zeros(len(rows)))

    def _rows(self, question: Question, most: int) -> RowArray:
        rules, catalogue = question.rules, question.catalogue
        if rules.candidates is not None:
            return np.array(rules.candidates, dtype=np.int64)[:most]
        if rules.mask is not None:
            (rows,) = rules.mask.nonzero()
            matched: RowArray = rows[rules.allowed(rows)][:most]
            return matched
        found = [NO_ROWS]
        count, start = 0, 0
        while start >= 0 and count < most:
            rows, start = catalogue.in_order(start, question.request.now_ms)
            rows = rows[rules.allowed(rows)]
            found.append(rows)
            count += len(rows)
        return np.concatenate(found)[:most]
