"""What was probably meant by a value or a property that no item has."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from typing import Final

from services.kernel.nearest import likely_meant
from services.ranking.column_kinds import Column
from services.ranking.filters import PROPERTIES, spelled

LOOKED_AT: Final = 2000  # values among which the nearest is looked for: some ms
ANSWERS_KEPT: Final = 256  # so that the same wrong filter, sent again and again, costs that once


class Nearest:
    """Looks among the columns of a catalogue, and among the names of all properties."""

    def __init__(self, columns: Mapping[str, Column], properties: Set[str]) -> None:
        self._columns = columns
        self._properties = properties
        self._kept: dict[tuple[str, str | None], str | None] = {}

    def to(self, name: str, text: str | None) -> str | None:
        """The value of field `name` most like `text`; of no text, the property most like `name`. None where
        nothing comes near.
        """
        if (name, text) not in self._kept:
            if len(self._kept) >= ANSWERS_KEPT:
                self._kept.clear()
            self._kept[name, text] = self._found(name, text)
        return self._kept[name, text]

    def _found(self, name: str, text: str | None) -> str | None:
        if text is None:
            found = _nearest(name.removeprefix(PROPERTIES), self._properties)
            return None if found is None else PROPERTIES + found
        column = self._columns.get(name)
        return None if column is None else _nearest(text, map(spelled, column.some(LOOKED_AT)))


def _nearest(text: str, names: Iterable[str]) -> str | None:
    words = list(names)
    if not words:
        return None
    same = [word for word in words if word.casefold() == text.casefold()]
    return same[0] if same else likely_meant(text, sorted(words))
