"""What a simulation counted. Outcomes of parts of a trace add up, in bounded memory."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Final

import numpy as np
from numpy.typing import NDArray

from services.cost.queue import Floats

# Latencies are counted in bins 1 % wide from 10 µs to 28 hours: a quantile is right to 1 %.
_FIRST_S: Final = 1e-5
_STEP: Final = 1.01
_BINS: Final = 2320
_CHUNK: Final = 1 << 18  # values at once: fits the cache
_LOG_STEP: Final = float(np.log(_STEP))


@dataclass(slots=True, eq=False)
class Latencies:
    """A histogram of latencies; `counts` (bins,)."""

    counts: NDArray[np.int64] = field(default_factory=lambda: np.zeros(_BINS, np.int64))
    sum_s: float = 0.0

    def add(self, values_s: Floats) -> None:
        """Count latencies, (n,) s."""
        for first in range(0, len(values_s), _CHUNK):
            values = values_s[first : first + _CHUNK]
            bins = np.log(np.maximum(values, _FIRST_S) / _FIRST_S)
            bins /= _LOG_STEP
            self.counts += np.bincount(np.minimum(bins.astype(np.int64), _BINS - 1), minlength=_BINS)
            self.sum_s += float(values.sum())

    def merge(self, other: Latencies) -> None:
        """Count what the other one has as well."""
        self.counts += other.counts
        self.sum_s += other.sum_s

    @property
    def count(self) -> int:
        """How many."""
        return int(self.counts.sum())

    def quantile_s(self, share: float) -> float:
        """The latency that `share` (0–1) of all do not exceed, to 1 %; 0 when there is none."""
        if not self.count:
            return 0.0
        at = int(np.searchsorted(np.cumsum(self.counts), share * self.count))
        return float(_FIRST_S * _STEP ** (min(at, _BINS - 1) + 0.5))

    @property
    def mean_s(self) -> float:
        """The mean."""
        return self.sum_s / self.count if self.count else 0.0


@dataclass(slots=True, eq=False)
class Outcome:
    """What happened in `length_s` seconds; all times are sums in seconds.

    `instance_s`: instances up, start included, from the decision to start one to its end. `work_s`: the work
    done. `billed_s`: a request in flight, in whole quanta, by instance. `start_s`: our part of cold starts.
    `cold_starts`: instances started from zero or beyond. `cold_requests`: requests that waited for one.
    """

    length_s: float = 0.0
    requests: int = 0
    instance_s: float = 0.0
    work_s: float = 0.0
    billed_s: float = 0.0
    start_s: float = 0.0
    cold_starts: int = 0
    cold_requests: int = 0
    most_instances: int = 0
    all: Latencies = field(default_factory=Latencies)
    warm: Latencies = field(default_factory=Latencies)  # of the requests that met no cold start

    def merge(self, other: Outcome) -> None:
        """Add another part of the same trace."""
        for one in fields(self):
            mine, theirs = getattr(self, one.name), getattr(other, one.name)
            if isinstance(mine, Latencies):
                mine.merge(theirs)
            elif one.name == "most_instances":
                self.most_instances = max(mine, theirs)
            else:
                setattr(self, one.name, mine + theirs)

    def record(self, latencies_s: Floats, cold: NDArray[np.bool_]) -> None:
        """Count requests by their latency, (n,) s, and whether each met a cold start, (n,)."""
        self.requests += len(latencies_s)
        self.cold_requests += int(np.count_nonzero(cold))
        self.all.add(latencies_s)
        self.warm.add(latencies_s[~cold])

    def a_day(self, amount: float) -> float:
        """A sum over the whole time as an amount a day."""
        return amount * 86_400 / self.length_s

    @property
    def cold_share(self) -> float:
        """Which share of the requests met a cold start, 0–1."""
        return self.cold_requests / self.requests if self.requests else 0.0
