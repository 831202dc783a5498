"""Which held-out events are asked about."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from services.kernel.change import weight_of
from services.kernel.event_type import EventType, EventTypes
from services.trainer.event_table import EventTable
from services.trainer.heartbeats import heartbeats_of
from services.trainer.replay import Record

_RATINGS: Final = int(EventType.RATING)


class Chosen(NamedTuple):
    """Events to ask about, from `from_s` (Unix s) on.

    `records` i64 rises; `possible` is how many could be asked about; `unknown` events were left out because
    the catalogue holds none of their items; `new` because their subject had done nothing before.
    """

    from_s: int
    records: NDArray[np.int64]
    possible: int
    unknown: int
    new: int


def choose(
    table: EventTable,
    known: NDArray[np.bool_],
    types: EventTypes,
    *,
    from_s: int,
    questions_max: int,
    seed: int,
    only: frozenset[int] | None = None,
) -> Chosen:
    """Events of positive weight by subjects with a history; of more than `questions_max` (0: no bound) a
    seeded sample.

    `known` bool[item_ids]: which items the catalogue holds. `only`: record numbers besides which nothing is
    asked.
    """
    wanted = wanted_lines(table, types) & (table.times_s >= from_s)
    if only is not None:
        wanted &= np.isin(table.records, np.fromiter(only, np.int64, len(only)))
    subjects, first = np.unique(table.subjects, return_index=True)
    first_record = np.zeros(int(subjects.max(initial=0)) + 1, dtype=np.int64)
    first_record[subjects] = table.records[first]
    old = table.records > first_record[table.subjects]
    here = known[table.items]
    records = np.unique(table.records[wanted & old & here])
    unknown = len(np.unique(table.records[wanted & old])) - len(records)
    new = len(np.unique(table.records[wanted & ~old]))
    possible = len(records)
    if 0 < questions_max < possible:
        records = np.sort(np.random.default_rng(seed).choice(records, questions_max, replace=False))
    return Chosen(from_s, records, possible, unknown, new)


def wanted_lines(table: EventTable, types: EventTypes) -> NDArray[np.bool_]:
    """Which lines say that somebody wanted their item: of positive weight, and no heartbeats; bool[n]."""
    weight = weight_of(types)
    positive = np.array([weight(number, float("nan")) > 0 for number in range(256)])
    found: NDArray[np.bool_] = positive[table.types]
    (ratings,) = np.nonzero(table.types == _RATINGS)
    found[ratings] = [weight(_RATINGS, value) > 0 for value in table.values[ratings].tolist()]
    return found & ~heartbeats_of(table)


class Cursor:
    """Says of records, in the order of a replay, whether they were chosen."""

    def __init__(self, records: NDArray[np.int64]) -> None:
        self._records = records
        self._at = 0

    def __call__(self, record: Record) -> bool:
        """Whether this one was; numbers never fall from call to call."""
        records, number = self._records, record.number
        while self._at < len(records) and records[self._at] < number:
            self._at += 1
        return self._at < len(records) and bool(records[self._at] == number)
