"""Vectors of the items that the release in use does not know: new ones, since it was made."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]
RowArray = NDArray[np.int64]

FIRST_CAPACITY: Final = 64
# More new items than this are searched by popularity and co-visitation alone until a new release knows them:
# a scan over more would cost a request over 1 ms.
SCAN_MAX: Final = 50_000


class Extras:
    """Rows and their vectors, dense, in the order they came. Adding and removing is O(1)."""

    def __init__(self, d: int) -> None:
        self._vectors = np.zeros((FIRST_CAPACITY, d), dtype=np.float32)
        self._rows = np.full(FIRST_CAPACITY, -1, dtype=np.int64)  # slot → row, -1 for a free one
        self._slots: dict[int, int] = {}  # row → slot, -1 for a row without a vector; in order of arrival
        self._slot_of_row = np.full(FIRST_CAPACITY, -1, dtype=np.int64)  # the same, as far as it goes
        self._used = 0
        self._free: list[int] = []

    def __len__(self) -> int:
        return len(self._slots)

    def put(self, row: int, vector: FloatArray | None) -> None:
        """Add a row, or replace its vector; None where its metadata says nothing."""
        slot = self._slots.get(row, -1)
        if vector is None:
            if slot >= 0:
                self._release(slot)
            self._slots[row] = -1
            return
        if slot < 0:
            slot = self._slots[row] = self._new_slot()
            self._place(row, slot)
        self._vectors[slot] = vector
        self._rows[slot] = row

    def remove(self, row: int) -> None:
        """Take a row out; one that is not there is no error."""
        slot = self._slots.pop(row, -1)
        if slot >= 0:
            self._release(slot)

    def get(self, row: int) -> FloatArray | None:
        """The vector of a row, or None."""
        slot = self._slots.get(row, -1)
        return self._vectors[slot] if slot >= 0 else None

    def fill(self, vectors: FloatArray, has: NDArray[np.bool_], rows: RowArray) -> None:
        """Put the vectors of those `rows` that have one here into their places, and say so in `has`."""
        slots = self._slot_of_row.take(np.minimum(rows, len(self._slot_of_row) - 1))
        at = np.flatnonzero((slots >= 0) & (rows < len(self._slot_of_row)))
        vectors[at] = self._vectors[slots[at]]
        has[at] = True

    def newest(self) -> Iterator[int]:
        """Rows, the last one that came first."""
        return reversed(self._slots)

    def nearest(self, vector: FloatArray, n: int) -> RowArray:
        """Up to `n` rows with the highest product with `vector`, nearest first."""
        used = min(self._used, SCAN_MAX)
        if not used:
            return np.zeros(0, dtype=np.int64)
        scores = self._vectors[:used] @ vector
        if self._free:
            scores[self._rows[:used] < 0] = -np.inf
        few = min(n, used)
        best = np.argpartition(-scores, few - 1)[:few] if few < used else np.arange(used)
        best = best[np.lexsort((self._rows[best], -scores[best]))]
        rows: RowArray = self._rows[best]
        return rows[rows >= 0]

    def _new_slot(self) -> int:
        if self._free:
            return self._free.pop()
        if self._used == len(self._rows):
            more = len(self._rows)
            self._vectors = np.concatenate([self._vectors, np.zeros_like(self._vectors)])
            self._rows = np.concatenate([self._rows, np.full(more, -1, dtype=np.int64)])
        self._used += 1
        return self._used - 1

    def _place(self, row: int, slot: int) -> None:
        if row >= len(self._slot_of_row):
            grown = np.full(2 * row + 1, -1, dtype=np.int64)
            grown[: len(self._slot_of_row)] = self._slot_of_row
            self._slot_of_row = grown
        self._slot_of_row[row] = slot

    def _release(self, slot: int) -> None:
        self._slot_of_row[self._rows[slot]] = -1
        self._rows[slot] = -1
        self._free.append(slot)
