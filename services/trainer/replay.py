"""What the running system would know at each moment: profiles and aggregates, from a table of events.

Profiles are changed by `Profile.apply`, aggregates by the kernel's own arithmetic, and answers come from
`services.ranking`: the code that serves.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from services.kernel.bank import Space, VectorOf, WeightOf
from services.kernel.change import reason_of, weight_of
from services.kernel.contributions import add_to_rows, contributions_of
from services.kernel.covisits import NEIGHBOUR, POPULAR_HALF_LIFE_S, TREND_HALF_LIFE_S, log_add, term
from services.kernel.event_type import EventTypes
from services.kernel.ids import item_key
from services.kernel.position import Position
from services.kernel.profile import Change, Line, Profile, ProfileRules
from services.ranking.aggregates import Aggregates, Scores
from services.ranking.scenario import Scenario
from services.ranking.scenario_file import built_in
from services.release.files import Release
from services.trainer.event_table import EventTable

DAY_MS: Final = 86_400_000
_GENERATION: Final = 1
RECORDS_AT_ONCE: Final = 65_536  # events that are Python objects at once: some 20 MB


class ReplayRules(NamedTuple):
    """What is the same for all profiles and lists, as the deployment's settings have it."""

    types: EventTypes
    profile_ttl_days: int = 90
    seen_capacity: int = 512
    scenarios: Mapping[str, Scenario] = built_in()


class Record(NamedTuple):
    """One event of a table: whose, when, of which type, its lines as item indices and values."""

    number: int
    subject: int
    time_s: int
    type_number: int
    items: tuple[int, ...]
    values: tuple[float, ...]


def records_of(table: EventTable) -> Iterator[Record]:
    """The events of a table in its order, each with all its lines. Memory: RECORDS_AT_ONCE events."""
    fresh = np.ones(len(table), dtype=np.bool_)
    fresh[1:] = table.records[1:] != table.records[:-1]
    starts = np.append(np.flatnonzero(fresh), len(table))
    for first in range(0, len(starts) - 1, RECORDS_AT_ONCE):
        yield from _records(table, starts[first : first + RECORDS_AT_ONCE + 1])


def _records(table: EventTable, starts: NDArray[np.int64]) -> Iterator[Record]:
    begin = int(starts[0])
    lines = slice(begin, int(starts[-1]))
    items, values = table.items[lines].tolist(), table.values[lines].tolist()
    heads = starts[:-1]
    columns = (table.records, table.subjects, table.times_s, table.types)
    facts = zip(*(column[heads].tolist() for column in columns), strict=True)
    for (number, subject, time_s, kind), (start, stop) in zip(
        facts, pairwise((starts - begin).tolist()), strict=True
    ):
        yield Record(number, subject, time_s, kind, tuple(items[start:stop]), tuple(values[start:stop]))


class Profiles:
    """Profiles of the subjects, as a profiler of one partition keeps them."""

    def __init__(
        self, table: EventTable, release: Release, rules: ReplayRules, vector_of: VectorOf | None = None
    ) -> None:
        """`vector_of` by item key; None: the release's own vectors alone."""
        self._keys = [item_key(item_id) for item_id in table.item_ids]
        self.space: Space = release.space.at(0)
        self._weight_of: WeightOf = weight_of(rules.types.weighed_by(release.event_weights))
        self.ttl_ms = rules.profile_ttl_days * DAY_MS
        given = vector_of or release.vector_of
        vectors = {key: given(key) for key in self._keys}
        self._rules = ProfileRules(self.space, vectors.get, self._weight_of, self.ttl_ms, rules.seen_capacity)
        self._held: dict[int, Profile] = {}
        self._offset = 0

    def get(self, subject: int) -> Profile | None:
        """The profile as it stands, None for somebody nobody has heard of."""
        return self._held.get(subject)

    def change_of(self, record: Record) -> Change:
        """What `Profile.apply` needs of a record."""
        self._offset += 1
        lines = tuple(
            Line(self._keys[item], self._weight_of(record.type_number, value), value)
            for item, value in zip(record.items, record.values, strict=True)
        )
        return Change(
            Position(_GENERATION, 0, self._offset),
            record.number,
            record.time_s * 1000,
            record.time_s,
            record.type_number,
            reason_of(record.type_number, next(iter(record.values), math.nan)),
            lines,
        )

    def apply(self, record: Record, change: Change) -> None:
        """Apply a record to its subject's profile."""
        profile = self._held.get(record.subject)
        if profile is None:
            profile = self._held[record.subject] = Profile.empty(self.space)
        profile.apply(change, self._rules)


class LiveAggregates:
    """Trending, popular, co-visitation and bought together, as the profilers keep them in the store.

    A table has no contexts, so there are no segments.
    """

    def __init__(self, rules: ReplayRules) -> None:
        self._weight_of = weight_of(rules.types)
        self._ttl_ms = rules.profile_ttl_days * DAY_MS
        self._trend: dict[int, float] = {}
        self._popular: dict[int, float] = {}
        self._rows: defaultdict[int, bytearray] = defaultdict(bytearray)

    def add(self, profile: Profile | None, change: Change, space: Space) -> None:
        """Add a change; `profile` is the subject's right before it."""
        before = profile if profile is not None else Profile.empty(space)
        trend, popular, rows = self._trend, self._popular, self._rows
        for one in contributions_of(before, change, self._weight_of, self._ttl_ms):
            item, weight, time_s = one.item, one.weight, one.time_s
            trend[item] = log_add(trend.get(item, -np.inf), term(weight, time_s, TREND_HALF_LIFE_S))
            long_term = term(weight, time_s, POPULAR_HALF_LIFE_S)
            popular[item] = log_add(popular.get(item, -np.inf), long_term)
            add_to_rows(one, long_term, rows)

    def snapshot(self) -> Aggregates:
        """As the recommender holds them; rows of neighbours stay live, as it reads them."""
        return Aggregates(_scores(self._trend), _scores(self._popular), _Rows(self._rows))


class _Rows(dict[int, Scores]):
    """Rows by item key, made when they are asked for, and again when they have changed."""

    def __init__(self, rows: Mapping[int, bytearray]) -> None:
        super().__init__()
        self._rows = rows
        self._made: dict[int, bytes] = {}

    def get(self, key: int, default: Scores | None = None) -> Scores | None:  # type: ignore[override]
        """The row of `key`, or `default`."""
        row = self._rows.get(key)
        if not row:
            return default
        packed = bytes(row)
        if self._made.get(key) != packed:
            entries = np.frombuffer(packed, NEIGHBOUR)
            self[key] = Scores(entries["item"].copy(), entries["score"].copy())
            self._made[key] = packed
        return self[key]


def _scores(values: dict[int, float]) -> Scores:
    return Scores(
        np.fromiter(values, np.uint64, len(values)), np.fromiter(values.values(), float, len(values))
    )
