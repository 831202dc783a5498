"""VMIS-kNN: what those chose next whose sessions were like this one (Kersbergen et al., "Serenade", SIGMOD
2022).

1. Of the last items, newest first, look up the newest sessions that hold each; a session's likeness is the
   sum of the weights of the items that it shares.
2. Keep the NEIGHBOURS most alike; of equals the newer one.
3. An item's score is the sum over these sessions of likeness · match weight · idf, where the match weight
   falls with how far back the newest shared item lies.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from services.kernel.release import ReleaseError
from services.release.files import Release

IndexArray = NDArray[np.int64]
ScoreArray = NDArray[np.float64]

ROLES: Final = ("sessions_starts", "sessions_items", "postings_starts", "postings_sessions")
ITEMS_READ: Final = 8  # last distinct items of the session; older ones find nothing that these do not
NEIGHBOURS: Final = 100
_PLACE_WEIGHT: Final = 1.0 - np.arange(ITEMS_READ) / (ITEMS_READ + 1)
_MATCH_WEIGHT: Final = np.maximum(1.0 - 0.1 * np.arange(ITEMS_READ + 1), 0.0)


class SessionScores(NamedTuple):
    """Items by rising index, i64[m], and how strongly the neighbours chose them, highest 1, f64[m]."""

    indices: IndexArray
    share: ScoreArray


NO_SCORES: Final = SessionScores(np.zeros(0, dtype=np.int64), np.zeros(0))


class SessionNeighbours:
    """The index of a release. Sessions are numbered by age, the newest last; arrays are mapped, read-only.

    `sessions_starts` i64[s + 1] and `sessions_items` i32[m]: the items of each session. `postings_starts`
    i64[items + 1] and `postings_sessions` i32[p]: the newest sessions with each item, newest first.
    """

    def __init__(
        self,
        sessions_starts: IndexArray,
        sessions_items: NDArray[np.int32],
        postings_starts: IndexArray,
        postings_sessions: NDArray[np.int32],
    ) -> None:
        self._starts = sessions_starts
        self._items = sessions_items
        self._posting_starts = postings_starts
        self._postings = postings_sessions
        counts = np.diff(postings_starts)
        self._rarity = np.log((1 + len(sessions_starts)) / (1.0 + counts))

    @classmethod
    def open(cls, release: Release) -> SessionNeighbours | None:
        """The index of a release, or None where it has none. Raises ReleaseError where it does not fit."""
        if ROLES[0] not in release.manifest.artefacts:
            return None
        starts, items, posting_starts, postings = (
            np.load(release.file(role), mmap_mode="r", allow_pickle=False).view(np.ndarray) for role in ROLES
        )
        fits = (
            posting_starts.shape == (release.manifest.items + 1,)
            and items.shape == (int(starts[-1]),)
            and postings.shape == (int(posting_starts[-1]),)
            and (not len(items) or 0 <= int(items.min()) <= int(items.max()) < release.manifest.items)
            and (not len(postings) or 0 <= int(postings.min()) <= int(postings.max()) < len(starts) - 1)
        )
        if not fits:
            raise ReleaseError(
                f"the session index of {release.name} does not fit its {release.manifest.items} items"
            )
        return cls(starts, items, posting_starts, postings)

    def scores(self, recent: list[int]) -> SessionScores:
        """What the neighbours of a session chose, `recent` its items newest first, -1 for unknown ones."""
        known = [(place, index) for place, index in enumerate(recent[:ITEMS_READ]) if index >= 0]
        if not known:
            return NO_SCORES
        # 1.
        rows = [
            self._postings[self._posting_starts[index] : self._posting_starts[index + 1]]
            for _, index in known
        ]
        places = np.repeat([place for place, _ in known], [len(row) for row in rows])
        sessions, first, inverse = np.unique(np.concatenate(rows), return_index=True, return_inverse=True)
        if not len(sessions):
            return NO_SCORES
        likeness = np.bincount(inverse, _PLACE_WEIGHT[places])
        # 2. `unique` sorts by number: later ones are newer.
        likeness = likeness * _MATCH_WEIGHT[places[first]]
        if len(sessions) > NEIGHBOURS:
            order = np.argsort(likeness, kind="stable")[-NEIGHBOURS:]
            sessions, likeness = sessions[order], likeness[order]
        # 3.
        begins, ends = self._starts[sessions].tolist(), self._starts[sessions + 1].tolist()
        spans = [self._items[begin:end] for begin, end in zip(begins, ends, strict=True)]
        weights = np.repeat(likeness, [len(span) for span in spans])
        indices, inverse = np.unique(np.concatenate(spans), return_inverse=True)
        share = np.bincount(inverse, weights) * self._rarity[indices]
        return SessionScores(indices.astype(np.int64), share / max(float(share.max()), 1e-12))
