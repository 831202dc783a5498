"""From an item's metadata to its vector: hashed features, weighted by rarity, projected into the space."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from services.kernel.item import Item

FloatArray = NDArray[np.float32]


class ItemEncoder:
    """The projection of one release. The vector of an item is a function of its metadata and the release alone.

    Sums run per item, elementwise and in a fixed order, so that every machine gets the same bits.
    """

    def __init__(self, projection: FloatArray, document_counts: NDArray[np.uint32], config: Mapping[str, object]) -> None:
        raise NotImplementedError

    def vector(self, item: Item) -> FloatArray | None:
        """f32[d] of length 1, or None for an item whose metadata says nothing."""
        raise NotImplementedError
