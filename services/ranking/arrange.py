"""From scored candidates to lines: boosts, what was ignored, diversity, groups and caps, in this order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from services.kernel.ring import SESSION_GAP_S
from services.ranking.gather import Pool
from services.ranking.listing import Listing
from services.ranking.question import Question
from services.ranking.rankers import Scored
from services.ranking.state import RankedItem

RowArray = NDArray[np.int64]
KeyArray = NDArray[np.uint64]
ScoreArray = NDArray[np.float64]

FIRST_TIMES: Final = 4  # so many times n are sorted first: groups and full caps take some away
DIVERSE_TIMES: Final = 4  # diversity chooses among so many times n of the best,
DIVERSE_MIN: Final = 100  # at least so many,
DIVERSE_MAX: Final = 400  # at most so many: it costs 5 µs for each line of the list and 100 candidates
SPREAD_MIN: Final = 1e-9


def arrange(question: Question, pool: Pool, scored: Scored, listing: Listing) -> None:
    """Append the best of the candidates to the list.

    1. Boosts and what was ignored in this session move scores, in standard deviations.
    2. The best are chosen: one by one where they shall be unlike each other, else as they come.
    3. Each gets its reason.
    """
    # 1.
    moves = _Moves(question, scored)
    # 2.
    order: Iterator[int]
    if question.scenario.diversity > 0:
        diverse = _Diverse(question, scored, moves.score, listing)
        places = diverse.chosen
    else:
        diverse = None
        in_order = scored.in_order and moves.score is scored.score
        most = FIRST_TIMES * listing.n
        order = iter(range(len(scored.rows))) if in_order else best_first(moves.score, scored.keys, most)
        places = _chosen(order, scored.rows, listing)
    # 3.
    lines = _lines(question, scored, moves.score, places)
    if question.request.explain:
        for number, at in enumerate(places):
            told = {"sources": pool.names_of(lines[number].key), **moves.explain(at)}
            if diverse is not None and (how := diverse.explain(at)) is not None:
                told["diversity"] = how
            lines[number] = lines[number]._replace(explain=told)
    listing.extend(lines, scored.strategy)


def _lines(question: Question, scored: Scored, score: ScoreArray, places: list[int]) -> list[RankedItem]:
    id_of = question.catalogue.id_of
    return [
        RankedItem(id_of(row) if row >= 0 else None, key, row, worth, reason)
        for row, key, worth, reason in zip(
            scored.rows[places].tolist(),
            scored.keys[places].tolist(),
            score[places].tolist(),
            scored.reasons_of(places),
            strict=True,
        )
    ]


class _Moves:
    """Scores after boosts and rotation. Untouched, in the ranker's unit, where there is neither."""

    def __init__(self, question: Question, scored: Scored) -> None:
        self._scored = scored
        self.score = scored.score
        rows, scenario = scored.rows, question.scenario
        self._boosts = []
        self._before: ScoreArray | None = None  # in standard deviations, where something moves them
        for boost in scenario.boosts:
            hit = question.mask_of(boost.filter).mask[rows] & (rows >= 0)
            if hit.any():
                self._boosts.append((boost, hit))
        self._ignored = _ignored(question, scored.keys)
        if not self._boosts and self._ignored is None:
            return
        # A list in its sources' order is taken as evenly spaced: by 1 / place the first outweighs any boost.
        worth = -np.arange(len(rows), dtype=np.float64) if scored.in_order else scored.score
        spread = float(worth.std())
        self.score = (worth - worth.mean()) / (spread if spread > SPREAD_MIN else 1.0)
        self._before = self.score.copy()
        for boost, hit in self._boosts:
            self.score[hit] += boost.by
        if self._ignored is not None:
            self.score -= self._ignored

    def explain(self, at: int) -> dict[str, Any]:
        """What moved a candidate: `deviations` and all of `boosts` and `ignored` add up to its score."""
        told: dict[str, Any] = {"score": round(float(self._scored.score[at]), 6)}
        if self._before is not None:
            told["deviations"] = round(float(self._before[at]), 6)
        boosts = [
            {"filter": boost.filter.to_json(), "by": boost.by} for boost, hit in self._boosts if bool(hit[at])
        ]
        if boosts:
            told["boosts"] = boosts
        if self._ignored is not None and self._ignored[at]:
            told["ignored"] = -float(self._ignored[at])
        return told


def _ignored(question: Question, keys: KeyArray) -> ScoreArray | None:
    """How far each candidate sinks: one standard deviation for each `rotate_after` impressions in this
    session that led to nothing. None where there were none.
    """
    profile, after = question.profile, question.scenario.rotate_after
    if not after or profile is None or not len(shown := profile.shown):
        return None
    shown = shown[shown["count"] >= after]
    shown = shown[shown["time"] >= question.request.now_ms / 1000 - SESSION_GAP_S]
    if not len(shown):
        return None
    order = np.argsort(shown["fingerprint"])
    marks = shown["fingerprint"][order]
    mine = keys.astype(np.uint32)
    at = np.minimum(marks.searchsorted(mine), len(marks) - 1)
    there = marks[at] == mine
    if not there.any():
        return None
    sunk: ScoreArray = np.where(there, shown["count"][order][at] // after, 0).astype(np.float64)
    return sunk


def best_first(score: ScoreArray, keys: KeyArray, first: int) -> Iterator[int]:
    """Places by falling score, ties by key. The best `first` are sorted alone: mostly they are enough."""
    left = np.arange(len(score))
    if first < len(score):
        least = np.partition(score, -first)[-first]
        (few,) = (score >= least).nonzero()
        yield from few[np.lexsort((keys[few], -score[few]))].tolist()
        left = np.flatnonzero(score < least)
    yield from left[np.lexsort((keys[left], -score[left]))].tolist()


def _chosen(order: Iterator[int], rows: RowArray, listing: Listing) -> list[int]:
    """The places of the list's lines; what a soft cap holds back waits until the end of `order`."""
    want = listing.wanted
    late: list[int] = []
    found: list[int] = []
    room_of = listing.caps.room if listing.caps.any else None
    for at in order:
        if len(found) >= want:
            return found
        row = rows.item(at)
        room = True if room_of is None else room_of(row)
        if room is None:
            late.append(at)
        elif room and listing.admit(row):
            found.append(at)
    found += islice(_as_they_come(late, rows, listing), want - len(found))
    return found


def _as_they_come(places: Iterable[int], rows: RowArray, listing: Listing) -> Iterator[int]:
    """Those of the places that the list takes, whatever a soft cap says."""
    for at in places:
        row = rows.item(at)
        if listing.caps.room(row) is not False and listing.admit(row):
            yield at


class _Diverse:
    """Maximal marginal relevance: each next line is the best of

        (1 - θ) · relevance - θ · highest cosine to a line chosen before,

    relevance being the score scaled to 0 … 1 among the best candidates (Carbonell and Goldstein, "The Use of
    MMR, Diversity-Based Reranking for Reordering Documents and Producing Summaries", SIGIR 1998).
    """

    def __init__(self, question: Question, scored: Scored, score: ScoreArray, listing: Listing) -> None:
        most = min(max(DIVERSE_MIN, DIVERSE_TIMES * listing.n), DIVERSE_MAX)
        order = best_first(score, scored.keys, most)
        few = np.array(list(islice(order, most)), dtype=np.int64)
        self._told: dict[int, tuple[float, float]] = {}
        self.chosen: list[int] = []
        if len(few):
            self._choose(question, scored.rows[few], few, score[few], listing)
        if listing.wanted > len(self.chosen):
            rest = _as_they_come(order, scored.rows, listing)  # the best were too few
            self.chosen += islice(rest, listing.wanted - len(self.chosen))

    def _choose(
        self, question: Question, rows: RowArray, few: RowArray, score: ScoreArray, listing: Listing
    ) -> None:
        theta = question.scenario.diversity
        vectors, _ = question.catalogue.vectors(np.maximum(rows, 0))
        vectors[rows < 0] = 0.0
        vectors /= np.maximum(np.sqrt(np.einsum("ij,ij->i", vectors, vectors)), 1e-9)[:, None]
        spread = float(score.max() - score.min())
        relevance = (score - score.min()) / (spread if spread > SPREAD_MIN else 1.0)
        nearest = np.zeros(len(rows))
        own = (1.0 - theta) * relevance  # what a line is worth alone; -inf once it was looked at
        value = own.copy()
        late: list[int] = []
        want, left = listing.wanted, len(rows)
        while len(self.chosen) < want and left:
            at = int(value.argmax())
            left -= 1
            row = int(rows[at])
            own[at] = value[at] = -np.inf
            room = listing.caps.room(row)
            if room is None:
                late.append(at)
            elif room and listing.admit(row):
                self._told[int(few[at])] = float(relevance[at]), float(nearest[at])
                self.chosen.append(int(few[at]))
                np.maximum(nearest, vectors @ vectors[at], out=nearest)
                value = own - theta * nearest
        rest = islice(_as_they_come(late, rows, listing), want - len(self.chosen))
        self.chosen += [int(few[at]) for at in rest]

    def explain(self, at: int) -> dict[str, float] | None:
        """Relevance and the highest cosine to a line before, when the place was chosen."""
        if (told := self._told.get(at)) is None:
            return None
        relevance, similarity = told
        return {"relevance": round(relevance, 4), "similarity": round(similarity, 4)}
