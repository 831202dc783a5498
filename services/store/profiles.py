"""Profiles: many read in one round trip, many written by compare-and-set, changes announced.

Values are opaque here but for their header (kernel/profile.py): bytes 8 to 32 are position and counter, bytes
40 to 44 the epoch of the vector space.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import NamedTuple

from services.kernel.position import Position
from services.store.connection import Connection
from services.store.fence import Fence
from services.store.meta import Meta, SpaceRecord


class Outcome(IntEnum):
    """What became of one profile write."""

    WRITTEN = 1
    CHANGED = 0  # somebody wrote it since it was read: read and apply again
    NEWER_SPACE = -1  # what is stored is in a newer vector space: read the space record again


class ProfileWrite(NamedTuple):
    """`read` is the value as it was read (None: there was none), `value` the one to store."""

    subject: str
    read: bytes | None
    value: bytes


class Snapshot(NamedTuple):
    """Step 1 of the write. `identity` changes whenever the servers behind the store may hold something older
    than before (restart, failover): a profiler that sees another identity than in the batch before goes
    back to its last commit before it applies anything."""

    meta: Meta | None
    space: SpaceRecord | None
    fence: Fence | None  # the aggregate fence of the partition, read before the profiles
    profiles: list[bytes | None]  # in the order of the subjects
    identity: str


class ProfileStore:
    """All methods raise StoreUnavailableError or StoreMisconfiguredError."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def read(self, epoch: int, subjects: Sequence[str]) -> list[bytes | None]:
        """Profiles in the order of `subjects`; None where there is none."""
        raise NotImplementedError

    async def read_with_fence(self, epoch: int, partition: int, subjects: Sequence[str]) -> Snapshot:
        """Fence, then profiles, with meta and space: one round trip (one a node on a cluster)."""
        raise NotImplementedError

    async def write(
        self,
        epoch: int,
        writes: Sequence[ProfileWrite],
        *,
        expire_ms: int,
        registry: Mapping[int, str] | None = None,
    ) -> list[Outcome]:
        """Write each profile whose position and counter are still those of `read`; one outcome each, in order.

        A subject may stand in `writes` once. `expire_ms` from now the value goes (garbage collection only).
        `registry` (item key → id) is set first, with the same expiry. Sending a write again after an error
        is safe: had it arrived, it answers CHANGED.
        """
        raise NotImplementedError

    async def publish(self, changes: Mapping[str, Position]) -> None:
        """Tell the subscribers of each subject how far its profile has got."""
        raise NotImplementedError

    async def item_ids(self, epoch: int, item_keys: Sequence[int]) -> dict[int, str]:
        """Ids from the registry (items in no catalogue); keys that it does not know are left out."""
        raise NotImplementedError
