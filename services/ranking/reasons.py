"""Why an item stands in a list: the strongest of the reasons that are true of the data it was ranked from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Final

import numpy as np

from services.kernel.event_type import EventType
from services.kernel.item import Item
from services.ranking.blend import Candidates
from services.ranking.demand import NEW_POPULARITY, demand_of
from services.ranking.evidence import Evidence, RecentItem
from services.ranking.state import RankingState, Reason

# A cosine from which two items are called alike; below it they may share little more than a brand and a
# price.
ALIKE_COSINE: Final = 0.7

_LOOKED: Final = frozenset({EventType.VIEW, EventType.CLICK})
_DEED: Final[Mapping[int, str]] = {
    EventType.PURCHASE: "you bought",
    EventType.CART_ADD: "you put into your cart",
    EventType.LIKE: "you like",
    EventType.VIDEO_START: "you watched",
    EventType.VIDEO_PROGRESS: "you watched",
    EventType.VIDEO_COMPLETE: "you watched",
    EventType.RATING: "you rated",
    EventType.SHARE: "you shared",
}

TRENDING: Final = Reason("trending", "Many people turn to this right now")
POPULAR: Final = Reason("popular", "Popular over the last weeks")
CATALOGUE: Final = Reason("catalogue", "From the catalogue")
NEW: Final = Reason("new", "New in the catalogue")
PINNED: Final = Reason("pinned", "Featured")
TASTE: Final = Reason("taste", "Close to your recent choices")


def title_of(item: Item) -> str:
    """What a text calls an item."""
    return item.title or item.item_id


def chosen_with(catalogue: Catalogue, source: RecentItem) -> Reason:
    """Others chose it together with one of the subject's recent items."""
    item = catalogue.item(source.row)
    return Reason("chosen_with_item", f"Often chosen together with {title_of(item)}", item.item_id)


def had_before(catalogue: Catalogue, evidence: Evidence, row: int) -> Reason:
    """The subject had to do with this very item before."""
    if row in evidence.bought:
        return Reason("bought_before", "You bought this before", catalogue.id_of(row))
    return Reason("viewed_before", "You looked at this before", catalogue.id_of(row))


def alike(catalogue: Catalogue, row: int, type_number: int = 0) -> Reason:
    """Like an item that the subject turned to."""
    item = catalogue.item(row)
    deed = _deed(type_number)
    text = f"Similar to {title_of(item)}{f', which {deed}' if deed else ''}"
    return Reason("similar_to_item", text, item.item_id)


class Reasons:
    """Finds the reasons of the lines of one answer. Looks at the catalogue only for items that are shown."""

    def __init__(
        self, state: RankingState, evidence: Evidence, candidates: Candidates, places: list[int]
    ) -> None:
        """`places` are those of the lines in `candidates`."""
        self._catalogue = state.catalogue
        self._demand = demand_of(state)
        self._evidence = evidence
        self._rows: list[int] = candidates.rows[places].tolist()
        self._led_by: list[int] = candidates.led_by[places].tolist()
        terms = (candidates.repeat, candidates.covisitation, candidates.similarity, candidates.popularity)
        worths = np.stack([term[places] for term in terms], axis=1)
        self._worths: list[list[float]] = worths.tolist()
        self._orders: list[list[int]] = np.argsort(-worths, axis=1, kind="stable").tolist()
        self._similar: dict[int, Reason] = {}

    def all(self) -> list[Reason]:
        """One a line: the term that added most to its score and for which there is evidence."""
        ways = (self._repeat, self._chosen_with, self._alike, self._wanted)  # one a term
        return [self._of_line(line, ways) for line in range(len(self._rows))]

    def _of_line(self, line: int, ways: Sequence[Callable[[int], Reason | None]]) -> Reason:
        worths = self._worths[line]
        for way in self._orders[line]:
            if worths[way] > 0 and (reason := ways[way](line)) is not None:
                return reason
        if self._demand.least[self._rows[line]] == NEW_POPULARITY:
            return NEW
        return self._wanted(line) or self._alike(line) or CATALOGUE

    def _repeat(self, line: int) -> Reason | None:
        """The subject had to do with this very item before."""
        row = self._rows[line]
        if row not in self._evidence.repeats:
            return None
        return had_before(self._catalogue, self._evidence, row)

    def _chosen_with(self, line: int) -> Reason | None:
        """Others chose it together with one of the subject's recent items."""
        place = self._led_by[line]
        if place < 0 or (source := self._evidence.recent[place]).row < 0:
            return None
        return chosen_with(self._catalogue, source)

    def _alike(self, line: int) -> Reason | None:
        """Its metadata is close to a recent item's, or it shares a category with one, or it is near to them
        all.
        """
        if not self._sources:
            return None
        best, cosine = self._nearest[0][line], self._nearest[1][line]
        if cosine >= ALIKE_COSINE:
            return self._similar.get(best) or self._similar_to(best)
        return self._same_category(self._rows[line]) or (TASTE if cosine > 0 else None)

    def _similar_to(self, place: int) -> Reason:
        source = self._sources[place]
        reason = self._similar[place] = alike(self._catalogue, source.row, source.type_number)
        return reason

    def _same_category(self, row: int) -> Reason | None:
        for path in self._catalogue.item(row).categories:
            for source in self._by_category.get(tuple(path), ()):
                if source != row:
                    text = f"Because you turned to {path[-1]}"
                    return Reason("same_category", text, self._catalogue.id_of(source), " > ".join(path))
        return None

    def _wanted(self, line: int) -> Reason | None:
        """Many want it: now, or over the last weeks."""
        row = self._rows[line]
        if row in self._demand.trending:
            return TRENDING
        return POPULAR if row in self._demand.popular else None

    @cached_property
    def _sources(self) -> list[RecentItem]:
        return [item for item in self._evidence.recent if item.row >= 0]

    @cached_property
    def _by_category(self) -> dict[tuple[str, ...], list[int]]:
        """Rows of the sources, newest first, by category."""
        found: dict[tuple[str, ...], list[int]] = {}
        for source in self._sources:
            for path in self._catalogue.item(source.row).categories:
                found.setdefault(tuple(path), []).append(source.row)
        return found

    @cached_property
    def _nearest(self) -> tuple[list[int], list[float]]:
        """Of each line the place of the nearest other source, and the cosine: -1 where there is no vector."""
        rows, sources = np.array(self._rows), np.array([source.row for source in self._sources])
        (mine, has), (others, _) = self._catalogue.vectors(rows), self._catalogue.vectors(sources)
        lengths = np.outer(*(np.sqrt(np.einsum("ij,ij->i", some, some)) for some in (mine, others)))
        cosines = (mine @ others.T) / np.maximum(lengths, 1e-9)
        cosines[(rows[:, None] == sources) | ~has[:, None]] = -1.0
        return cosines.argmax(axis=1).tolist(), cosines.max(axis=1).tolist()


def _deed(type_number: int) -> str:
    """What the subject did with an item; nothing for a type of the deployment's own."""
    return _DEED.get(type_number, "you looked at" if type_number in _LOOKED else "")


def recently_viewed(type_number: int) -> Reason:
    """Why an item stands under `recently_viewed`: the newest thing that the subject did with it."""
    deed = _deed(type_number)
    return Reason("recently_viewed", f"{deed[0].upper()}{deed[1:]} this" if deed else "Of your recent items")
