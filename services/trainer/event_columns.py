"""From rows of an archive to the columns of an EventTable, a batch at a time and without a loop over rows.

What a row means is `kernel/change.py`'s: the same lines, values and times as a profile gets; a test holds
both against each other.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from services.kernel.event_type import UNRECORDED, EventType, EventTypes, UnknownEventTypeError
from services.kernel.profile import DUPLICATES_CAPACITY
from services.trainer.consents import Consents
from services.trainer.event_table import EventTable, Reading

# The columns of an archive that training looks at.
COLUMNS: Final = (
    "event_id", "subject", "event_type", "item_id", "items", "value", "price", "rating", "progress",
    "timestamp", "offset", "consent",
)  # fmt: skip
_TIME_MAX_S: Final = 2**32 - 1  # as the ring has it
_VALUE_MAX: Final = 3.4e38  # f32
_STARS_MAX: Final = 5.0
_VIDEO: Final = (EventType.VIDEO_START, EventType.VIDEO_PROGRESS, EventType.VIDEO_COMPLETE)
_REASONS_KEPT: Final = 5  # enough to see what is wrong with a file
_IN_TABLE, _WITHOUT_LINES, _OUTSIDE, _WITHHELD = 0, 1, 2, 3


class _Ids:
    """Strings as indices, in the order in which they first come."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self._index: dict[str, int] = {}

    def indices(self, column: Any) -> NDArray[np.int32]:
        """int32[rows] of a string column without nulls."""
        if isinstance(column, pa.ChunkedArray):
            column = column.combine_chunks()
        coded = column.dictionary_encode()
        places = []
        for name in coded.dictionary.to_pylist():
            place = self._index.get(name)
            if place is None:
                place = self._index[name] = len(self.names)
                self.names.append(name)
            places.append(place)
        found: NDArray[np.int32] = np.array(places, np.int32)[coded.indices.to_numpy()]
        return found


@dataclass(slots=True)
class _Pieces:
    """What the batches brought; one array a batch and column, joined at the end."""

    subjects: list[NDArray[np.int32]] = field(default_factory=list)  # by event, as are hashes and states
    hashes: list[NDArray[np.int64]] = field(default_factory=list)
    states: list[NDArray[np.uint8]] = field(default_factory=list)
    events: list[NDArray[np.int64]] = field(default_factory=list)  # by line: the number of its event
    items: list[NDArray[np.int32]] = field(default_factory=list)
    types: list[NDArray[np.uint8]] = field(default_factory=list)
    values: list[NDArray[np.float32]] = field(default_factory=list)
    times_s: list[NDArray[np.uint32]] = field(default_factory=list)


class EventColumns:
    """Collects events in log order (each subject's at least) and makes the table.

    Memory: 13 bytes an event and 21 a line while reading; `table` needs about 60 more a line for a moment.
    """

    def __init__(self, types: EventTypes, since_ms: int | None, until_ms: int | None) -> None:
        self._types = types
        self._since_ms = -(2**63) if since_ms is None else since_ms
        self._until_ms = 2**63 - 1 if until_ms is None else until_ms
        self._subjects, self._items = _Ids(), _Ids()
        self._pieces = _Pieces()
        self._events = 0
        self._consents = Consents()
        self._refused = 0
        self._reasons: list[str] = []

    def refuse(self, place: str, reason: str, rows: int = 1) -> None:
        """Count rows that are no events; the first reasons are kept."""
        self._refused += rows
        if len(self._reasons) < _REASONS_KEPT:
            self._reasons.append(f"{place}: {reason}")

    def add(self, rows: pa.Table, place: str) -> None:
        """Take rows with at least COLUMNS. Those of a type not configured here are refused."""
        numbers = self._numbers(rows, place)
        known = numbers > 0
        if not known.all():
            rows, numbers = rows.filter(pa.array(known)), numbers[known]
        if not rows.num_rows:
            return
        pieces = self._pieces
        owners = self._subjects.indices(rows.column("subject"))
        withheld = self._consents.withheld(owners, rows.column("consent"), self._events)
        time_ms = rows.column("timestamp").cast(pa.int64()).to_numpy()
        parents, items, prices = _lines(rows)
        states = np.full(rows.num_rows, _WITHOUT_LINES, np.uint8)
        states[parents] = _IN_TABLE
        states[np.isin(numbers, list(UNRECORDED))] = _WITHOUT_LINES
        states[(time_ms < self._since_ms) | (time_ms >= self._until_ms)] = _OUTSIDE
        if withheld is not None:
            states[withheld] = _WITHHELD
        pieces.subjects.append(owners)
        # Salted anew in every process; only equality within one reading counts.
        ids = rows.column("event_id").to_pylist()
        pieces.hashes.append(np.fromiter(map(hash, ids), np.int64, len(ids)))
        pieces.states.append(states)
        taken = states[parents] == _IN_TABLE
        parents = parents[taken]
        pieces.events.append(parents + self._events)
        pieces.items.append(self._items.indices(items.filter(pa.array(taken))))
        pieces.types.append(numbers[parents])
        pieces.values.append(_values(rows, numbers, parents, prices[taken]))
        pieces.times_s.append(np.clip(time_ms[parents] // 1000, 0, _TIME_MAX_S).astype(np.uint32))
        self._events += rows.num_rows

    def table(self) -> EventTable:
        """All of it, sorted by time, an event that came twice once."""
        pieces = self._pieces
        events = _joined(pieces.events, np.int64)
        states = _joined(pieces.states, np.uint8)
        owners = _joined(pieces.subjects, np.int32)
        repeated = repeats(owners, _joined(pieces.hashes, np.int64))
        pieces.hashes.clear()
        times_s = _joined(pieces.times_s, np.uint32)
        states[self._consents.before_withdrawal(owners)] = _WITHHELD
        used = (states == _IN_TABLE) & ~repeated
        kept = np.flatnonzero(used[events])
        order = kept[np.argsort(times_s[kept], kind="stable")]
        events = events[order]
        counts = np.bincount(states[~repeated], minlength=4)
        return EventTable(
            subjects=owners[events],
            items=_joined(pieces.items, np.int32)[order],
            types=_joined(pieces.types, np.uint8)[order],
            values=_joined(pieces.values, np.float32)[order],
            times_s=times_s[order].astype(np.int64),
            records=np.cumsum(np.diff(events, prepend=events[:1]) != 0, dtype=np.int64),
            subject_ids=self._subjects.names,
            item_ids=self._items.names,
            reading=Reading(
                events=int(counts[_IN_TABLE]),
                without_lines=int(counts[_WITHOUT_LINES]),
                outside=int(counts[_OUTSIDE]),
                repeats=int(repeated.sum()),
                withheld=int(counts[_WITHHELD]),
                no_events=self._refused,
                reasons=tuple(self._reasons),
            ),
        )

    def _numbers(self, rows: pa.Table, place: str) -> NDArray[np.uint8]:
        """uint8[rows]: the type's number, 0 where it has none."""
        coded: Any = rows.column("event_type").combine_chunks().dictionary_encode()
        numbers = []
        codes = coded.indices.to_numpy()
        for code, name in enumerate(coded.dictionary.to_pylist()):
            try:
                numbers.append(self._types.number(name))
            except UnknownEventTypeError as error:
                numbers.append(0)
                why = f"event_type {error}; FRESHET_EVENT_TYPES adds types"
                self.refuse(place, why, int((codes == code).sum()))
        found: NDArray[np.uint8] = np.array(numbers, np.uint8)[codes]
        return found


def repeats(subjects: NDArray[np.int32], hashes: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which events repeat one of the last 128 of their subject, as a profile would see it; bool[events].

    `hashes` are of the event ids. Only subjects with an id that comes twice are looked at one by one.
    """
    found = np.zeros(len(subjects), np.bool_)
    mixed = hashes ^ (subjects.astype(np.int64) * 0x2545_F491_4F6C_DD1D)
    ordered = np.sort(mixed)
    twice = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
    if not len(twice):
        return found
    suspects = np.unique(subjects[np.isin(mixed, twice)])
    places = np.flatnonzero(np.isin(subjects, suspects))
    places = places[np.argsort(subjects[places], kind="stable")]
    starts = np.flatnonzero(np.diff(subjects[places], prepend=-1))
    for group in np.split(places, starts[1:]):
        recent: deque[int] = deque()
        held: set[int] = set()
        for place in group.tolist():
            number = int(hashes[place])
            if number in held:
                found[place] = True
                continue
            recent.append(number)
            held.add(number)
            if len(recent) > DUPLICATES_CAPACITY:
                held.discard(recent.popleft())
    return found


def _lines(rows: pa.Table) -> tuple[NDArray[np.int64], Any, NDArray[np.float64]]:
    """(row of each line, its item id, its price or NaN): the lines of `items`, else the single item."""
    single_price = _floats(rows.column("price"))
    item_ids: Any = rows.column("item_id").combine_chunks()
    lists: Any = rows.column("items").combine_chunks()
    lengths: Any = pc.fill_null(pc.list_value_length(lists), 0)
    listed = lengths.to_numpy() > 0
    singles = np.flatnonzero(~listed & ~np.asarray(item_ids.is_null()))
    if not listed.any():
        return singles, item_ids.take(pa.array(singles)), single_price[singles]
    flat = lists.flatten()
    parents = np.concatenate([singles, np.asarray(pc.list_parent_indices(lists), np.int64)])
    ids: Any = pa.concat_arrays([item_ids.take(pa.array(singles)), flat.field("item_id")])
    prices = np.concatenate([single_price[singles], _floats(flat.field("price"))])
    order = np.argsort(parents, kind="stable")
    return parents[order], ids.take(pa.array(order)), prices[order]


def _values(
    rows: pa.Table, numbers: NDArray[np.uint8], parents: NDArray[np.int64], prices: NDArray[np.float64]
) -> NDArray[np.float32]:
    """What the ring keeps of each line: stars, how far a video has run, else value or price."""
    of_event = _floats(rows.column("value"))[parents]
    of_line = np.where(np.isnan(of_event), prices, of_event)
    kinds = numbers[parents]
    rated, filmed = kinds == EventType.RATING, np.isin(kinds, _VIDEO)
    if rated.any():
        of_line[rated] = np.clip(_floats(rows.column("rating"))[parents[rated]], 0.0, _STARS_MAX)
    if filmed.any():
        of_line[filmed] = _floats(rows.column("progress"))[parents[filmed]]
    return np.clip(of_line, -_VALUE_MAX, _VALUE_MAX).astype(np.float32)


def _floats(column: Any) -> NDArray[np.float64]:
    """float64[rows], NaN for null."""
    filled: Any = pc.fill_null(column, float("nan"))
    return np.asarray(filled, np.float64)


def _joined(pieces: list[Any], dtype: Any) -> Any:
    """The pieces as one array; they are let go."""
    joined = np.concatenate(pieces) if pieces else np.zeros(0, dtype)
    pieces.clear()
    return joined
