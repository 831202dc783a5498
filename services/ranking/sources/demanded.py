"""What the sources of popular things share."""

from __future__ import annotations

from typing import Final

import numpy as np

from services.ranking.aggregates import TOP_MAX, Scores
from services.ranking.demand import NOW_DAYS, WEEKS_DAYS
from services.ranking.filters import CategoryPath, Equal
from services.ranking.question import Question
from services.ranking.sources.protocol import Found, RowArray, always

# Where a source has no limit, so many times n that may be shown are enough: groups and caps take some away.
ENOUGH: Final = 4


def wanted_most(question: Question, scores: Scores, code: str, limit: int | None) -> Found:
    """The best of a snapshot; under a filter and of candidates the best of those, however far down they are.

    Where the filter asks for one category, the reason is `code` in that category. What nobody has turned to
    for weeks is not trending; it may still be the most popular there is, and is not called so. Nor are
    candidates that are none of the best of all.
    """
    demand, say = question.demand, question.say
    is_trending = scores is question.state.aggregates.trending
    if question.rules.candidates is not None:
        return _candidates_by_worth(question, scores, code, limit)
    if question.rules.mask is None:
        rows = demand.trending_rows if is_trending else question.catalogue.rows_of_top(scores)
        reason = say.plain(code)
    else:
        rows = _best_of(question, scores, limit)
        if is_trending:
            rows = rows[demand.since(rows, NOW_DAYS)]
        path = category_of(question)
        reason = say.plain(code) if path is None else say.shelf(f"{code}_in_category", path)
    rows = rows[:limit]
    if is_trending:
        return Found(rows, always(reason))
    unruled = question.rules.mask is None
    called = demand.popular_since[:limit] if unruled else demand.since(rows, WEEKS_DAYS)
    if called.all():
        return Found(rows, always(reason))
    plain = say.plain("catalogue")
    return Found(rows, lambda place: reason if called[place] else plain)


def category_of(question: Question) -> tuple[str, ...] | None:
    """The category path that all items of the list are in, since its filter asks for it alone; of several
    the deepest. None where the filter asks for no category, or for any of several.
    """
    wanted = question.asked
    if wanted is None or "categories" not in wanted.fields():
        return None
    found = [
        part.values[0].names
        for part in wanted.parts
        if isinstance(part, Equal)
        and part.field == "categories"
        and len(part.values) == 1
        and isinstance(part.values[0], CategoryPath)
    ]
    return max(found, key=len, default=None)


def _best_of(question: Question, scores: Scores, limit: int | None) -> RowArray:
    """1. The best of all are held in order: mostly enough of them pass.
    2. Else the rows that pass are asked what they are worth. The other way round, to find the rows of all
       keys of a snapshot, takes 15 ms at 100,000, each second anew.
    """
    # 1.
    rules = question.rules
    assert rules.mask is not None
    top = question.catalogue.rows_of_top(scores)
    top = top[rules.mask[top]]
    if limit is None:
        enough = int(np.count_nonzero(rules.allowed(top))) >= ENOUGH * question.request.n
    else:
        enough = len(top) >= min(limit, TOP_MAX)
    if enough or len(scores) <= TOP_MAX:
        return top
    # 2.
    return _by_worth(question, scores, rules.matched)


def _candidates_by_worth(question: Question, scores: Scores, code: str, limit: int | None) -> Found:
    demand, rules, say = question.demand, question.rules, question.say
    rows = np.array(sorted(rules.candidates or ()), dtype=np.int64)
    rows = _by_worth(question, scores, rows[rules.allowed(rows)])
    is_trending = scores is question.state.aggregates.trending
    if is_trending:
        rows = rows[demand.since(rows, NOW_DAYS)]
    rows = rows[:limit]
    called = np.isin(rows, question.catalogue.rows_of_top(scores)) & demand.since(rows, WEEKS_DAYS)
    wanted, other = say.plain(code), say.plain("catalogue")
    return Found(rows, lambda place: wanted if called[place] else other)


def _by_worth(question: Question, scores: Scores, rows: RowArray) -> RowArray:
    """The best TOP_MAX of some rows, the most wanted first; what nobody wanted is left out."""
    demand = question.demand
    worth = (demand.trend if scores is question.state.aggregates.trending else demand.log_counts)(rows)
    least = np.partition(worth, -TOP_MAX)[-TOP_MAX] if len(worth) > TOP_MAX else 0.0
    (best,) = ((worth >= least) & (worth > 0)).nonzero()
    rows, worth = rows[best], worth[best]
    found: RowArray = rows[np.lexsort((question.catalogue.keys[rows], -worth))]
    return found
