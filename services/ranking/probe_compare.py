"""Whether two answers of a graph for one user are the same, but for rounding."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Arrays = dict[str, NDArray[Any]]

# Of a vector's largest number, or of the span of a list's scores. Sums in another order differ by 1e-6,
# numbers that went through 8 bits (scaled anew for each batch) by up to 1 in 100; a padded place that is not
# masked moves far more.
TOLERANCE: Final = 0.02
# An approximate scan may find other items at the end of a list; so many of a hundred are no breach.
OTHERS_MAX: Final = 0.05

SMALL: Final = 1e-3  # below this an answer says nothing, and what differs in it is rounding


def difference(one: Arrays, other: Arrays, row: int) -> str:
    """What differs between row 0 of `one` and row `row` of `other`; nothing where they agree.

    Scores are compared by item, so that ties may stand in any order, and items at the end of a list may be
    others where their scores are near the last one's.
    """
    if "user_vector" in one:
        a, b = one["user_vector"][0].astype(np.float64), other["user_vector"][row].astype(np.float64)
        gap = float(np.abs(a - b).max())
        if gap > TOLERANCE * _size(a, b):
            return f"a user_vector that differs by {gap:.3g} where its largest number is {_size(a, b):.3g}"
    return _list_difference(one, other, row) if "scores" in one else ""


def _list_difference(one: Arrays, other: Arrays, row: int) -> str:
    a = _by_item(one["item_indices"][0], one["scores"][0])
    b = _by_item(other["item_indices"][row], other["scores"][row])
    if not a or not b:
        return f"a list of {len(b)} items instead of {len(a)}" if len(a) != len(b) else ""
    scores = np.array([*a.values(), *b.values()])
    size = max(float(np.ptp(scores)), SMALL * float(np.abs(scores).max()), SMALL)
    gaps = {item: abs(a[item] - b[item]) for item in a.keys() & b.keys()}
    worst = max(gaps, key=lambda item: gaps[item], default=-1)
    if worst >= 0 and gaps[worst] > TOLERANCE * size:
        return f"score {b[worst]:.4g} instead of {a[worst]:.4g} for item {worst}"
    missing = [item for item in a.keys() - b.keys() if a[item] > min(b.values()) + TOLERANCE * size]
    missing += [item for item in b.keys() - a.keys() if b[item] > min(a.values()) + TOLERANCE * size]
    if len(missing) > OTHERS_MAX * len(a):
        return f"another list: {len(missing)} items stand in one of the two alone, such as {min(missing)}"
    return ""


def _by_item(indices: NDArray[Any], scores: NDArray[Any]) -> dict[int, float]:
    usable = (indices >= 0) & np.isfinite(scores)
    return dict(zip(indices[usable].tolist(), scores[usable].tolist(), strict=True))


def _size(a: NDArray[Any], b: NDArray[Any]) -> float:
    return max(float(np.abs(a).max(initial=0.0)), float(np.abs(b).max(initial=0.0)), SMALL)
