"""What is wanted where this request comes from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import numpy as np

from services.kernel.segments import segment_keys_of, segments_of
from services.ranking.question import Question
from services.ranking.sources.protocol import Found, RowArray, ScoreArray, Source, nothing
from services.ranking.state import RankRequest, Reason

# The least decayed weight in a segment that "popular in" may be said of. Rows count no people; one who views
# (1), carts (3) and buys (5) comes to 9, which is no popularity. Two who buy come to 10, above this for two
# days.
HERE_WEIGHT_MIN: Final = 9.5
# What a place in a device's list is worth beside the same place in a country's: taste, language and rights
# end at borders, and what is wanted on phones is much like what is wanted anywhere.
DEVICE_SHARE: Final = 0.5


class PopularHere(Source):
    """Popular in the country and on the device that the request names in `context`; nothing without.

    Each item counts with its weight over the best one's, the country's in full and the device's by half.
    """

    strategy = "popular"
    text = "what is popular in the country and on the device of the request's `context`"

    def find(self, question: Question, limit: int | None) -> Found:
        """See Source.find."""
        segments = [
            segment for name in segments_of(question.request.context) if (segment := _of(question, name))
        ]
        if not segments:
            return nothing()
        rows = np.sort(np.concatenate([segment.rows for segment in segments]))
        # np.unique would import numpy.ma first, 8 ms of a first answer.
        rows = rows[np.diff(rows, prepend=-1) > 0]
        shares = np.zeros((len(segments), len(rows)))
        for at, segment in enumerate(segments):
            shares[at, rows.searchsorted(segment.rows)] = segment.shares
        total = shares.sum(axis=0)
        order = np.lexsort((question.catalogue.keys[rows], -total))[:limit]
        more = shares.argmax(axis=0)[order]
        reasons = [segment.reason for segment in segments]
        return Found(rows[order], lambda place: reasons[more[place]], score=total[order])

    def reads(self, latest: Sequence[int], request: RankRequest) -> Iterable[int]:
        """See Source.reads."""
        return segment_keys_of(request.context)


class _Segment(NamedTuple):
    """What is popular in one segment: distinct rows of the catalogue and their shares, 0 to 1."""

    rows: RowArray
    shares: ScoreArray
    reason: Reason


def _of(question: Question, name: str) -> _Segment | None:
    aggregates = question.state.aggregates
    scores = aggregates.segment(name)
    if scores is None or not len(scores):
        return None
    rows, weights = question.catalogue.places_of(scores), aggregates.counts(scores)
    there = (rows >= 0) & (weights >= HERE_WEIGHT_MIN)
    if not there.any():
        return None
    rows, weights = rows[there], weights[there]
    field, _, value = name.partition("=")
    if field == "country":
        return _Segment(rows, weights / weights.max(), question.say.place("popular_here", country=value))
    shares = DEVICE_SHARE * weights / weights.max()
    return _Segment(rows, shares, question.say.place("popular_on_device", device=value))
