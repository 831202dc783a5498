"""An answer as it grows: scores fall, each item stands once, groups and caps hold."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.ranking.catalogue import Catalogue
from services.ranking.question import Question
from services.ranking.scenario import Cap
from services.ranking.state import MAX_N, RankedItem


class Caps:
    """How many of each value are in the list, and how many may be."""

    def __init__(self, question: Question, n: int) -> None:
        catalogue = question.catalogue
        self._caps = [
            (cap, _codes(catalogue, cap.field), _most(cap, n), dict[int, int]())
            for cap in question.scenario.caps
        ]
        self.any = bool(self._caps)

    def room(self, row: int) -> bool | None:
        """True: there is room for the row. None: behind all others. False: there is none."""
        late = False
        for cap, codes, most, had in self._caps:
            code = codes.item(row) if 0 <= row < len(codes) else 0
            if code > 0 and had.get(code, 0) >= most:
                if not cap.soft:
                    return False
                late = True
        return None if late else True

    def explained(self, items: list[RankedItem]) -> list[RankedItem]:
        """The list with what caps count of each line: `place` 2 of at most 3; above `most` where a soft cap
        had put it behind the rest."""
        had: list[dict[int, int]] = [{} for _ in self._caps]
        told = []
        for item in items:
            counted = []
            for (cap, codes, most, _), places in zip(self._caps, had, strict=True):
                code = codes.item(item.row) if 0 <= item.row < len(codes) else 0
                if code > 0:
                    places[code] = places.get(code, 0) + 1
                    counted.append({"field": cap.field, "place": places[code], "most": most})
            told.append(item._replace(explain={**(item.explain or {}), "caps": counted}) if counted else item)
        return told

    def count(self, row: int) -> None:
        """A row has come into the list."""
        for _, codes, _, had in self._caps:
            code = codes.item(row) if 0 <= row < len(codes) else 0
            had[code] = had.get(code, 0) + 1


def _codes(catalogue: Catalogue, field: str) -> NDArray[np.integer[Any]]:
    """By row a number for each value, 0 for none; of categories the first path."""
    held = {"categories": catalogue.category, "group_id": catalogue.group}
    return held[field] if field in held else catalogue.columns.codes(field)


def _most(cap: Cap, n: int) -> int:
    return max(cap.at_least, math.ceil(n * cap.share)) if cap.share else cap.most


class Listing:
    """The list of one question. Pinned items have their places from the start."""

    def __init__(self, question: Question) -> None:
        self.question = question
        self.n = max(0, min(question.request.n, MAX_N))
        self.caps = Caps(question, self.n)
        self._strategy = ""
        self._items: list[RankedItem] = []
        self._pinned = dict(self._pins())

    def _pins(self) -> Iterator[tuple[int, int]]:
        """(slot, row) of the pinned items that may be shown."""
        question = self.question
        taken: set[int] = set()
        for pin in sorted(question.scenario.pins, key=lambda pin: pin.slot):
            row = question.catalogue.row_of(pin.item_id)
            if row < 0 or pin.slot > self.n or pin.slot in taken:
                continue
            if question.rules.may_be_shown(np.array([row]))[0] and question.rules.take(row):
                taken.add(pin.slot)
                self.caps.count(row)
                yield pin.slot, row

    @property
    def wanted(self) -> int:
        """How many more lines there is room for."""
        return max(0, self.n - len(self._pinned) - len(self._items))

    @property
    def empty(self) -> bool:
        """Whether nothing but pinned items stands in it."""
        return not self._items

    def admit(self, row: int) -> bool:
        """Whether an allowed row has a place here, by groups and caps; it is counted then."""
        if row < 0:
            return True
        if not self.question.rules.take(row):
            return False
        if self.caps.any:
            self.caps.count(row)
        return True

    def extend(self, lines: Iterable[RankedItem], strategy: str) -> None:
        """Append admitted lines."""
        least = self._items[-1].score if self._items else math.inf
        for line in lines:
            if line.score > least:
                # Another step counts in other units; diversity and soft caps put better ones behind.
                line = line._replace(score=least)  # noqa: PLW2901
            least = line.score
            self._strategy = self._strategy or strategy
            self._items.append(line)

    @property
    def strategy(self) -> str:
        """The step of the ladder that the first line came from; `none` where there is none."""
        return self._strategy or "none"

    def items(self) -> list[RankedItem]:
        """All lines, pinned ones at their slots, or at the end of a list that is too short."""
        items = list(self._items)
        pinned = self.question.say.plain("pinned")
        catalogue, explain = self.question.catalogue, self.question.request.explain
        for slot, row in self._pinned.items():
            at = min(slot - 1, len(items))
            near = items[at - 1] if at else items[0] if items else None
            score = near.score if near is not None else 0.0
            why = {"pinned": slot} if explain else None
            items.insert(
                at, RankedItem(catalogue.id_of(row), int(catalogue.keys[row]), row, score, pinned, why)
            )
        return self.caps.explained(items) if explain and self.caps.any else items
