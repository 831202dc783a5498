"""What others bought in one go with an item."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from services.kernel.covisits import bought_row_key
from services.kernel.ids import item_key
from services.ranking.aggregates import BOUGHT_COUNT_MIN
from services.ranking.question import Question
from services.ranking.sources.protocol import Found, Source, always, nothing
from services.ranking.state import RankRequest


class BoughtTogether(Source):
    """Co-purchases of the item that the request names, else of the subject's last one, most frequent first.

    Only pairs that more than one visit to the shop stands behind; where there are none, nothing is found and
    the scenario goes on with what is similar.
    """

    strategy = "session"
    text = "what others bought in one go with `item_id`, in more than one visit"

    def find(self, question: Question, limit: int | None) -> Found:
        """See Source.find. The score is the count of visits, halved every 30 days."""
        catalogue, aggregates, (row, key) = question.catalogue, question.state.aggregates, question.about
        question.rules.keep_out(row)
        bought = aggregates.bought_with(key)
        if bought is None or not len(bought):
            return nothing()
        counts, rows = aggregates.counts(bought), catalogue.places_of(bought)
        there = (counts >= BOUGHT_COUNT_MIN) & (rows >= 0)
        if row >= 0 and (group := int(catalogue.group[row])):
            there &= catalogue.group[rows] != group  # also where a list may hold several of a group
        rows, counts = rows[there], counts[there]
        order = np.lexsort((catalogue.keys[rows], -counts))[:limit]
        return Found(rows[order], always(question.say.about("bought_with_item", row)), score=counts[order])

    def reads(self, latest: Sequence[int], request: RankRequest) -> Iterable[int]:
        """See Source.reads."""
        return map(bought_row_key, latest if request.item_id is None else (item_key(request.item_id),))
