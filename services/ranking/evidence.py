"""What a profile says that ranking can use: the last items, what was bought before, what may be hidden."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from services.kernel.change import reason_of
from services.kernel.event_type import EventType
from services.kernel.profile import Profile
from services.ranking.catalogue import Catalogue

RowArray = NDArray[np.int64]

RECENT_ITEMS: Final = (
    10  # distinct items whose neighbours are candidates; more add little, each costs a look-up
)
DAY_S: Final = 86_400.0
# How much each earlier event with an item says that it will be wanted again; what is not named, as a view.
REPEAT_WEIGHTS: Final[Mapping[int, float]] = {
    EventType.VIEW: 0.25,
    EventType.CLICK: 0.25,
    EventType.CART_ADD: 0.5,
    EventType.CART_REMOVE: -0.5,
    EventType.PURCHASE: 1.0,
    EventType.DISLIKE: -2.0,
    EventType.VIDEO_START: 0.25,
    EventType.VIDEO_PROGRESS: 0.0,
    EventType.VIDEO_COMPLETE: -1.0,
}
_OTHER_REPEAT: Final = 0.25


class RecentItem(NamedTuple):
    """One of the last distinct items: its key, its row (-1: in no catalogue), its newest event."""

    key: int
    row: int
    type_number: int
    time_s: int


class Had(NamedTuple):
    """What the subject had to do with one item of the catalogue before."""

    times: int
    worth: float  # how much it says that the item is wanted again (REPEAT_WEIGHTS)
    ago: int  # distinct items since
    age_s: float  # since the newest of the events
    type_number: int  # of that event


class Evidence(NamedTuple):
    """All that ranking takes from a profile. `recent` is newest first; `repeats` and `had` are by row."""

    recent: tuple[RecentItem, ...]
    repeats: dict[int, float]
    bought: frozenset[int]  # rows
    idle_s: float  # since the newest event; infinite where there is none
    events: int = 0  # in the ring
    had: Mapping[int, Had] = MappingProxyType({})

    @property
    def known(self) -> bool:
        """Whether any of the recent items is in the catalogue."""
        return any(item.row >= 0 for item in self.recent)


NOBODY: Final = Evidence((), {}, frozenset(), float("inf"))
# A last event that turned away from an item is no reason to show what is like it.
_TURNED_AWAY: Final = frozenset({EventType.DISLIKE, EventType.CART_REMOVE})


def evidence_of(profile: Profile | None, catalogue: Catalogue, now_ms: int) -> Evidence:
    """Read a profile's ring against a catalogue: one pass over at most 128 events."""
    if profile is None or not len(ring := profile.ring):
        return NOBODY
    latest: dict[int, RecentItem] = {}
    repeats: dict[int, float] = {}
    bought: set[int] = set()
    times: dict[int, int] = {}
    first: dict[int, tuple[int, int, int]] = {}
    for key, time_s, _value, number in reversed(ring.tolist()):
        row = catalogue.row_of_key(key)
        if key not in latest:
            latest[key] = RecentItem(key, row, number, time_s)
            first[row] = len(latest) - 1, time_s, number
        if row >= 0:
            times[row] = times.get(row, 0) + 1
            repeats[row] = repeats.get(row, 0.0) + REPEAT_WEIGHTS.get(number, _OTHER_REPEAT)
            if number == EventType.PURCHASE:
                bought.add(row)
    now_s = now_ms / 1000
    recent = [item for item in latest.values() if item.type_number not in _TURNED_AWAY]
    return Evidence(
        tuple(recent[:RECENT_ITEMS]),
        {row: worth for row, worth in repeats.items() if worth > 0},
        frozenset(bought),
        max(now_s - float(ring["time"][-1]), 0.0),
        len(ring),
        {
            row: Had(count, repeats[row], ago, max(now_s - time_s, 0.0), number)
            for row, count in times.items()
            for ago, time_s, number in (first[row],)
        },
    )


def viewed(profile: Profile, catalogue: Catalogue) -> list[RecentItem]:
    """Every distinct item of the ring, newest first: what `recently_viewed` shows."""
    latest: dict[int, RecentItem] = {}
    for key, time_s, _value, number in reversed(profile.ring.tolist()):
        if key not in latest:
            latest[key] = RecentItem(key, catalogue.row_of_key(key), number, time_s)
    return list(latest.values())


class Hidden(NamedTuple):
    """What a scenario hides from one subject, by fingerprint: the low 32 bits of an item's key."""

    fingerprints: NDArray[np.uint32]

    @classmethod
    def of(cls, profile: Profile | None, hide: Mapping[int, float], now_ms: int) -> Hidden:
        """`hide` says of each SEEN_ bit for how long its items are hidden, s.

        Marks know the day alone, so windows of a day and more are counted in whole days; shorter ones are
        read from the ring.
        """
        if profile is None or not hide:
            return _NOTHING_HIDDEN
        found = [
            _recently(profile, bit, now_ms / 1000 - span_s) for bit, span_s in hide.items() if span_s < DAY_S
        ]
        if len(seen := profile.seen):
            hiding = np.zeros(len(seen), dtype=np.bool_)
            for bit, span_s in hide.items():
                if span_s >= DAY_S:
                    first_day = max(0.0, now_ms / 1000 - span_s) // DAY_S if span_s != np.inf else 0
                    hiding |= ((seen["reason"] & bit) != 0) & (seen["day"] >= first_day)
            found.append(seen["fingerprint"][hiding])
        return cls(np.concatenate(found)) if found else _NOTHING_HIDDEN

    def has(self, keys: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Which of the item keys are hidden; same shape."""
        if not len(self.fingerprints):
            return np.zeros(keys.shape, dtype=np.bool_)
        return np.isin(keys.astype(np.uint32), self.fingerprints)


_NOTHING_HIDDEN: Final = Hidden(np.zeros(0, dtype=np.uint32))


def _recently(profile: Profile, bit: int, since_s: float) -> NDArray[np.uint32]:
    """Fingerprints of the ring's items that got a SEEN_ mark since then."""
    ring = profile.ring
    ring = ring[ring["time"] >= since_s]
    keys = [item for item, _, value, number in ring.tolist() if reason_of(number, value) == bit]
    return np.array(keys, dtype=np.uint64).astype(np.uint32)
