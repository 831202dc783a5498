"""Which store this is, which data epoch is live, which vector space the profilers write."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from services.store.connection import Connection
from services.store.errors import StoreUnavailableError
from services.store.scripts import Script

# Each lost race means that another process has just done the same.
_MAX_TRIES = 16
_COMPARE_SET: Final = Script("hash_compare_set")


@dataclass(frozen=True, slots=True)
class Meta:
    """The store's identity. A store without one is empty: either brand-new, or it lost everything."""

    store_id: str  # 32 hex digits, random
    epoch: int  # the live data epoch, from 1
    created_at_ms: int
    partitions: int  # partitions of the events topic that have ever had aggregates (readers merge them all)


@dataclass(frozen=True, slots=True)
class SpaceRecord:
    """The vector space in which the profilers write banks. `space_epoch` only grows."""

    name: str
    space_id: int  # u64
    space_epoch: int  # u32, from 1
    d: int
    gammas: tuple[float, ...]  # K of them
    release: str  # the release that brought it, for people


def decode_hash(reply: list[bytes]) -> dict[str, str]:
    """HGETALL as the server answers it."""
    words = [word.decode() for word in reply]
    return dict(zip(words[::2], words[1::2], strict=True))


def decode_meta(reply: list[bytes]) -> Meta | None:
    """The record of `{ns}:meta`, or None where there is none."""
    fields = decode_hash(reply)
    if "store_id" not in fields:
        return None
    return Meta(
        store_id=fields["store_id"],
        epoch=int(fields["epoch"]),
        created_at_ms=int(fields["created_at_ms"]),
        partitions=int(fields["partitions"]),
    )


def decode_space(reply: list[bytes]) -> SpaceRecord | None:
    """The record of `{ns}:space`, or None where there is none."""
    fields = decode_hash(reply)
    if "space_epoch" not in fields:
        return None
    return SpaceRecord(
        name=fields["name"],
        space_id=int(fields["space_id"]),
        space_epoch=int(fields["space_epoch"]),
        d=int(fields["d"]),
        gammas=tuple(json.loads(fields["gammas"])),
        release=fields["release"],
    )


class MetaStore:
    """Reads and switches. All methods raise StoreUnavailableError or StoreMisconfiguredError."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._keys = connection.keys

    async def read(self) -> Meta | None:
        """The identity, or None for an empty store."""
        return decode_meta(await self._connection.execute("HGETALL", self._keys.meta))

    async def create(self, now_ms: int, *, partitions: int, epoch: int = 1) -> Meta:
        """Give an empty store an identity; where there is one already, answer that one unchanged
        (but for `partitions`, which grows to the larger)."""
        fields: dict[str, str | int] = {
            "store_id": secrets.token_hex(16),
            "epoch": epoch,
            "created_at_ms": now_ms,
            "partitions": partitions,
        }
        for _ in range(_MAX_TRIES):
            await self._compare_set(self._keys.meta, {"store_id": ""}, fields)
            meta = await self.read()
            if meta and (
                meta.partitions >= partitions or await self.grow_partitions(meta.store_id, partitions)
            ):
                return meta if meta.partitions >= partitions else replace(meta, partitions=partitions)
        raise StoreUnavailableError("the store's identity keeps changing")

    async def grow_partitions(self, store_id: str, partitions: int) -> bool:
        """Let readers merge at least so many partitions. False: the store is another one, or empty."""
        for _ in range(_MAX_TRIES):
            meta = await self.read()
            if meta is None or meta.store_id != store_id:
                return False
            if meta.partitions >= partitions:
                return True
            read: dict[str, str | int] = {"store_id": store_id, "partitions": meta.partitions}
            await self._compare_set(self._keys.meta, read, {"partitions": partitions})
        raise StoreUnavailableError("the store's identity keeps changing")

    async def switch_epoch(self, store_id: str, from_epoch: int, to_epoch: int) -> bool:
        """Make `to_epoch` live if the store is still that one and `from_epoch` is live; else False."""
        read: dict[str, str | int] = {"store_id": store_id, "epoch": from_epoch}
        if await self._compare_set(self._keys.meta, read, {"epoch": to_epoch}):
            return True
        meta = await self.read()  # a call repeated after a lost answer finds its own work
        return meta is not None and (meta.store_id, meta.epoch) == (store_id, to_epoch)

    async def read_space(self) -> SpaceRecord | None:
        """The vector space that profilers write, or None when none was ever set."""
        return decode_space(await self._connection.execute("HGETALL", self._keys.space))

    async def write_space(self, record: SpaceRecord, *, read: SpaceRecord | None) -> bool:
        """Set the space if the stored epoch is still that of `read` (None: no record). False: somebody else
        was faster; read again. Raises ValueError unless the new epoch is greater than the one read."""
        before = read.space_epoch if read else 0
        if not before < record.space_epoch < 2**32:
            raise ValueError(f"space epoch {record.space_epoch} does not follow {before}")
        fields: dict[str, str | int] = {
            "name": record.name,
            "space_id": record.space_id,
            "space_epoch": record.space_epoch,
            "d": record.d,
            "gammas": json.dumps(record.gammas),
            "release": record.release,
        }
        condition: dict[str, str | int] = {"space_epoch": before if read else ""}
        return (
            await self._compare_set(self._keys.space, condition, fields) or await self.read_space() == record
        )

    async def delete_epoch(self, epoch: int, *, batch: int = 500) -> int:
        """Unlink all keys of an epoch that is not live (after a replay switched). Answers how many.
        Raises ValueError for the live one."""
        meta = await self.read()
        if meta is not None and meta.epoch == epoch:
            raise ValueError(f"epoch {epoch} is live")
        removed = 0
        for pattern in self._keys.epoch_patterns(epoch):
            async for keys in self._connection.scan(pattern, batch):
                removed += sum(await self._connection.pipeline([("UNLINK", key) for key in keys]))
        return removed

    async def _compare_set(
        self, key: bytes, read: Mapping[str, str | int], fields: Mapping[str, str | int]
    ) -> bool:
        flat = [word for pair in (*read.items(), *fields.items()) for word in pair]
        return bool(await self._connection.execute(*_COMPARE_SET.call([key], len(read), *flat)))
