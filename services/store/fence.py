"""How far a partition's records have been applied to a set of keys that move together."""

from __future__ import annotations

import struct
from typing import NamedTuple

from services.kernel.position import Position

_LAYOUT = struct.Struct("<IIqQ")
FENCE_BYTES = _LAYOUT.size


class Fence(NamedTuple):
    """The last record applied. `check` is the u64 hash of that record's event id (or of its value), by which
    a reader notices that the topic was recreated under the same name."""

    position: Position
    check: int

    def encode(self) -> bytes:
        """24 bytes: generation u32, partition u32, offset i64, check u64, little endian."""
        return _LAYOUT.pack(*self.position, self.check)

    @classmethod
    def decode(cls, raw: bytes | None) -> Fence | None:
        """Read what `encode` wrote; None for nothing. Raises ValueError for another length."""
        if not raw:
            return None
        if len(raw) != FENCE_BYTES:
            raise ValueError(f"a fence has {FENCE_BYTES} bytes, not {len(raw)}")
        generation, partition, offset, check = _LAYOUT.unpack(raw)
        return cls(Position(generation, partition, offset), check)


def encode_optional(fence: Fence | None) -> bytes:
    """A fence as scripts compare it: nothing applied yet is the empty string."""
    return b"" if fence is None else fence.encode()
