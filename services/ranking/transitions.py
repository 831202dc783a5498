"""What comes after what: tables of a release, counted by the trainer, looked up for the last items.

A row holds the strongest followers (or, backward, predecessors) of one item, strongest first, with two
shares each: `near` counts what came right after, `wide` what came within ten lines, each step further away
counting less. Both are shares of all that followed the item, so that rows compare.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from services.kernel.release import ReleaseError
from services.release.files import Release

IndexArray = NDArray[np.int64]
ScoreArray = NDArray[np.float64]

FORWARD: Final = "transitions"
BACKWARD: Final = "transitions_back"
NEAR, WIDE = 0, 1
ROW_MAX: Final = 128  # neighbours of an item; weaker ones are chance
_CHECKED_AT_ONCE: Final = 1 << 20


class Spread(NamedTuple):
    """Rows of several sources, one after the other: `items` i32[m], `shares` f32[m, 2], `source` i64[m]."""

    items: NDArray[np.int32]
    shares: NDArray[np.float32]
    source: IndexArray


class Transitions:
    """One direction. `starts` i64[items + 1], `items` i32[m], `shares` f32[m, 2]; mapped, read-only."""

    def __init__(self, starts: IndexArray, items: NDArray[np.int32], shares: NDArray[np.float32]) -> None:
        self._starts = starts
        self._items = items
        self._shares = shares

    @classmethod
    def open(cls, release: Release, role: str) -> Transitions | None:
        """The table of a release, or None where it has none. Raises ReleaseError where shapes do not fit."""
        if f"{role}_starts" not in release.manifest.artefacts:
            return None
        starts, items, shares = (
            np.load(release.file(f"{role}_{part}"), mmap_mode="r", allow_pickle=False).view(np.ndarray)
            for part in ("starts", "items", "shares")
        )
        fits = (
            starts.shape == (release.manifest.items + 1,)
            and items.shape == (int(starts[-1]),)
            and shares.shape == (len(items), 2)
        )
        if not fits:
            raise ReleaseError(
                f"{role} of {release.name} has {starts.shape}, {items.shape} and {shares.shape} numbers for "
                f"{release.manifest.items} items, expected [items + 1], [m] and [m, 2]"
            )
        return cls(starts, items, shares)

    def check(self, release: Release, role: str) -> None:
        """Raise ReleaseError unless every neighbour is an item of the release. Reads all of the table."""
        for start in range(0, len(self._items), _CHECKED_AT_ONCE):
            piece = self._items[start : start + _CHECKED_AT_ONCE]
            if not 0 <= int(piece.min()) <= int(piece.max()) < release.manifest.items:
                raise ReleaseError(
                    f"{role} of {release.name} names items outside 0 to {release.manifest.items - 1}"
                )

    def row(self, index: int, n: int) -> NDArray[np.int32]:
        """Indices of the `n` strongest neighbours of an item; none for index -1."""
        if index < 0:
            return self._items[:0]
        start = int(self._starts[index])
        return self._items[start : min(start + n, int(self._starts[index + 1]))]

    def spread(self, sources: list[int]) -> Spread:
        """The rows of `sources` (indices, -1 for none); `source` is the place in the list."""
        spans = [
            (int(self._starts[index]), int(self._starts[index + 1])) if index >= 0 else (0, 0)
            for index in sources
        ]
        lengths = [stop - start for start, stop in spans]
        return Spread(
            np.concatenate([self._items[start:stop] for start, stop in spans]),
            np.concatenate([self._shares[start:stop] for start, stop in spans]),
            np.repeat(np.arange(len(spans)), lengths),
        )


class Tables(NamedTuple):
    """Both directions of a release; None where it has none."""

    forward: Transitions | None
    backward: Transitions | None

    @classmethod
    def open(cls, release: Release) -> Tables:
        """Map them. Raises ReleaseError where one does not fit the release."""
        return cls(Transitions.open(release, FORWARD), Transitions.open(release, BACKWARD))

    def check(self, release: Release) -> None:
        """Raise ReleaseError where one names an item that the release does not have."""
        for table, role in ((self.forward, FORWARD), (self.backward, BACKWARD)):
            if table is not None:
                table.check(release, role)
