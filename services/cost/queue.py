"""One instance as a queue: requests are served in order of arrival, one at a time.

A service here is one process with one event loop on at most one core. Its handlers run to completion between
awaits and their work is nearly constant (p99 is 1.5 times p50), so a request waits for the work in front of
it and is not slowed by what comes behind: first in, first out, not processor sharing. What is not work of
ours (the network, a client's own wait) is added to the answer and keeps nobody waiting.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from services.cost.error import CostError

Floats: TypeAlias = NDArray[np.float64]
Selection: TypeAlias = slice | NDArray[np.integer] | NDArray[np.bool_]  # of some of n
_Z99: Final = 2.3263478740408408  # the 99 % quantile of the standard normal


@dataclass(frozen=True, slots=True)
class Work:
    """How long a request occupies its instance: log-normal through a measured median and 99th percentile.

    `p50_s` = `p99_s` is a constant. An answer waits `wait_ratio` times its work beyond it, for store or log;
    that keeps nobody else waiting. Raises CostError for 0 ≥ p50, p99 < p50 or a ratio below 0.
    """

    p50_s: float
    p99_s: float
    wait_ratio: float = 0.0

    def __post_init__(self) -> None:
        """Check that it is a distribution."""
        if not 0.0 < self.p50_s <= self.p99_s or self.wait_ratio < 0.0:
            raise CostError(f"work needs 0 < p50 ≤ p99, not {self.p50_s} and {self.p99_s} s")

    @property
    def sigma(self) -> float:
        """Standard deviation of the logarithm."""
        return math.log(self.p99_s / self.p50_s) / _Z99

    @property
    def mean_s(self) -> float:
        """Mean seconds a request."""
        return self.p50_s * math.exp(self.sigma**2 / 2)

    def draw(self, rng: np.random.Generator, count: int) -> Floats:
        """Seconds of work of `count` requests, (count,)."""
        drawn: Floats = rng.standard_normal(count)
        drawn *= self.sigma
        np.exp(drawn, out=drawn)
        drawn *= self.p50_s
        return drawn


def completions(begin: Floats, work: Floats) -> Floats:
    """When each request is done, (n,) s: C_i = work_i + max(begin_i, C_{i-1}), Lindley's recursion.

    `begin` (n,) is when each may begin at the earliest, in order of arrival; `work` (n,) s. Unrolled:
    C_i = Σ_{j≤i} work_j + max_{k≤i} (begin_k − Σ_{j<k} work_j), so that it needs no loop.
    """
    total = np.cumsum(work)
    slack = begin - total
    slack += work
    np.maximum.accumulate(slack, out=slack)
    slack += total
    return slack


def billed_s(begin: Floats, end: Floats, quantum_s: float) -> float:
    """Seconds in which a request is in flight, in whole quanta; begin, end (n,) s with `begin` never falling.

    Time is billed once however many requests share it. A request that comes within the quantum that is
    billed already lengthens it; so an instance never has more billed than it was up, plus one quantum.
    """
    if not len(begin):
        return 0.0
    until = np.maximum.accumulate(np.maximum(end, begin + quantum_s))
    opens = np.flatnonzero(begin[1:] > until[:-1]) + 1
    first = np.concatenate(([0], opens))
    last = np.concatenate((opens - 1, [len(begin) - 1]))
    lengths = until[last] - begin[first]
    # A millionth of a quantum above a whole number is rounding of the sum, not time.
    return float(np.ceil(lengths / quantum_s - 1e-6).sum() * quantum_s)
