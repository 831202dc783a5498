"""A field of all items as an array: a row a value, or a row a code of its value.

`rows` is where a clause is asked: all rows up to some number (a slice), or a few. Every answer is bool[n].
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import Any, Final, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from services.ranking.filters import CategoryPath, Flag, Moment, Value, Within

Mask = NDArray[np.bool_]
Rows = slice | NDArray[np.int64]

# Lists whose code later items with the same list get (categories, tags of variants): 3 MB of dictionary.
LISTS_SHARED: Final = 16_384
FEW: Final = 8  # numbers that are compared one by one, 20 µs each at 100,000 items
GARBAGE_MIN: Final = 4096  # codes that no row has any more, before the others are numbered anew
_NAN: Final = float("nan")
_NOTHING: Final = object()  # an element that no value equals: an object within a property


class Column(Protocol):
    """One field."""

    def put(self, row: int, value: Any, /) -> None:
        """The item of a row has this value now; None or an empty list: it has none."""

    def grow(self, capacity: int, /) -> None:
        """Make room for so many rows."""

    def equal(self, values: Iterable[Value], rows: Rows, /) -> Mask:
        """Where any element is any of the values."""

    def within(self, bounds: Within, rows: Rows, /) -> Mask:
        """Where any element lies between the bounds."""

    def present(self, rows: Rows, /) -> Mask:
        """Where there is a value."""

    def strangers(self, values: Iterable[Value], /) -> list[Value]:
        """The values that no item has."""

    def some(self, limit: int, /) -> Iterator[Value]:
        """Up to `limit` values that items have, each once."""


class CodeColumn:
    """Texts, or lists of values, as codes.

    A code stands for a whole value: a text, or the list of an item. A new value gets a new code, and what a
    code means never changes, so that an update writes one number. A clause is answered per code, then looked
    up for every row.
    """

    def __init__(self, capacity: int) -> None:
        self._codes = np.zeros(capacity, dtype=np.int32)  # 0: no value
        self._cells = _cells_of(self._codes)
        self._wholes: dict[Any, int] = {}
        self._in_lists: dict[Any, array[int]] = {}  # element → codes of the lists that hold it
        self._uses = array("i", [0])  # rows that have the code
        self._unused = 0
        self._number_codes = array("i")
        self._numbers = array("d")

    @property
    def codes(self) -> NDArray[np.int32]:
        """By row the code of its value, 0 for none; a code means the same until the next change."""
        return self._codes

    def put(self, row: int, value: Any) -> None:
        """See Column.put."""
        code = 0 if value is None else self._code(value)
        cells, uses = self._cells, self._uses
        old = cells[row]
        if old == code:
            return
        cells[row] = code
        if code:
            if not uses[code]:
                self._unused -= 1
            uses[code] += 1
        if old:
            uses[old] -= 1
            if not uses[old]:
                self._unused += 1
                if self._unused > GARBAGE_MIN and 2 * self._unused > len(uses):
                    self._compact()

    def grow(self, capacity: int) -> None:
        """See Column.grow."""
        grown = np.zeros(capacity, dtype=np.int32)
        grown[: len(self._codes)] = self._codes
        self._codes, self._cells = grown, _cells_of(grown)

    def equal(self, values: Iterable[Value], rows: Rows) -> Mask:
        """See Column.equal."""
        codes = self._codes[rows]
        wholes: list[int] = []
        lists: list[array[int]] = []
        for value in values:
            key = _key(value)
            code = self._wholes.get(key)
            if code is not None:
                wholes.append(code)
            held = self._in_lists.get(key)
            if held is not None:
                lists.append(held)
        if not lists and len(wholes) <= 1:
            return _same(codes, wholes[0]) if wholes else np.zeros(len(codes), dtype=np.bool_)
        table = np.zeros(len(self._uses), dtype=np.bool_)
        table[wholes] = True
        for held in lists:
            table[np.frombuffer(held, dtype=np.int32)] = True
        return table.take(codes)

    def within(self, bounds: Within, rows: Rows) -> Mask:
        """See Column.within; of the elements that are numbers."""
        table = np.zeros(len(self._uses), dtype=np.bool_)
        found = between(_view(self._numbers, np.float64), bounds)
        table[_view(self._number_codes, np.int32)[found]] = True
        return table.take(self._codes[rows])

    def present(self, rows: Rows) -> Mask:
        """See Column.present."""
        return ~_same(self._codes[rows], 0)

    def strangers(self, values: Iterable[Value]) -> list[Value]:
        """See Column.strangers."""
        return [value for value in values if not self._knows(_key(value))]

    def _knows(self, key: Any) -> bool:
        uses = self._uses
        return bool(uses[self._wholes.get(key, 0)]) or any(uses[code] for code in self._in_lists.get(key, ()))

    def some(self, limit: int) -> Iterator[Value]:
        """See Column.some."""
        uses = self._uses
        texts = (key for key, code in self._wholes.items() if not isinstance(key, tuple) and uses[code])
        inner = (key for key, held in self._in_lists.items() if any(uses[code] for code in held))
        found = islice((key for key in chain(texts, inner) if key is not _NOTHING), limit)
        return (CategoryPath(key) if isinstance(key, tuple) else key for key in found)

    def is_empty(self) -> bool:
        """Whether no item has a value."""
        return self._unused == len(self._uses) - 1

    def _code(self, value: Any) -> int:
        """The code of a text."""
        code = self._wholes.get(value)
        return self._new(value, True) if code is None else code

    def _new(self, key: Any, kept: bool) -> int:
        code = len(self._uses)
        self._uses.append(0)
        self._unused += 1
        if kept:
            self._wholes[key] = code
        return code

    def _list_code(self, key: tuple[Any, ...], elements: Iterable[Any]) -> int:
        """The code of a list; `key` is what it is found by."""
        code = self._wholes.get(key)
        if code is not None:
            return code
        code = self._new(key, len(self._wholes) < LISTS_SHARED)
        for element in elements:
            held = self._in_lists.get(element)
            if held is None:
                held = self._in_lists[element] = array("i")
            held.append(code)
            if isinstance(element, int | float):
                self._number(code, element)
        return code

    def _number(self, code: int, number: float) -> None:
        self._number_codes.append(code)
        self._numbers.append(number)

    def _compact(self) -> None:
        """Number anew the codes that rows have."""
        live = np.frombuffer(self._uses, dtype=np.int32) > 0
        live[0] = True
        anew = (np.cumsum(live) - 1).astype(np.int32)
        self._codes[:] = anew[self._codes]
        self._wholes = {key: int(anew[code]) for key, code in self._wholes.items() if live[code]}
        kept = {element: _renumbered(held, live, anew) for element, held in self._in_lists.items()}
        self._in_lists = {element: held for element, held in kept.items() if held}
        numbered = live[_view(self._number_codes, np.int32)]
        self._numbers = array("d", _view(self._numbers, np.float64)[numbered].tobytes())
        self._number_codes = _renumbered(self._number_codes, live, anew)
        self._uses = array("i", np.frombuffer(self._uses, dtype=np.int32)[live].tobytes())
        self._unused = 0


class ListColumn(CodeColumn):
    """Lists of texts."""

    def _code(self, value: Any) -> int:
        key = tuple(value)
        return self._list_code(key, key) if key else 0


class PathColumn(CodeColumn):
    """Category paths; every path above counts as an element too."""

    def _code(self, value: Any) -> int:
        key = tuple(map(tuple, value))
        code = self._wholes.get(key)
        if code is not None or not key:
            return code or 0
        return self._list_code(key, {path[:end] for path in key for end in range(1, len(path) + 1)})


class PropertyColumn(CodeColumn):
    """A property: text, number, true or false, or a list of them; other things count as being there."""

    def _code(self, value: Any) -> int:
        if isinstance(value, list):
            elements = tuple(_element(one) for one in value if one is not None)
            return self._list_code(("list", elements), dict.fromkeys(elements)) if elements else 0
        key = _element(value)
        code = self._wholes.get(key)
        if code is None:
            code = self._new(key, True)
            if isinstance(key, int | float):
                self._number(code, key)
        return code


class NumberColumn:
    """One number an item."""

    def __init__(self, capacity: int) -> None:
        self._numbers = np.full(capacity, np.nan)
        self._cells = _cells_of(self._numbers)

    def put(self, row: int, value: Any) -> None:
        """See Column.put."""
        self._cells[row] = _NAN if value is None else value + 0.0  # -0.0 is 0.0

    def grow(self, capacity: int) -> None:
        """See Column.grow."""
        grown = np.full(capacity, np.nan)
        grown[: len(self._numbers)] = self._numbers
        self._numbers, self._cells = grown, _cells_of(grown)

    def equal(self, values: Iterable[Value], rows: Rows) -> Mask:
        """See Column.equal."""
        return among(self._numbers[rows], list(values))

    def within(self, bounds: Within, rows: Rows) -> Mask:
        """See Column.within."""
        return between(self._numbers[rows], bounds)

    def present(self, rows: Rows) -> Mask:
        """See Column.present."""
        return _same(np.isnan(self._numbers[rows]), False)

    def strangers(self, values: Iterable[Value]) -> list[Value]:
        """See Column.strangers."""
        given = list(values)
        had = set(self._numbers[among(self._numbers, given)].tolist())
        return [value for value in given if value not in had]

    def some(self, limit: int) -> Iterator[Value]:
        """See Column.some."""
        found = self._numbers[~np.isnan(self._numbers)][: 2 * limit]
        return iter(np.unique(found)[:limit].tolist())


def _key(value: Value) -> Any:
    """How a column's dictionaries hold a value."""
    return value.names if isinstance(value, CategoryPath) else value


def _element(value: Any) -> Any:
    if isinstance(value, bool):
        return Flag.TRUE if value else Flag.FALSE
    return value if isinstance(value, str | int | float) else _NOTHING


def _view(numbers: array[Any], dtype: Any) -> NDArray[Any]:
    """The numbers without a copy; to be let go before the next one is appended."""
    return np.frombuffer(numbers, dtype=dtype) if numbers else np.zeros(0, dtype=dtype)


def _renumbered(codes: array[int], live: Mask, anew: NDArray[np.int32]) -> array[int]:
    old = _view(codes, np.int32)
    return array("i", anew[old[live[old]]].tobytes())


def _cells_of(numbers: NDArray[Any]) -> Any:
    """The same memory; writes one cell in half of the time that an array takes."""
    return memoryview(cast(Any, numbers))


def _same(left: NDArray[Any], right: Any) -> Mask:
    return cast(Mask, left == right)


def among(numbers: NDArray[Any], wanted: list[Any]) -> Mask:
    """Where a number is one of the wanted, bool[n]."""
    if len(wanted) <= FEW:
        found = np.zeros(len(numbers), dtype=np.bool_)
        for one in wanted:
            found |= numbers == one
        return found
    if numbers.dtype != np.float64:
        return np.isin(numbers, np.array(wanted, dtype=np.int64))
    rising = np.unique(np.array(wanted, dtype=np.float64) + 0.0)
    table = np.zeros(
        1 << 16, dtype=np.bool_
    )  # most others are told by 16 bits, in a tenth of a search's time
    table[_scattered(rising)] = True
    found = table.take(_scattered(numbers))
    (likely,) = found.nonzero()
    places = np.searchsorted(rising, numbers[likely])
    found[likely] = _same(rising.take(places, mode="clip"), numbers[likely])
    return found


def _scattered(numbers: NDArray[np.float64]) -> NDArray[np.uint64]:
    """16 bits of each number that differ where the numbers do, mostly (Fibonacci hashing)."""
    spread: NDArray[np.uint64] = (numbers.view(np.uint64) * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(48)
    return spread


def between(numbers: NDArray[Any], bounds: Within) -> Mask:
    """Where a number lies between the bounds, bool[n]; NaN never does."""
    found: Mask = ~np.isnan(numbers) if numbers.dtype == np.float64 else np.ones(len(numbers), dtype=np.bool_)
    low, high = (value.unix_ms if isinstance(value, Moment) else value for value in (bounds.low, bounds.high))
    if isinstance(low, int | float):
        found = numbers > low if bounds.low_excluded else numbers >= low
    if isinstance(high, int | float):
        below = numbers < high if bounds.high_excluded else numbers <= high
        found = found & below if isinstance(low, int | float) else below
    return found
