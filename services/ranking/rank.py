"""From a profile and a state to a ranked list: the one entry to this room."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import islice
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from services.kernel.ids import item_key
from services.kernel.profile import Profile
from services.ranking.aggregates import KeyArray, ScoreArray, Scores
from services.ranking.blend import Blend, Candidates
from services.ranking.evidence import Evidence, evidence_of, viewed
from services.ranking.model import ModelAnswer
from services.ranking.ranked import Ranked
from services.ranking.reasons import CATALOGUE, POPULAR, TRENDING, Reasons, recently_viewed
from services.ranking.rules import Rules
from services.ranking.similar import similar
from services.ranking.state import (
    FOR_YOU,
    MAX_N,
    RECENTLY_VIEWED,
    SIMILAR,
    RankedItem,
    Ranking,
    RankingState,
    RankRequest,
    Reason,
)
from services.ranking.state import (
    POPULAR as POPULAR_SCENARIO,
)

RowArray = NDArray[np.int64]


def wants_model(state: RankingState, profile: Profile | None, request: RankRequest) -> bool:
    """Whether an answer of the model would be used: for_you, for somebody with an event it can read."""
    if request.scenario != FOR_YOU or profile is None:
        return False
    ring = profile.ring
    if not len(ring):
        return False
    release, row_of_key = state.catalogue.release, state.catalogue.row_of_key
    return release is None or any(
        release.index_of(key) >= 0 or row_of_key(key) >= 0 for key in ring["item"][::-1].tolist()
    )


def rank(
    state: RankingState, profile: Profile | None, request: RankRequest, model_answer: ModelAnswer | None
) -> Ranking:
    """The list that `request` asks for; never empty while the catalogue holds an item that may be shown.

    `profile` None: nobody in particular. `model_answer` None: the model was late or is missing, and the
    ladder starts at `session`. Pure: no clock, no I/O. Unknown items and missing evidence are no errors.

    1. Read the profile against the catalogue.
    2. Make the list of the scenario, as far as its own evidence goes.
    3. Fill it from the steps of the ladder below: session, trending, popular, catalogue order.
    """
    # 1.
    evidence = evidence_of(profile, state.catalogue, request.now_ms)
    rules = Rules(state.catalogue, profile, request)
    made = _List(state, request, rules)
    # 2.
    if request.scenario == RECENTLY_VIEWED:
        _recently_viewed(made, profile, rules)
        if made.items:  # what was not viewed does not belong here
            return made.ranking()
    elif request.scenario == SIMILAR:
        query_row, query_key = _query_of(state, evidence, request)
        rules.keep_out(query_row)
        for row, worth, reason in similar(state, query_row, query_key, rules):
            made.add(row, worth, reason, "model")
    if request.scenario in {FOR_YOU, SIMILAR} and not made.is_full():
        _for_you(made, state, evidence, rules, model_answer)
    # 3.
    if request.scenario != POPULAR_SCENARIO:
        made.fill(state.aggregates.trending, TRENDING, "trending")
    made.fill(state.aggregates.popular, POPULAR, "popular")
    if request.scenario == POPULAR_SCENARIO:
        made.fill(state.aggregates.trending, TRENDING, "trending")
    made.fill_in_order()
    return made.ranking()


CATEGORY_SHARE: Final = 0.4  # of a for_you list for one leaf category
CATEGORY_MIN: Final = 3
FIRST_TIMES: Final = 4  # so many times n are sorted first: groups and full categories take some away


class _List:
    """An answer as it grows: scores fall, each row stands once, rules hold."""

    def __init__(self, state: RankingState, request: RankRequest, rules: Rules) -> None:
        self._state = state
        self._request = request
        self._rules = rules
        self.n = max(0, min(request.n, MAX_N))
        self._strategy = ""
        self.items: list[RankedItem] = []

    def is_full(self) -> bool:
        """Whether there is nothing more to add."""
        return len(self.items) >= self.n

    def add(self, row: int, score: float, reason: Reason, strategy: str) -> None:
        """Append a row if the rules let it through."""
        if not self.is_full() and self._rules.take(row):
            self.add_taken(row, score, reason, strategy)

    def add_taken(self, row: int, score: float, reason: Reason, strategy: str) -> None:
        """Append a row that the rules have let through."""
        if self.items and score > self.items[-1].score:
            score = self.items[-1].score  # a lower step of the ladder counts in other units
        catalogue = self._state.catalogue
        self.append(RankedItem(catalogue.id_of(row), int(catalogue.keys[row]), row, score, reason), strategy)

    def append(self, item: RankedItem, strategy: str) -> None:
        """Append a line as it is."""
        self._strategy = self._strategy or strategy
        self.items.append(item)

    def fill(self, scores: Scores, reason: Reason, strategy: str) -> None:
        """Append from a step of the ladder, best first."""
        if self.is_full() or not len(scores):
            return
        rows = self._state.catalogue.rows_of_top(scores)
        for place, row in enumerate(rows[self._rules.allowed(rows)].tolist(), 1):
            if self.is_full():
                return
            self.add(row, 1.0 / place, reason, strategy)

    def fill_in_order(self) -> None:
        """Append in catalogue order until the list is full or the catalogue has been gone through."""
        for rows in self._in_order():
            for row in rows[self._rules.allowed(rows)].tolist():
                if self.is_full():
                    return
                self.add(row, 0.0, CATALOGUE, "catalogue")

    def _in_order(self) -> Iterator[RowArray]:
        if self._rules.candidates is not None:
            yield np.array(self._rules.candidates, dtype=np.int64)
            return
        start = 0
        while start >= 0 and not self.is_full():
            rows, start = self._state.catalogue.in_order(start, self._request.now_ms)
            yield rows

    def ranking(self) -> Ranking:
        """The finished answer."""
        release = self._state.catalogue.release
        return Ranking(self.items, self._strategy or "catalogue", release.name if release else None)


def _query_of(state: RankingState, evidence: Evidence, request: RankRequest) -> tuple[int, int]:
    """(row, key) of the item that `similar` starts from: the one asked for, else the subject's last one."""
    if request.item_id is not None:
        return state.catalogue.row_of(request.item_id), item_key(request.item_id)
    for item in evidence.recent:
        if item.row >= 0:
            return item.row, item.key
    return -1, 0


def _recently_viewed(made: _List, profile: Profile | None, rules: Rules) -> None:
    """The ring, newest first, each item once; those in no catalogue have no id here, only their key."""
    if profile is None:
        return
    for place, item in enumerate(viewed(profile, rules.catalogue), 1):
        if made.is_full():
            return
        reason = recently_viewed(item.type_number)
        if item.row < 0 and rules.candidates is None and item.key not in rules.excluded_keys:
            made.append(RankedItem(None, item.key, -1, 1.0 / place, reason), "session")
        elif item.row >= 0 and rules.allowed(np.array([item.row]))[0]:
            item_id = rules.catalogue.id_of(item.row)
            made.append(RankedItem(item_id, item.key, item.row, 1.0 / place, reason), "session")


def _for_you(
    made: _List, state: RankingState, evidence: Evidence, rules: Rules, answer: ModelAnswer | None
) -> None:
    """Candidates, terms, order. Adds nothing where the profile says nothing about this catalogue.

    No leaf category takes more than a share of the list while there is anything else: what was one too many
    stands behind the rest.
    """
    catalogue = state.catalogue
    if answer is not None and (state.model is None or state.model.release is not catalogue.release):
        answer = None  # indices of another release: a swap came between model and ranking
    blend = Blend(state, evidence, answer)
    if not blend.founded:
        return
    scored = _scored(state, evidence, blend, answer, rules)
    if not len(scored.rows):
        return
    order = _best_first(scored.score, catalogue.keys[scored.rows], FIRST_TIMES * made.n)
    places = _chosen(order, scored.rows, rules, made)
    strategy = "model" if blend.by_model else "session"
    for at, reason in zip(places, _reasons(state, evidence, blend, scored, places), strict=True):
        made.add_taken(int(scored.rows[at]), float(scored.score[at]), reason, strategy)


class _Scored(NamedTuple):
    """Allowed candidates, rising, and what orders them; `terms` where the blend does."""

    rows: RowArray
    score: ScoreArray
    terms: Candidates | None


def _scored(
    state: RankingState, evidence: Evidence, blend: Blend, answer: ModelAnswer | None, rules: Rules
) -> _Scored:
    """By the release's ranker, where it has one and the model has answered; else by the blend."""
    ranker = state.model.ranker if state.model is not None and blend.by_model else None
    ranked: Ranked | None = None
    if ranker is not None and answer is not None:
        ranked = Ranked(state, evidence, answer, ranker.tables, blend.neighbours)
    if rules.candidates is not None:
        rows = np.array(sorted(rules.candidates), dtype=np.int64)
    else:
        rows = ranked.rows() if ranked is not None else blend.rows()
    rows = rows[rules.allowed(rows)]
    if not len(rows):
        return _Scored(rows, np.zeros(0), None)
    if ranker is not None and ranked is not None:
        return _Scored(rows, ranker.scores(ranked.features(rows)), None)
    terms = blend.terms(rows)
    return _Scored(rows, terms.score, terms)


def _reasons(
    state: RankingState, evidence: Evidence, blend: Blend, scored: _Scored, places: list[int]
) -> list[Reason]:
    """Why each line stands there. Behind a ranker the terms are worked out for what is shown alone."""
    terms = scored.terms
    if terms is None:
        shown = scored.rows[places]
        rising = np.sort(shown)
        terms, places = blend.terms(rising), np.searchsorted(rising, shown).tolist()
    return Reasons(state, evidence, terms, places).all()


def _best_first(score: ScoreArray, keys: KeyArray, first: int) -> Iterator[int]:
    """Places by falling score, ties by key. The best `first` are sorted alone: mostly they are enough."""
    left = np.arange(len(score))
    if first < len(score):
        least = np.partition(score, -first)[-first]
        (few,) = (score >= least).nonzero()
        yield from few[np.lexsort((keys[few], -score[few]))].tolist()
        left = np.flatnonzero(score < least)
    yield from left[np.lexsort((keys[left], -score[left]))].tolist()


def _chosen(order: Iterator[int], rows: RowArray, rules: Rules, made: _List) -> list[int]:
    """The places of the list's lines; a category that has had its share waits until the end of `order`."""
    want = made.n - len(made.items)
    most = max(CATEGORY_MIN, math.ceil(made.n * CATEGORY_SHARE))
    count: dict[int, int] = {}
    late: list[int] = []
    found: list[int] = []
    category = rules.catalogue.category
    for at in order:
        row = rows.item(at)
        kind = category.item(row)
        had = count.get(kind, 0)
        if kind and had >= most:
            late.append(at)
            continue
        count[kind] = had + 1
        if rules.take(row):
            found.append(at)
            if len(found) == want:
                return found
    found += islice((at for at in late if rules.take(rows.item(at))), want - len(found))
    return found
