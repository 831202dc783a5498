"""Events as columns: what training and evaluation work on."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Selection: TypeAlias = slice | NDArray[np.bool_] | NDArray[np.integer]


@dataclass(frozen=True, slots=True)
class Reading:
    """What became of the rows of a source.

    Every row is counted once: `events` are in the table, `without_lines` are events of types that training
    does not use (searches, impressions, identify) or that name no item, `outside` lie outside the period
    asked for, `repeats` are events that were there already, `withheld` are those of people who denied
    personalisation, then or later, `no_events` could not be read as an event; `reasons` are the first few of
    those, each with its file and row.
    """

    events: int = 0
    without_lines: int = 0
    outside: int = 0
    repeats: int = 0
    withheld: int = 0
    no_events: int = 0
    reasons: tuple[str, ...] = ()

    @property
    def rows(self) -> int:
        """All rows."""
        used = self.events + self.without_lines + self.outside + self.repeats
        return used + self.withheld + self.no_events


@dataclass(frozen=True, slots=True)
class EventTable:
    """One row per item line of a recorded event, sorted by (`times_s`, order on the log); n rows.

    An order of three items is three rows that share a number in `records`, which rises with the rows and
    may have gaps. Subjects and items are indices into `subject_ids` and `item_ids`, which `take` and `before`
    leave as they are, so that indices mean the same in every part of a table. Raises ValueError when the
    columns differ in length.
    """

    subjects: NDArray[np.int32]  # (n,) index into subject_ids
    items: NDArray[np.int32]  # (n,) index into item_ids
    types: NDArray[np.uint8]  # (n,) EventTypes.number
    values: NDArray[np.float32]  # (n,) what a profile's ring keeps (stars, progress, value, price); NaN: none
    times_s: NDArray[np.int64]  # (n,) Unix seconds, never falling
    records: NDArray[np.int64]  # (n,) which event the line belongs to, never falling
    subject_ids: list[str]
    item_ids: list[str]
    reading: Reading = field(default_factory=Reading, compare=False)

    def __post_init__(self) -> None:
        """Check that the columns belong together."""
        columns = (self.subjects, self.items, self.types, self.values, self.times_s, self.records)
        if len({len(column) for column in columns}) != 1:
            raise ValueError(f"columns differ in length: {[len(column) for column in columns]}")

    def __len__(self) -> int:
        """Rows (item lines)."""
        return len(self.subjects)

    def take(self, chosen: Selection) -> EventTable:
        """The chosen rows: a slice (no copy), a mask of n booleans, or indices in rising order."""
        return replace(
            self,
            subjects=self.subjects[chosen],
            items=self.items[chosen],
            types=self.types[chosen],
            values=self.values[chosen],
            times_s=self.times_s[chosen],
            records=self.records[chosen],
        )

    def before(self, time_s: int) -> EventTable:
        """The rows that happened before `time_s` (Unix seconds), without a copy."""
        return self.take(slice(0, int(np.searchsorted(self.times_s, time_s, side="left"))))
