"""Which episode of a series is next: after a finished one, and in lists that keep to the order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from services.kernel.profile import SEEN_DISLIKED, SEEN_FINISHED, Profile
from services.ranking.catalogue import Catalogue
from services.ranking.groups import MARK_MASK
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
        self._later: dict[int, list[int]] = {}

    def look_up(self, rows: Sequence[int]) -> None:
        """Work out at once what may be shown after each of these rows: one by one takes ten times as long."""
        parts = [self._catalogue.groups.after(row) for row in rows]
        every = np.fromiter(chain.from_iterable(parts), np.int64)
        shown = iter(self._may_be_shown(every).tolist())
        for row, part in zip(rows, parts, strict=True):
            self._later[row] = [later for later, may in zip(part, shown, strict=False) if may]

    def after(self, row: int, finished_times: int) -> tuple[int, float | None, bool] | None:
        """(row, progress, whether it was begun) of the first later episode that may be shown; None where
        there is none. What was begun is gone on with.

        Left out are those finished as often as this one: who sees a series again is led through it again.
        """
        if row not in self._later:
            self.look_up([row])
        for later in self._later[row]:
            key = int(self._catalogue.keys[later])
            video = self._by_key.get(key)
            if video is not None and not video.is_finished and not video.is_disliked:
                return later, video.progress, True
            marks = self.marks.get(key & MARK_MASK, 0)
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
        self._rows: dict[int, int] = {}  # group → the episode, where it is not the first
        self._asked: set[int] = set()  # groups of which is known how the subject stands to them

    def of(self, rows: RowArray) -> RowArray:
        """i64[n]: by row the episode that may be shown of its series, -1 where none may; the row itself
        where it is in no series, or stands at the same place in it.
        """
        groups = self._catalogue.groups
        entries = groups.firsts(rows)
        (at,) = (~np.isnan(groups.order[rows])).nonzero()
        if not len(at):
            return entries
        first, group = entries[at], self._catalogue.group[rows[at]]
        if self._standing:
            self._go_on(group)
        kept_out = ~self._may_be_shown(first)
        if kept_out.any():
            self._rows.update(self._begin_later(set(group[kept_out].tolist()) - self._rows.keys()))
        if self._rows:
            known = np.array(sorted(self._rows), dtype=np.int64)
            led_to = np.array([self._rows[one] for one in known.tolist()], dtype=np.int64)
            place = np.minimum(known.searchsorted(group), len(known) - 1)
            first = np.where(known[place] == group, led_to[place], first)
        same = (first >= 0) & (groups.order[first] == groups.order[rows[at]])
        entries[at] = np.where(same, rows[at], first)
        return entries

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

    @cached_property
    def _standing(self) -> dict[int, tuple[int, Watched | None]]:
        """By group how far the subject is: the video watched last; else, None, the last one finished."""
        profile, catalogue = self._profile, self._catalogue
        found: dict[int, tuple[int, Watched | None]] = {}
        if profile is None:
            return found
        rows = catalogue.places_of_keys([video.key for video in self._videos])
        for group, _, row, video in zip(*self._places(rows), rows.tolist(), self._videos, strict=True):
            if group and group not in found:
                found[group] = row, video
        seen, near = profile.seen, {video.key & MARK_MASK for video in self._videos}
        marks = set(seen["fingerprint"][(seen["reason"] & SEEN_FINISHED) != 0].tolist()) - near
        rows = np.array(catalogue.groups.marked(sorted(marks)), dtype=np.int64)
        last: dict[int, tuple[float, int]] = {}
        for group, order, row in zip(*self._places(rows), rows.tolist(), strict=True):
            if group not in found:
                last[group] = max(last.get(group, (order, row)), (order, row))
        return found | {group: (row, None) for group, (_, row) in last.items()}

    def _places(self, rows: RowArray) -> tuple[list[int], list[float]]:
        """Groups and orders of rows; 0 where one has no place, or is -1."""
        order = self._catalogue.groups.order[rows]
        placed = ~np.isnan(order) & (rows >= 0)
        return np.where(placed, self._catalogue.group[rows], 0).tolist(), order.tolist()

    @cached_property
    def _videos(self) -> list[Watched]:
        return [] if self._profile is None else watched_in(self._profile)

    def _go_on(self, groups: RowArray) -> None:
        """Find the next of those of these series that the subject has to do with. Of one that is seen to its
        end nothing is said: it begins with its first.
        """
        new = [group for group in self._standing.keys() & set(groups.tolist()) if group not in self._asked]
        if not new or self._profile is None:
            return
        self._asked.update(new)
        following = Following(self._catalogue, self._profile, self._videos, self._may_be_shown)
        following.look_up([self._standing[group][0] for group in new])
        for group in new:
            if (entry := self._next(*self._standing[group], following)) is not None:
                self._rows[group] = entry

    def _next(self, row: int, video: Watched | None, following: Following) -> int | None:
        if video is not None:
            if video.is_disliked:
                return NOTHING
            if not video.is_finished and self._may_be_shown(np.array([row]))[0]:
                return row
        later = following.after(row, 1 if video is None else max(1, video.finished_times))
        return None if later is None else later[0]
