"""What a subject was shown in this session and did nothing with: a packed section of a profile.

The section is empty, or u32 time of the newest impression (Unix s), then 6 bytes an item, oldest first:
u32 fingerprint, u16 with the low 11 bits of the time last shown above 5 bits of how often. All times lie
within SESSION_GAP_S (1,800 s) of the newest, so 11 bits (2,048 s) say which one is meant.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import chain, takewhile
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from services.kernel.ring import SESSION_GAP_S
from services.kernel.seen import aligned_find

SHOWN_DTYPE: Final = np.dtype([("fingerprint", "<u4"), ("time", "<u4"), ("count", "u1")])
# More than the largest impression (100 items); with times in full it would not fit into 9 KB a profile.
SHOWN_CAPACITY: Final = 128
SHOWN_COUNT_MAX: Final = 31  # 5 bits; who ignored an item that often will ignore it once more

_ENTRY: Final = struct.Struct("<IH")
_ENTRY_DTYPE: Final = np.dtype([("fingerprint", "<u4"), ("packed", "<u2")])
_BASE: Final = struct.Struct("<I")
_COUNT_BITS: Final = 5
_TIME_MASK: Final = 2047
_Int = TypeVar("_Int", int, NDArray[np.int64])


def shown_bytes(entries: int) -> int:
    """How long a section of so many entries is."""
    return _BASE.size + entries * _ENTRY.size if entries else 0


def shown_entries(section: bytes) -> int:
    """How many entries a section holds."""
    return max(len(section) - _BASE.size, 0) // _ENTRY.size


def read_shown(section: bytes) -> NDArray[Any]:
    """The entries, SHOWN_DTYPE[≤ 128], oldest first, read-only."""
    found = np.empty(shown_entries(section), dtype=SHOWN_DTYPE)
    if section:
        entries = np.frombuffer(section, _ENTRY_DTYPE, offset=_BASE.size)
        base, packed = _base(section), entries["packed"].astype(np.int64)
        found["fingerprint"] = entries["fingerprint"]
        found["time"] = _time_s(base, packed)
        found["count"] = packed & SHOWN_COUNT_MAX
    found.flags.writeable = False
    return found


def add_shown(section: bytes, fingerprints: Iterable[int], time_s: int) -> bytes:
    """The section after an impression of some items; those of an earlier session are dropped.

    An impression older than the session of the newest one changes nothing.
    """
    base = _base(section)
    if time_s < base - SESSION_GAP_S:
        return section
    newest = max(base, time_s)
    entries = dict(_ENTRY.iter_unpack(section[_BASE.size :]))
    for mark in list(takewhile(lambda mark: _time_s(base, entries[mark]) < newest - SESSION_GAP_S, entries)):
        del entries[mark]
    for mark in dict.fromkeys(fingerprints):
        known = entries.pop(mark, None)
        if known is None:
            entries[mark] = _packed(time_s, 1)
        else:
            count = min((known & SHOWN_COUNT_MAX) + 1, SHOWN_COUNT_MAX)
            entries[mark] = _packed(max(time_s, _time_s(base, known)), count)
    return _pack(newest, entries, in_order=time_s == newest)


def without_shown(section: bytes, fingerprint: int, time_s: int) -> bytes:
    """The section after the subject did something with an item at a time: it was not ignored.

    What was shown more than SESSION_GAP_S later stays: history that is imported says nothing of today.
    """
    base, entries = section[: _BASE.size], section[_BASE.size :]
    at = aligned_find(entries, _BASE.pack(fingerprint), _ENTRY.size)
    if at < 0:
        return section
    if _time_s(_base(section), _ENTRY.unpack_from(entries, at)[1]) - SESSION_GAP_S > time_s:
        return section
    entries = entries[:at] + entries[at + _ENTRY.size :]
    return base + entries if entries else b""


def merge_shown(sections: Sequence[bytes], touched: Mapping[int, int]) -> bytes:
    """One section of several: counts add up. `touched`: when each fingerprint was last done something with;
    what was shown to one subject and touched by another, at that time or later, was not ignored."""
    newest = max(map(_base, sections), default=0)
    merged: dict[int, tuple[int, int]] = {}
    for mark, shown_s, count in (entry for section in sections for entry in read_shown(section).tolist()):
        if shown_s >= newest - SESSION_GAP_S and touched.get(mark, -1) < shown_s:
            known_s, known = merged.get(mark, (0, 0))
            merged[mark] = max(shown_s, known_s), min(count + known, SHOWN_COUNT_MAX)
    return _pack(newest, {mark: _packed(*known) for mark, known in merged.items()}, in_order=False)


def _pack(newest: int, entries: dict[int, int], *, in_order: bool) -> bytes:
    kept = list(entries.items())
    if not in_order:
        kept.sort(key=lambda entry: _time_s(newest, entry[1]))  # stable: as they were shown
    kept = kept[-SHOWN_CAPACITY:]
    return _BASE.pack(newest) + _many(len(kept)).pack(*chain.from_iterable(kept)) if kept else b""


@lru_cache(maxsize=SHOWN_CAPACITY + 1)  # one a length
def _many(entries: int) -> struct.Struct:
    return struct.Struct("<" + "IH" * entries)


def _packed(time_s: int, count: int) -> int:
    return (time_s & _TIME_MASK) << _COUNT_BITS | count


def _base(section: bytes) -> int:
    base: int = _BASE.unpack_from(section)[0] if section else 0
    return base


def _time_s(base: int, packed: _Int) -> _Int:
    """When an entry was last shown: the latest time up to the newest impression that has its bits."""
    return base - ((base - (packed >> _COUNT_BITS)) & _TIME_MASK)
