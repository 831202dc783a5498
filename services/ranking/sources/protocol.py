"""What a source of candidates is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from services.ranking.question import Question
from services.ranking.state import RankRequest, Reason

RowArray = NDArray[np.int64]
KeyArray = NDArray[np.uint64]
ScoreArray = NDArray[np.float64]


class Found(NamedTuple):
    """Candidates, best first.

    `rows` i64[n] are rows of the catalogue; -1 stands for an item that is in none and is left out, except
    where `keys` u64[n] name such items (`recently_viewed`). `reason_of` says why the candidate at a place
    stands there; it is asked only for what is shown, and must be true of the data it came from.
    """

    rows: RowArray
    reason_of: Callable[[int], Reason]
    keys: KeyArray | None = None
    score: ScoreArray | None = None  # f64[n], falling, where the source has one to show


class Source(Protocol):
    """One way to find candidates. Holds no state: all it knows is in the question."""

    # The step of the ladder that an answer names when it begins with what this source found.
    strategy: str
    # Whether it looks at the model's answer, so that the model is asked.
    needs_model: bool = False
    # One line for the documentation and `GET /scenarios`.
    text: str

    def find(self, question: Question, limit: int | None) -> Found:
        """Up to `limit` candidates (None: as many as the source thinks fit); none is no error.

        The rules of the list (filter, what is hidden, groups, caps) are applied to them afterwards.
        """
        ...

    def reads(self, latest: Sequence[int], request: RankRequest) -> Iterable[int]:
        """Keys of the rows of `Aggregates.neighbours` that `find` looks up; they are fetched before it.

        `latest` are the keys of the subject's last items, newest first.
        """
        return ()


NO_ROWS: Final = np.zeros(0, dtype=np.int64)


def nothing() -> Found:
    """No candidates."""
    return Found(NO_ROWS, _no_reason)


def _no_reason(_place: int) -> Reason:
    raise IndexError("a reason of nothing")


def always(reason: Reason) -> Callable[[int], Reason]:
    """The same reason for each place."""
    return lambda _place: reason
