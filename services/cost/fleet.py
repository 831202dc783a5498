"""Several instances, started and stopped as Knative's autoscaler does it, tick by tick.

The rules are those of Knative's pod autoscaler: requests in flight are averaged over a window (60 s) and over
a panic window (6 s); wanted is the average over `target`, rounded up; when the panic window wants twice what
is ready, the larger of both counts and nothing is taken away until a whole window has passed without that;
at most half of what is ready is taken away at once; it decides every 2 s. A request goes to a random ready
instance, as Kubernetes routes it; with none ready it waits, as at the activator, for the first one.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from services.cost.load import Load, Scaling
from services.cost.outcome import Outcome
from services.cost.queue import Floats, billed_s, completions

TICK_S: Final = 2.0  # Knative's tick-interval
_PANIC_RATIO: Final = 2.0  # panic-threshold-percentage 200
_SCALE_DOWN_RATE: Final = 2.0  # max-scale-down-rate


@dataclass(slots=True)
class _Instance:
    """One instance; times in s. `free_s`: when its queue is empty; `alive_s`: when it was last in use."""

    born_s: float
    ready_s: float
    free_s: float
    alive_s: float
    begins: list[Floats] = field(default_factory=list)
    ends: list[Floats] = field(default_factory=list)


class _Flight:
    """Requests in flight, averaged over windows that end now. `young`: nothing was counted before, as after
    zero; then an average is over what there is of the window, as Knative's is.

    `_full[k]` is how many more are in flight during the whole of second k than of k − 1, `_part[k]` the
    seconds of those that are in flight for a part of it.
    """

    def __init__(self, from_s: float, until_s: float, *, young: bool) -> None:
        self._from_s, self._young = from_s, young
        seconds = max(2, math.ceil(until_s - from_s) + 2)
        self._part = np.zeros(seconds)
        self._full = np.zeros(seconds + 1)
        self._levels = np.zeros(seconds)
        self._known = 0  # seconds whose level is final
        self._level = 0.0

    def add(self, begins: Floats, ends: Floats) -> None:
        """Requests in flight from `begins` to `ends`, (n,) s."""
        limit = float(len(self._part))
        first = np.minimum(begins - self._from_s, limit - 1e-9)
        last = np.minimum(ends - self._from_s, limit - 1e-9)
        at, end = first.astype(np.int64), last.astype(np.int64)
        short = at == end
        np.add.at(self._part, at[short], (last - first)[short])
        long = ~short
        np.add.at(self._part, at[long], at[long] + 1 - first[long])
        np.add.at(self._part, end[long], last[long] - end[long])
        np.add.at(self._full, at[long] + 1, 1.0)
        np.add.at(self._full, end[long], -1.0)

    def average(self, now_s: float, window_s: float) -> float:
        """Mean requests in flight in the window that ends at `now_s`."""
        second = min(int(now_s - self._from_s), len(self._levels))
        if second > self._known:
            steps = np.cumsum(self._full[self._known : second]) + self._level
            self._levels[self._known : second] = steps + self._part[self._known : second]
            self._level = float(steps[-1])
            self._known = second
        seconds = max(1, min(int(window_s), second))
        there = float(self._levels[second - seconds : second].sum())
        return there / (seconds if self._young else window_s)


@dataclass(slots=True)
class _Autoscaler:
    """How many instances are wanted."""

    scaling: Scaling
    panic_until_s: float = -math.inf
    panic_scale: int = 0
    wants: deque[tuple[float, int]] = field(default_factory=deque)  # of the last `delay_s`

    def wanted(self, flight: _Flight, now_s: float, ready: int) -> int:
        """Between min and max scale, at least 1: going to zero is decided by idleness, not here."""
        scaling, ready = self.scaling, max(1, ready)
        stable = math.ceil(flight.average(now_s, scaling.window_s) / scaling.target - 1e-9)
        panic = math.ceil(flight.average(now_s, scaling.panic_s) / scaling.target - 1e-9)
        stable = max(stable, math.floor(ready / _SCALE_DOWN_RATE))
        if panic / ready >= _PANIC_RATIO:
            self.panic_until_s = now_s + scaling.window_s
        if now_s < self.panic_until_s:
            self.panic_scale = max(self.panic_scale, panic, stable, ready)
            stable = self.panic_scale
        else:
            self.panic_scale = 0
        while self.wants and self.wants[0][0] <= now_s - scaling.delay_s:
            self.wants.popleft()
        self.wants.append((now_s, stable))
        stable = max(want for _, want in self.wants)
        return min(max(stable, scaling.min_scale, 1), scaling.max_scale)


class _Fleet:
    """All instances of a period."""

    def __init__(self, load: Load, scaling: Scaling, outcome: Outcome, rng: np.random.Generator) -> None:
        self.load, self.scaling, self.outcome, self.rng = load, scaling, outcome, rng
        self.up: list[_Instance] = []

    def start(self, count: int, now_s: float, cold_s: float) -> None:
        """Start instances; `cold_s` 0: they are there already."""
        for _ in range(count):
            ready_s = now_s + cold_s
            self.up.append(_Instance(now_s, ready_s, ready_s, ready_s))
        if cold_s > 0.0:
            self.outcome.cold_starts += count
            self.outcome.start_s += count * self.scaling.start_s
        self.outcome.most_instances = max(self.outcome.most_instances, len(self.up))

    def serve(self, begin: int, end: int, now_s: float, flight: _Flight) -> None:
        """Route the requests `begin` to `end`, which come in the tick that begins at `now_s`."""
        ready = [one for one in self.up if one.ready_s <= now_s] or [
            min(self.up, key=lambda one: one.ready_s)
        ]
        chosen = self.rng.integers(len(ready), size=end - begin) if len(ready) > 1 else None
        for number, instance in enumerate(ready):
            mine = slice(begin, end) if chosen is None else begin + np.flatnonzero(chosen == number)
            arrivals, work = self.load.arrivals[mine], self.load.work[mine]
            if not len(arrivals):
                continue
            done = completions(np.maximum(arrivals, instance.free_s), work)
            instance.free_s = float(done[-1])
            done = self.load.answered(done, mine)
            last = done if self.load.holds is None else np.maximum(done, self.load.holds[mine])
            instance.alive_s = max(instance.alive_s, float(last.max()))
            instance.begins.append(np.maximum(arrivals, instance.ready_s))
            instance.ends.append(last)
            flight.add(arrivals, last)
            self.outcome.work_s += float(work.sum())
            self.outcome.record(done - arrivals, arrivals < instance.ready_s)

    def scale(self, wanted: int, now_s: float) -> None:
        """Start or stop instances. One that is stopped takes no more requests and ends when it is idle."""
        if wanted > len(self.up):
            self.start(wanted - len(self.up), now_s, self.scaling.cold_s)
        elif wanted < len(self.up):
            # As Kubernetes does it: those that do not answer yet before all others, then the newest.
            self.up.sort(key=lambda one: (one.ready_s > now_s, one.born_s))
            while len(self.up) > wanted:
                instance = self.up.pop()
                self.end(instance, max(now_s, instance.alive_s))

    def end(self, instance: _Instance, at_s: float) -> None:
        """Count an instance that is gone at `at_s`."""
        at_s = min(at_s, self.load.length_s)
        self.outcome.instance_s += max(0.0, at_s - instance.born_s)
        if instance.begins:
            self.outcome.billed_s += billed_s(
                np.concatenate(instance.begins), np.concatenate(instance.ends), self.scaling.quantum_s
            )

    def end_all(self, at_s: float | None) -> None:
        """Count all instances: gone at `at_s`, or as the load's time is over (None)."""
        while self.up:
            instance = self.up.pop()
            stays_s = self.load.length_s if self.scaling.min_scale else instance.alive_s + self.scaling.idle_s
            self.end(instance, stays_s if at_s is None else at_s)

    @property
    def alive_s(self) -> float:
        """When any instance was last in use."""
        return max(one.alive_s for one in self.up)

    def ready(self, now_s: float) -> int:
        """Instances that take requests."""
        return sum(one.ready_s <= now_s for one in self.up)


def run_fleet(
    load: Load,
    scaling: Scaling,
    period_s: tuple[float, float],
    *,
    rng: np.random.Generator,
    outcome: Outcome,
) -> None:
    """Serve `load` in a period (begin, end), add what happened to `outcome`.

    Without a min scale it begins at the first arrival. At its end other requests come, before which all
    instances above the min scale are known to be gone, or the load's time is over.
    """
    from_s, until_s = period_s
    fleet = _Fleet(load, scaling, outcome, rng)
    fleet.start(scaling.min_scale, from_s, 0.0)
    flight, autoscaler = _Flight(from_s, until_s, young=False), _Autoscaler(scaling)
    now_s, at = from_s, 0
    while at < len(load) or fleet.up:
        next_s = float(load.arrivals[at]) if at < len(load) else math.inf
        if not fleet.up:
            now_s = next_s  # 1. from zero, at the request that finds none
            fleet.start(1, now_s, scaling.cold_s)
            flight, autoscaler = _Flight(now_s, until_s, young=True), _Autoscaler(scaling)
        gone_s = math.inf if scaling.min_scale else fleet.alive_s + scaling.idle_s
        if gone_s < min(next_s, now_s + TICK_S):  # 2. to zero
            fleet.end_all(gone_s)
            continue
        now_s += TICK_S
        until = int(np.searchsorted(load.arrivals, now_s, side="left"))
        if until > at:  # 3. what came in this tick
            fleet.serve(at, until, now_s - TICK_S, flight)
            at = until
        if now_s >= load.length_s:
            break
        fleet.scale(autoscaler.wanted(flight, now_s, fleet.ready(now_s)), now_s)  # 4. up or down
        if len(fleet.up) == max(1, scaling.min_scale) and now_s >= autoscaler.panic_until_s:
            now_s = _skip(now_s, load, at, fleet)
            if math.isinf(now_s):
                break
    fleet.end_all(None)


def _skip(now_s: float, load: Load, at: int, fleet: _Fleet) -> float:
    """The tick before the next event when nothing is in flight and the smallest fleet is up, else `now_s`;
    infinite when nothing comes any more.
    """
    if fleet.alive_s > now_s:
        return now_s
    gone_s = math.inf if fleet.scaling.min_scale else fleet.alive_s + fleet.scaling.idle_s
    event_s = min(float(load.arrivals[at]) if at < len(load) else math.inf, gone_s)
    if math.isinf(event_s):
        return math.inf
    return now_s + max(0.0, math.floor((event_s - now_s) / TICK_S) * TICK_S)
