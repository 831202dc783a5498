"""Requests through instances that a platform starts and stops.

Most of a trace never needs a second instance. Where that can be proved, all of it is computed at once
(`_at_most_one`); an up-time in which the autoscaler might want more goes through `fleet`, tick by tick. The
proof is an upper bound of the requests in flight over the autoscaler's windows, so nothing is approximated
by taking the fast way.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from services.cost.fleet import TICK_S, run_fleet
from services.cost.load import Load, Scaling
from services.cost.outcome import Outcome
from services.cost.queue import Floats, billed_s, completions

# After a panic nothing is taken away for one window, and averages forget in one more: then the smallest fleet
# is up, and a third is to spare.
_FORGET_WINDOWS: Final = 3.0


@dataclass(frozen=True, slots=True)
class _Alone:
    """A period served by at most one instance: `first` (n,) marks the request that found none."""

    first: NDArray[np.bool_]
    done: Floats  # (n,) when each answer's work ends
    alive: Floats  # (n,) when the instance was last in use, by all requests so far


def simulate(load: Load, scaling: Scaling, seed: int) -> Outcome:
    """What happens to `load`. `seed` is for the routing between several instances."""
    outcome = Outcome(length_s=load.length_s)
    if scaling.min_scale > 1:
        run_fleet(load, scaling, (0.0, load.length_s), rng=np.random.default_rng(seed), outcome=outcome)
        return outcome
    if not len(load):
        outcome.instance_s = scaling.min_scale * load.length_s
        outcome.most_instances = scaling.min_scale
        return outcome
    alone = _at_most_one(load, scaling)
    starts = _starts(load, scaling, alone)
    ends = np.concatenate((starts[1:], [len(load)]))
    crowded = _crowded(load, scaling, alone, starts)
    _count_alone(load, scaling, alone, starts, chosen=~crowded, outcome=outcome)
    rng = np.random.default_rng(seed)
    for at in np.flatnonzero(crowded):
        begin, end = int(starts[at]), int(ends[at])
        until_s = float(load.arrivals[end]) if end < len(load) else load.length_s
        # With a min scale the instance is there before and after: this part of its time is counted.
        from_s = float(load.arrivals[begin]) if begin or scaling.min_scale == 0 else 0.0
        length_s = until_s if scaling.min_scale else load.length_s
        run_fleet(_part(load, begin, end, length_s), scaling, (from_s, until_s), rng=rng, outcome=outcome)
    return outcome


def always_on(load: Load, replicas: int, scaling: Scaling, seed: int) -> Outcome:
    """`replicas` instances all the time, each request to a random one of them."""
    outcome = Outcome(length_s=load.length_s, instance_s=replicas * load.length_s, most_instances=replicas)
    chosen = np.random.default_rng(seed).integers(replicas, size=len(load))
    for replica in range(replicas):
        mine = np.flatnonzero(chosen == replica)
        arrivals, work = load.arrivals[mine], load.work[mine]
        done = load.answered(completions(arrivals, work), mine)
        outcome.work_s += float(work.sum())
        outcome.record(done - arrivals, np.zeros(len(mine), np.bool_))
        ends = done if load.holds is None else np.maximum(done, load.holds[mine])
        outcome.billed_s += billed_s(arrivals, ends, scaling.quantum_s)
    return outcome


def _at_most_one(load: Load, scaling: Scaling) -> _Alone:
    """Serve with at most one instance, and find the requests that find none.

    A request finds none when it comes later than `idle_s` after all use of the instance. That use depends on
    whether requests before it found one. So: 1. every gap above `idle_s` counts as one in which the instance
    goes; 2. with these starts all answers are computed; 3. a gap that the answers before it had filled was
    wrong, and is taken back, unless the gap before it was wrong too (then it is looked at again). A right
    gap forgets what was before it, so what remains is exact.
    """
    arrivals, idle_s = load.arrivals, scaling.idle_s
    known = arrivals if load.holds is None else np.maximum.accumulate(np.maximum(arrivals, load.holds))
    first = np.concatenate(([True], arrivals[1:] > known[:-1] + idle_s))
    if scaling.min_scale > 0:
        first[:] = False
    while True:
        begin = arrivals + np.where(first, scaling.cold_s, 0.0)
        done = completions(begin, load.work)
        last = load.answered(done)
        if load.holds is not None:
            last = np.maximum(last, load.holds)
        alive = np.maximum.accumulate(last)
        gaps = np.flatnonzero(first)
        gaps = gaps[gaps > 0]
        wrong = arrivals[gaps] <= alive[gaps - 1] + idle_s
        if not wrong.any():
            return _Alone(first, done, alive)
        leading = wrong & ~np.concatenate(([False], wrong[:-1]))
        first[gaps[leading]] = False


def _starts(load: Load, scaling: Scaling, alone: _Alone) -> NDArray[np.int64]:
    """The requests at which nothing before them matters any more: those that find no instance or, with a min
    scale, that come when the autoscaler has long seen nothing.
    """
    if scaling.min_scale == 0:
        return np.flatnonzero(alone.first)
    forget_s = _FORGET_WINDOWS * scaling.window_s + scaling.delay_s
    quiet = load.arrivals[1:] > alone.alive[:-1] + forget_s
    return np.concatenate(([0], np.flatnonzero(quiet) + 1))


def _crowded(load: Load, scaling: Scaling, alone: _Alone, starts: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which up-times might get a second instance, (len(starts),).

    In a window that ends at t no more than the requests that had come by t and were not done before the
    window can have been in flight, each no longer than the window. That sum is largest at an arrival, and no
    average is above their number. After zero a window is as old as the up-time, from the first tick on.
    """
    arrivals = load.arrivals
    if scaling.max_scale == 1:
        return np.zeros(len(starts), np.bool_)
    ends = load.answered(alone.done)
    if load.holds is not None:
        ends = np.maximum(ends, load.holds)
    ended = np.argsort(ends, kind="stable")  # nearly sorted already where nothing is held
    ends_in_order = ends[ended]
    many = np.zeros(len(arrivals), np.bool_)
    sizes = np.diff(np.concatenate((starts, [len(load)])))
    age = np.maximum(arrivals - np.repeat(arrivals[starts], sizes), TICK_S)
    for window_s in (scaling.panic_s, scaling.window_s):
        each = np.minimum(ends - arrivals, window_s)
        gone = np.concatenate(([0.0], np.cumsum(each[ended])))
        before = np.searchsorted(ends_in_order, arrivals - window_s, side="right")
        count = np.arange(1, len(arrivals) + 1) - before
        flight = np.cumsum(each) - gone[before]
        over_s = window_s if scaling.min_scale else np.minimum(age, window_s)
        many |= (flight > scaling.target * over_s) & (count > scaling.target)
    return np.logical_or.reduceat(many, starts)


def _count_alone(
    load: Load,
    scaling: Scaling,
    alone: _Alone,
    starts: NDArray[np.int64],
    *,
    chosen: NDArray[np.bool_],
    outcome: Outcome,
) -> None:
    """Add the `chosen` up-times, which begin at the requests `starts`."""
    ends = np.concatenate((starts[1:], [len(load)]))
    sizes = ends - starts
    if scaling.min_scale == 0:
        ready = load.arrivals[starts] + scaling.cold_s
        gone = np.minimum(alone.alive[ends - 1] + scaling.idle_s, load.length_s)
        outcome.instance_s += float((gone - load.arrivals[starts])[chosen].sum())
        outcome.cold_starts += int(np.count_nonzero(chosen))
        outcome.start_s += float(np.count_nonzero(chosen)) * scaling.start_s
    else:
        ready = np.zeros(len(starts))
        edges = np.concatenate(([0.0], load.arrivals[starts[1:]], [load.length_s]))
        outcome.instance_s += float(np.diff(edges)[chosen].sum())
    if not chosen.any():
        return
    outcome.most_instances = max(outcome.most_instances, 1)
    everything = bool(chosen.all())
    mine = slice(None) if everything else np.repeat(chosen, sizes)
    arrivals, done = load.arrivals[mine], load.answered(alone.done[mine], mine)
    ready = np.repeat(ready[chosen], sizes[chosen])
    outcome.work_s += float(load.work[mine].sum())
    outcome.record(done - arrivals, arrivals < ready)
    last = done if load.holds is None else np.maximum(done, load.holds[mine])
    outcome.billed_s += billed_s(np.maximum(arrivals, ready), last, scaling.quantum_s)


def _part(load: Load, begin: int, end: int, length_s: float) -> Load:
    return Load(
        load.arrivals[begin:end],
        load.work[begin:end],
        length_s,
        None if load.holds is None else load.holds[begin:end],
        load.wait_ratio,
    )
