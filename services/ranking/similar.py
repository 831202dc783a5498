"""Items like one item: by metadata or learned vectors, and by what was chosen together with it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from services.ranking.demand import demand_of
from services.ranking.reasons import title_of
from services.ranking.rules import Rules
from services.ranking.state import RankingState, Reason

NEW_CANDIDATES: Final = 32
# Chosen together often is worth as much as a cosine of 1 more: behaviour knows what metadata does not.
COVISIT_WEIGHT: Final = 1.0
POPULAR_WEIGHT: Final = 0.02  # decides between items that are equally alike
LEAST_SCORE: Final = 0.1  # below it, items have nothing in common


def similar(state: RankingState, row: int, key: int, rules: Rules) -> Iterator[tuple[int, float, Reason]]:
    """(row, score, reason) of items like the one at `row` (-1: in no catalogue), best first."""
    catalogue, aggregates = state.catalogue, state.aggregates
    shares: dict[int, float] = {}
    found = aggregates.neighbours.get(key)
    if found is not None and len(found):
        places, strengths = catalogue.places_of(found).tolist(), aggregates.covisit_shares([found]).tolist()
        shares = {at: share for at, share in zip(places, strengths, strict=True) if at >= 0}
    sources = [np.fromiter(shares, np.int64, len(shares))]
    mine = catalogue.vector(row)
    if mine is not None:
        sources.append(catalogue.nearest(row))
        sources.append(catalogue.nearest_new(mine, NEW_CANDIDATES))
    if rules.candidates is not None:
        sources = [np.array(rules.candidates, dtype=np.int64)]
    rows = np.unique(np.concatenate(sources))
    rows = rows[rules.allowed(rows)]
    rows = rows[rows != row]
    if not len(rows):
        return
    cosine = np.zeros(len(rows))
    if mine is not None:
        others, _ = catalogue.vectors(rows)
        lengths = np.linalg.norm(others, axis=1) * float(np.linalg.norm(mine))
        cosine = ((others @ mine) / np.maximum(lengths, 1e-9)).astype(np.float64)
    share = np.array([shares.get(at, 0.0) for at in rows.tolist()])
    popularity = demand_of(state).popularity(rows)
    alike = cosine + COVISIT_WEIGHT * share
    total = alike + POPULAR_WEIGHT * popularity
    item = catalogue.item(row) if row >= 0 else None
    name, item_id = (title_of(item), item.item_id) if item is not None else ("this item", None)
    together = Reason("chosen_with_item", f"Often chosen together with {name}", item_id)
    similar_to = Reason("similar_to_item", f"Similar to {name}", item_id)
    for at in np.lexsort((catalogue.keys[rows], -total)).tolist():
        if alike[at] < LEAST_SCORE:
            continue
        reason = together if COVISIT_WEIGHT * share[at] > cosine[at] else similar_to
        yield int(rows[at]), float(total[at]), reason
