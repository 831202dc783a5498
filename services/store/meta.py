"""Which store this is, which data epoch is live, which vector space the profilers write."""

from __future__ import annotations

from dataclasses import dataclass

from services.store.connection import Connection


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


class MetaStore:
    """Reads and switches. All methods raise StoreUnavailableError or StoreMisconfiguredError."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def read(self) -> Meta | None:
        """The identity, or None for an empty store."""
        raise NotImplementedError

    async def create(self, now_ms: int, *, partitions: int, epoch: int = 1) -> Meta:
        """Give an empty store an identity; where there is one already, answer that one unchanged
        (but for `partitions`, which grows to the larger)."""
        raise NotImplementedError

    async def grow_partitions(self, store_id: str, partitions: int) -> bool:
        """Let readers merge at least so many partitions. False: the store is another one, or empty."""
        raise NotImplementedError

    async def switch_epoch(self, store_id: str, from_epoch: int, to_epoch: int) -> bool:
        """Make `to_epoch` live if the store is still that one and `from_epoch` is live; else False."""
        raise NotImplementedError

    async def read_space(self) -> SpaceRecord | None:
        """The vector space that profilers write, or None when none was ever set."""
        raise NotImplementedError

    async def write_space(self, record: SpaceRecord, *, read: SpaceRecord | None) -> bool:
        """Set the space if the stored epoch is still that of `read` (None: no record) and the new one is
        greater. False: somebody else was faster; read again."""
        raise NotImplementedError

    async def delete_epoch(self, epoch: int, *, batch: int = 500) -> int:
        """Unlink all keys of an epoch that is not live (after a replay switched). Answers how many.
        Raises ValueError for the live one."""
        raise NotImplementedError
