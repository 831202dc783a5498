"""The catalogue: written in log order behind fences, scanned and followed by readers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from services.store.connection import Connection
from services.store.fence import Fence

# What followers may lag behind before they must load everything again; some 6 MB.
MAX_CHANGES = 100_000


class ItemWrite(NamedTuple):
    """One record of the items topic as it ends: the whole item (canonical JSON) or None to delete it."""

    fence: Fence
    item_id: str
    item_key: int
    value: bytes | None


class Collision(NamedTuple):
    """An upsert that cannot be: `owner`, another item, has the same 64-bit key."""

    write: ItemWrite
    owner: str


class CurrentItems(NamedTuple):
    """What a writer needs before a batch: the fence, and the items as they stand (in the order asked)."""

    fence: Fence | None
    items: list[bytes | None]
    owners: list[str | None]  # who has the item's key


class Cursor(NamedTuple):
    """A place in the stream of changes. Opaque."""

    last_id: str
    added: int


class Changes(NamedTuple):
    """Ids of items that changed, oldest first, duplicates possible. `lost`: changes are missing between the
    cursor and now (trimmed, or the store is another one): take a new cursor and scan everything again."""

    item_ids: list[str]
    cursor: Cursor
    lost: bool


class CatalogueWriter:
    """For the profiler. All methods raise StoreUnavailableError or StoreMisconfiguredError."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def fence(self, epoch: int, partition: int) -> Fence | None:
        """How far a partition of the items topic is applied."""
        raise NotImplementedError

    async def read(self, epoch: int, partition: int, items: Sequence[tuple[str, int]]) -> CurrentItems:
        """The fence and the current state of (item_id, item_key) pairs, in one round trip."""
        raise NotImplementedError

    async def write(
        self, epoch: int, partition: int, read: Fence | None, writes: Sequence[ItemWrite], upto: Fence
    ) -> bool | list[Collision]:
        """Apply in log order and move the fence to `upto` (the last record looked at, applied or not).

        True: done. False: the fence is not `read`, another profiler owns the partition (a prefix of the batch
        may be applied, each part with its fence). A list: these upserts collide and nothing from the part
        that holds them on was applied; send them to the dead topic, call again without them, with
        `read` as read anew.
        Calls carry up to 1 MiB each (or one item); each moves the fence to its own last record.
        """
        raise NotImplementedError

    async def write_vectors(self, space_id: int, vectors: Mapping[int, NDArray[np.float32]]) -> int:
        """Keep vectors (d,) of new items, by item key, unless there is one already. Answers how many were."""
        raise NotImplementedError


class CatalogueReader:
    """For everybody. All methods raise StoreUnavailableError or StoreMisconfiguredError."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def items(self, epoch: int, item_ids: Sequence[str]) -> list[bytes | None]:
        """Items by id (canonical JSON), in the order asked. One round trip."""
        raise NotImplementedError

    async def count(self, epoch: int) -> int:
        """How many items there are."""
        raise NotImplementedError

    async def item_ids(self, epoch: int, item_keys: Sequence[int]) -> dict[int, str]:
        """Ids by key, of items in the catalogue (others: ProfileStore.item_ids)."""
        raise NotImplementedError

    async def cursor(self, epoch: int) -> Cursor:
        """Now. Take it before a scan, follow `changes` from it afterwards, and nothing is missed."""
        raise NotImplementedError

    def scan(self, epoch: int, batch: int = 1000) -> AsyncIterator[list[tuple[str, bytes]]]:
        """All items in batches of (id, JSON), no order; an item may come twice, and one that changes
        meanwhile in either state."""
        raise NotImplementedError

    async def changes(self, epoch: int, cursor: Cursor, limit: int = 1000) -> Changes:
        """What changed after `cursor`, at most `limit`; an empty list when nothing did."""
        raise NotImplementedError

    async def vectors(self, space_id: int, item_keys: Sequence[int]) -> list[NDArray[np.float32] | None]:
        """Vectors (d,) of items that came after the release, in the order asked; read-only arrays."""
        raise NotImplementedError
