"""How a service could be run, what happens then, and what that costs."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from services.cost.keda import Keda, simulate_keda
from services.cost.load import Load, Scaling
from services.cost.measured import MONTH_S, Prices
from services.cost.outcome import Outcome
from services.cost.queue import Floats, Work
from services.cost.simulate import always_on, simulate
from services.cost.trace import Part, Trace, Visits, arrivals_of

Tell = Callable[[str, float], None]  # what is done now, and which share is done (0–1)


class Billing(StrEnum):
    """What is paid for."""

    NODE = "node"  # pods that are up, on nodes that somebody pays
    REQUEST = "request"  # time with a request in flight, and requests
    INSTANCE = "instance"  # instances that are up


@dataclass(frozen=True, slots=True)
class Tariff:
    """What a way to run is paid by, and what it is compared with.

    A choice is held against always on under the same tariff, on Cloud Run under the cheapest (by instance).
    """

    billing: Billing
    prices: Prices | None
    baseline: Prices | None


@dataclass(frozen=True, slots=True)
class Choice:
    """One way to run a service. `replicas` above 0: that many always; else `scaling`, or `keda`."""

    name: str
    work: Work
    tariff: Tariff
    scaling: Scaling
    keda: Keda | None = None
    replicas: int = 0


@dataclass(frozen=True, slots=True)
class Need:
    """What an instance is given: vCPU and GiB."""

    vcpu: float
    memory_gib: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a choice comes to. `month` is US dollars, None where no price is known; `saved` is the share of
    always on's cost that is saved (of its instance-seconds where there is no price), negative for more.
    """

    choice: Choice
    outcome: Outcome
    month: float | None
    saved: float


@dataclass(slots=True)
class Question:
    """What is simulated: parts of a trace at a rate, each row a visit."""

    trace: Trace
    parts: Sequence[Part]
    visits: Visits
    requests_a_day: float
    seed: int
    _last: tuple[int, Floats, Floats | None] | None = None

    def arrivals(self, number: int) -> tuple[Floats, Floats | None]:
        """When requests of a part arrive, and until when each holds a stream; keeps the last part."""
        if self._last is None or self._last[0] != number:
            self._last = None
            part, a_day = self.parts[number], self.requests_a_day / self.visits.requests
            times, holds = arrivals_of(self.trace, part, self.visits, a_day, seed=self.seed)
            if holds is not None:
                np.minimum(holds, part.length_s, out=holds)
            self._last = (number, times, holds)
        return self._last[1:]

    def load(self, number: int, work: Work) -> Load:
        """The load of one part."""
        times, holds = self.arrivals(number)
        drawn = work.draw(np.random.default_rng([self.seed, 3, number]), len(times))
        return Load(times, drawn, self.parts[number].length_s, holds, work.wait_ratio)

    def busiest_minute(self) -> int:
        """Most requests in a minute of the parts."""
        most = 0
        for number in range(len(self.parts)):
            times, _ = self.arrivals(number)
            if len(times):
                most = max(most, int(np.bincount((times // 60).astype(np.int64)).max()))
        return most


def replicas_for(busiest_minute: int, work: Work, utilisation: float, least: int) -> int:
    """Replicas that are never busier than `utilisation` in the busiest minute (requests in it)."""
    return max(least, math.ceil(busiest_minute / 60 * work.mean_s / utilisation - 1e-9))


def outcomes(question: Question, choices: Sequence[Choice], tell: Tell | None = None) -> list[Outcome]:
    """What happens under each choice, part by part; equal simulations run once, equal work is drawn once."""
    found = [Outcome() for _ in choices]
    by_work: dict[Work, list[int]] = {}
    for at, choice in enumerate(choices):
        by_work.setdefault(choice.work, []).append(at)
    for number in range(len(question.parts)):
        if tell is not None:
            tell(f"part {number + 1} of {len(question.parts)}", number / len(question.parts))
        for work, mine in by_work.items():
            load = question.load(number, work)
            done: dict[object, Outcome] = {}
            for at in mine:
                choice = choices[at]
                key = (choice.scaling, choice.keda, choice.replicas)
                if key not in done:
                    done[key] = _simulate(load, choice, question.seed * 1000 + number)
                found[at].merge(done[key])
    return found


def verdicts(choices: Sequence[Choice], found: Sequence[Outcome], need: Need) -> list[Verdict]:
    """What each choice comes to, held against the first one, which is always on."""
    base = found[0]
    return [_verdict(choice, outcome, base, need) for choice, outcome in zip(choices, found, strict=True)]


def month_of(outcome: Outcome, billing: Billing, prices: Prices, need: Need, *, kept: int = 0) -> float:
    """US dollars a month of 730 hours. `kept`: instances that stay without requests (by request only)."""
    a_month = MONTH_S / outcome.length_s
    second = need.vcpu * prices.cpu_s + need.memory_gib * prices.gib_s
    if billing is not Billing.REQUEST:
        return (outcome.instance_s * second + outcome.requests * prices.request) * a_month
    active_s = outcome.billed_s + outcome.start_s
    idle = need.vcpu * prices.idle_cpu_s + need.memory_gib * prices.idle_gib_s
    idle_s = max(0.0, kept * outcome.length_s - active_s)
    return (active_s * second + idle_s * idle + outcome.requests * prices.request) * a_month


def _verdict(choice: Choice, outcome: Outcome, base: Outcome, need: Need) -> Verdict:
    tariff = choice.tariff
    if tariff.prices is None or tariff.baseline is None:
        return Verdict(choice, outcome, None, 1 - outcome.instance_s / base.instance_s)
    kept = choice.replicas or choice.scaling.min_scale
    month = month_of(outcome, tariff.billing, tariff.prices, need, kept=kept)
    held_against = month_of(base, Billing.INSTANCE, tariff.baseline, need)
    return Verdict(choice, outcome, month, 1 - month / held_against if held_against else 0.0)


def _simulate(load: Load, choice: Choice, seed: int) -> Outcome:
    if choice.replicas:
        return always_on(load, choice.replicas, choice.scaling, seed)
    if choice.keda is not None:
        return simulate_keda(load, choice.keda)
    return simulate(load, choice.scaling, seed)
