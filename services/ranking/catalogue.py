"""The catalogue in memory: arrays to filter with, id maps, and the items as they stand in the store."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from services.kernel.item import Item
from services.release.files import Release

RowArray = NDArray[np.int64]


class Catalogue:
    """All items of the namespace. Rows are stable while the object lives; a deleted row is used no more.

    An upsert or delete costs a few µs whatever the size. One thread writes and ranks.
    """

    def __init__(self, release: Release | None = None) -> None:
        raise NotImplementedError

    def __len__(self) -> int:
        raise NotImplementedError

    def load(self, raw_items: Iterable[bytes]) -> None:
        """Upsert many items given as the store's JSON; the order of rows does not depend on theirs."""
        raise NotImplementedError

    def upsert(self, item: Item) -> int:
        """Add or replace an item; answers its row."""
        raise NotImplementedError

    def delete(self, item_id: str) -> bool:
        """Take an item out; False where it was not there."""
        raise NotImplementedError

    def bind(self, release: Release | None) -> None:
        """Use another release's indices and encoder (a swap): O(n), some 20 ms at 100k items."""
        raise NotImplementedError

    def item(self, row: int) -> Item:
        """The item of a row, decoded on demand (about 2 µs)."""
        raise NotImplementedError

    def get(self, item_id: str) -> Item | None:
        """The item by id, or None."""
        raise NotImplementedError

    def row_of(self, item_id: str) -> int:
        """Row of an item id, -1 where it is in no catalogue."""
        raise NotImplementedError

    def row_of_key(self, key: int) -> int:
        """Row of an item key (u64), -1 where it is in no catalogue."""
        raise NotImplementedError
