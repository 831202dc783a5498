"""The catalogue: written in log order behind fences, scanned and followed by readers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from services.store.connection import Connection
from services.store.fence import Fence, encode_optional
from services.store.profiles import MAX_CALL_BYTES, MAX_KEYS_A_CALL
from services.store.rows import ROWS_A_CALL, pack_key, pack_keys
from services.store.scripts import Script

# What followers may lag behind before they must load everything again; some 6 MB.
MAX_CHANGES = 100_000
_WRITE: Final = Script("catalogue_write")
_CHANGES: Final = Script("catalogue_changes")
_REFUSED: Final = 0  # codes of catalogue_write
_COLLIDED: Final = 2


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

    def __init__(self, connection: Connection, *, max_changes: int = MAX_CHANGES) -> None:
        self._connection = connection
        self._max_changes = max_changes

    async def fence(self, epoch: int, partition: int) -> Fence | None:
        """How far a partition of the items topic is applied."""
        key = self._connection.keys.catalogue(epoch).fence
        return Fence.decode(await self._connection.execute("HGET", key, partition))

    async def read(self, epoch: int, partition: int, items: Sequence[tuple[str, int]]) -> CurrentItems:
        """The fence and the current state of (item_id, item_key) pairs, in one round trip."""
        keys = self._connection.keys.catalogue(epoch)
        commands: list[tuple[Any, ...]] = [("HGET", keys.fence, partition)]
        if items:
            commands.append(("HMGET", keys.items, *(item_id for item_id, _ in items)))
            commands.append(("HMGET", keys.keys, *(pack_key(item_key) for _, item_key in items)))
        fence, *found = await self._connection.pipeline(commands)
        values, owners = found or ([], [])
        return CurrentItems(
            Fence.decode(fence), values, [None if owner is None else owner.decode() for owner in owners]
        )

    async def write(
        self, epoch: int, partition: int, read: Fence | None, writes: Sequence[ItemWrite], upto: Fence
    ) -> bool | list[Collision]:
        """Apply in log order and move the fence to `upto` (the last record looked at, applied or not).

        True: done. False: the fence is not `read`, another profiler owns the partition (a prefix of the batch
        may be applied, each part with its fence). A list: these upserts collide and nothing from the part
        that holds them on was applied; send them to the dead topic, call again without them, with
        `read` as read anew (writes at or below that fence are left out by themselves).
        Calls carry up to 1 MiB each (or one item); each moves the fence to its own last record.
        """
        if read is not None:
            writes = [write for write in writes if write.fence.position > read.position]
        parts = list(_parts(writes)) or [[]]
        for number, part in enumerate(parts, start=1):
            new = upto if number == len(parts) else part[-1].fence
            command = _WRITE.call(
                self._connection.keys.catalogue(epoch),
                partition,
                encode_optional(read),
                new.encode(),
                self._max_changes,
                *(
                    data
                    for write in part
                    for data in (write.item_id, pack_key(write.item_key), write.value or b"")
                ),
            )
            code, *found = await self._connection.execute(*command)
            if code == _COLLIDED:
                return [
                    Collision(part[index], owner.decode())
                    for index, owner in zip(found[::2], found[1::2], strict=True)
                ]
            if code == _REFUSED:
                return False
            read = new
        return True

    async def write_vectors(self, space_id: int, vectors: Mapping[int, NDArray[np.float32]]) -> int:
        """Keep vectors (d,) of new items, by item key, unless there is one already. Answers how many were
        not there before."""
        key = self._connection.keys.vectors(space_id)
        commands = [
            ("HSETNX", key, pack_key(item_key), np.asarray(vector, dtype="<f4").tobytes())
            for item_key, vector in vectors.items()
        ]
        return sum(await self._connection.pipeline(commands))


def _parts(writes: Sequence[ItemWrite]) -> Iterator[list[ItemWrite]]:
    part: list[ItemWrite] = []
    size_bytes = 0
    for write in writes:
        length_bytes = len(write.value or b"") + len(write.item_id)
        if part and (size_bytes + length_bytes > MAX_CALL_BYTES or len(part) == MAX_KEYS_A_CALL):
            yield part
            part, size_bytes = [], 0
        part.append(write)
        size_bytes += length_bytes
    if part:
        yield part


class CatalogueReader:
    """For everybody. All methods raise StoreUnavailableError or StoreMisconfiguredError."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def items(self, epoch: int, item_ids: Sequence[str]) -> list[bytes | None]:
        """Items by id (canonical JSON), in the order asked. One round trip."""
        key = self._connection.keys.catalogue(epoch).items
        commands = [
            ("HMGET", key, *item_ids[first : first + MAX_KEYS_A_CALL])
            for first in range(0, len(item_ids), MAX_KEYS_A_CALL)
        ]
        return [item for reply in await self._connection.pipeline(commands) for item in reply]

    async def count(self, epoch: int) -> int:
        """How many items there are."""
        return int(await self._connection.execute("HLEN", self._connection.keys.catalogue(epoch).items))

    async def item_ids(self, epoch: int, item_keys: Sequence[int]) -> dict[int, str]:
        """Ids by key, of items in the catalogue (others: ProfileStore.item_ids)."""
        key = self._connection.keys.catalogue(epoch).keys
        rows = await self._rows(key, item_keys)
        return {
            item_key: row.decode() for item_key, row in zip(item_keys, rows, strict=True) if row is not None
        }

    async def cursor(self, epoch: int) -> Cursor:
        """Now. Take it before a scan, follow `changes` from it afterwards, and nothing is missed."""
        _, last_id, added, _ = await self._changes(epoch, "0-0", 0)
        return Cursor(last_id.decode(), added)

    async def scan(self, epoch: int, batch: int = 1000) -> AsyncIterator[list[tuple[str, bytes]]]:
        """All items in batches of (id, JSON), no order; an item may come twice, and one that changes
        meanwhile in either state."""
        key = self._connection.keys.catalogue(epoch).items
        cursor: bytes | int = 0
        while True:
            cursor, flat = await self._connection.execute("HSCAN", key, cursor, "COUNT", batch)
            if flat:
                yield [(item_id.decode(), item) for item_id, item in zip(flat[::2], flat[1::2], strict=True)]
            if cursor == b"0":
                return

    async def scan_ids(self, epoch: int, batch: int = 5000) -> AsyncIterator[list[str]]:
        """The ids of all items in batches, no order; an item may come twice. A few bytes an item."""
        key = self._connection.keys.catalogue(epoch).keys
        cursor: bytes | int = 0
        while True:
            cursor, flat = await self._connection.execute("HSCAN", key, cursor, "COUNT", batch)
            yield [item_id.decode() for item_id in flat[1::2]]
            if cursor == b"0":
                return

    async def changes(self, epoch: int, cursor: Cursor, limit: int = 1000) -> Changes:
        """What changed after `cursor`, at most `limit`; an empty list when nothing did."""
        limit = max(1, limit)
        ids, last_id, added, held = await self._changes(epoch, cursor.last_id, limit)
        reached = cursor.added + len(ids)
        # Entries are numbered from 1; the stream holds the last `held`. A cursor that is ahead, or comes
        # to the end with another count than the stream's own, belongs to a stream that is gone.
        lost = cursor.added < added - held or reached > added or (len(ids) < limit and reached != added)
        return Changes([item_id.decode() for item_id in ids], Cursor(last_id.decode(), reached), lost)

    async def vectors(self, space_id: int, item_keys: Sequence[int]) -> list[NDArray[np.float32] | None]:
        """Vectors (d,) of items that came after the release, in the order asked; read-only arrays."""
        key = self._connection.keys.vectors(space_id)
        rows = await self._rows(key, item_keys)
        return [None if row is None else np.frombuffer(row, dtype="<f4") for row in rows]

    async def _rows(self, key: bytes, item_keys: Sequence[int]) -> list[bytes | None]:
        replies = await self._connection.pipeline(
            [("HMGET", key, fields) for fields in pack_keys(item_keys, ROWS_A_CALL)]
        )
        return [row for reply in replies for row in reply]

    async def _changes(self, epoch: int, after_id: str, limit: int) -> tuple[list[bytes], bytes, int, int]:
        key = self._connection.keys.catalogue(epoch).changes
        ids, last_id, added, held = await self._connection.execute(*_CHANGES.call([key], after_id, limit))
        return ids, last_id, added, held
