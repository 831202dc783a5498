"""Seen marks: which items a scenario may hide, why, and since when. A packed section of a profile.

One entry stands for an item and one reason, so that each reason has its own day: a film viewed yesterday was
still bought a year ago. Profiles written before an entry had one reason may hold several in one, with the
newest day of any; each is taken out when it is seen again.
"""

from __future__ import annotations

import struct
from typing import Final

import numpy as np

SEEN_DTYPE: Final = np.dtype([("fingerprint", "<u4"), ("day", "<u2"), ("reason", "u1")])

_ENTRY: Final = struct.Struct("<IHB")
_U16: Final = struct.Struct("<H")
_U32: Final = struct.Struct("<I")
SEEN_BYTES: Final = _ENTRY.size


def mark_seen(seen: bytes, fingerprint: int, day: int, reason: int, capacity: int) -> bytes:
    """The section with one more mark; `reason` is one bit, `day` days since 1970.

    Entries stand by day, oldest first and first to go; one marked again moves up.
    """
    needle = _U32.pack(fingerprint)
    at = aligned_find(seen, needle, SEEN_BYTES)
    while at >= 0:
        _, known_day, known = _ENTRY.unpack_from(seen, at)
        if known & reason:
            day = max(day, known_day)
            left = _ENTRY.pack(fingerprint, known_day, known & ~reason) if known != reason else b""
            seen = seen[:at] + left + seen[at + SEEN_BYTES :]
            break
        at = aligned_find(seen, needle, SEEN_BYTES, at + 1)
    entry = _ENTRY.pack(fingerprint, day, reason)
    if not seen or _U16.unpack_from(seen, len(seen) - SEEN_BYTES + 4)[0] <= day:
        seen += entry
    else:
        place = int(np.searchsorted(np.frombuffer(seen, SEEN_DTYPE)["day"], day, side="right"))
        seen = seen[: place * SEEN_BYTES] + entry + seen[place * SEEN_BYTES :]
    return seen[-capacity * SEEN_BYTES :]


def merge_seen(sections: list[bytes], capacity: int) -> bytes:
    """One section of several: the newest day of each item and reason, oldest day first."""
    days: dict[tuple[int, int], int] = {}
    for section in sections:
        for fingerprint, day, reasons in _ENTRY.iter_unpack(section):
            for reason in (1 << bit for bit in range(8)):
                if reasons & reason:
                    key = fingerprint, reason
                    days[key] = max(day, days.get(key, 0))
    ordered = sorted((day, *key) for key, day in days.items())[-capacity:]
    return b"".join(_ENTRY.pack(fingerprint, day, reason) for day, fingerprint, reason in ordered)


def aligned_find(data: bytes, needle: bytes, entry_bytes: int, start: int = 0) -> int:
    """Where an entry of `data`, at `start` or later, begins with `needle`, or -1."""
    at = data.find(needle, start)
    while at >= 0 and at % entry_bytes:
        at = data.find(needle, at + 1)
    return at
