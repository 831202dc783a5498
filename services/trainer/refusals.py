"""Who denies personalisation, so that nothing of theirs is archived and nothing is trained on it.

An event that denies is left out, and so is what follows until one that allows, as a profile does it
(`Profile.apply`); what is archived of the subject before is removed as if they had been deleted. A deletion
ends a refusal, and so does silence for longer than the profile's TTL, here counted in whole days, so a day
longer at most. One difference: a client that repeats a denial after it was taken back denies again here.

A subject is remembered as a 64-bit hash of its id and the day when it was last heard of: 10 bytes each,
in base64 in archive.json.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from hashlib import blake2b
from typing import Final

import numpy as np

from services.kernel.consent import personalization
from services.kernel.event import Event
from services.trainer.archive_place import ArchiveError

TTL_DAYS: Final = 90  # FRESHET_PROFILE_TTL_DAYS as it comes
REFUSALS_MAX: Final = (
    1_000_000  # FRESHET_REFUSALS_MAX as it comes: 13 MB of archive.json, 100 MB while it is read
)
_DAY_MS: Final = 86_400_000
_PACKED: Final = np.dtype([("subject", "<u8"), ("day", "<u2")])
# What a partition changes between two flushes: the day by subject, None where the refusal has ended.
Changes = dict[int, int | None]


class Verdict(Enum):
    """What becomes of an event."""

    KEPT = 0
    WITHDRAWN = 1  # left out, and what came before it is removed
    LEFT_OUT = 2


class Refusals:
    """The refusals of an archive. Changes of a partition are noted apart, so that what is saved with its mark
    is the state at that mark."""

    def __init__(self, packed: bytes, *, ttl_days: int = TTL_DAYS, most: int = REFUSALS_MAX) -> None:
        rows = np.frombuffer(packed, _PACKED)
        self._days: dict[int, int] = dict(zip(rows["subject"].tolist(), rows["day"].tolist(), strict=True))
        self._saved = dict(self._days)
        self._packed = packed
        self._ttl_days = ttl_days
        self._most = most
        self._newest_day = max(self._days.values(), default=0)

    def __len__(self) -> int:
        return len(self._days)

    def judge(self, event: Event, changes: Changes) -> Verdict:
        """Take the next event of its partition; what it changes goes into `changes` too."""
        word = personalization(event.consent)
        if word is None and not self._days:
            return Verdict.KEPT
        key, today = _key(event.subject), event.received_at // _DAY_MS
        self._newest_day = max(self._newest_day, today)
        day = self._days.get(key)
        if day is not None and today - day > self._ttl_days:
            self._end(key, changes)
            day = None
        if word or (word is None and day is None):
            self._end(key, changes)
            return Verdict.KEPT
        if day is None or today > day:
            self._days[key] = changes[key] = today
        return Verdict.WITHDRAWN if day is None else Verdict.LEFT_OUT

    def forget(self, subject: str, changes: Changes) -> None:
        """Take the deletion of a user."""
        self._end(_key(subject), changes)

    def save(self, changes: Changes) -> bytes:
        """The packed state with the changes of a partition that is flushed, which are then done.

        Raises ArchiveError when there are more than can be kept: an export that forgot a refusal would train
        on somebody who said no.
        """
        if not changes:
            return self._packed
        for key, day in changes.items():
            if day is None:
                self._saved.pop(key, None)
            else:
                self._saved[key] = day
        changes.clear()
        if len(self._saved) > self._most:
            raise ArchiveError(
                f"more than {self._most:,} people deny personalisation, and an export keeps track of each: "
                "set FRESHET_REFUSALS_MAX higher (each takes 14 bytes of archive.json and 100 of memory) and "
                "run it again; what is archived is kept"
            )
        self._packed = _packed(self._saved)
        return self._packed

    def prune(self) -> bytes:
        """The packed state without those who were not heard of for longer than the TTL.

        For the end of a run, when all partitions are read: nobody's earlier events are still to come.
        """
        kept = {key: day for key, day in self._days.items() if self._newest_day - day <= self._ttl_days}
        if len(kept) < len(self._saved):
            self._days, self._saved = kept, dict(kept)
            self._packed = _packed(kept)
        return self._packed

    def _end(self, key: int, changes: Changes) -> None:
        if self._days.pop(key, None) is not None:
            changes[key] = None


def _packed(days: Mapping[int, int]) -> bytes:
    rows = np.zeros(len(days), _PACKED)
    rows["subject"] = np.fromiter(days.keys(), np.uint64, len(days))
    rows["day"] = np.fromiter(days.values(), np.uint16, len(days))
    return np.sort(rows, order="subject").tobytes()


def _key(subject: str) -> int:
    return int.from_bytes(blake2b(subject.encode(), digest_size=8).digest(), "little")
