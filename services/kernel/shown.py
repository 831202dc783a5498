"""What a subject was shown in this session and did nothing with: a packed section of a profile.

The section is empty, or u32 time of the newest impression (Unix s), then 6 bytes an item, oldest first:
u32 fingerprint, u16 with the low 11 bits of the time last shown above 5 bits of how often. All times lie
within SESSION_GAP_S (1,800 s) of the newest, so 11 bits (2,048 s) say which one is meant.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from services.kernel.ring import SESSION_GAP_S
from services.kernel.seen import aligned_find

SHOWN_DTYPE: Final = np.dtype([("fingerprint", "<u4"), ("time", "<u4"), ("count", "u1")])
# More than the largest impression (100 items); with times in full it would not fit into 9 KB a profile.
SHOWN_CAPACITY: Final = 128
SHOWN_COUNT_MAX: Final = 31  # 5 bits; who ignored an item that often will ignore it once more

_ENTRY: Final = struct.Struct("<IH")
_BASE: Final = struct.Struct("<I")
_COUNT_BITS: Final = 5
_TIME_MASK: Final = 2047
Times = dict[int, tuple[int, int]]  # by fingerprint: (time last shown, how often), oldest first


def shown_bytes(entries: int) -> int:
    """How long a section of so many entries is."""
    return _BASE.size + entries * _ENTRY.size if entries else 0


def shown_entries(section: bytes) -> int:
    """How many entries a section holds."""
    return max(len(section) - _BASE.size, 0) // _ENTRY.size


def read_shown(section: bytes) -> NDArray[Any]:
    """The entries, SHOWN_DTYPE[≤ 128], oldest first, read-only."""
    entries = np.array([(mark, *known) for mark, known in _unpack(section)[1].items()], dtype=SHOWN_DTYPE)
    entries.flags.writeable = False
    return entries


def add_shown(section: bytes, fingerprints: Iterable[int], time_s: int) -> bytes:
    """The section after an impression of some items; those of an earlier session are dropped.

    An impression older than the session of the newest one changes nothing.
    """
    base, entries = _unpack(section)
    if time_s < base - SESSION_GAP_S:
        return section
    for fingerprint in dict.fromkeys(fingerprints):
        known_s, count = entries.pop(fingerprint, (0, 0))
        if known_s < time_s - SESSION_GAP_S:
            count = 0
        entries[fingerprint] = max(known_s, time_s), min(count + 1, SHOWN_COUNT_MAX)
    return _pack(max(base, time_s), entries)


def without_shown(section: bytes, fingerprint: int, time_s: int) -> bytes:
    """The section after the subject did something with an item at a time: it was not ignored.

    What was shown more than SESSION_GAP_S later stays: history that is imported says nothing of today.
    """
    base, entries = section[: _BASE.size], section[_BASE.size :]
    at = aligned_find(entries, _BASE.pack(fingerprint), _ENTRY.size)
    if at < 0:
        return section
    shown_s = _time_s(_BASE.unpack(base)[0], _ENTRY.unpack_from(entries, at)[1])
    if shown_s - SESSION_GAP_S > time_s:
        return section
    entries = entries[:at] + entries[at + _ENTRY.size :]
    return base + entries if entries else b""


def merge_shown(sections: Sequence[bytes], touched: dict[int, int]) -> bytes:
    """One section of several: counts add up. `touched`: when each fingerprint was last done something with;
    what was shown to one subject and touched by another, at that time or later, was not ignored."""
    read = [_unpack(section) for section in sections]
    merged: Times = {}
    for _, entries in read:
        for fingerprint, (shown_s, count) in entries.items():
            known_s, known = merged.get(fingerprint, (0, 0))
            if touched.get(fingerprint, -1) < shown_s:
                merged[fingerprint] = max(shown_s, known_s), min(count + known, SHOWN_COUNT_MAX)
    return _pack(max((base for base, _ in read), default=0), merged)


def _unpack(section: bytes) -> tuple[int, Times]:
    if not section:
        return 0, {}
    base: int = _BASE.unpack_from(section)[0]
    return base, {
        fingerprint: (_time_s(base, packed), packed & SHOWN_COUNT_MAX)
        for fingerprint, packed in _ENTRY.iter_unpack(memoryview(section)[_BASE.size :])
    }


def _pack(base: int, entries: Times) -> bytes:
    kept = [(*known, mark) for mark, known in entries.items() if known[0] >= base - SESSION_GAP_S]
    if not kept:
        return b""
    kept.sort(key=lambda entry: entry[0])  # stable: as they were shown
    packed = [
        _ENTRY.pack(mark, (shown_s & _TIME_MASK) << _COUNT_BITS | count)
        for shown_s, count, mark in kept[-SHOWN_CAPACITY:]
    ]
    return b"".join((_BASE.pack(base), *packed))


def _time_s(base: int, packed: int) -> int:
    return base - ((base - (packed >> _COUNT_BITS)) & _TIME_MASK)
