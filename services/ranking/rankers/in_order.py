"""The sources' own order, one source after the other."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from services.ranking.gather import Pool
from services.ranking.question import Question
from services.ranking.rankers.protocol import KeyArray, Ranker, RowArray, ScoreArray, Scored
from services.ranking.sources import Found
from services.ranking.state import Reason


class InOrder(Ranker):
    """What the first source found in its order, then what only the second found, and so on."""

    text = "the sources' own order, one after the other"

    def score(self, question: Question, pool: Pool) -> Scored | None:
        """See Ranker.score. The score is the source's own, or 1 / place."""
        found = (_Part.of(question, part.found) for part in pool.led if len(part.found.rows))
        parts = [part for part in found if len(part.rows)]
        if not parts:
            return None
        rows, keys, score = parts[0] if len(parts) == 1 else _united(parts)
        strategy = next(part.source.strategy for part in pool.parts if len(part.found.rows))

        def reasons_of(places: list[int]) -> list[Reason]:
            return [_reason_of(pool, int(rows[at]), int(keys[at])) for at in places]

        return Scored(rows, keys, score, strategy, reasons_of, in_order=True)


class _Part(NamedTuple):
    """What may be shown of what one source found."""

    rows: RowArray
    keys: KeyArray
    score: ScoreArray

    @classmethod
    def of(cls, question: Question, found: Found) -> _Part:
        rules, rows, keys = question.rules, found.rows, found.keys
        may = rules.allowed(rows)
        if keys is None:
            keys = question.catalogue.keys[rows]
        else:
            may |= (rows < 0) & np.array([rules.allows_key(key) for key in keys.tolist()], dtype=np.bool_)
        rows, keys = rows[may], keys[may]
        score = found.score[may] if found.score is not None else 1.0 / np.arange(1, len(rows) + 1)
        return cls(rows, keys, score)


def _united(parts: list[_Part]) -> _Part:
    """One after the other, each item once."""
    rows, keys, score = (np.concatenate(some) for some in zip(*parts, strict=True))
    order = keys.argsort(kind="stable")  # np.unique would import numpy.ma first, 8 ms of a first answer
    ordered = keys[order]
    first = np.sort(order[np.concatenate(([True], ordered[1:] != ordered[:-1]))])
    return _Part(rows[first], keys[first], np.minimum.accumulate(score[first]))


def _reason_of(pool: Pool, row: int, key: int) -> Reason:
    """The reason of the first source that found the item."""
    for part in pool.led:
        found = part.found
        (places,) = (found.rows == row).nonzero() if found.keys is None else (found.keys == key).nonzero()
        if len(places):
            return found.reason_of(int(places[0]))
    raise IndexError(row)
