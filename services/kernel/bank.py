"""Exponentially decayed sums of item vectors: S_k ← γ_k S_k + w·e_item, W_k ← γ_k W_k + |w|.

The state is one flat f32 array of K·d + K numbers: S row by row, then W. Every change of it is elementwise,
in f32 and per record, so that a record applied alone or in any batch leaves the same bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]
# The vector of an item by its key: f32[d], or None where the item has none.
VectorOf = Callable[[int], FloatArray | None]
# The weight of an event by the number of its type and its value (NaN: none).
WeightOf = Callable[[int, float], float]

DEFAULT_GAMMAS: Final = (0.0, 0.5, 0.8, 0.92, 0.98, 1.0)
RING_CAPACITY: Final = 128  # recent events of a profile; more would pass 9 KB a profile
RING_DTYPE: Final = np.dtype([("item", "<u8"), ("time", "<u4"), ("value", "<f4"), ("type", "u1")])


@dataclass(frozen=True, slots=True)
class Space:
    """A vector space: its name, the u64 hash of it, the epoch in which profilers write it, d and γ."""

    name: str
    space_id: int
    epoch: int
    d: int
    gammas: tuple[float, ...] = DEFAULT_GAMMAS

    @property
    def k(self) -> int:
        """How many decayed sums a bank holds."""
        return len(self.gammas)


def space_id_of(name: str) -> int:
    """The u64 that stands for a vector space's name in every profile."""
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "little")


# No release yet: banks of d = 0, rebuilt from the ring as soon as there is one.
NO_SPACE: Final = Space(name="", space_id=0, epoch=0, d=0)


def empty_bank(space: Space) -> FloatArray:
    """A flat bank of zeros, f32[K·d + K]."""
    return np.zeros(space.k * space.d + space.k, dtype=np.float32)


def bank_rows(flat: FloatArray, k: int, d: int) -> FloatArray:
    """S of a flat bank: a view, f32[K, d]."""
    return flat[: k * d].reshape(k, d)


def bank_weights(flat: FloatArray, k: int, d: int) -> FloatArray:
    """W of a flat bank: a view, f32[K]."""
    return flat[k * d :]


@lru_cache(maxsize=8)  # a process sees the live space, a candidate, and the one before
def _decay(gammas: tuple[float, ...], d: int) -> FloatArray:
    """γ of every number of a flat bank, f32[K·d + K]."""
    gamma = np.asarray(gammas, dtype=np.float32)
    flat = np.concatenate([np.repeat(gamma, d), gamma])
    flat.flags.writeable = False
    return flat


@lru_cache(maxsize=8)
def _powers(gammas: tuple[float, ...]) -> FloatArray:
    """γ^r for r = 0 … RING_CAPACITY, f32[RING_CAPACITY + 1, K], by products: libraries differ in pow."""
    gamma = np.asarray(gammas, dtype=np.float64)
    rows = np.ones((RING_CAPACITY + 1, len(gammas)), dtype=np.float64)
    np.multiply.accumulate(np.broadcast_to(gamma, (RING_CAPACITY, len(gammas))), axis=0, out=rows[1:])
    table = rows.astype(np.float32)
    table.flags.writeable = False
    return table


def add_newest(flat: FloatArray, space: Space, vector: FloatArray | None, weight: float) -> None:
    """Apply an event that is the newest of its profile, in place: decay everything, then add.

    Without a vector, or with weight 0, the event decays the bank and adds nothing.
    """
    flat *= _decay(space.gammas, space.d)
    if vector is not None and weight:
        k, d = space.k, space.d
        rows, weights = bank_rows(flat, k, d), bank_weights(flat, k, d)
        rows += vector if weight == 1.0 else vector * np.float32(weight)
        weights += np.float32(abs(weight))


def add_late(flat: FloatArray, space: Space, vector: FloatArray | None, weight: float, newer: int) -> None:
    """Apply an event with `newer` newer ones in the ring, in place: S_k ← S_k + γ_k^newer·w·e."""
    if vector is None or not weight:
        return
    k, d = space.k, space.d
    power = _powers(space.gammas)[newer]
    rows, weights = bank_rows(flat, k, d), bank_weights(flat, k, d)
    rows += power[:, None] * (vector * np.float32(weight))
    weights += power * np.float32(abs(weight))


def rebuild_flat_bank(
    ring: NDArray[Any], vector_of: VectorOf, weight_of: WeightOf, space: Space
) -> FloatArray:
    """The flat bank that `space` gives the events of `ring` (RING_DTYPE, oldest first)."""
    flat = empty_bank(space)
    if space.d:
        for item, _time, value, number in ring.tolist():
            add_newest(flat, space, vector_of(item), weight_of(number, value))
    return flat


def rebuild_bank(
    ring: NDArray[Any], vector_of: VectorOf, weight_of: WeightOf, space: Space
) -> tuple[FloatArray, FloatArray]:
    """(S f32[K, d], W f32[K]) in `space` from a ring: how a profile of another space is read."""
    flat = rebuild_flat_bank(ring, vector_of, weight_of, space)
    return bank_rows(flat, space.k, space.d), bank_weights(flat, space.k, space.d)
