"""The catalogue in memory: arrays to filter with, id maps, and the items as they stand in the store."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from services.kernel.ids import item_key
from services.kernel.item import Item, decode_item, encode_item
from services.ranking.aggregates import TOP_MAX, Scores
from services.ranking.arrivals import NO_DATE, Arrivals
from services.ranking.columns import Columns, Held
from services.ranking.extras import Extras
from services.ranking.groups import Groups
from services.release.files import Release

RowArray = NDArray[np.int64]
FloatArray = NDArray[np.float32]

FIRST_CAPACITY: Final = 1024
FOREVER_MS: Final = np.iinfo(np.int64).max
NEW_MAX: Final = 64  # items newer than the release that are candidates by age alone; the newest
NEAREST_KEPT: Final = 256  # of an item: a list of 200, and some that rules take away
NEAREST_ITEMS_MAX: Final = 8192  # items whose nearest are kept: 8 MB
SCAN_ROWS: Final = 4096  # rows looked at at once in catalogue order
ITEMS_KEPT: Final = 4096  # decoded items; what lists show is a small part of a catalogue, again and again


class Binding(NamedTuple):
    """What a release says of the rows, made by `Catalogue.prepare` and put to use by `Catalogue.bind`."""

    release: Release | None
    index_of_row: RowArray  # row → index in the release, -1 for none
    row_of_index: RowArray  # and back
    extras: Extras  # vectors of the rows that the release does not know
    nearest: dict[int, NDArray[np.int32]]  # item key → indices of its nearest items, as they were asked for


class Catalogue:
    """All items of the namespace. Rows are stable while the object lives; a deleted row is used no more.

    An upsert or delete costs a few µs whatever the size. One thread writes and ranks; only `prepare` may run
    in another.
    """

    def __init__(self, release: Release | None = None) -> None:
        self.version = 0  # counts changes, for whoever caches what it made from the catalogue
        # Another object whenever a row stands for something else: an item comes or goes, or the release does.
        self.layout = object()
        self._raw: list[bytes | None] = []
        self._ids: list[str] = []
        self._items: dict[int, Item] = {}  # decoded lately
        self._rows: dict[str, int] = {}
        self._rows_by_key: dict[int, int] = {}
        self._groups: dict[str, int] = {}
        self.keys = np.zeros(FIRST_CAPACITY, dtype=np.uint64)
        self._available = np.zeros(FIRST_CAPACITY, dtype=np.bool_)
        self._from_ms = np.zeros(FIRST_CAPACITY, dtype=np.int64)
        self._until_ms = np.zeros(FIRST_CAPACITY, dtype=np.int64)
        self.group = np.zeros(FIRST_CAPACITY, dtype=np.int64)  # 0: stands alone
        self.category = np.zeros(FIRST_CAPACITY, dtype=np.int64)  # the first path as a whole; 0: none
        self._categories: dict[tuple[str, ...], int] = {}
        self.groups = Groups()
        self._arrivals = Arrivals()
        self.columns = Columns(self._held())
        self._touched: set[int] = set()
        self.whole_size = 0  # of the whole, where this is a part of it
        self._binding = self.prepare(release)

    def _held(self) -> Held:
        available, published, expires = self._available, self._from_ms, self._until_ms
        return Held(
            self._raw, self._rows, self._groups, self.group, available, published, expires, FOREVER_MS
        )

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def size(self) -> int:
        """How many items there are in all; more than are here while the whole is still being loaded."""
        return max(len(self._rows), self.whole_size)

    @property
    def row_count(self) -> int:
        """How many rows there have ever been; those of deleted items count."""
        return len(self._raw)

    @property
    def release(self) -> Release | None:
        """The release whose indices and vectors are in use."""
        return self._binding.release

    def load(self, raw_items: Iterable[bytes]) -> None:
        """Upsert many items given as the store's JSON; the order of rows does not depend on theirs.

        About 5 µs an item. Raises PoisonError for bytes that are no item.
        """
        for _, raw in sorted((decode_item(raw).item_id, raw) for raw in raw_items):
            self.add(raw)
        self.bind(self.release)

    def add(self, raw: bytes) -> None:
        """One of many items: they are in no release until `bind`. Raises PoisonError for bytes that are no
        item.
        """
        self._put(decode_item(raw), raw, attach=False)

    def upsert(self, item: Item) -> int:
        """Add or replace an item; answers its row."""
        return self._put(item, encode_item(item), attach=True)

    def take(self, raw: bytes) -> int:
        """`upsert` of an item as it stands in the store. Raises PoisonError for bytes that are no item."""
        return self._put(decode_item(raw), raw, attach=True)

    def _put(self, item: Item, raw: bytes, *, attach: bool) -> int:
        row = self._rows.get(item.item_id, -1)
        if row >= 0 and self._raw[row] == raw:
            return row
        if row < 0:
            row = self._new_row(item.item_id)
        self._raw[row] = raw
        self._items.pop(row, None)
        self._available[row] = item.available
        published_ms = NO_DATE if item.published_at is None else item.published_at
        if published_ms != self._from_ms[row]:
            self._from_ms[row] = published_ms
            self._arrivals.touch(row)
        self._until_ms[row] = FOREVER_MS if item.expires_at is None else item.expires_at
        group = item.group_id
        code = 0 if group is None else self._groups.setdefault(group, len(self._groups) + 1)
        self.group[row] = code
        self.groups.put(row, code, item.group_order, int(self.keys[row]))
        path = tuple(item.categories[0]) if item.categories else None
        code = 0 if path is None else self._categories.setdefault(path, len(self._categories) + 1)
        self.category[row] = code
        self.columns.put(row, item)
        self.version += 1
        if attach:
            self._touched.add(row)
            self._attach(row, item)
        return row

    def delete(self, item_id: str) -> bool:
        """Take an item out; False where it was not there."""
        row = self._rows.pop(item_id, -1)
        if row < 0:
            return False
        del self._rows_by_key[int(self.keys[row])]
        self.layout = object()
        self._raw[row] = None
        self._items.pop(row, None)
        self._available[row] = False
        self.group[row] = 0
        self.groups.remove(row)
        self.columns.remove(row)
        self.version += 1
        self._touched.add(row)
        self._detach(row)
        return True

    def _new_row(self, item_id: str) -> int:
        row = len(self._raw)
        if row == len(self.keys):
            for name in ("keys", "_available", "_from_ms", "_until_ms", "group", "category"):
                setattr(self, name, _doubled(getattr(self, name)))
            self.columns.grow(self._held())
        key = item_key(item_id)
        self._raw.append(None)
        self._ids.append(item_id)
        self.keys[row] = key
        self._rows[item_id] = row
        self._rows_by_key[key] = row
        self.layout = object()
        return row

    def _attach(self, row: int, item: Item) -> None:
        """Give a row its index in the release, or, where there is none, a vector of its own."""
        binding = self._binding
        if row >= len(binding.index_of_row):
            grown = np.full(max(2 * len(binding.index_of_row), row + 1), -1, dtype=np.int64)
            grown[: len(binding.index_of_row)] = binding.index_of_row
            binding = self._binding = binding._replace(index_of_row=grown)
        release = binding.release
        if release is None:
            return
        index = release.index_of(int(self.keys[row]))
        binding.index_of_row[row] = index
        if index >= 0:
            binding.row_of_index[index] = row
        else:
            binding.extras.put(row, release.encoder.vector(item) if release.encoder else None)
            binding.nearest.pop(int(self.keys[row]), None)

    def _detach(self, row: int) -> None:
        binding = self._binding
        index = int(binding.index_of_row[row])
        if index >= 0:
            binding.row_of_index[index] = -1
            binding.index_of_row[row] = -1
        binding.extras.remove(row)

    def prepare(self, release: Release | None) -> Binding:
        """What `release` says of the rows as they stand: O(n), for a thread of its own beside the ranking
        one.

        Rows that change meanwhile are done again by `bind`.
        """
        self._touched = set()
        rows = len(self._raw)
        index = np.full(max(rows, FIRST_CAPACITY), -1, dtype=np.int64)
        if release is None:
            return Binding(None, index, np.zeros(0, dtype=np.int64), Extras(0), {})
        raws = self._raw[:rows]
        alive = np.array([raw is not None for raw in raws], dtype=np.bool_)
        index[:rows] = np.where(alive, release.indices_of(self.keys[:rows]), -1)
        row_of_index = np.full(release.manifest.items, -1, dtype=np.int64)
        known = np.flatnonzero(index[:rows] >= 0)
        row_of_index[index[known]] = known
        extras = Extras(release.space.d)
        encoder = release.encoder
        for row in np.flatnonzero(alive & (index[:rows] < 0)).tolist():
            raw = raws[row]
            if raw is not None:
                extras.put(row, encoder.vector(decode_item(raw)) if encoder else None)
        return Binding(release, index, row_of_index, extras, {})

    def bind(self, prepared: Binding | Release | None) -> None:
        """Use another release's indices and encoder (a swap). Given a release, prepares it here and now."""
        binding = prepared if isinstance(prepared, Binding) else self.prepare(prepared)
        touched, self._touched = self._touched, set()
        self._binding = binding
        for row in sorted(touched):
            raw = self._raw[row]
            if raw is not None:
                self._attach(row, decode_item(raw))
            elif row < len(binding.index_of_row):
                self._detach(row)
        self.version += 1
        self.layout = object()

    def item(self, row: int) -> Item:
        """The item of a row, decoded on demand. Raises KeyError for a deleted row."""
        item = self._items.get(row)
        if item is None:
            if len(self._items) >= ITEMS_KEPT:
                self._items.clear()
            item = self._items[row] = decode_item(self.raw(row))
        return item

    def id_of(self, row: int) -> str:
        """The item id of a row."""
        return self._ids[row]

    def raw(self, row: int) -> bytes:
        """The item's canonical JSON. Raises KeyError for a deleted row."""
        raw = self._raw[row]
        if raw is None:
            raise KeyError(row)
        return raw

    def get(self, item_id: str) -> Item | None:
        """The item by id, or None."""
        row = self._rows.get(item_id, -1)
        return self.item(row) if row >= 0 else None

    def row_of(self, item_id: str) -> int:
        """Row of an item id, -1 where it is in no catalogue."""
        return self._rows.get(item_id, -1)

    def row_of_key(self, key: int) -> int:
        """Row of an item key (u64), -1 where it is in no catalogue."""
        return self._rows_by_key.get(key, -1)

    def rows_of_keys(self, keys: Iterable[int]) -> RowArray:
        """Rows of item keys, those in no catalogue left out; order kept."""
        get = self._rows_by_key.get
        return np.array([row for key in keys if (row := get(key)) is not None], dtype=np.int64)

    def rows_of_top(self, scores: Scores) -> RowArray:
        """Rows of the best TOP_MAX keys of a snapshot, best first; kept until items come or go."""
        if scores.top_rows is None or scores.top_rows[0] is not self.layout:
            scores.top_rows = self.layout, self.rows_of_keys(scores.top(TOP_MAX))
        return scores.top_rows[1]

    def places_of(self, scores: Scores) -> RowArray:
        """`places_of_keys` of all keys of a snapshot; kept until items come or go."""
        if scores.places is None or scores.places[0] is not self.layout:
            scores.places = self.layout, self.places_of_keys(scores.keys.tolist())
        return scores.places[1]

    def places_of_keys(self, keys: Iterable[int]) -> RowArray:
        """Rows of item keys, -1 for those in no catalogue; same length."""
        get = self._rows_by_key.get
        return np.array([get(key, -1) for key in keys], dtype=np.int64)

    def rows_of_indices(self, indices: RowArray) -> RowArray:
        """Rows of release indices, -1 where the item is not in the catalogue; same shape."""
        return self._binding.row_of_index[indices]

    def indices_of_rows(self, rows: RowArray) -> RowArray:
        """Indices in the release of catalogue rows, -1 where it does not know the item; same shape."""
        return self._binding.index_of_row.take(rows)

    def servable(self, rows: RowArray, now_ms: int) -> NDArray[np.bool_]:
        """Which rows may be shown: there, available, published, not expired."""
        found: NDArray[np.bool_] = (
            self._available[rows] & (self._from_ms[rows] <= now_ms) & (self._until_ms[rows] > now_ms)
        )
        return found

    def in_order(self, start: int, now_ms: int) -> tuple[RowArray, int]:
        """(servable rows from `start` on in catalogue order, where to go on; -1 at the end)."""
        rows = np.arange(start, min(start + SCAN_ROWS, len(self._raw)), dtype=np.int64)
        after = start + SCAN_ROWS
        return rows[self.servable(rows, now_ms)], after if after < len(self._raw) else -1

    def vectors(self, rows: RowArray) -> tuple[FloatArray, NDArray[np.bool_]]:
        """(f32[n, d], which of them have one); zeros where an item has no vector."""
        binding = self._binding
        if binding.release is None:
            return np.zeros((len(rows), 0), dtype=np.float32), np.zeros(len(rows), dtype=np.bool_)
        index = binding.index_of_row.take(rows)
        found: FloatArray = binding.release.item_vectors.take(index, axis=0, mode="clip")
        has = index >= 0
        if not has.all():
            found[~has] = 0.0
            binding.extras.fill(found, has, rows)
        return found, has

    def vector(self, row: int) -> FloatArray | None:
        """f32[d] of one row, read-only, or None; row -1 has none."""
        binding = self._binding
        if row < 0 or binding.release is None:
            return None
        index = binding.index_of_row[row]
        return binding.release.item_vectors[index] if index >= 0 else binding.extras.get(row)

    def nearest(self, row: int) -> RowArray:
        """Up to NEAREST_KEPT rows whose vectors have the highest product with that of `row`, nearest first.

        A scan over the release (about 2 ms at 100k items) the first time an item is asked for; kept while
        release and vector are in use. New items are in `nearest_new`.
        """
        rows = self._binding.row_of_index[self.nearest_indices(row)]
        return rows[rows >= 0]

    def nearest_indices(self, row: int) -> NDArray[np.int32]:
        """`nearest` by index in the release, of items that are not in the catalogue too."""
        binding = self._binding
        if binding.release is None:
            return np.zeros(0, dtype=np.int32)
        kept = binding.nearest.get(int(self.keys[row]))
        if kept is None:
            vector = self.vector(row)
            if vector is None:
                return np.zeros(0, dtype=np.int32)
            scores = binding.release.item_vectors @ vector
            few = min(NEAREST_KEPT, len(scores))
            best = np.argpartition(-scores, few - 1)[:few]
            kept = best[np.lexsort((best, -scores[best]))].astype(np.int32)
            if len(binding.nearest) >= NEAREST_ITEMS_MAX:
                del binding.nearest[next(iter(binding.nearest))]
            binding.nearest[int(self.keys[row])] = kept
        return kept

    def nearest_new(self, vector: FloatArray, n: int) -> RowArray:
        """Up to `n` rows of items that are not in the release, nearest first."""
        return self._binding.extras.nearest(vector, n)

    def newest(self) -> RowArray:
        """Rows of the last items that the release does not know, newest first."""
        return np.array(list(islice(self._binding.extras.newest(), NEW_MAX)), dtype=np.int64)

    def published_ms(self, rows: RowArray) -> NDArray[np.int64]:
        """`published_at` of rows, Unix ms, NO_DATE where there is none; same shape."""
        return self._from_ms[rows]

    def latest(self) -> RowArray:
        """Rows that have `published_at`, the latest first; it may lie in the future."""
        return self._arrivals.latest_first(self._from_ms[: self.row_count])

    def new_rows(self) -> RowArray:
        """Rows that the release in use does not know; those of deleted items too."""
        if self.release is None:
            return np.zeros(0, dtype=np.int64)
        return np.flatnonzero(self._binding.index_of_row[: self.row_count] < 0)


def _doubled(array: NDArray[Any]) -> NDArray[Any]:
    grown = np.zeros(2 * len(array), dtype=array.dtype)
    grown[: len(array)] = array
    return grown
