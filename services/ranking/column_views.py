"""Columns over what the catalogue keeps itself: ids, groups, availability, times."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.ranking.column_numbers import Mask, Rows, among, between
from services.ranking.filters import Flag, Moment, Value, Within


class _View:
    """`numbers` is the catalogue's array; whoever replaces it, since it has grown, sets it here as well."""

    def __init__(self, numbers: NDArray[Any]) -> None:
        self.numbers = numbers

    def put(self, _row: int, _value: Any) -> None:
        """See Column.put; the catalogue has done it."""

    def grow(self, _capacity: int) -> None:
        """See Column.grow; the catalogue does it."""

    def within(self, _bounds: Within, rows: Rows) -> Mask:
        """See Column.within; what has no order lies between no bounds."""
        return np.zeros(len(self.numbers[rows]), dtype=np.bool_)

    def present(self, rows: Rows) -> Mask:
        """See Column.present."""
        return np.ones(len(self.numbers[rows]), dtype=np.bool_)

    def strangers(self, _values: Iterable[Value]) -> list[Value]:
        """See Column.strangers; a moment or a flag that no item has is no mistake."""
        return []

    def some(self, _limit: int) -> Iterator[Value]:
        """See Column.some."""
        return iter(())


class TimeColumn(_View):
    """Times in Unix ms; `missing` stands where there is none."""

    def __init__(self, times: NDArray[np.int64], missing: int) -> None:
        super().__init__(times)
        self._missing = missing

    def equal(self, values: Iterable[Value], rows: Rows) -> Mask:
        """See Column.equal."""
        return among(self.numbers[rows], [value.unix_ms for value in values if isinstance(value, Moment)])

    def within(self, bounds: Within, rows: Rows) -> Mask:
        """See Column.within."""
        return between(self.numbers[rows], bounds) & self.present(rows)

    def present(self, rows: Rows) -> Mask:
        """See Column.present."""
        return ~among(self.numbers[rows], [self._missing])


class FlagColumn(_View):
    """True or false."""

    def equal(self, values: Iterable[Value], rows: Rows) -> Mask:
        """See Column.equal."""
        wanted = set(values)
        flags = self.numbers[rows]
        found: Mask = (flags & (Flag.TRUE in wanted)) | (~flags & (Flag.FALSE in wanted))
        return found


class IdColumn(_View):
    """Ids: `found` says which number an id has, the array which number a row has; `missing`: none."""

    def __init__(self, found: Mapping[str, int], numbers: NDArray[np.int64], missing: int) -> None:
        super().__init__(numbers)
        self._found = found
        self._missing = missing

    def equal(self, values: Iterable[Value], rows: Rows) -> Mask:
        """See Column.equal."""
        wanted = [number for value in values if (number := self._found.get(str(value))) is not None]
        return among(self.numbers[rows], wanted)

    def present(self, rows: Rows) -> Mask:
        """See Column.present."""
        return ~among(self.numbers[rows], [self._missing])

    def strangers(self, values: Iterable[Value]) -> list[Value]:
        """See Column.strangers."""
        given = list(values)
        numbers = np.array([self._found.get(str(value), self._missing) for value in given], dtype=np.int64)
        known = np.isin(numbers, self.numbers) & (numbers != self._missing)
        return [value for value, met in zip(given, known.tolist(), strict=True) if not met]

    def some(self, limit: int) -> Iterator[Value]:
        """See Column.some; of more ids than are looked at, the nearest would be one of thousands as near."""
        return iter(self._found) if len(self._found) <= limit else iter(())
