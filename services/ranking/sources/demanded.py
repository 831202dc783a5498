"""What the sources of popular things share."""

from __future__ import annotations

import numpy as np

from services.ranking.aggregates import TOP_MAX, Scores
from services.ranking.demand import NOW_DAYS, WEEKS_DAYS
from services.ranking.filters import CategoryPath, Equal
from services.ranking.question import Question
from services.ranking.sources.protocol import Found, RowArray, always


def wanted_most(question: Question, scores: Scores, code: str, limit: int | None) -> Found:
    """The best of a snapshot; under a filter the best of those that it lets in, however far down they are.

    Where the filter asks for one category, the reason is `code` in that category. What nobody has turned to
    for weeks is not trending; it may still be the most popular there is, and is not called so.
    """
    demand, say = question.demand, question.say
    is_trending = scores is question.state.aggregates.trending
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
    if is_trending or (called := demand.since(rows, WEEKS_DAYS)).all():
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
    catalogue, demand, mask = question.catalogue, question.demand, question.rules.mask
    assert mask is not None
    most = TOP_MAX if limit is None else min(limit, TOP_MAX)
    top = catalogue.rows_of_top(scores)
    top = top[mask[top]]
    if len(top) >= most or len(scores) <= TOP_MAX:
        return top
    # 2.
    rows = question.rules.matched
    worth = (demand.trend if scores is question.state.aggregates.trending else demand.log_counts)(rows)
    least = np.partition(worth, -most)[-most] if most < len(worth) else 0.0
    (best,) = ((worth >= least) & (worth > 0)).nonzero()
    rows, worth = rows[best], worth[best]
    found: RowArray = rows[np.lexsort((catalogue.keys[rows], -worth))]
    return found
