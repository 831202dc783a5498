"""Real time against batch: the same questions, answered from profiles of different age.

With a refresh of R s, a question at t s is answered from the profile as it stood at the last multiple of R
(of Unix time) at or before t: events at or after that moment are not in it. R = 0 is live: everything before
the event. All else is the same for all: `now_ms` is t, trending and popularity are live, so that the age of
profiles is the only difference. A subject without a profile yet gets what the ladder gives to nobody.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from services.kernel.profile import Change, Profile
from services.trainer.baselines import RowArray, Served
from services.trainer.replay import Profiles, Record
from services.trainer.world import Asked, lists_of

LIVE: Final = "live"
_UNITS_S: Final = {"s": 1, "min": 60, "h": 3600, "d": 86_400}
_INTERVAL: Final = re.compile(r"^([1-9]\d{0,6})(s|min|h|d)$")


def interval_s(text: str) -> int:
    """Seconds of `live` (0), 90s, 15min, 1h or 7d. Raises ValueError that says what is possible."""
    if text == LIVE:
        return 0
    match = _INTERVAL.match(text)
    if match is None:
        raise ValueError(f"{text[:32]!r} is no refresh interval: live, or a number with s, min, h or d")
    return int(match[1]) * _UNITS_S[match[2]]


class AgedProfiles:
    """Profiles under one refresh interval. A subject's events wait until their moment has passed.

    At most the events of one interval of a subject wait: each event lets in those before its own boundary.
    """

    def __init__(self, profiles: Profiles, refresh_s: int) -> None:
        """`profiles` is empty and belongs to this object alone; `refresh_s` > 0."""
        self._profiles = profiles
        self._refresh_s = refresh_s
        self._waiting: dict[int, deque[tuple[Record, Change]]] = {}

    def hear(self, record: Record, change: Change) -> None:
        """Take in an event, in the order of the log: one that comes late waits for those before it there."""
        self._let_in(record.subject, record.time_s)
        self._waiting.setdefault(record.subject, deque()).append((record, change))

    def at(self, subject: int, now_s: int) -> Profile | None:
        """The profile as it stood at the last boundary; None for somebody without one yet."""
        self._let_in(subject, now_s)
        profile = self._profiles.get(subject)
        if profile is not None and profile.expired(now_s * 1000, self._profiles.ttl_ms):
            return None
        return profile

    def is_live(self, subject: int) -> bool:
        """Whether nothing waits, so that the profile is the live one."""
        return subject not in self._waiting

    def _let_in(self, subject: int, now_s: int) -> None:
        waiting = self._waiting.get(subject)
        if waiting is None:
            return
        boundary_s = now_s - now_s % self._refresh_s
        while waiting and waiting[0][0].time_s < boundary_s:
            self._profiles.apply(*waiting.popleft())
        if not waiting:
            del self._waiting[subject]


class Refreshed:
    """The method that answers from aged profiles. `empty` says of each question whether there was none."""

    def __init__(self, served: Served, aged: AgedProfiles, capacity: int) -> None:
        self._served = served
        self._aged = aged
        self._empty = np.zeros(capacity, dtype=np.bool_)
        self._count = 0

    def __call__(self, asked: Asked, ks: Sequence[int]) -> list[RowArray]:
        """One list for each k; an aged profile that is the live one has the live answer."""
        subject = asked.record.subject
        profile = self._aged.at(subject, asked.record.time_s)
        self._empty[self._count] = profile is None or not len(profile.ring)
        self._count += 1
        if self._aged.is_live(subject):
            return self._served(asked, ks)
        return lists_of(self._served.state(asked), profile, asked.now_ms, ks)

    @property
    def empty(self) -> NDArray[np.bool_]:
        """[questions so far]"""
        return self._empty[: self._count]
