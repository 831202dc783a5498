"""What lists are worth: each held against what the subject went on to choose.

For a question with wanted items W and a list L of k items: HR@k is 1 where L holds any of W; recall@k is the
share of W in L; MRR@k is 1 / (place of the first hit), 0 without one; NDCG@k is Σ 1 / log2(place + 1) over
the hits, divided by what the best order would give (Järvelin and Kekäläinen, 2002).

Popularity of an item is a percentile: the share of the catalogue with fewer events before the first question,
half of those with as many counted too, 0 to 1. A list's is the mean over its items, what was wanted has its
own mean, and the popularity bias is the first minus the second: ΔGAP of Abdollahpouri et al., The Unfairness
of Popularity Bias in Recommendation (2019), with percentiles in place of shares of users, which a few
bestsellers would decide alone, and with what was wanted in place of the profile. 0: shown items are as
popular as wanted ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

RowArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]

# A question takes this for each method and k: 10 bytes, so that millions fit.
_JUDGED: Final = np.dtype(
    [
        ("place", "u1"),  # of the first hit, from 1; 0 for none (lists have 200 items at most)
        ("hits", "u1"),
        ("ndcg", "<f4"),
        ("popularity", "<f4"),
    ]
)
METRICS: Final = ("hr", "ndcg", "mrr", "recall", "popularity", "popularity_bias")
_DISCOUNTS: Final = 1.0 / np.log2(np.arange(2, 302))  # lists and orders are shorter
_IDEAL: Final = np.concatenate(([0.0], np.cumsum(_DISCOUNTS)))


def ndcg(places: Iterable[int], wanted: int, n: int) -> float:
    """Normalised discounted cumulative gain of hits at `places` (from 0) when `wanted` items were right."""
    ideal = float(_IDEAL[min(wanted, n)])
    return float(sum(_DISCOUNTS[place] for place in places)) / ideal if ideal else 0.0


def percentiles(counts: NDArray[np.integer] | FloatArray) -> FloatArray:
    """f64[n] of events by item: the share of items with fewer, half of those with as many counted too."""
    if not len(counts):
        return np.zeros(0)
    ordered = np.sort(counts)
    below = np.searchsorted(ordered, counts, side="left")
    through = np.searchsorted(ordered, counts, side="right")
    found: FloatArray = (below + through) / (2.0 * len(counts))
    return found


class Questions:
    """What was asked: whose question it was, how much was wanted and how popular that was.

    `capacity` questions at most; `popularity` f64[rows] is the percentile of each catalogue row.
    """

    def __init__(self, capacity: int, popularity: FloatArray) -> None:
        self.capacity = capacity
        self.popularity = popularity
        self._subjects = np.zeros(capacity, dtype=np.int32)
        self._wanted = np.zeros(capacity, dtype=np.uint16)
        self._wanted_popularity = np.zeros(capacity, dtype=np.float32)
        self.count = 0

    def add(self, subject: int, wanted: RowArray) -> int:
        """Take in a question about distinct catalogue rows (at least one); answers its number."""
        number = self.count
        self._subjects[number] = subject
        self._wanted[number] = len(wanted)
        self._wanted_popularity[number] = self.popularity[wanted].mean()
        self.count += 1
        return number

    @property
    def subjects(self) -> NDArray[np.int32]:
        """[n]"""
        return self._subjects[: self.count]

    @property
    def wanted(self) -> NDArray[np.uint16]:
        """Wanted items of each question, [n]."""
        return self._wanted[: self.count]

    @property
    def wanted_popularity(self) -> FloatArray:
        """Mean percentile of each question's wanted items, [n]."""
        return self._wanted_popularity[: self.count].astype(np.float64)


class Judged:
    """The lists of one method, judged for each k of `ks`. Memory: 10 bytes a question and k."""

    def __init__(self, name: str, questions: Questions, ks: Sequence[int]) -> None:
        self.name = name
        self.ks = tuple(ks)
        self._questions = questions
        self._judged = np.zeros((questions.capacity, len(self.ks)), dtype=_JUDGED)
        self._shown = np.zeros((len(self.ks), len(questions.popularity)), dtype=np.bool_)

    def take(self, number: int, lists: Sequence[RowArray], wanted: RowArray) -> None:
        """Judge a question's lists, one for each k, of distinct catalogue rows, best first."""
        for at, (k, rows) in enumerate(zip(self.ks, lists, strict=True)):
            listed = rows[:k]
            places = np.flatnonzero(np.isin(listed, wanted)).tolist()
            self._shown[at, listed] = True
            popularity = float(self._questions.popularity[listed].mean()) if len(listed) else 0.0
            first = places[0] + 1 if places else 0
            self._judged[number, at] = (first, len(places), ndcg(places, len(wanted), k), popularity)

    def columns(self, k: int) -> FloatArray:
        """f64[n, len(METRICS)] at one k, a row for each question."""
        questions = self._questions
        judged = self._judged[: questions.count, self.ks.index(k)]
        place = judged["place"].astype(np.float64)
        popularity = judged["popularity"].astype(np.float64)
        return np.stack(
            (
                place > 0,
                judged["ndcg"],
                np.divide(1.0, place, out=np.zeros_like(place), where=place > 0),
                judged["hits"] / np.maximum(questions.wanted, 1),
                popularity,
                popularity - questions.wanted_popularity,
            ),
            axis=1,
        ).astype(np.float64)

    def coverage(self, k: int, catalogue_items: int) -> float:
        """Which share of the catalogue stood in any list of k."""
        return float(self._shown[self.ks.index(k)].sum()) / max(1, catalogue_items)
