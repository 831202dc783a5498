"""Why an item stands in a list: the strongest of the reasons that are true of the data it was ranked from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from services.kernel.event_type import EventType
from services.kernel.item import Item
from services.ranking.blend import Candidates
from services.ranking.evidence import Evidence, RecentItem
from services.ranking.state import RankingState, Reason

# A cosine from which two items are called alike; below it they may share little more than a brand and a
# price.
ALIKE_COSINE: Final = 0.7
TRENDING_PLACES: Final = 100  # the best so many are called trending
POPULAR_PLACES: Final = 200

CODES: Final = (
    *("similar_to_item", "chosen_with_item", "bought_before", "viewed_before", "same_category"),
    *("taste", "new", "trending", "popular", "catalogue", "recently_viewed"),
)
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
TASTE: Final = Reason("taste", "Close to what you have been looking at")


def title_of(item: Item) -> str:
    """What a text calls an item."""
    return item.title or item.item_id


class Reasons:
    """Finds reasons for the lines of one answer. Looks at the catalogue only for items that are shown."""

    def __init__(self, state: RankingState, evidence: Evidence) -> None:
        self._state = state
        self._evidence = evidence
        self._items: dict[int, Item] = {}

    def item(self, row: int) -> Item:
        """The item of a row, decoded once an answer."""
        found = self._items.get(row)
        if found is None:
            found = self._items[row] = self._state.catalogue.item(row)
        return found

    def of_candidate(self, candidates: Candidates, at: int) -> Reason:
        """The reason of one candidate: the term that added most to its score and for which there is
        evidence.
        """
        row = int(candidates.rows[at])
        ways: list[tuple[float, Callable[[], Reason | None]]] = [
            (float(candidates.repeat[at]), lambda: self.repeat(row)),
            (float(candidates.covisitation[at]), lambda: self.chosen_with(int(candidates.led_by[at]))),
            (float(candidates.similarity[at]), lambda: self.alike(row)),
            (float(candidates.popularity[at]), lambda: self.wanted(row)),
        ]
        ways.sort(key=lambda way: -way[0])
        for worth, way in ways:
            if worth > 0 and (reason := way()) is not None:
                return reason
        if self._state.catalogue.is_new([row])[0]:
            return NEW
        return self.wanted(row) or self.alike(row) or CATALOGUE

    def repeat(self, row: int) -> Reason | None:
        """The subject had to do with this very item before."""
        if row not in self._evidence.repeats:
            return None
        item_id = self.item(row).item_id
        if row in self._evidence.bought:
            return Reason("bought_before", "You bought this before", item_id)
        return Reason("viewed_before", "You looked at this before", item_id)

    def chosen_with(self, place: int) -> Reason | None:
        """Others chose it together with one of the subject's recent items."""
        if not 0 <= place < len(self._evidence.recent):
            return None
        source = self._evidence.recent[place]
        if source.row < 0:
            return None
        item = self.item(source.row)
        return Reason("chosen_with_item", f"Often chosen together with {title_of(item)}", item.item_id)

    def alike(self, row: int) -> Reason | None:
        """Its metadata is close to a recent item's, or it shares a category with one, or it is near to them
        all.
        """
        sources, vectors = self._sources
        if not sources:
            return None
        mine, has = self._state.catalogue.vectors(np.array([row]))
        if has[0]:
            lengths = np.linalg.norm(vectors, axis=1) * float(np.linalg.norm(mine[0]))
            cosines = (vectors @ mine[0]) / np.maximum(lengths, 1e-9)
            cosines[[source.row == row for source in sources]] = -1.0
            best = int(np.argmax(cosines))
            if cosines[best] >= ALIKE_COSINE:
                source = sources[best]
                item = self.item(source.row)
                deed = _deed(source.type_number)
                ending = f", which {deed}" if deed else ""
                return Reason("similar_to_item", f"Similar to {title_of(item)}{ending}", item.item_id)
        return self._same_category(row) or (TASTE if has[0] and float(cosines.max()) > 0 else None)

    def _same_category(self, row: int) -> Reason | None:
        for path in self.item(row).categories:
            for source in self._sources[0]:
                if source.row != row and path in self.item(source.row).categories:
                    return Reason(
                        "same_category",
                        f"Because you turned to {path[-1]}",
                        self.item(source.row).item_id,
                        " > ".join(path),
                    )
        return None

    def wanted(self, row: int) -> Reason | None:
        """Many want it: now, or over the last weeks."""
        key = int(self._state.catalogue.keys[row])
        if key in self._trending:
            return TRENDING
        return POPULAR if key in self._popular else None

    @cached_property
    def _sources(self) -> tuple[list[RecentItem], NDArray[np.float32]]:
        sources = [item for item in self._evidence.recent if item.row >= 0]
        vectors, _ = self._state.catalogue.vectors(np.array([item.row for item in sources], dtype=np.int64))
        return sources, vectors

    @cached_property
    def _trending(self) -> frozenset[int]:
        return frozenset(self._state.aggregates.trending.top(TRENDING_PLACES))

    @cached_property
    def _popular(self) -> frozenset[int]:
        return frozenset(self._state.aggregates.popular.top(POPULAR_PLACES))


def _deed(type_number: int) -> str:
    """What the subject did with an item; nothing for a type of the deployment's own."""
    return _DEED.get(type_number, "you looked at" if type_number in _LOOKED else "")
