"""Scoring for_you: candidates from several sources, one sum of a few terms for each.

score = similarity · z(E·u)             how near to the user, among all items of the release
      + popularity · z(ln(1 + count))   how much wanted, among all items of the catalogue
      + covisitation · share            chosen together with the last items, 0 to 1
      + repeat · ln(1 + worth)          had before
      + session · z(E·e_last) · 2^(-idle / half an hour)   what is being looked at right now
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from services.ranking.aggregates import Aggregates
from services.ranking.catalogue import Catalogue
from services.ranking.demand import demand_of
from services.ranking.evidence import RECENT_ITEMS, Evidence
from services.ranking.model import ModelAnswer, OnnxModel
from services.ranking.state import RankingState

FloatArray = NDArray[np.float32]
RowArray = NDArray[np.int64]
ScoreArray = NDArray[np.float64]

SESSION_HALF_LIFE_S: Final = 1800.0  # analytics tools end a visit after half an hour, too
SESSION_OVER: Final = 0.05  # below this factor (a little over two hours) the session says nothing
SESSION_Z_MAX: Final = 5.0  # in a small category likeness has no upper end, and would drown all else
RECENCY_DECAY: Final = 0.9  # weight of each recent item's neighbours beside the one after it
SHARE_MIN: Final = 0.03  # a weaker neighbour moves no list, and most of a row are weak
SESSION_DECAY: Final = 0.8  # the same where the user's vector is made of the last items alone
# Chosen on held-out events of films (ML-100k) and groceries (Complete Journey). What others chose with the
# last items is the best there is before anything is trained: weighed 1, HR@10 of films is .07 instead of .17.
# Groceries have .072 with 4 and would have .077 with 1, within the interval.
WEIGHTS: Final[Mapping[str, float]] = {
    "similarity": 0.35,
    "popularity": 1.0,
    "covisitation": 4.0,
    "repeat": 5.0,
    "session": 0.5,
}


class Candidates(NamedTuple):
    """Candidate rows and the terms of their scores, all of length n. `led_by` is a place in `recent`, or
    -1.
    """

    rows: RowArray
    score: ScoreArray
    similarity: ScoreArray
    popularity: ScoreArray
    covisitation: ScoreArray
    repeat: ScoreArray
    led_by: RowArray


class Neighbours(NamedTuple):
    """What was chosen with the recent items: rising rows, share 0 to 1, which recent item gave most."""

    rows: RowArray
    share: ScoreArray
    led_by: RowArray


_NO_ROWS: Final = np.zeros(0, dtype=np.int64)
_RECENCY: Final = RECENCY_DECAY ** np.arange(RECENT_ITEMS)
NO_NEIGHBOURS: Final = Neighbours(_NO_ROWS, np.zeros(0), _NO_ROWS)


def neighbours_of(evidence: Evidence, aggregates: Aggregates, catalogue: Catalogue) -> Neighbours:
    """The union of the recent items' neighbours; the share of the nearest in time counts most."""
    get = aggregates.neighbours.get
    found = [(place, row) for place, item in enumerate(evidence.recent) if (row := get(item.key))]
    if not found:
        return NO_NEIGHBOURS
    place_of = np.array([place for place, _ in found]).repeat([len(row) for _, row in found])
    share_of = aggregates.covisit_shares([row for _, row in found]) * _RECENCY.take(place_of)
    rows = np.concatenate([catalogue.places_of(row) for _, row in found])
    (strong,) = ((share_of >= SHARE_MIN) & (rows >= 0)).nonzero()
    if not len(strong):
        return NO_NEIGHBOURS
    rows, share_of, place_of = rows[strong], share_of[strong], place_of[strong]
    # Of each row the strongest last, the nearest in time of equals.
    order = np.lexsort((-place_of, share_of, rows))
    rows, share_of, place_of = rows[order], share_of[order], place_of[order]
    last = np.ones(len(rows) + 1, dtype=np.bool_)  # of its row; and one before the first
    np.not_equal(rows[1:], rows[:-1], out=last[1:-1])
    (ends,) = last.nonzero()
    total = np.add.reduceat(share_of, ends[:-1])
    ends = ends[1:] - 1
    return Neighbours(rows[ends], np.minimum(total, 1.0), place_of[ends])


def session_vector(evidence: Evidence, catalogue: Catalogue) -> FloatArray | None:
    """The user's vector from the last items alone, f32[d], length 1; None where none of them has a vector."""
    rows = np.array([item.row for item in evidence.recent if item.row >= 0], dtype=np.int64)
    if not len(rows) or catalogue.release is None:
        return None
    vectors, has = catalogue.vectors(rows)
    if not has.any():
        return None
    weights = SESSION_DECAY ** np.arange(len(rows)) * has
    return _unit((weights[:, None] * vectors).sum(axis=0, dtype=np.float64))


class Blend:
    """One for_you list in the making: the user's vector, and the terms of its candidates."""

    def __init__(
        self,
        state: RankingState,
        evidence: Evidence,
        answer: ModelAnswer | None,
        weights: Mapping[str, float] = MappingProxyType({}),
    ) -> None:
        """`answer` None: the model was late or is missing; the last items stand in for it. `weights` are
        those of a scenario; before them those of the release count, before these WEIGHTS.
        """
        catalogue = state.catalogue
        self._state = state
        self._demand = demand_of(state)
        self._evidence = evidence
        self._answer = answer
        self._neighbours = neighbours_of(evidence, state.aggregates, catalogue)
        user = answer.user_vector if answer is not None else None
        self._from_model = user is not None and bool(user.any())
        if not self._from_model and (answer is None or answer.user_vector is not None):
            user = session_vector(evidence, catalogue)
        self._user = user
        self._warmth = warmth_of(evidence)
        self._last_row = last_row_of(evidence, catalogue) if self._warmth else -1
        release = catalogue.release
        self._weights = {**WEIGHTS, **(release.manifest.blend if release is not None else {}), **weights}

    @property
    def founded(self) -> bool:
        """Whether the profile says anything about this catalogue."""
        return self._evidence.known or len(self._neighbours.rows) > 0

    @property
    def by_model(self) -> bool:
        """Whether the model's answer says something: a user vector of zeros, or an empty list, does not."""
        answer = self._answer
        return answer is not None and (
            self._from_model if answer.user_vector is not None else len(answer.scores) > 0
        )

    @property
    def user(self) -> FloatArray | None:
        """The user's vector f32[d], of the model or of the last items; None where there is none."""
        return self._user

    @property
    def last_row(self) -> int:
        """The row of the last item while the session is warm, else -1."""
        return self._last_row

    @property
    def neighbours(self) -> Neighbours:
        """What was chosen with the recent items."""
        return self._neighbours

    def terms(self, rows: RowArray) -> Candidates:
        """The terms of every candidate (`rows` rises), weighted, and their sum."""
        weights, neighbours, repeats = self._weights, self._neighbours, self._evidence.repeats
        similarity = self._likeness(rows)
        demand = self._demand
        popularity = weights["popularity"] * np.maximum(demand.popularity(rows), demand.least.take(rows))
        covisitation, repeat = np.zeros(len(rows)), np.zeros(len(rows))
        led_by = np.full(len(rows), -1, dtype=np.int64)
        at, there = _find(neighbours.rows, rows)
        covisitation[at] = weights["covisitation"] * neighbours.share[there]
        led_by[at] = neighbours.led_by[there]
        at, there = _find(np.fromiter(repeats, np.int64, len(repeats)), rows)
        worth = np.fromiter(repeats.values(), np.float64, len(repeats))
        repeat[at] = weights["repeat"] * np.log1p(worth[there])
        total = similarity + popularity + covisitation + repeat
        return Candidates(rows, total, similarity, popularity, covisitation, repeat, led_by)

    def _likeness(self, rows: RowArray) -> ScoreArray:
        """Likeness to the user as a whole, and, while the session is warm, to the last item."""
        catalogue, model, weights = self._state.catalogue, self._state.model, self._weights
        vectors, has = catalogue.vectors(rows)
        likeness: ScoreArray = np.zeros(len(rows))
        if self._user is not None:
            likeness = weights["similarity"] * _similarity(vectors, has, self._user, model)
        elif self._answer is not None:
            likeness = weights["similarity"] * _listed(rows, catalogue, self._answer)
        last = vector_of_row(self._last_row, catalogue)
        if last is not None:
            z = np.minimum(_similarity(vectors, has, last, model), SESSION_Z_MAX)
            likeness += weights["session"] * self._warmth * z
        return likeness


def _similarity(
    vectors: FloatArray, has: NDArray[np.bool_], user: FloatArray, model: OnnxModel | None
) -> ScoreArray:
    """z-scores of E·u: against all items of the release where the model knows their spread."""
    raw: ScoreArray = (vectors @ user).astype(np.float64)
    if model is not None:
        mean, spread = model.scale.of(user)
    elif has.any():
        mean, spread = float(raw[has].mean()), float(raw[has].std())
    else:
        mean, spread = 0.0, 0.0
    if spread < 1e-6:  # nobody is nearer than anybody else
        return np.zeros(len(raw))
    raw -= mean
    raw /= spread
    if not has.all():
        raw[~has] = 0.0
    return raw


def _listed(rows: RowArray, catalogue: Catalogue, answer: ModelAnswer) -> ScoreArray:
    """z-scores where the model gives a list alone: those not in it stand at its end."""
    if not len(answer.scores):
        return np.zeros(len(rows))
    listed = catalogue.rows_of_indices(answer.item_indices)
    scores = answer.scores.astype(np.float64)
    spread = float(scores.std())
    if spread < 1e-6:
        return np.zeros(len(rows))
    places = {row: place for place, row in enumerate(listed.tolist())}
    at = np.array([places.get(row, len(scores) - 1) for row in rows.tolist()], dtype=np.int64)
    z: ScoreArray = (scores[at] - scores.min()) / spread
    return z


def warmth_of(evidence: Evidence) -> float:
    """How much the session counts, 1 right after an event, 0 when it is over."""
    factor = float(2.0 ** (-evidence.idle_s / SESSION_HALF_LIFE_S)) if evidence.recent else 0.0
    return factor if factor >= SESSION_OVER else 0.0


def last_row_of(evidence: Evidence, catalogue: Catalogue) -> int:
    """The row of the newest recent item that has a vector, or -1."""
    return next((item.row for item in evidence.recent if catalogue.vector(item.row) is not None), -1)


def vector_of_row(row: int, catalogue: Catalogue) -> FloatArray | None:
    """The vector of a row made as long as 1, f32[d], or None."""
    vector = catalogue.vector(row)
    return None if vector is None else _unit(vector.astype(np.float64))


def _unit(vector: ScoreArray) -> FloatArray | None:
    length = math.sqrt(vector @ vector)
    return (vector / length).astype(np.float32) if length > 1e-9 else None


def _find(some: RowArray, rows: RowArray) -> tuple[RowArray, RowArray]:
    """(places in `rows`, which rises; places in `some`) of those of `some` that are there."""
    at = np.minimum(rows.searchsorted(some), len(rows) - 1)
    (there,) = (rows[at] == some).nonzero()
    return at[there], there
