"""Items like one item: by metadata or learned vectors, and by what was chosen together with it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from services.kernel.ids import item_key
from services.ranking.matching import matching
from services.ranking.question import Question
from services.ranking.reasons import NEAR_COSINE
from services.ranking.sources.protocol import Found, Source, nothing
from services.ranking.state import RankRequest, Reason

NEW_CANDIDATES: Final = 32
# Chosen together often is worth as much as a cosine of 1 more: behaviour knows what metadata does not.
COVISIT_WEIGHT: Final = 1.0
POPULAR_WEIGHT: Final = 0.02  # decides between items that are equally alike
LEAST_SHARE: Final = 0.1  # of the strongest pair; what was chosen together less often is a coincidence


class Similar(Source):
    """Like the item that the request names, else like the subject's last one."""

    strategy = "model"
    text = "items like `item_id`, by their vectors and by what was chosen together"

    def find(self, question: Question, limit: int | None) -> Found:
        """See Source.find."""
        catalogue, row = question.catalogue, question.about[0]
        question.rules.keep_out(row)
        rows, share = _candidates(question)
        if not len(rows):
            return nothing()
        cosine = _cosines(question, rows)
        alike = cosine + COVISIT_WEIGHT * share
        total = alike + POPULAR_WEIGHT * question.demand.popularity(rows)
        order = np.lexsort((catalogue.keys[rows], -total))
        near = cosine >= NEAR_COSINE
        order = order[(near | (share >= LEAST_SHARE))[order]][:limit]
        together = question.say.about("chosen_with_item", row)
        similar_to = question.say.about("similar_to_item", row)
        more_together = (~near | (COVISIT_WEIGHT * share > cosine))[order]

        def reason_of(place: int) -> Reason:
            return together if more_together[place] else similar_to

        return Found(rows[order], reason_of, score=total[order])

    def reads(self, latest: Sequence[int], request: RankRequest) -> Iterable[int]:
        """See Source.reads."""
        return latest if request.item_id is None else (item_key(request.item_id),)


def _candidates(question: Question) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Rising rows, and how strongly each is chosen together with the item, 0 to 1."""
    catalogue, aggregates, (row, key) = question.catalogue, question.state.aggregates, question.about
    shares: dict[int, float] = {}
    near = aggregates.neighbours.get(key)
    if near is not None and len(near):
        places, strengths = catalogue.places_of(near).tolist(), aggregates.covisit_shares([near]).tolist()
        shares = {at: share for at, share in zip(places, strengths, strict=True) if at >= 0}
    found = [np.fromiter(shares, np.int64, len(shares))]
    mine = catalogue.vector(row)
    if mine is not None:
        found += [catalogue.nearest(row), catalogue.nearest_new(mine, NEW_CANDIDATES)]
    if question.rules.candidates is not None:
        found = [np.array(question.rules.candidates, dtype=np.int64)]
    elif question.rules.mask is not None:
        found.append(matching(question, mine))
    mark = np.zeros(catalogue.row_count, dtype=np.bool_)
    for some in found:
        mark[some] = True
    (rows,) = mark.nonzero()
    rows = question.rules.with_entries(rows)
    rows = rows[question.rules.allowed(rows)]
    rows = rows[rows != row]
    return rows, np.array([shares.get(at, 0.0) for at in rows.tolist()])


def _cosines(question: Question, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    mine = question.catalogue.vector(question.about[0])
    if mine is None:
        return np.zeros(len(rows))
    others, _ = question.catalogue.vectors(rows)
    lengths = np.linalg.norm(others, axis=1) * float(np.linalg.norm(mine))
    cosine: NDArray[np.float64] = ((others @ mine) / np.maximum(lengths, 1e-9)).astype(np.float64)
    return cosine
