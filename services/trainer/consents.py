"""Whose events may be trained on, while events are read as columns.

The same rule as an export's (`refusals.py`): from an event that denies personalisation until one that allows
it, a subject's events are withheld, and so is all that came before. An archive holds none of those; files of
other systems, and archives that an older Freshet has written, may.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.kernel.consent import personalization

_DENIED, _SILENT, _ALLOWED = -1, 0, 1


class Consents:
    """What the subjects (by index) have said so far, in the order of reading."""

    def __init__(self) -> None:
        self._denied: set[int] = set()
        self._withdrawn: dict[int, int] = {}  # subject → number of the event by which it withdrew last

    def withheld(self, subjects: NDArray[np.int32], consent: Any, first: int) -> NDArray[np.bool_] | None:
        """bool[rows]: events to leave out; None for none. `consent` is a column of JSON texts, `first` the
        number of the first row's event. A loop over the rows of those who deny, now or before; no other."""
        words = _words(consent)
        deny = words == _DENIED
        if not self._denied and not deny.any():
            return None
        concerned = np.union1d(
            np.fromiter(self._denied, np.int32, len(self._denied)), np.unique(subjects[deny])
        )
        withheld = np.zeros(len(subjects), np.bool_)
        for row in np.flatnonzero(np.isin(subjects, concerned)).tolist():
            subject, word = int(subjects[row]), words[row]
            if word == _ALLOWED:
                self._denied.discard(subject)
            elif word == _DENIED and subject not in self._denied:
                self._denied.add(subject)
                self._withdrawn[subject] = first + row
            withheld[row] = subject in self._denied
        return withheld

    def before_withdrawal(self, subjects: NDArray[np.int32]) -> NDArray[np.bool_]:
        """bool[events]: those that came before their subject last withdrew; `subjects` of all events read."""
        if not self._withdrawn:
            return np.zeros(len(subjects), np.bool_)
        limits = np.zeros(int(subjects.max()) + 1, np.int64)
        limits[np.fromiter(self._withdrawn, np.int64)] = np.fromiter(self._withdrawn.values(), np.int64)
        found: NDArray[np.bool_] = np.arange(len(subjects)) < limits[subjects]
        return found


def _words(consent: Any) -> NDArray[np.int8]:
    """int8[rows]: what each row says; a distinct text is read once."""
    coded = consent.combine_chunks().dictionary_encode()
    said = [personalization(json.loads(text)) for text in coded.dictionary.to_pylist()]
    table = np.array(
        [*(_SILENT if word is None else _ALLOWED if word else _DENIED for word in said), _SILENT]
    )
    places = coded.indices.fill_null(len(said)).to_numpy(zero_copy_only=False)
    found: NDArray[np.int8] = table[places].astype(np.int8)
    return found
