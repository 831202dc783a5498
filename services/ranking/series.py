"""Which episode of a series is next: after a finished one, and in lists that keep to the order."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from services.kernel.profile import SEEN_DISLIKED, SEEN_FINISHED, Profile
from services.ranking.catalogue import Catalogue
from services.ranking.watching import Watched, watched_in

RowArray = NDArray[np.int64]
Mask = NDArray[np.bool_]
MayBeShown = Callable[[RowArray], Mask]
NOTHING = -1  # in place of a row


class Following:
    """Finds what comes after a finished episode."""

    def __init__(
        self, catalogue: Catalogue, profile: Profile, videos: list[Watched], may_be_shown: MayBeShown
    ) -> None:
        """`videos` are those of the profile's ring."""
        self._catalogue = catalogue
        self._profile = profile
        self._may_be_shown = may_be_shown
        self._by_key = {video.key: video for video in videos}

    def after(self, row: int, finished_times: int) -> tuple[int, float | None, bool] | None:
        """(row, progress, whether it was begun) of the first later episode that may be shown; None where
        there is none. What was begun is gone on with.

        Left out are those finished as often as this one: who sees a series again is led through it again.
        """
        following = self._catalogue.groups.after(row)
        if not following:
            return None
        rows = np.array(following, dtype=np.int64)
        for later in rows[self._may_be_shown(rows)].tolist():
            key = int(self._catalogue.keys[later])
            video = self._by_key.get(key)
            if video is not None and not video.is_finished and not video.is_disliked:
                return later, video.progress, True
            marks = self.marks.get(key & 0xFFFFFFFF, 0)
            disliked = marks & SEEN_DISLIKED if video is None else video.is_disliked
            times = max(0 if video is None else video.finished_times, int(marks & SEEN_FINISHED > 0))
            if not disliked and times < finished_times:
                return later, None, False
        return None

    @cached_property
    def marks(self) -> dict[int, int]:
        """Why episodes are seen, by SEEN_ bits; they reach further back than the ring."""
        found: dict[int, int] = {}
        for mark, reason in self._profile.seen[["fingerprint", "reason"]].tolist():
            found[mark] = found.get(mark, 0) | reason
        return found


class Entries:
    """The one episode of each series that lists of one request may show: for who watches the series the
    next, as `continue_watching` has it, for everybody else the first.

    A series is what has a place in a group. Where filter, candidates or availability keep the first ones
    out, it begins with the next that they let in. Who hides, excludes or ignores an episode is not shown
    another one in its place.
    """

    def __init__(self, catalogue: Catalogue, profile: Profile | None, may_be_shown: MayBeShown) -> None:
        self._catalogue = catalogue
        self._profile = profile
        self._may_be_shown = may_be_shown
        self._rows: dict[int, int] | None = None  # group → the episode, where it is not the first

    def of(self, rows: RowArray) -> RowArray:
        """i64[n]: by row the episode that may be shown of its series, -1 where none may; the row itself
        where it is in no series.
        """
        groups = self._catalogue.groups
        entries = groups.firsts(rows)
        (at,) = (groups.order[rows] == groups.order[rows]).nonzero()  # not NaN
        if not len(at):
            return entries
        if self._rows is None:
            self._rows = dict(self._going_on())
        first, group = entries[at], self._catalogue.group[rows[at]]
        kept_out = ~self._may_be_shown(first)
        if kept_out.any():
            self._rows.update(self._begin_later(set(group[kept_out].tolist()) - self._rows.keys()))
        if self._rows:
            known = np.array(sorted(self._rows), dtype=np.int64)
            led_to = np.array([self._rows[one] for one in known.tolist()], dtype=np.int64)
            place = np.minimum(known.searchsorted(group), len(known) - 1)
            entries[at] = np.where(known[place] == group, led_to[place], first)
        return entries

    def admit(self, rows: RowArray) -> Mask:
        """Which rows are the episode of their series, or stand at the same place in it, or are in none."""
        entries, order = self.of(rows), self._catalogue.groups.order
        admitted: Mask = (entries == rows) | ((entries >= 0) & (order[rows] == order[entries]))
        return admitted

    def _begin_later(self, groups: set[int]) -> Iterator[tuple[int, int]]:
        """Of each of these groups the first row that may be shown."""
        if not groups:
            return
        parts = [self._catalogue.groups.rows_of(group) for group in groups]
        rows = np.fromiter(chain.from_iterable(parts), np.int64)
        ends = np.cumsum([len(part) for part in parts])
        starts = np.concatenate([[0], ends[:-1]])
        places = np.where(self._may_be_shown(rows), np.arange(len(rows)), len(rows))
        found = np.minimum.reduceat(places, starts)
        for group, place, end in zip(groups, found.tolist(), ends.tolist(), strict=True):
            yield group, int(rows[place]) if place < end else NOTHING

    def _going_on(self) -> Iterator[tuple[int, int]]:
        """The series that the subject has to do with: by the video watched last, else by finished marks.

        Of a series that is seen to its end nothing is said: it begins with its first.
        """
        profile, groups = self._profile, self._catalogue.groups
        if profile is None:
            return
        videos = watched_in(profile)
        following = Following(self._catalogue, profile, videos, self._may_be_shown)
        known: set[int] = set()
        for video in videos:
            row = self._catalogue.row_of_key(video.key)
            group = groups.group_of(row)
            if not group or group in known:
                continue
            known.add(group)
            if (entry := self._after(row, video, following)) is not None:
                yield group, entry
        furthest: dict[int, int] = {}
        seen = profile.seen
        for row in groups.marked(seen["fingerprint"][(seen["reason"] & SEEN_FINISHED) != 0].tolist()):
            group = groups.group_of(row)
            if group not in known:
                had = furthest.get(group, row)
                furthest[group] = max(had, row, key=lambda one: float(groups.order[one]))
        for group, row in furthest.items():
            if (later := following.after(row, 1)) is not None:
                yield group, later[0]

    def _after(self, row: int, video: Watched, following: Following) -> int | None:
        if video.is_disliked:
            return NOTHING
        if not video.is_finished and self._may_be_shown(np.array([row]))[0]:
            return row
        later = following.after(row, max(1, video.finished_times))
        return None if later is None else later[0]
