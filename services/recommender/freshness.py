"""Read your own writes: `?after=POSITION` waits, inside the deadline, until the profile has got there.

Who has reached a position:

1. A named subject's profile that stands at it or beyond: what the record says of that subject is in it.
2. Its partition's fence, for a record that is none of the named subjects': nobody is named, or each has a
   profile that the same generation keeps on another partition.
3. Else it may be a subject's own, and the fence says nothing: it moves before the profiles of its batch are
   written, and a profiler may die in between. Then the answer is `fresh: false` unless 1. comes true in time,
   also for the position of a stranger on the subject's partition.

A position does not name its topic. Of a record of items it is read as one of events, and says nothing useful.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import NamedTuple

from services.kernel.position import Position
from services.kernel.profile import Profile
from services.kernel.tracing import TRACEPARENT, current_span
from services.recommender.deadline import Deadline, LateError, within
from services.recommender.live_epoch import LiveEpoch
from services.recommender.profiles import ProfileReader
from services.store.aggregates import AggregateReader
from services.store.coalescer import Coalescer
from services.store.errors import StoreError
from services.store.trigger import Subscription, Trigger

# The rest of the deadline is for the model and the ranking.
WAIT_SHARE = 0.75
READ_SHARE = 0.6
# Announcements wake at once. Looking again anyway covers a lost one, and partitions, which announce nothing.
LOOK_AGAIN_S = 0.01
# After so many reads that failed or were late, with none in time between them, the store counts as away: one
# request in PROBE_S still asks it, the others answer at once without it.
FAILURES_MAX = 5
PROBE_S = 0.1


class Read(NamedTuple):
    """Profiles as stored, in the order of the subjects. Not `fresh`: store away, or `after` not reached."""

    profiles: list[Profile | None]
    fresh: bool
    trouble: str | None = None  # "store", "late", or "away" where nobody asked the store any more


def reached(at: Position | None, after: Position) -> bool:
    """Whether somebody who stands at `at` has applied the record at `after`."""
    if at is None or at.generation != after.generation:
        return at is not None and at.generation > after.generation
    return at.partition == after.partition and at.offset >= after.offset


class FreshReader:
    """Reads the profiles of a question, waiting for `after` where it is asked for."""

    def __init__(
        self, profiles: ProfileReader, aggregates: AggregateReader, trigger: Trigger, live: LiveEpoch
    ) -> None:
        self._profiles = profiles
        self._aggregates = aggregates
        self._trigger = trigger
        self._live = live
        self._failures = 0  # reads in a row that did not come back in time
        self._probe_at_s = 0.0
        self._fences: Coalescer[int, Position | None] = Coalescer(self._fetch_fences)

    async def read(self, subjects: tuple[str, ...], after: Position | None, until: Deadline) -> Read:
        """Never raises for a store that is away or slow; says so in `trouble`."""
        if not subjects and after is None:
            return Read([], fresh=True)
        nobody: list[Profile | None] = [None] * len(subjects)
        now_s = time.perf_counter()
        if self._failures >= FAILURES_MAX:
            if now_s < self._probe_at_s:
                return Read(nobody, fresh=False, trouble="away")
            self._probe_at_s = now_s + PROBE_S
        try:
            profiles = await within(self._read(subjects), until.part(READ_SHARE))
        except (LateError, StoreError) as error:
            self._failures += 1
            return Read(nobody, fresh=False, trouble="late" if isinstance(error, LateError) else "store")
        self._failures = 0
        if after is None or _any_reached(profiles, after):
            return Read(profiles, fresh=True)
        return await self._wait(subjects, after, Read(profiles, fresh=False), until)

    async def _read(self, subjects: tuple[str, ...]) -> list[Profile | None]:
        if len(subjects) == 1:
            return [await self._profiles.read(subjects[0])]
        return list(await asyncio.gather(*(self._profiles.read(subject) for subject in subjects)))

    async def _wait(self, subjects: tuple[str, ...], after: Position, found: Read, until: Deadline) -> Read:
        """Wait for `after`; answers what was read last.

        1. Subscribe first, so that no change between reading and waiting is missed.
        2. Read the profiles; reached by one of them: done.
        3. Nobody's of those named, and reached by the partition: done.
        4. Wait for an announcement, or LOOK_AGAIN_S.
        """
        try:
            async with asyncio.timeout(until.part(WAIT_SHARE)), AsyncExitStack() as stack:
                # 1.
                changes = [
                    await stack.enter_async_context(self._trigger.subscribe(subject)) for subject in subjects
                ]
                while True:
                    # 2.
                    found = Read(await self._read(subjects), fresh=False)
                    if _any_reached(found.profiles, after):
                        _link_span(changes)
                        return found._replace(fresh=True)
                    # 3.
                    foreign = not any(_may_own(profile, after) for profile in found.profiles)
                    if foreign and await self._partition_reached(after):
                        return found._replace(fresh=True)
                    # 4.
                    await _announced(changes)
        except (TimeoutError, StoreError):
            return found

    async def _partition_reached(self, after: Position) -> bool:
        if not 0 <= after.partition < self._live.partitions:
            return False
        return reached(await self._fences.get(after.partition), after)

    async def _fetch_fences(self, partitions: Sequence[int]) -> Sequence[Position | None]:
        fences = await self._aggregates.fences(self._live.epoch, self._live.partitions)
        known = {number: fence.position for number, fence in enumerate(fences) if fence is not None}
        return [known.get(partition) for partition in partitions]

    async def close(self) -> None:
        """Read no more."""
        await self._fences.close()


def _any_reached(profiles: list[Profile | None], after: Position) -> bool:
    return any(profile is not None and reached(profile.position, after) for profile in profiles)


def _link_span(changes: list[Subscription]) -> None:
    """The answer to come has to do with the events whose changes were heard of while it waited."""
    if (span := current_span()) is not None:
        for change in changes:
            for trace in change.traces:
                span.link({TRACEPARENT: trace})


def _may_own(profile: Profile | None, after: Position) -> bool:
    """Whether the record at `after` may be of this subject: a generation keeps it on one partition."""
    at = profile.position if profile is not None else None
    return at is None or at.generation != after.generation or at.partition == after.partition


async def _announced(changes: list[Subscription]) -> None:
    if changes:  # a second subject's announcement is seen at the next look
        await changes[0].wait(LOOK_AGAIN_S)
    else:
        await asyncio.sleep(LOOK_AGAIN_S)
