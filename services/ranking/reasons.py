"""Why an item stands in a list: the strongest of the reasons that are true of the data it was ranked from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property, lru_cache
from typing import Final

import numpy as np

from services.kernel.item import Item
from services.ranking.blend import Candidates
from services.ranking.catalogue import Catalogue
from services.ranking.demand import NEW_POPULARITY, demand_of
from services.ranking.evidence import Evidence, RecentItem
from services.ranking.reason_texts import BY_DEED, DEEDS, DONE, OTHER, LanguageTexts
from services.ranking.state import RankingState, Reason

# A cosine from which two items are called alike; below it they may share little more than a brand and a
# price.
ALIKE_COSINE: Final = 0.7
# The least that "close to your choices" and "similar to" may be said of: of ten items at random, in 64
# dimensions, the nearest has .2. Where a filter leaves nothing that is near, the best of the rest is not.
NEAR_COSINE: Final = 0.3
_WANTED: Final = 3  # the place of popularity among the terms


def title_of(item: Item) -> str:
    """What a text calls an item."""
    return item.title or item.item_id


class Say:
    """Makes reasons, in the language of one request."""

    def __init__(self, catalogue: Catalogue, texts: LanguageTexts) -> None:
        self._catalogue = catalogue
        self._texts = texts
        self._text = texts.text
        self._kept: dict[tuple[str, int, int | None], Reason] = {}  # one item leads to many

    def plain(self, code: str) -> Reason:
        """A reason that names nothing."""
        return _plain(self._texts, code)

    def about(self, code: str, row: int, type_number: int | None = None) -> Reason:
        """A reason that names an item, -1: one in no catalogue; and what the subject did with it."""
        kept = self._kept.get((code, row, type_number))
        if kept is None:
            deed = None if type_number is None else DEEDS.get(type_number)
            if row < 0:
                kept = Reason(code, self._text(code, deed=deed))
            else:
                item = self._catalogue.item(row)
                kept = Reason(code, self._text(code, item=title_of(item), deed=deed), item.item_id)
            self._kept[code, row, type_number] = kept
        return kept

    def did(self, type_number: int) -> Reason:
        """The newest thing that the subject did with an item of `recently_viewed`."""
        return Reason("recently_viewed", self._text(BY_DEED, deed=DONE.get(type_number, OTHER)))

    def had_before(self, evidence: Evidence, row: int) -> Reason:
        """The subject had to do with this very item before: bought it, or else what they did with it last."""
        item_id, type_number = self._catalogue.id_of(row), evidence.had[row].type_number
        if row not in evidence.bought and DONE.get(type_number) != "viewed":
            did = self.did(type_number)
            return Reason(did.code, did.text, item_id)
        code = "bought_before" if row in evidence.bought else "viewed_before"
        return Reason(code, self.plain(code).text, item_id)

    def shelf(self, code: str, path: Sequence[str], item_id: str | None = None) -> Reason:
        """A reason that names a category, and the item that led to it."""
        return Reason(code, self._text(code, category=path[-1]), item_id, " > ".join(path))

    def place(self, code: str, *, country: str | None = None, device: str | None = None) -> Reason:
        """Popular where the request comes from."""
        text = self._text(code, country=country, device=device)
        return Reason(code, text, country=country, device=device)

    def unfinished(self, progress: float | None) -> Reason:
        """A video that the subject began; how far it has run, 0 to 1, None where nobody said so."""
        return Reason("continue_watching", self.plain("continue_watching").text, progress=progress)


@lru_cache(maxsize=1024)  # a dozen codes in each of at most 50 languages
def _plain(texts: LanguageTexts, code: str) -> Reason:
    return Reason(code, texts.text(code))


class Reasons:
    """Finds the reasons of the lines of one answer. Looks at the catalogue only for items that are shown."""

    def __init__(
        self,
        state: RankingState,
        evidence: Evidence,
        candidates: Candidates,
        places: list[int],
        say: Say,
        *,
        personal_first: bool = False,
    ) -> None:
        """`places` are those of the lines in `candidates`. `personal_first`: that many want an item is said
        only where nothing of the subject can be; for a list that these terms have not ordered.
        """
        self._catalogue = state.catalogue
        self._say = say
        self._demand = demand_of(state)
        self._evidence = evidence
        self._rows: list[int] = candidates.rows[places].tolist()
        self._led_by: list[int] = candidates.led_by[places].tolist()
        terms = (candidates.repeat, candidates.covisitation, candidates.similarity, candidates.popularity)
        worths = np.stack([term[places] for term in terms], axis=1)
        strength = worths.copy()
        if personal_first:
            strength[:, _WANTED] = -np.inf
        self._worths: list[list[float]] = worths.tolist()
        self._orders: list[list[int]] = np.argsort(-strength, axis=1, kind="stable").tolist()
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
            return self._say.plain("new")
        return self._wanted(line) or self._alike(line) or self._say.plain("catalogue")

    def _repeat(self, line: int) -> Reason | None:
        """The subject had to do with this very item before."""
        row = self._rows[line]
        if row not in self._evidence.repeats:
            return None
        return self._say.had_before(self._evidence, row)

    def _chosen_with(self, line: int) -> Reason | None:
        """Others chose it together with one of the subject's recent items."""
        place = self._led_by[line]
        if place < 0 or (source := self._evidence.recent[place]).row < 0:
            return None
        return self._say.about("chosen_with_item", source.row)

    def _alike(self, line: int) -> Reason | None:
        """Its metadata is close to a recent item's, or it shares a category with one, or it is near to them
        all.
        """
        if not self._sources:
            return None
        best, cosine = self._nearest[0][line], self._nearest[1][line]
        if cosine >= ALIKE_COSINE:
            return self._similar.get(best) or self._similar_to(best)
        near = self._say.plain("taste") if cosine >= NEAR_COSINE else None
        return self._same_category(self._rows[line]) or near

    def _similar_to(self, place: int) -> Reason:
        source = self._sources[place]
        reason = self._say.about("similar_to_item", source.row, source.type_number)
        self._similar[place] = reason
        return reason

    def _same_category(self, row: int) -> Reason | None:
        for path in self._catalogue.item(row).categories:
            for source in self._by_category.get(tuple(path), ()):
                if source != row:
                    return self._say.shelf("same_category", path, self._catalogue.id_of(source))
        return None

    def _wanted(self, line: int) -> Reason | None:
        """Many want it: now, or over the last weeks."""
        row = self._rows[line]
        if row in self._demand.trending:
            return self._say.plain("trending")
        return self._say.plain("popular") if row in self._demand.popular else None

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
