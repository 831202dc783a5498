"""The catalogue's fields as columns, and masks of filters over its rows, kept up with every change.

Fields that filters name often have a column from the first item on. Others get one when a filter first asks
for them: `want` says so before the items come, `absent`, `build` and `adopt` make one beside the ranking
thread, and `mask` makes it on the spot, about 70 ms at 100,000 items.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from services.kernel.item import Item
from services.kernel.nearest import likely_meant
from services.ranking.column_kinds import (
    CodeColumn,
    Column,
    ListColumn,
    Mask,
    NumberColumn,
    PathColumn,
    PropertyColumn,
    Rows,
)
from services.ranking.column_views import FlagColumn, IdColumn, TimeColumn
from services.ranking.filter_masks import (
    Masked,
    Variables,
    evaluated,
    property_of,
    resolved,
    unknown_in,
    value_of,
)
from services.ranking.filters import PATH_SEPARATOR, PROPERTIES, CategoryPath, Filter

# Rows that changed since a mask was made are asked again, one by one; of more, all rows are: that is faster.
JOURNAL_ROWS: Final = 1024
MASKS_BYTES: Final = 8_388_608  # 64 masks at 100,000 items; more are made anew, 0.2 ms each
PROPERTIES_MAX: Final = (
    64  # with columns: 0.5 MB each at 100,000 items, and a pass over all items to make one
)
PROPERTY_NAMES_MAX: Final = (
    4096  # remembered, to tell a property that no item has without looking at them all
)
LOOKED_AT: Final = 2000  # values among which the nearest is looked for: 3 ms
NEAREST_KEPT: Final = 256  # answers of that, so that a wrong filter costs it once
UNKNOWN_MAX: Final = 20  # reported of a filter; who has more wrong sees it from these

_ON_DEMAND: Final[dict[str, Callable[[int], Column]]] = {
    "tags": ListColumn,
    "list_price": NumberColumn,
    "currency": CodeColumn,
    "language": CodeColumn,
    "group_order": NumberColumn,
    "title": CodeColumn,
    "description": CodeColumn,
    "url": CodeColumn,
    "image_urls": ListColumn,
}
_VALUE: Final = "value"  # the attribute of a struct of one field
_FULL: Final = (
    f"{PROPERTIES_MAX} properties are filtered by already, and a clause on another one lets nothing through; "
    "filter by fewer, or by tags"
)


class Held(NamedTuple):
    """What the catalogue keeps itself; arrays by functions, since they are replaced as they grow."""

    raws: list[bytes | None]
    rows: Mapping[str, int]
    groups: Mapping[str, int]
    group: Callable[[], NDArray[np.int64]]
    available: Callable[[], Mask]
    published_ms: Callable[[], NDArray[np.int64]]
    expires_ms: Callable[[], NDArray[np.int64]]
    never_ms: int  # stands for an item without expires_at; -1 for one without published_at


class Built(NamedTuple):
    """Columns made beside the ranking thread, and the items as they were then."""

    columns: dict[str, Column]
    raws: list[bytes | None]


class _Kept(NamedTuple):
    masked: Masked
    version: int


class Columns:
    """Columns and masks of one catalogue. One thread writes and asks; only `build` may run in another."""

    def __init__(self, held: Held, capacity: int) -> None:
        self.version = 0  # counts changes of rows
        self._held = held
        self._alive = np.zeros(capacity, dtype=np.bool_)
        self._journal: deque[int] = deque(maxlen=JOURNAL_ROWS)
        self._kept: dict[Filter, _Kept] = {}
        self._nearest: dict[tuple[str, str], str | None] = {}
        self._names: set[str] = set()  # of properties, of all items there have ever been
        self._columns: dict[str, Column] = {
            "item_id": IdColumn(held.rows, lambda: np.arange(len(self._alive)), -1),
            "group_id": IdColumn(held.groups, held.group, 0),
            "available": FlagColumn(held.available),
            "published_at": TimeColumn(held.published_ms, -1),
            "expires_at": TimeColumn(held.expires_ms, held.never_ms),
        }
        # What nearly every filter names: 1 µs an item while a catalogue is loaded. All columns would be 5.
        self._columns["categories"] = categories = PathColumn(capacity)
        self._columns["brand"] = brand = CodeColumn(capacity)
        self._columns["price"] = price = NumberColumn(capacity)
        self._put_categories, self._put_brand, self._put_price = categories.put, brand.put, price.put
        self._more: list[tuple[Callable[[int, Any], None], Callable[[Item], Any]]] = []

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
            self._names.update(item.properties)
        self._alive[row] = True
        self._journal.append(row)
        self.version += 1

    def remove(self, row: int) -> None:
        """An item was taken out."""
        self._put_categories(row, ())
        self._put_brand(row, None)
        self._put_price(row, None)
        for put, _ in self._more:
            put(row, None)
        self._alive[row] = False
        self._journal.append(row)
        self.version += 1

    def grow(self, capacity: int) -> None:
        """Make room for so many rows."""
        grown = np.zeros(capacity, dtype=np.bool_)
        grown[: len(self._alive)] = self._alive
        self._alive = grown
        for column in self._columns.values():
            column.grow(capacity)
        self._kept.clear()

    def mask(self, filter: Filter, variables: Variables) -> Masked:
        """Which rows pass. 0.1 to 0.5 ms at 100,000 items where it is new, a look-up where it is not.

        After changes, only what changed is asked again.
        """
        asked, missing = resolved(filter, variables)
        kept = self._kept.pop(asked, None)
        if kept is None or kept.version != self.version:
            kept = _Kept(self._masked(asked, kept), self.version)
        self._kept[asked] = kept
        if len(self._kept) * len(self._alive) > MASKS_BYTES and len(self._kept) > 1:
            del self._kept[next(iter(self._kept))]
        return replace(kept.masked, missing=missing) if missing else kept.masked

    def matches(self, filter: Filter, variables: Variables, row: int) -> bool:
        """Whether one row passes; 10 µs a clause."""
        if not 0 <= row < len(self._held.raws) or not self._alive[row]:
            return False
        asked, _ = resolved(filter, variables)
        rows = np.array([row], dtype=np.int64)
        return bool(evaluated(asked.root, self._column, rows, 1)[0])

    def _masked(self, asked: Filter, kept: _Kept | None) -> Masked:
        changed = self.version if kept is None else self.version - kept.version
        rows: Rows
        if kept is None or changed > len(self._journal):
            mask = np.zeros(len(self._alive), dtype=np.bool_)
            rows = slice(0, len(self._held.raws))
        else:
            mask = kept.masked.mask.copy()
            last = islice(reversed(self._journal), changed)
            rows = np.array(list(dict.fromkeys(last)), dtype=np.int64)
        alive = self._alive[rows]
        mask[rows] = evaluated(asked.root, self._column, rows, len(alive)) & alive
        mask.flags.writeable = False
        unknown = islice(unknown_in(asked.root, self._column, self._nearest_to), UNKNOWN_MAX)
        return Masked(mask, int(np.count_nonzero(mask)), tuple(unknown))

    def _column(self, name: str) -> Column | str | None:
        """A field's column; None: no item has the property; a text: why there is none."""
        column = self._columns.get(name)
        if column is None and self._is_wanted(name):
            if self._is_full(name):
                return _FULL
            self.adopt(self.build([name]))
            column = self._columns.get(name)
        if isinstance(column, PropertyColumn) and column.is_empty():
            return None
        return column

    def _is_wanted(self, name: str) -> bool:
        """Whether items may have a field that has no column."""
        if not name.startswith(PROPERTIES):
            return name in _ON_DEMAND
        path = name.removeprefix(PROPERTIES)
        known = self._names
        return len(known) >= PROPERTY_NAMES_MAX or path in known or path.partition(".")[0] in known

    def _is_full(self, name: str) -> bool:
        return name.startswith(PROPERTIES) and len(self._properties()) >= PROPERTIES_MAX

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
        return [name for name in self._missing_of(filter.fields()) if self._is_wanted(name)]

    def _missing_of(self, fields: Iterable[str]) -> list[str]:
        names = (name for name in fields if name in _ON_DEMAND or name.startswith(PROPERTIES))
        missing = [name for name in dict.fromkeys(names) if name not in self._columns]
        room = PROPERTIES_MAX - len(self._properties())
        own = [name for name in missing if name.startswith(PROPERTIES)]
        return [name for name in missing if name not in own[max(0, room) :]]

    def build(self, fields: Iterable[str]) -> Built:
        """Columns of these fields from the items as they stand, put to use by `adopt`.

        For a thread of its own beside the ranking one: a pass over all items.
        """
        raws = self._held.raws[:]
        capacity = max(len(self._alive), len(raws))
        columns = {name: _ON_DEMAND.get(name, PropertyColumn)(capacity) for name in fields}
        for name, column in columns.items():
            read, put = _reader(name), column.put
            for row, raw in enumerate(raws):
                if raw is not None:
                    value = read(raw)
                    if value is not None:
                        put(row, value)
        return Built(columns, raws)

    def adopt(self, built: Built) -> None:
        """Use columns that `build` made; rows that changed meanwhile are read again."""
        added = {name: column for name, column in built.columns.items() if name not in self._columns}
        if not added:
            return
        raws = self._held.raws
        changed = [row for row, raw in enumerate(built.raws) if raw is not raws[row]]
        changed += range(len(built.raws), len(raws))
        for name, column in added.items():
            column.grow(len(self._alive))
            read = _reader(name)
            for row in changed:
                raw = raws[row]
                column.put(row, None if raw is None else read(raw))
            self._columns[name] = column
            self._more.append((column.put, partial(value_of, name=name)))

    def _nearest_to(self, name: str, text: str | None) -> str | None:
        """The value most like `text` among the first LOOKED_AT that items have; of no text, the property."""
        if text is None:
            found = _nearest(name.removeprefix(PROPERTIES), self._names)
            return None if found is None else PROPERTIES + found
        column = self._columns.get(name)
        if column is None:
            return None
        if (name, text) not in self._nearest:
            if len(self._nearest) >= NEAREST_KEPT:
                self._nearest.clear()
            self._nearest[name, text] = _nearest(text, map(_spelled, column.some(LOOKED_AT)))
        return self._nearest[name, text]


def _nearest(text: str, names: Iterable[str]) -> str | None:
    words = list(names)
    if not words:
        return None
    same = [word for word in words if word.casefold() == text.casefold()]
    return same[0] if same else likely_meant(text, words)


def _spelled(value: Any) -> str:
    if isinstance(value, CategoryPath):
        return PATH_SEPARATOR.join(value.names)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _reader(name: str) -> Callable[[bytes], Any]:
    """Reads one field from an item's JSON and steps over the others, ten times as fast as reading all."""
    if not name.startswith(PROPERTIES):
        decode = msgspec.json.Decoder(_one_field(name, Any)).decode
        return lambda raw: getattr(decode(raw), _VALUE)
    path = name.removeprefix(PROPERTIES)
    nested = "." in path
    inner = dict[str, Any] if nested else _one_field(path, Any)
    decode = msgspec.json.Decoder(_one_field("properties", inner | None)).decode

    def read(raw: bytes) -> Any:
        found = getattr(decode(raw), _VALUE)
        return property_of(found, path) if nested else getattr(found, _VALUE, None)

    return read


def _one_field(name: str, kind: Any) -> Any:
    return msgspec.defstruct("OneField", [(_VALUE, kind, None)], rename={_VALUE: name})
