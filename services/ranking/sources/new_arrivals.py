"""What came into the catalogue last."""

from __future__ import annotations

from typing import Final

import numpy as np

from services.ranking.arrivals import NO_DATE
from services.ranking.question import Question
from services.ranking.sources.protocol import NO_ROWS, Found, RowArray, Source, always
from services.ranking.state import MAX_N, Reason

NEW_FOR_MS: Final = 90 * 86_400_000  # a season: what is older may be the latest there is, and is not new
ENOUGH: Final = 4 * MAX_N  # a list takes MAX_N; groups and caps take some away
_LOOKED_AT: Final = 1024  # rows at first


class New(Source):
    """Items that the release does not know yet: nothing else finds them before somebody turned to one."""

    strategy = "session"
    text = "items that came after the release, the newest first"

    def find(self, question: Question, limit: int | None) -> Found:
        """See Source.find."""
        return Found(question.catalogue.newest()[:limit], always(question.say.plain("new")))


class NewArrivals(Source):
    """By `published_at`, the latest first. What has none and came after the release stands behind all that
    is new by its date and before what is not; of the rest nobody knows when it came, and it is not here.
    """

    strategy = "catalogue"
    text = "what came into the catalogue last, the newest first"

    def find(self, question: Question, limit: int | None) -> Found:
        """See Source.find. Looks no further than it has to."""
        catalogue, want = question.catalogue, limit or ENOUGH
        dated = _first_allowed(question, _dated(question), want)
        is_new = catalogue.published_ms(dated) >= question.request.now_ms - NEW_FOR_MS
        undated = NO_ROWS
        if is_new.sum() < want:
            undated = _first_allowed(question, _undated(question), want)
        rows = np.concatenate([dated[is_new], undated, dated[~is_new]])[:want]
        new_ones = int(is_new.sum()) + len(undated)
        new, old = question.say.plain("new"), question.say.plain("catalogue")

        def reason_of(place: int) -> Reason:
            return new if place < new_ones else old

        return Found(rows, reason_of)


def _dated(question: Question) -> RowArray:
    """Rows with a date, the latest first; those of the request's candidates where it has some."""
    catalogue, candidates = question.catalogue, question.rules.candidates
    if candidates is None:
        return catalogue.latest()
    rows = np.array(candidates, dtype=np.int64)
    published_ms = catalogue.published_ms(rows)
    by_date: RowArray = rows[np.argsort(-published_ms, kind="stable")]
    return by_date[: np.count_nonzero(published_ms != NO_DATE)]


def _undated(question: Question) -> RowArray:
    """Rows without a date that came after the release, the last one first."""
    catalogue, candidates = question.catalogue, question.rules.candidates
    rows = catalogue.new_rows()[::-1]
    if candidates is not None:
        rows = rows[np.isin(rows, candidates)]
    undated: RowArray = rows[catalogue.published_ms(rows) == NO_DATE]
    return undated


def _first_allowed(question: Question, rows: RowArray, want: int) -> RowArray:
    """The first so many rows that may be shown, however far down they are."""
    rules = question.rules
    found, count, start, looked_at = [NO_ROWS], 0, 0, _LOOKED_AT
    while start < len(rows) and count < want:
        some = rows[start : start + looked_at]
        if rules.mask is not None:
            some = some[rules.mask[some]]
        some = some[rules.allowed(some)][: want - count]
        found.append(some)
        count += len(some)
        start += looked_at
        looked_at *= 4  # what is rare is not looked for in a hundred steps
    return np.concatenate(found)
