"""Methods that are asked the same questions: what is served, and what a release has to beat.

Every baseline keeps the rules of for_you (what is hidden from this subject, what may be shown, one of each
group), so that only the order of the items differs. Where its own evidence ends it goes on with what is
popular, as the ladder of the serving code does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from services.ranking.aggregates import Aggregates, Scores
from services.ranking.blend import neighbours_of
from services.ranking.catalogue import Catalogue
from services.ranking.evidence import evidence_of
from services.ranking.features import RECENT_DECAY
from services.ranking.rules import Rules
from services.ranking.state import RankingState, RankRequest
from services.ranking.transitions import WIDE, Tables
from services.trainer.world import Asked, World, lists_of

RowArray = NDArray[np.int64]
# Lists of distinct catalogue rows, best first, one for each length asked for.
Method: TypeAlias = Callable[[Asked, Sequence[int]], list[RowArray]]

PIECE_ROWS: Final = 1000  # looked at at once: mostly the first are enough
_NO_ROWS: Final = np.zeros(0, dtype=np.int64)


class Served:
    """What a release answers: the code behind GET /recommend. Keeps its last answer."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._state: RankingState | None = None
        self._last: tuple[Asked, list[RowArray]] | None = None

    def __call__(self, asked: Asked, ks: Sequence[int]) -> list[RowArray]:
        """One list for each k: the length asked for is one of the things that an answer depends on."""
        if self._last is None or self._last[0] is not asked:
            made = lists_of(self.state(asked), asked.profile, asked.now_ms, ks)
            self._last = asked, made
        return self._last[1]

    def state(self, asked: Asked) -> RankingState:
        """The state of this release: that of the replay, or one beside it in the same vector space."""
        if asked.state.catalogue is self._world.catalogue:
            return asked.state
        if self._state is None or self._state.aggregates is not asked.state.aggregates:
            asked_of = asked.state
            self._state = RankingState(
                self._world.catalogue, asked_of.aggregates, self._world.model, asked_of.scenarios
            )
        return self._state


class Baselines:
    """Popular, trending, transitions and repeat, from a release's tables and the live aggregates.

    Without `tables` what came after the last items is the live co-visitation.
    """

    def __init__(self, world: World, *, tables: bool = True) -> None:
        self._forward = Tables.open(world.release).forward if tables else None
        self._orders: tuple[Aggregates, RowArray, RowArray] | None = None

    @property
    def methods(self) -> dict[str, Method]:
        """All of them by name, in the order of a report."""
        followers = "transitions" if self._forward is not None else "co-visitation"
        return {
            "popular": self.popular,
            "trending": self.trending,
            followers: self.transitions,
            "repeat": self.repeat,
        }

    def popular(self, asked: Asked, ks: Sequence[int]) -> list[RowArray]:
        """The most wanted of the last months (half-life 30 days)."""
        return _listed(asked, ks, _NO_ROWS, self._orders_of(asked)[0])

    def trending(self, asked: Asked, ks: Sequence[int]) -> list[RowArray]:
        """The most wanted of the last days (half-life 1 day)."""
        return _listed(asked, ks, _NO_ROWS, self._orders_of(asked)[1])

    def transitions(self, asked: Asked, ks: Sequence[int]) -> list[RowArray]:
        """What came after the last items: Σ 0.8^age · share within ten lines, from the release's table.

        A release without one has the live co-visitation of the last items instead.
        """
        catalogue = asked.state.catalogue
        evidence = evidence_of(asked.profile, catalogue, asked.now_ms)
        if self._forward is None:
            near = neighbours_of(evidence, asked.state.aggregates, catalogue)
            best = near.rows[np.lexsort((near.rows, -near.share))]
        else:
            recent = np.array([item.row for item in evidence.recent], dtype=np.int64)
            indices = np.where(recent >= 0, catalogue.indices_of_rows(np.maximum(recent, 0)), -1)
            best = self._followers(indices.tolist(), catalogue)
        return _listed(asked, ks, best, self._orders_of(asked)[0])

    def _followers(self, indices: list[int], catalogue: Catalogue) -> RowArray:
        if self._forward is None or not indices:
            return _NO_ROWS
        spread = self._forward.spread(indices)
        items, place = np.unique(spread.items, return_inverse=True)
        worth = np.bincount(place, spread.shares[:, WIDE] * RECENT_DECAY**spread.source, minlength=len(items))
        rows = catalogue.rows_of_indices(items.astype(np.int64)[np.lexsort((items, -worth))])
        return rows[rows >= 0]

    def repeat(self, asked: Asked, ks: Sequence[int]) -> list[RowArray]:
        """The subject's own items, the most frequent first, of equals the most recent."""
        had = evidence_of(asked.profile, asked.state.catalogue, asked.now_ms).had
        rows = sorted(had, key=lambda row: (-had[row].times, had[row].ago))
        return _listed(asked, ks, np.array(rows, dtype=np.int64), self._orders_of(asked)[0])

    def _orders_of(self, asked: Asked) -> tuple[RowArray, RowArray]:
        """(popular, trending): all rows, best first, made once for a snapshot."""
        aggregates, catalogue = asked.state.aggregates, asked.state.catalogue
        if self._orders is None or self._orders[0] is not aggregates:
            popular, trending = (
                _order(scores, catalogue) for scores in (aggregates.popular, aggregates.trending)
            )
            self._orders = aggregates, popular, trending
        return self._orders[1], self._orders[2]


def _order(scores: Scores, catalogue: Catalogue) -> RowArray:
    rows = catalogue.places_of(scores)
    order = np.lexsort((scores.keys, -scores.scores))
    rows = rows[order]
    return rows[rows >= 0]


def _listed(asked: Asked, ks: Sequence[int], *orders: RowArray) -> list[RowArray]:
    """The first rows of the orders, one after the other, that the rules let through."""
    n = max(ks)
    rules = Rules(
        asked.state.catalogue, asked.profile, RankRequest(asked.now_ms, asked.state.scenarios["for_you"], n)
    )
    found: list[int] = []
    for rows in chain.from_iterable(map(_pieces, orders)):
        for row in rows[rules.allowed(rows)].tolist():
            if rules.take(row):
                found.append(row)
                if len(found) == n:
                    return [np.array(found[:k], dtype=np.int64) for k in ks]
    return [np.array(found[:k], dtype=np.int64) for k in ks]


def _pieces(rows: RowArray) -> Iterator[RowArray]:
    for start in range(0, len(rows), PIECE_ROWS):
        yield rows[start : start + PIECE_ROWS]
