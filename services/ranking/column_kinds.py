"""What a column is, and the columns of values that are few, or lists: a row a code of its value.

`rows` is where a clause is asked: all rows up to some number (a slice), or a few. Every answer is bool[n].
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import Any, Final, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from services.ranking.column_numbers import Mask, Rows, between, cells_of, same
from services.ranking.filters import CategoryPath, Flag, Value, Within

# Lists whose code later items with the same list get (categories, tags of variants): 3 MB of dictionary.
LISTS_SHARED: Final = 16_384
SHORT_CHARS: Final = 64  # a longer text of a property is kept as its hash: it is not one of a few
GARBAGE_MIN: Final = 4096  # codes that no row has any more, before the others are numbered anew
_NOTHING: Final = object()  # an element that no value equals: an object within a property


class _Long(NamedTuple):
    """Stands for a long text; its hash has a secret of this process, so that nobody can make two alike."""

    hash: int


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
        self._cells = cells_of(self._codes)
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
        self._codes, self._cells = grown, cells_of(grown)

    def equal(self, values: Iterable[Value], rows: Rows) -> Mask:
        """See Column.equal."""
        codes = self._codes[rows]
        wholes: list[int] = []
        lists: list[array[int]] = []
        for value in values:
            key = self._key(value)
            code = self._wholes.get(key)
            if code is not None:
                wholes.append(code)
            held = self._in_lists.get(key)
            if held is not None:
                lists.append(held)
        if not lists and len(wholes) <= 1:
            return same(codes, wholes[0]) if wholes else np.zeros(len(codes), dtype=np.bool_)
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
        return ~same(self._codes[rows], 0)

    def strangers(self, values: Iterable[Value]) -> list[Value]:
        """See Column.strangers."""
        return [value for value in values if not self._knows(self._key(value))]

    def _knows(self, key: Any) -> bool:
        uses = self._uses
        return bool(uses[self._wholes.get(key, 0)]) or any(uses[code] for code in self._in_lists.get(key, ()))

    def some(self, limit: int) -> Iterator[Value]:
        """See Column.some."""
        uses = self._uses
        texts = (key for key, code in self._wholes.items() if not isinstance(key, tuple) and uses[code])
        inner = (key for key, held in self._in_lists.items() if any(uses[code] for code in held))
        shown = (key for key in chain(texts, inner) if key is not _NOTHING and not isinstance(key, _Long))
        found = islice(shown, limit)
        return (CategoryPath(key) if isinstance(key, tuple) else key for key in found)

    def distinct(self) -> int:
        """How many values items have; each is an entry in memory."""
        return len(self._uses) - 1 - self._unused

    def _key(self, value: Value) -> Any:
        """How the dictionaries hold a value."""
        return value.names if isinstance(value, CategoryPath) else value

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


class UrlsColumn(ListColumn):
    """Lists of texts too long to be kept; see HashColumn."""

    def _code(self, value: Any) -> int:
        return super()._code([_shortened(text, 0) for text in value])

    def _key(self, value: Value) -> Any:
        return _shortened(str(value), 0)


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

    def _key(self, value: Value) -> Any:
        return _shortened(value, SHORT_CHARS) if isinstance(value, str) else value

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


def _element(value: Any) -> Any:
    if isinstance(value, bool):
        return Flag.TRUE if value else Flag.FALSE
    if isinstance(value, str):
        return _shortened(value, SHORT_CHARS)
    return value if isinstance(value, int | float) else _NOTHING


def _shortened(text: str, limit: int) -> Any:
    """A text of up to `limit` characters as it is, a longer one as its 64-bit hash."""
    return text if len(text) <= limit else _Long(hash(text))


def _view(numbers: array[Any], dtype: Any) -> NDArray[Any]:
    """The numbers without a copy; to be let go before the next one is appended."""
    return np.frombuffer(numbers, dtype=dtype) if numbers else np.zeros(0, dtype=dtype)


def _renumbered(codes: array[int], live: Mask, anew: NDArray[np.int32]) -> array[int]:
    old = _view(codes, np.int32)
    return array("i", anew[old[live[old]]].tobytes())
