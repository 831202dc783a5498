"""The catalogue's fields as columns, and masks of filters over its rows, kept up with every change.

Fields that filters name often have a column from the first item on. Others get one when a filter first asks
for them: `want` says so before the items come, `absent`, `build` and `adopt` make one beside the ranking
thread, and `mask` makes it on the spot, about 70 ms at 100,000 items.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from services.kernel.item import Item
from services.ranking.column_kinds import (
    CodeColumn,
    Column,
    ListColumn,
    PathColumn,
    PropertyColumn,
    UrlsColumn,
)
from services.ranking.column_numbers import HashColumn, Mask, NumberColumn
from services.ranking.column_views import FlagColumn, IdColumn, TimeColumn
from services.ranking.field_reader import reader
from services.ranking.filter_masks import Masked, Variables, evaluated, names_of, resolved, value_of
from services.ranking.filter_nearest import Nearest
from services.ranking.filters import PROPERTIES, Filter
from services.ranking.kept_masks import Changes, KeptMasks

PROPERTIES_MAX: Final = (
    64  # with columns: 0.5 MB each at 100,000 items, and a pass over all items to make one
)
PROPERTY_VALUES_MAX: Final = 1_000_000  # different ones in all these columns together: 150 MB
PROPERTY_NAMES_MAX: Final = (
    4096  # remembered, to tell a property that no item has without looking at them all
)
# A property that no filter has named in so many may give its place to another: some minutes of a small shop.
# Fewer, and who filters by more than there is room for would have columns made all the time.
IDLE_FILTERS: Final = 10_000

_ON_DEMAND: Final[dict[str, Callable[[int], Column]]] = {
    "tags": ListColumn,
    "list_price": NumberColumn,
    "currency": CodeColumn,
    "language": CodeColumn,
    "group_order": NumberColumn,
    "title": HashColumn,
    "description": HashColumn,
    "url": HashColumn,
    "image_urls": UrlsColumn,
}
_FULL: Final = (
    f"{PROPERTIES_MAX} properties, or {PROPERTY_VALUES_MAX:,} different values, are filtered by already, and "
    "a clause on another property lets nothing through; filter by fewer, or by tags"
)


class Held(NamedTuple):
    """What the catalogue keeps itself: list and dictionaries for good, arrays until they are too small."""

    raws: list[bytes | None]
    rows: Mapping[str, int]
    groups: Mapping[str, int]
    group: NDArray[np.int64]
    available: Mask
    published_ms: NDArray[np.int64]
    expires_ms: NDArray[np.int64]
    never_ms: int  # stands for an item without expires_at; -1 for one without published_at


class Built(NamedTuple):
    """Columns made beside the ranking thread, and the items as they were then, or later than `version`."""

    columns: dict[str, Column]
    raws: list[bytes | None]
    version: int


class Columns:
    """Columns and masks of one catalogue. One thread writes and asks; only `build` may run in another."""

    def __init__(self, held: Held) -> None:
        self._held = held
        capacity = len(held.available)
        self._changes = Changes(capacity)
        self._filters = 0  # asked so far
        self._last_named: dict[str, int] = {}  # by property: the number of the last filter that named it
        self._names: set[str] = set()  # of properties, of all items there have ever been
        self._ids = IdColumn(held.rows, np.arange(capacity, dtype=np.int32), -1)
        self._groups = IdColumn(held.groups, held.group, 0)
        self._available = FlagColumn(held.available)
        self._published = TimeColumn(held.published_ms, -1)
        self._expires = TimeColumn(held.expires_ms, held.never_ms)
        self._columns: dict[str, Column] = {
            "item_id": self._ids,
            "group_id": self._groups,
            "available": self._available,
            "published_at": self._published,
            "expires_at": self._expires,
        }
        nearest = Nearest(self._columns, self._names)
        self._masks = KeptMasks(self._changes, nearest.to)
        # What nearly every filter names: 1 µs an item while a catalogue is loaded. All columns would be 5.
        self._columns["categories"] = categories = PathColumn(capacity)
        self._columns["brand"] = brand = CodeColumn(capacity)
        self._columns["price"] = price = NumberColumn(capacity)
        self._put_categories, self._put_brand, self._put_price = categories.put, brand.put, price.put
        self._more: list[tuple[Callable[[int, Any], None], Callable[[Item], Any]]] = []  # of other columns

    def put(self, row: int, item: Item) -> None:
        """An item was added or replaced."""
        # Written out: a loop over columns and getters takes three times as long.
        self._put_categories(row, item.categories)
        self._put_brand(row, item.brand)
        self._put_price(row, item.price)
        if self._more:
            for put, read in self._more:
                put(row, read(item))
        if item.properties and len(self._names) < PROPERTY_NAMES_MAX:
            self._names.update(names_of(item.properties))
        self._changes.note(row, True)

    def remove(self, row: int) -> None:
        """An item was taken out."""
        self._put_categories(row, ())
        self._put_brand(row, None)
        self._put_price(row, None)
        for put, _ in self._more:
            put(row, None)
        self._changes.note(row, False)

    def grow(self, held: Held) -> None:
        """The catalogue has made room for more rows."""
        self._held = held
        capacity = len(held.available)
        self._changes.grow(capacity)
        self._ids.numbers = np.arange(capacity, dtype=np.int32)
        self._groups.numbers = held.group
        self._available.numbers = held.available
        self._published.numbers = held.published_ms
        self._expires.numbers = held.expires_ms
        for column in self._columns.values():
            column.grow(capacity)
        self._masks.forget()

    def mask(self, filter: Filter, variables: Variables) -> Masked:
        """Which rows pass. 0.1 to 0.3 ms at 100,000 items where it is new, a look-up where it is not.

        After changes, only what changed is asked again.
        """
        masked = self._masks.of(filter, variables, self._column)
        self._filters += 1
        for name in filter.properties:
            if name in self._columns:
                self._last_named[name] = self._filters
        return masked

    def matches(self, filter: Filter, variables: Variables, row: int) -> bool:
        """Whether one row passes; 10 µs a clause."""
        if not 0 <= row < len(self._held.raws) or not self._changes.alive[row]:
            return False
        asked, _ = resolved(filter, variables)
        rows = np.array([row], dtype=np.int64)
        return bool(evaluated(asked.root, self._column, rows, 1)[0])

    def codes(self, field: str) -> NDArray[np.int32]:
        """By row a number for each value of a field with one text, 0 for none; nothing for other fields."""
        column = self._column(field)
        return column.codes if isinstance(column, CodeColumn) else np.zeros(0, dtype=np.int32)

    def _column(self, name: str) -> Column | str | None:
        """A field's column; None: no item has the property; a text: why there is none."""
        column = self._columns.get(name)
        if column is None and self._is_wanted(name):
            self.want([name])
            column = self._columns.get(name)
            if column is None:
                return _FULL
        if isinstance(column, PropertyColumn) and not column.distinct():
            return None
        return column

    def _is_wanted(self, name: str) -> bool:
        """Whether items may have a field that has no column."""
        if not name.startswith(PROPERTIES):
            return name in _ON_DEMAND
        return len(self._names) >= PROPERTY_NAMES_MAX or name.removeprefix(PROPERTIES) in self._names

    def in_use(self) -> frozenset[str]:
        """The fields that got a column because a filter asked: what a new catalogue should `want` as well."""
        return frozenset(self._columns) & (frozenset(_ON_DEMAND) | self._properties())

    def _properties(self) -> frozenset[str]:
        return frozenset(name for name in self._columns if name.startswith(PROPERTIES))

    def want(self, fields: Iterable[str]) -> None:
        """Have columns of these fields. Costs nothing before the first item, later a pass over all."""
        self.adopt(self.build(self._missing_of(fields)))

    def absent(self, filter: Filter) -> list[str]:
        """The fields of a filter whose columns are still to be made; see `build`."""
        return self._missing_of(name for name in filter.fields() if self._is_wanted(name))

    def _missing_of(self, fields: Iterable[str]) -> list[str]:
        """Those that may get a column and have none, as many properties as there is room for."""
        missing = [name for name in dict.fromkeys(fields) if name not in self._columns]
        own = [name for name in missing if name.startswith(PROPERTIES)]
        if own:
            for name in self._idle():
                if len(own) + len(self._properties()) <= PROPERTIES_MAX and not self._are_full():
                    break
                self._drop(name)
        room = 0 if self._are_full() else PROPERTIES_MAX - len(self._properties())
        return [name for name in missing if name in _ON_DEMAND] + own[: max(0, room)]

    def _are_full(self) -> bool:
        """Whether the columns of properties hold as many values as they may."""
        return sum(map(self._distinct, self._properties())) > PROPERTY_VALUES_MAX

    def _distinct(self, name: str) -> int:
        column = self._columns[name]
        return column.distinct() if isinstance(column, PropertyColumn) else 0

    def _idle(self) -> list[str]:
        """Properties that give their places away: those that no item has, then those that no filter has named
        for long, longest ago first."""
        last = {name: self._last_named.get(name, 0) for name in sorted(self._properties())}
        empty = [name for name in last if not self._distinct(name)]
        long_ago = sorted((name for name in last if name not in empty), key=last.__getitem__)
        return empty + [name for name in long_ago if self._filters - last[name] > IDLE_FILTERS]

    def _drop(self, name: str) -> None:
        column = self._columns.pop(name)
        self._last_named.pop(name, None)
        self._more = [(put, read) for put, read in self._more if put != column.put]
        self._masks.forget(name)  # nothing would tell it what changes

    def build(self, fields: Iterable[str]) -> Built:
        """Columns of these fields from the items as they stand, put to use by `adopt`.

        For a thread of its own beside the ranking one: a pass over all items.
        """
        version = self._changes.version
        raws = self._held.raws[:]
        capacity = max(len(self._changes.alive), len(raws))
        columns = {name: _ON_DEMAND.get(name, PropertyColumn)(capacity) for name in fields}
        for name, column in columns.items():
            read, put = reader(name), column.put
            for row, raw in enumerate(raws):
                if raw is not None:
                    value = read(raw)
                    if value is not None:
                        put(row, value)
        return Built(columns, raws, version)

    def adopt(self, built: Built) -> None:
        """Use columns that `build` made; rows that changed meanwhile are read again."""
        added = {name: column for name, column in built.columns.items() if name not in self._columns}
        if not added:
            return
        raws = self._held.raws
        changed = self._changes.since(built.version)
        if changed is None:
            changed = [row for row, raw in enumerate(built.raws) if raw is not raws[row]]
            changed += range(len(built.raws), len(raws))
        for name, column in added.items():
            column.grow(len(self._changes.alive))
            read = reader(name)
            for row in changed:
                raw = raws[row]
                column.put(row, None if raw is None else read(raw))
            self._columns[name] = column
            self._more.append((column.put, partial(value_of, name=name)))
        self._masks.forget()  # a clause that had no column let nothing through
