"""From profiles to the inputs of a graph: any subset of the contract in `services.kernel.release`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from services.kernel.bank import RING_CAPACITY, WeightOf, rebuild_bank
from services.kernel.change import weight_of
from services.kernel.event_type import EventTypes
from services.kernel.profile import Profile
from services.release.files import Release

Array = NDArray[Any]
SEEN_MAX = 4096  # seen items that a graph is given at most; the newest


class ModelQuestion(NamedTuple):
    """One user for the model. `context_key` is the key of the item that the request names, 0 for none."""

    profile: Profile
    now_ms: int
    context_key: int = 0


class FeedMaker:
    """Makes the feeds of one graph. `sizes` holds the fixed length of an input, absent where it is free."""

    def __init__(
        self, release: Release, names: Sequence[str], sizes: dict[str, int], custom_types: str = ""
    ) -> None:
        """`custom_types` are the deployment's own event types, as FRESHET_EVENT_TYPES has them."""
        self._release = release
        self._names = frozenset(names)
        self._sizes = sizes
        self._space = release.space.at(0)
        self._weight_of: WeightOf = weight_of(EventTypes(custom_types, release.event_weights))
        self._makers: dict[str, Callable[[Sequence[ModelQuestion]], dict[str, Array]]] = {
            "bank": self._banks,
            "bank_weight": self._banks,
            "history_items": self._histories,
            "history_types": self._histories,
            "history_ages_s": self._histories,
            "history_mask": self._histories,
            "seen_items": self._seen,
            "context_item": self._context,
        }

    def feeds(self, questions: Sequence[ModelQuestion]) -> dict[str, Array]:
        """The inputs that the graph takes, one row a question."""
        made: dict[str, Array] = {}
        for maker in dict.fromkeys(self._makers[name] for name in sorted(self._names)):
            made.update(maker(questions))
        return {name: made[name] for name in self._names}

    def _banks(self, questions: Sequence[ModelQuestion]) -> dict[str, Array]:
        space = self._space
        bank = np.zeros((len(questions), space.k, space.d), dtype=np.float32)
        weight = np.zeros((len(questions), space.k), dtype=np.float32)
        for row, question in enumerate(questions):
            profile = question.profile
            if profile.in_space(space):
                bank[row], weight[row] = profile.bank, profile.bank_weight
            elif len(profile.ring):
                bank[row], weight[row] = rebuild_bank(
                    profile.ring, self._release.vector_of, self._weight_of, space
                )
        return {"bank": bank, "bank_weight": weight}

    def _histories(self, questions: Sequence[ModelQuestion]) -> dict[str, Array]:
        """Oldest first, the newest at [-1], padding on the left; at least one place even for nobody."""
        rings = [question.profile.ring for question in questions]
        fixed = [self._sizes[name] for name in self._names & _HISTORY if name in self._sizes]
        length = min(fixed) if fixed else max(1, min(RING_CAPACITY, max(map(len, rings), default=1)))
        shape = (len(questions), length)
        items = np.full(shape, -1, dtype=np.int64)
        types = np.zeros(shape, dtype=np.int64)
        ages_s = np.zeros(shape, dtype=np.float32)
        mask = np.zeros(shape, dtype=np.bool_)
        for row, (ring, question) in enumerate(zip(rings, questions, strict=True)):
            ring = ring[-length:]  # noqa: PLW2901
            if not len(ring):
                continue
            at = slice(length - len(ring), length)
            items[row, at] = self._release.indices_of(ring["item"])
            types[row, at] = ring["type"]
            ages_s[row, at] = np.maximum(question.now_ms / 1000 - ring["time"].astype(np.float64), 0.0)
            mask[row, at] = True
        return {
            "history_items": items,
            "history_types": types,
            "history_ages_s": ages_s,
            "history_mask": mask,
        }

    def _seen(self, questions: Sequence[ModelQuestion]) -> dict[str, Array]:
        """Fingerprints are 32 bits of a key: what they match in the release, two items in 2^32 wrongly."""
        found = [
            self._by_fingerprint(_newest(question.profile.seen["fingerprint"])) for question in questions
        ]
        length = self._sizes.get("seen_items") or max(1, min(SEEN_MAX, max(map(len, found), default=1)))
        seen = np.full((len(questions), length), -1, dtype=np.int64)
        for row, indices in enumerate(found):
            if len(indices):
                kept = indices[-length:]
                seen[row, length - len(kept) :] = kept
        return {"seen_items": seen}

    def _by_fingerprint(self, fingerprints: Array) -> Array:
        order, ordered = self._release.by_fingerprint
        at = np.minimum(np.searchsorted(ordered, fingerprints), len(ordered) - 1)
        indices: Array = order[at[ordered[at] == fingerprints]]
        return indices

    def _context(self, questions: Sequence[ModelQuestion]) -> dict[str, Array]:
        keys = np.array([question.context_key for question in questions], dtype=np.uint64)
        return {"context_item": self._release.indices_of(keys)}


def _newest(fingerprints: Array) -> Array:
    """Each once, at its last place: an item may be seen for several reasons."""
    _, from_end = np.unique(fingerprints[::-1], return_index=True)
    kept: Array = fingerprints[np.sort(len(fingerprints) - 1 - from_end)]
    return kept


_HISTORY = frozenset({"history_items", "history_types", "history_ages_s", "history_mask"})
