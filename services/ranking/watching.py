"""How far a subject is with each video, read from the ring of a profile."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from services.kernel.change import FINISHED_FROM
from services.kernel.event_type import EventType
from services.kernel.profile import Profile

# A finished video is being watched again below this. Players report the last seconds late, and round.
AGAIN_BELOW: Final = 0.9

_START: Final = int(EventType.VIDEO_START)
_COMPLETE: Final = int(EventType.VIDEO_COMPLETE)
_DISLIKE: Final = int(EventType.DISLIKE)
_VIDEO: Final = frozenset({_START, int(EventType.VIDEO_PROGRESS), _COMPLETE})


@dataclass(slots=True)
class Watched:
    """One video. `at`: the place of its newest video event in the ring, the higher the later."""

    key: int
    at: int
    progress: float | None = None  # 0 to 1; None: the player did not say
    is_finished: bool = False
    finished_times: int = 0
    is_disliked: bool = False  # since it was last watched
    finished_s: int = 0

    def apply(self, number: int, value: float, time_s: int) -> None:
        """One more video event; `value` NaN: without progress."""
        known = None if math.isnan(value) else round(value, 4)  # the ring has f32
        if number == _COMPLETE or (known is not None and known >= FINISHED_FROM):
            self.finished_times += not self.is_finished
            self.is_finished, self.finished_s = True, time_s
            return
        if self.is_finished:
            if number != _START and (known is None or known >= AGAIN_BELOW or time_s == self.finished_s):
                return  # what a player still reports of the end; of one second nobody knows which came first
            self.is_finished, self.progress = False, None
        if known is not None:
            self.progress = known


def watched_in(profile: Profile) -> list[Watched]:
    """The videos of the ring, the one watched last first; one pass over at most 128 events.

    Events stand in time order there, so that a late one changes nothing that came after it.
    """
    types = profile.ring["type"]
    if not ((types >= _START) & (types <= _COMPLETE)).any():
        return []
    found: dict[int, Watched] = {}
    for at, (key, time_s, value, number) in enumerate(profile.ring.tolist()):
        if number in _VIDEO:
            video = found.get(key)
            if video is None:
                video = found[key] = Watched(key, at)
            video.at, video.is_disliked = at, False
            video.apply(number, value, time_s)
        elif number == _DISLIKE and key in found:
            found[key].is_disliked = True
    return sorted(found.values(), key=lambda video: -video.at)
