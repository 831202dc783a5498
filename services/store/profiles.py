"""Profiles: many read in one round trip, many written by compare-and-set, changes announced.

Values are opaque here but for their header (kernel/profile.py): bytes 8 to 32 are position and counter, bytes
40 to 44 the epoch of the vector space.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from enum import IntEnum
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from services.kernel.position import Position
from services.store.connection import Connection
from services.store.fence import Fence
from services.store.meta import Meta, SpaceRecord, decode_meta, decode_space
from services.store.scripts import Script

# One Lua call or MGET blocks the server for about a millisecond at most, and its buffers stay small.
MAX_CALL_BYTES = 1 << 20
MAX_KEYS_A_CALL = 1000
_WRITE: Final = Script("profile_write")


def tag_of(raw: bytes | None) -> bytes:
    """What a write compares: position and counter, whatever the layout version; empty for no profile."""
    return b"" if raw is None else raw[8:32]


class Outcome(IntEnum):
    """What became of one profile write."""

    WRITTEN = 1
    CHANGED = 0  # somebody wrote it since it was read: read and apply again
    NEWER_SPACE = -1  # what is stored is in a newer vector space: read the space record again


_OUTCOMES: Final = {
    ord("w"): Outcome.WRITTEN,
    ord("c"): Outcome.CHANGED,
    ord("n"): Outcome.NEWER_SPACE,
}  # of profile_write


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
        self._keys = connection.keys

    async def read(self, epoch: int, subjects: Sequence[str]) -> list[bytes | None]:
        """Profiles in the order of `subjects`; None where there is none. One round trip (one a node)."""
        commands = self._read_commands(epoch, subjects)
        return self._profiles(await self._connection.pipeline(commands))

    async def read_with_fence(self, epoch: int, partition: int, subjects: Sequence[str]) -> Snapshot:
        """Fence, then profiles, with meta and space: one round trip (on a cluster a second one for the
        profiles, since nodes keep no common order)."""
        heads: list[tuple[Any, ...]] = [
            ("GET", self._keys.aggregates(epoch, partition).fence),
            ("HGETALL", self._keys.meta),
            ("HGETALL", self._keys.space),
        ]
        reads = self._read_commands(epoch, subjects)
        if self._connection.is_cluster:
            replies = await self._connection.pipeline(heads)
            replies += await self._connection.pipeline(reads)
        else:
            replies = await self._connection.pipeline(heads + reads)
        return Snapshot(
            meta=decode_meta(replies[1]),
            space=decode_space(replies[2]),
            fence=Fence.decode(replies[0]),
            profiles=self._profiles(replies[3:]),
            # After the read: a server that changed before or during it shows here.
            identity=await self._connection.identity(),
        )

    async def write(
        self,
        epoch: int,
        writes: Sequence[ProfileWrite],
        *,
        expire_ms: int,
        registry: Mapping[int, str] | None = None,
    ) -> list[Outcome]:
        """Write each profile whose position and counter are still those of `read`; one outcome each, in
        order, in one round trip (one a node).

        A subject may stand in `writes` once. `expire_ms` from now the value goes (garbage collection only).
        `registry` (item key → id) is set first, with the same expiry. Sending a write again after an error
        is safe: had it arrived, it answers CHANGED.
        """
        commands: list[tuple[Any, ...]] = [
            ("SET", self._keys.registry(epoch, item_key), item_id, "PX", expire_ms)
            for item_key, item_id in (registry or {}).items()
        ]
        registered = len(commands)
        for part in self._parts(writes):
            keys = [self._keys.profile(epoch, write.subject) for write in part]
            pairs = [data for write in part for data in (tag_of(write.read), write.value)]
            commands.append(_WRITE.call(keys, expire_ms, *pairs))
        replies = await self._connection.pipeline(commands)
        return [_OUTCOMES[letter] for letters in replies[registered:] for letter in letters]

    async def publish(
        self, changes: Mapping[str, Position], traces: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        """Tell the subscribers of each subject how far its profile has got. One round trip (one a node).

        `traces` are the `traceparent` of some subjects: what has made the change. They follow a space.
        """
        await self._connection.pipeline(
            [
                ("SPUBLISH", self._keys.channel(subject), str(position))
                if subject not in traces
                else ("SPUBLISH", self._keys.channel(subject), f"{position} {traces[subject]}")
                for subject, position in changes.items()
            ]
        )

    async def item_ids(self, epoch: int, item_keys: Sequence[int]) -> dict[int, str]:
        """Ids from the registry (items in no catalogue); keys that it does not know are left out."""
        keys = [self._keys.registry(epoch, item_key) for item_key in item_keys]
        replies = self._profiles(await self._connection.pipeline(self._get_commands(keys)))
        return {item_key: reply.decode() for item_key, reply in zip(item_keys, replies, strict=True) if reply}

    def _read_commands(self, epoch: int, subjects: Sequence[str]) -> list[tuple[Any, ...]]:
        return self._get_commands([self._keys.profile(epoch, subject) for subject in subjects])

    def _get_commands(self, keys: list[bytes]) -> list[tuple[Any, ...]]:
        if self._connection.is_cluster:
            return [("GET", key) for key in keys]
        return [
            ("MGET", *keys[first : first + MAX_KEYS_A_CALL]) for first in range(0, len(keys), MAX_KEYS_A_CALL)
        ]

    def _profiles(self, replies: list[Any]) -> list[bytes | None]:
        return replies if self._connection.is_cluster else [value for part in replies for value in part]

    def _parts(self, writes: Sequence[ProfileWrite]) -> Iterator[Sequence[ProfileWrite]]:
        if self._connection.is_cluster:
            for write in writes:
                yield (write,)
            return
        part: list[ProfileWrite] = []
        size_bytes = 0
        for write in writes:
            if part and (size_bytes + len(write.value) > MAX_CALL_BYTES or len(part) == MAX_KEYS_A_CALL):
                yield part
                part, size_bytes = [], 0
            part.append(write)
            size_bytes += len(write.value)
        if part:
            yield part
