"""What follows what inside a group: episodes of a series by `group_order`."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from typing import Final

import numpy as np
from numpy.typing import NDArray

RowArray = NDArray[np.int64]
OrderArray = NDArray[np.float64]

FIRST_CAPACITY: Final = 1024
SMALL_GROUP: Final = 64
MARK_MASK: Final = 0xFFFFFFFF  # the low bits of an item's key are its mark in profiles


class Groups:
    """Rows that have a place in a group. A change costs a look-up; a group is put in order when it is asked
    for.

    `order` f64 says of each row its `group_order`, NaN where it has no place.
    """

    def __init__(self) -> None:
        self._places: dict[int, tuple[int, float]] = {}  # row → group, order
        self._rows: dict[int, set[int]] = {}  # group → its rows
        self._ordered: dict[int, tuple[list[float], list[int]]] = {}  # group → orders, rising, and their rows
        self._by_mark: dict[int, int] = {}
        self._heads: dict[int, int] = {}  # group → its first row
        self._headless: set[int] = set()  # groups whose first row is to be looked for
        self._first = np.arange(FIRST_CAPACITY, dtype=np.int64)  # by row the first of its group, or itself
        self.order = np.full(FIRST_CAPACITY, np.nan)

    def __len__(self) -> int:
        """How many rows have a place."""
        return len(self._places)

    def put(self, row: int, group: int, order: float | None, mark: int) -> None:
        """A row stands in a group (0: in none) at a place of its order; None: nobody knows at which.

        `mark`: the row's in profiles.
        """
        if row >= len(self._first):
            self._grow(row)
        place = (group, order) if group and order is not None else None
        if self._places.get(row) == place:
            return
        self.remove(row)
        if place is None:
            return
        self._places[row] = place
        self.order[row] = place[1]
        self._rows.setdefault(group, set()).add(row)
        self._ordered.pop(group, None)
        self._by_mark[mark & MARK_MASK] = row
        head = self._heads.get(group)
        if head is None or (place[1], row) < (self._places[head][1], head):
            self._lead(group)
        else:
            self._first[row] = head

    def _grow(self, row: int) -> None:
        had = len(self._first)
        capacity = max(2 * had, row + 1)
        self._first = np.concatenate([self._first, np.arange(had, capacity)])
        self.order = np.concatenate([self.order, np.full(capacity - had, np.nan)])

    def remove(self, row: int) -> None:
        """A row is gone; one that was in no group is no error."""
        place = self._places.pop(row, None)
        if place is None:
            return
        group, _ = place
        self._first[row], self.order[row] = row, np.nan
        self._rows[group].discard(row)
        self._ordered.pop(group, None)
        if not self._rows[group]:
            del self._rows[group]
        if self._heads.get(group) == row:
            del self._heads[group]
            self._lead(group)

    def group_of(self, row: int) -> int:
        """The group in which a row has a place; 0: in none."""
        return self._places[row][0] if row in self._places else 0

    def firsts(self, rows: RowArray) -> RowArray:
        """By row the first of its group, the row itself where it has no place; same shape."""
        while self._headless:
            self._find_head(self._headless.pop())
        return self._first[rows]

    def _lead(self, group: int) -> None:
        """Another row is the first of a group. In a large one it is looked for when somebody asks: who sends
        a thousand episodes from the last to the first would wait for a million steps.
        """
        if len(self._rows.get(group, ())) <= SMALL_GROUP:
            self._find_head(group)
        else:
            self._headless.add(group)

    def _find_head(self, group: int) -> None:
        if rows := self._rows.get(group):
            head = self._heads[group] = min(rows, key=lambda row: (self._places[row][1], row))
            self._first[list(rows)] = head

    def marked(self, marks: Iterable[int]) -> list[int]:
        """The rows with a place that have one of these marks."""
        found = (self._by_mark.get(mark) for mark in marks)
        return [row for row in found if row is not None and row in self._places]

    def rows_of(self, group: int) -> list[int]:
        """All rows that have a place in a group, the first before the others."""
        return self._in_order(group)[1]

    def after(self, row: int) -> list[int]:
        """The rows that come after one in its group, the next first; equals of its own order do not."""
        place = self._places.get(row)
        if place is None:
            return []
        group, order = place
        orders, rows = self._in_order(group)
        return rows[bisect_right(orders, order) :]

    def _in_order(self, group: int) -> tuple[list[float], list[int]]:
        ordered = self._ordered.get(group)
        if ordered is None:
            some = sorted((self._places[one][1], one) for one in self._rows[group])
            ordered = self._ordered[group] = [at for at, _ in some], [one for _, one in some]
        return ordered
