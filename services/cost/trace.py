"""From a trace of the past to requests of a service: parts of it, at another rate, each row as a visit.

Rates below that of the trace are made by thinning: each visit stays with the same probability, which keeps a
Poisson process one, with its rate's shape (P. A. W. Lewis, G. S. Shedler, 1979). Rates above it are drawn
from the trace's own local rate, taken as the level of the day times the shape of that day of the week: the
visit itself stays, and each repetition of it happens on the same day at the time of day of some visit on the
same day of the week, moved by up to half an hour to either side (a kernel estimate of the rate, P. Diggle,
1985; a box an hour wide). So busy days, weekends and nights stay what they are, and a night in which a small
shop sold nothing is not empty when it is a thousand times as large.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from services.cost.error import CostError
from services.cost.queue import Floats

DAY_S: Final = 86_400.0
WEEK_S: Final = 7 * DAY_S
JITTER_S: Final = 1_800.0
# 10 million requests of one part are 80 MB an array, about half a GB at the peak.
REQUESTS_MAX: Final = 10_000_000


@dataclass(frozen=True, slots=True)
class Trace:
    """When visits were: `times` (n,) s from the beginning, never falling, within `length_s`."""

    times: Floats
    length_s: float
    by_weekday: tuple[Floats, ...]  # seconds into the day of the visits on each day of the week

    @property
    def a_day(self) -> float:
        """Visits a day."""
        return len(self.times) * DAY_S / self.length_s


def trace_of(times_s: Floats) -> Trace:
    """A trace of moments in any order, (n,) s. Raises CostError for fewer than two or less than a day."""
    if len(times_s) < 2:
        raise CostError(f"a trace needs at least two arrivals; this one has {len(times_s)}")
    times = np.sort(times_s.astype(np.float64))
    times -= times[0]
    # The last arrival is no end of all: as much time follows as lay between two on average.
    length_s = float(times[-1]) * len(times) / (len(times) - 1)
    if length_s < DAY_S:
        raise CostError(
            f"a trace needs at least a day, so that it has a night; this one has {length_s / 3600:.1f} hours"
        )
    day = (times // DAY_S).astype(np.int64)
    return Trace(times, length_s, tuple(times[day % 7 == one] % DAY_S for one in range(7)))


@dataclass(frozen=True, slots=True)
class Visits:
    """What a row of the trace stands for: so many requests, `spacing_s` apart on average (exponential), the
    row at the last of them. `stream_s`: None, or how long after that a stream stays open that was opened with
    the first.
    """

    requests: int = 1
    spacing_s: float = 30.0
    stream_s: float | None = None

    def __post_init__(self) -> None:
        """Check. Raises CostError."""
        if self.requests < 1 or self.spacing_s < 0 or (self.stream_s or 0.0) < 0:
            raise CostError("a visit has at least one request, and no time below 0")


@dataclass(frozen=True, slots=True)
class Part:
    """A stretch of the trace: from `from_s` on, `length_s` seconds."""

    from_s: float
    length_s: float


@dataclass(frozen=True, slots=True)
class Plan:
    """Which parts are simulated, and in words."""

    parts: tuple[Part, ...]
    said: str


def plan_parts(trace: Trace, requests_a_day: float, requests_max: int, seed: int) -> Plan:
    """All of the trace where that is at most `requests_max` requests; else whole weeks of it, drawn without
    repetition, where one fits; else whole days.

    Raises CostError where not even a day fits.
    """
    days = trace.length_s / DAY_S
    if requests_a_day * days <= requests_max:
        return Plan((Part(0.0, trace.length_s),), f"all {days:,.0f} days")
    rng = np.random.default_rng([seed, 1])
    for unit_s, name in ((WEEK_S, "week"), (DAY_S, "day")):
        there = int(trace.length_s // unit_s)
        count = min(there, int(requests_max / (requests_a_day * unit_s / DAY_S)))
        if count:
            chosen = sorted(rng.choice(there, count, replace=False))
            said = f"{count} of {there} {name}s" if count < there else f"all {there} whole {name}s"
            return Plan(tuple(Part(float(at) * unit_s, unit_s) for at in chosen), said)
    raise CostError(
        f"{requests_a_day:,.0f} requests a day are more than can be simulated (a day of at most "
        f"{requests_max:,}); nothing scales to zero there. Look at a lower --scale, or raise --requests-max"
    )


def arrivals_of(
    trace: Trace, part: Part, visits: Visits, visits_a_day: float, *, seed: int
) -> tuple[Floats, Floats | None]:
    """Arrivals (n,) s within a part, never falling, and until when each holds a stream (n,) or None.

    `visits_a_day`: over the whole trace; a part has its own share of them.
    """
    rng = np.random.default_rng([seed, 2, int(part.from_s)])
    first, last = np.searchsorted(trace.times, [part.from_s, part.from_s + part.length_s])
    times = _at_rate(trace, trace.times[first:last], visits_a_day / trace.a_day, rng) - part.from_s
    # What jitter or a visit's length carries over an end comes back at the other one: none is lost.
    if visits.requests == 1:
        arrivals = np.mod(times, part.length_s)
        arrivals.sort()
        return arrivals, None if visits.stream_s is None else arrivals + visits.stream_s
    steps = rng.standard_exponential((len(times), visits.requests))
    steps *= -visits.spacing_s
    steps[:, 0] = times
    all_of = np.cumsum(steps, axis=1)  # from the row backwards
    held = None
    if visits.stream_s is not None:
        opened = np.mod(all_of[:, -1], part.length_s)
        held = np.zeros_like(all_of)
        held[:, -1] = opened + (times - all_of[:, -1]) + visits.stream_s
        held = held.ravel()
    arrivals = np.mod(all_of.ravel(), part.length_s)
    if held is None:
        arrivals.sort()
        return arrivals, None
    order = np.argsort(arrivals, kind="stable")
    return arrivals[order], held[order]


def _at_rate(trace: Trace, times: Floats, factor: float, rng: np.random.Generator) -> Floats:
    """`factor` times as many visits, see above; (m,) s, in no order."""
    whole = int(factor)
    copies = np.full(len(times), whole) + (rng.random(len(times)) < factor - whole)
    if whole == 0:
        return times[copies > 0]
    days = np.repeat((times // DAY_S).astype(np.int64), copies - 1)
    moved = rng.uniform(-JITTER_S, JITTER_S, len(days))
    for weekday, pool in enumerate(trace.by_weekday):
        mine = np.flatnonzero(days % 7 == weekday)
        moved[mine] += rng.choice(pool, len(mine)) if len(mine) else 0.0
    moved += days * DAY_S
    return np.concatenate((times, moved))
