"""What the ranker looks at: one row of numbers for each candidate of one list.

One function for the recommender, the trainer and the evaluator. Numbers are about as large as 1, so that a
small network can read them; what an item lacks is 0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from services.ranking.catalogue import Catalogue
from services.ranking.evidence import Evidence
from services.ranking.transitions import NEAR, WIDE, Tables

if TYPE_CHECKING:  # the model holds the ranker, which needs this module
    from services.ranking.demand import Demand
    from services.ranking.model import ModelAnswer

FloatArray = NDArray[np.float32]
RowArray = NDArray[np.int64]
ScoreArray = NDArray[np.float64]

# The names stand in manifests: a name keeps its meaning for ever, a new meaning gets a new name.
FEATURES: Final = (
    "network_logp",  # log of the softmax over the network's best items
    "network_rank",  # ln(1 + place among them)
    "next_near",  # share of what came right after the last item, ln(1 + 1000 share)
    "next_wide",  # the same within ten lines
    "next_recent",  # the wide one of the last ten items, each older one counting less
    "before_near",  # as the three above, of what came before the items
    "before_wide",
    "before_recent",
    "together",  # chosen with the last items (live), 0 to 1
    "likeness_last",  # cosine to the last item
    "likeness_best",  # the highest cosine to one of the last ten items
    "popularity",  # z of ln(1 + decayed count), half-life a month (live)
    "trend",  # ln(1 + decayed count), half-life a day (live)
    "had_times",  # ln(1 + events of this subject with it)
    "had_worth",  # ln(1 + how much they say that it is wanted again)
    "had_ago",  # 1 / (1 + distinct items since the last of them)
    "had_age",  # 1 / (1 + days since the last of them)
    "same_category",  # share of the last ten items in its category
    "is_new",  # 1: the release does not know it
    "history",  # ln(1 + events in the ring)
    "idle",  # ln(1 + minutes since the last event)
)
_PLACE: Final = {name: place for place, name in enumerate(FEATURES)}

RECENT_DECAY: Final = 0.8  # of each recent item's transitions beside the one after it
SHARE_UNIT: Final = 1000.0  # shares are small: a thousandth reads as ln 2
IDLE_MAX_S: Final = 30 * 86_400.0  # idle for longer says nothing more
_RECENCY: Final = RECENT_DECAY ** np.arange(64)


class Sources(NamedTuple):
    """What features are read from, beside the candidates. `shares` is the live co-visitation share by row."""

    catalogue: Catalogue
    demand: Demand
    evidence: Evidence
    answer: ModelAnswer
    recent: list[int]  # the last items as indices in the release, newest first, -1 for unknown ones
    tables: Tables
    together_rows: RowArray  # rising
    together_share: ScoreArray


def features_of(rows: RowArray, sources: Sources) -> FloatArray:
    """f32[n, len(FEATURES)] of catalogue `rows` i64[n], rising, each once."""
    made = np.zeros((len(rows), len(FEATURES)), dtype=np.float32)
    indices = sources.catalogue.indices_of_rows(rows)
    vectors, _ = sources.catalogue.vectors(rows)
    _network(made, indices, vectors, sources.answer)
    _transitions(made, indices, sources)
    _likeness(made, rows, vectors, sources)
    _demand(made, rows, sources)
    _repeats(made, rows, sources.evidence)
    evidence = sources.evidence
    made[:, _PLACE["is_new"]] = indices < 0
    made[:, _PLACE["history"]] = np.log1p(evidence.events)
    made[:, _PLACE["idle"]] = np.log1p(min(evidence.idle_s, IDLE_MAX_S) / 60)
    return made


def _network(made: FloatArray, indices: RowArray, vectors: FloatArray, answer: ModelAnswer) -> None:
    """Score and rank of the model's own list; an item outside it is scored by the user's vector."""
    listed = answer.scores.astype(np.float64)
    if not len(listed):
        return
    highest = float(listed[0])
    total = highest + float(np.log(np.exp(listed - highest).sum()))
    logp, rank = made[:, _PLACE["network_logp"]], made[:, _PLACE["network_rank"]]
    rank[:] = np.log1p(len(listed))
    if answer.user_vector is not None:
        logp[:] = vectors @ answer.user_vector - total
    else:
        logp[:] = listed[-1] - total
    order = np.argsort(answer.item_indices)
    known = answer.item_indices[order]
    at = np.minimum(known.searchsorted(indices), len(known) - 1)
    (there,) = (known[at] == indices).nonzero()
    place = order[at[there]]
    logp[there] = listed[place] - total
    rank[there] = np.log1p(place)


def _transitions(made: FloatArray, indices: RowArray, sources: Sources) -> None:
    recent = sources.recent
    if not recent:
        return
    order = np.argsort(indices)
    ordered = indices[order]
    for table, direction in ((sources.tables.forward, "next"), (sources.tables.backward, "before")):
        if table is None:
            continue
        spread = table.spread(recent)
        if not len(spread.items):
            continue
        at = np.minimum(ordered.searchsorted(spread.items), len(ordered) - 1)
        (there,) = (ordered[at] == spread.items).nonzero()
        place, source = order[at[there]], spread.source[there]
        near, wide = spread.shares[there, NEAR], spread.shares[there, WIDE]
        last = source == 0
        n = len(indices)
        for name, places, shares in (
            ("near", place[last], near[last]),
            ("wide", place[last], wide[last]),
            ("recent", place, wide * _RECENCY[source]),
        ):
            summed = np.bincount(places, shares, minlength=n)
            made[:, _PLACE[f"{direction}_{name}"]] = np.log1p(SHARE_UNIT * summed)


def _likeness(made: FloatArray, rows: RowArray, mine: FloatArray, sources: Sources) -> None:
    catalogue, recent = sources.catalogue, sources.evidence.recent
    of_recent = np.array([item.row for item in recent if item.row >= 0], dtype=np.int64)
    if not len(of_recent):
        return
    codes = catalogue.category.take(rows)
    same = (codes[:, None] == catalogue.category.take(of_recent)).mean(axis=1)
    made[:, _PLACE["same_category"]] = np.where(codes > 0, same, 0.0)
    others, _ = catalogue.vectors(of_recent)
    if not mine.shape[1]:
        return
    products = mine @ others.T
    lengths = np.sqrt(np.einsum("ij,ij->i", mine, mine))
    other_lengths = np.sqrt(np.einsum("ij,ij->i", others, others))
    products /= np.maximum(np.outer(lengths, other_lengths), 1e-9)
    # An item is as like to itself as can be; `had_…` says that already.
    products[rows[:, None] == of_recent] = 0.0
    made[:, _PLACE["likeness_last"]] = products[:, 0]
    made[:, _PLACE["likeness_best"]] = products.max(axis=1)


def _demand(made: FloatArray, rows: RowArray, sources: Sources) -> None:
    made[:, _PLACE["popularity"]] = sources.demand.popularity(rows)
    made[:, _PLACE["trend"]] = sources.demand.trend(rows)
    at = np.minimum(rows.searchsorted(sources.together_rows), len(rows) - 1)
    (there,) = (rows[at] == sources.together_rows).nonzero()
    made[at[there], _PLACE["together"]] = sources.together_share[there]


def _repeats(made: FloatArray, rows: RowArray, evidence: Evidence) -> None:
    had = evidence.had
    if not had:
        return
    had_rows = np.fromiter(had, np.int64, len(had))
    at = np.minimum(rows.searchsorted(had_rows), len(rows) - 1)
    (there,) = (rows[at] == had_rows).nonzero()
    facts = np.array([tuple(one) for one in had.values()], dtype=np.float64)[there]
    place = at[there]
    made[place, _PLACE["had_times"]] = np.log1p(facts[:, 0])
    made[place, _PLACE["had_worth"]] = np.log1p(np.maximum(facts[:, 1], 0.0))
    made[place, _PLACE["had_ago"]] = 1.0 / (1.0 + facts[:, 2])
    made[place, _PLACE["had_age"]] = 1.0 / (1.0 + facts[:, 3] / 86_400)
