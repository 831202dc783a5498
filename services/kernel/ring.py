"""The ring of a profile: its recent events as packed entries (RING_DTYPE of kernel/bank.py) in time order.

A player says every ten seconds how far a film has run. Such a `video_progress` is a heartbeat where the ring
holds one of the same item at most SESSION_GAP_S away: it takes that one's place, and weighs nothing.
"""

from __future__ import annotations

import math
import struct
from typing import Final

import numpy as np

from services.kernel.bank import RING_CAPACITY, RING_DTYPE, WeightOf
from services.kernel.event_type import EventType

SESSION_GAP_S: Final = 30 * 60  # as analytics tools end a visit: who is back after more, comes back

_ENTRY: Final = struct.Struct("<QIfB")
_U32: Final = struct.Struct("<I")
_U64: Final = struct.Struct("<Q")
_PROGRESS: Final = int(EventType.VIDEO_PROGRESS)
RING_BYTES: Final = _ENTRY.size
_MAX_BYTES: Final = RING_CAPACITY * RING_BYTES


def insert(ring: bytes, item: int, time_s: int, value: float, number: int) -> tuple[bytes, int]:
    """(the ring with one more event, how many newer ones stand in it); the oldest goes where it is full."""
    entry = _ENTRY.pack(item, time_s, value, number)
    if not ring or _U32.unpack_from(ring, len(ring) - RING_BYTES + 8)[0] <= time_s:
        return (ring + entry)[-_MAX_BYTES:], 0
    times = np.frombuffer(ring, RING_DTYPE)["time"]
    at = int(np.searchsorted(times, time_s, side="right"))
    return (ring[: at * RING_BYTES] + entry + ring[at * RING_BYTES :])[-_MAX_BYTES:], len(times) - at


def beat(ring: bytes, item: int, time_s: int, value: float) -> bytes | None:
    """The ring after a heartbeat; None where a video_progress is none: a watching begins, and counts.

    The newest video_progress of the item within SESSION_GAP_S moves to the new time with the new value (NaN,
    no progress given, keeps the known one). A late heartbeat changes nothing. What is older than all of a
    full ring cannot be told from a heartbeat, as what it followed is forgotten: it is one.
    """
    at = _progress_at(ring, item, time_s)
    if at < 0:
        full = len(ring) == _MAX_BYTES and _U32.unpack_from(ring, 8)[0] > time_s
        return ring if full else None
    _, known_s, known_value, _ = _ENTRY.unpack_from(ring, at)
    if time_s < known_s:
        return ring
    if math.isnan(value):
        value = known_value
    return insert(ring[:at] + ring[at + RING_BYTES :], item, time_s, value, _PROGRESS)[0]


def is_heartbeat(ring: bytes, item: int, time_s: int) -> bool:
    """Whether a video_progress says only that what is in the ring still runs."""
    return beat(ring, item, time_s, math.nan) is not None


def _progress_at(ring: bytes, item: int, time_s: int) -> int:
    """Where the newest video_progress of an item within SESSION_GAP_S of a time stands, or -1."""
    needle = _U64.pack(item)
    at = ring.rfind(needle)
    while at >= 0:
        if at % RING_BYTES == 0:
            _, known_s, _, number = _ENTRY.unpack_from(ring, at)
            if number == _PROGRESS and abs(known_s - time_s) <= SESSION_GAP_S:
                return at
        at = ring.rfind(needle, 0, at + len(needle) - 1)
    return -1


def latest_items(ring: bytes, time_s: int, window_s: int, weight_of: WeightOf, limit: int) -> list[int]:
    """Up to `limit` latest distinct items within `window_s` of `time_s`, newest first.

    Events that `weight_of` gives nothing or less do not count.
    """
    found: list[int] = []
    oldest, newest = time_s - window_s, time_s + window_s
    for at in range(len(ring) - RING_BYTES, -1, -RING_BYTES):
        item, entry_s, value, number = _ENTRY.unpack_from(ring, at)
        if entry_s < oldest:
            break
        if item not in found and entry_s <= newest and weight_of(number, value) > 0:
            found.append(item)
            if len(found) == limit:
                break
    return found
