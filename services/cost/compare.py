"""The ways to run each service of Freshet, side by side on one trace, and where they stop to pay."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from services.cost.choices import (
    Billing,
    Choice,
    Need,
    Question,
    Tariff,
    Tell,
    Verdict,
    outcomes,
    replicas_for,
    verdicts,
)
from services.cost.error import CostError
from services.cost.keda import Keda
from services.cost.load import Scaling
from services.cost.measured import Figures, Prices
from services.cost.queue import Work
from services.cost.trace import REQUESTS_MAX, Plan, Trace, Visits, plan_parts

SERVICES: Final = ("ingest", "recommender", "profiler")
# Break-even is looked for between these rates, requests a day, to a step of about a tenth.
_RATES: Final = (10.0, 10_000_000.0)
_STEPS: Final = 8
_STREAMED: Final = 500_000  # with open streams in them: those need several instances, and each tick its time
_ENOUGH_REQUESTS: Final = 2_000_000  # for a share of time; a p99.9 needs no more either


@dataclass(frozen=True, slots=True)
class Inputs:
    """What is asked. `utilisation`: how busy an always-on replica may be in the busiest minute;
    `limit_ms`: the p99 that ingest's and the recommender's callers bear; `freshness_limit_ms`: that of a
    record's effect.
    """

    trace: Trace
    requests_a_day: float
    visits: Visits = field(default_factory=Visits)
    figures: Figures = field(default_factory=Figures)
    services: Sequence[str] = SERVICES
    utilisation: float = 0.65
    replicas_min: int = 1
    limit_ms: float = 100.0
    freshness_limit_ms: float = 10_000.0
    requests_max: int = REQUESTS_MAX
    seed: int = 1


@dataclass(frozen=True, slots=True)
class ServiceResult:
    """A service's ways to run, always on first; `limit_ms` is the p99 that is borne."""

    service: str
    replicas: int
    limit_ms: float
    verdicts: list[Verdict]

    def advice(self, billing: tuple[Billing, ...]) -> Verdict:
        """The cheapest within the limit under one of these ways to pay; the quickest where none holds it."""
        mine = [one for one in self.verdicts if one.choice.tariff.billing in billing]
        held = [one for one in mine if one.outcome.all.quantile_s(0.99) * 1000 <= self.limit_ms]
        if not held:
            return min(mine, key=lambda one: one.outcome.all.quantile_s(0.99))
        return max(held, key=lambda one: round(one.saved, 6))


@dataclass(frozen=True, slots=True)
class Comparison:
    """All services at one rate."""

    requests_a_day: float
    plan: Plan
    busiest_minute: int
    services: list[ServiceResult]


@dataclass(frozen=True, slots=True)
class BreakEven:
    """From how many requests a day on a choice saves less than `saved` (None: at no rate looked at; 0: at
    every one).
    """

    service: str
    choice: str
    saved: float
    requests_a_day: float | None


def compare(inputs: Inputs, tell: Tell | None = None) -> Comparison:
    """Simulate every way to run every service at the asked rate. Raises CostError."""
    most = inputs.requests_max if inputs.visits.stream_s is None else min(inputs.requests_max, _STREAMED)
    plan = plan_parts(inputs.trace, inputs.requests_a_day, most, inputs.seed)
    question = Question(inputs.trace, plan.parts, inputs.visits, inputs.requests_a_day, inputs.seed)
    busiest = question.busiest_minute()
    asked = [_ways(inputs, service, busiest) for service in inputs.services]
    found = iter(outcomes(question, [choice for _, choices in asked for choice in choices], tell))
    results = []
    for service, (replicas, choices) in zip(inputs.services, asked, strict=True):
        need = Need(inputs.figures[f"{service}.vcpu"], inputs.figures[f"{service}.memory_gib"])
        limit_ms = inputs.freshness_limit_ms if service == "profiler" else inputs.limit_ms
        judged = verdicts(choices, [next(found) for _ in choices], need)
        results.append(ServiceResult(service, replicas, limit_ms, judged))
    return Comparison(inputs.requests_a_day, plan, busiest, results)


def sweep(inputs: Inputs, rates: Sequence[float], tell: Tell | None = None) -> list[Comparison]:
    """The same at several rates, requests a day."""
    found = []
    for number, rate in enumerate(rates):
        if tell is not None:
            tell(f"{rate:,.0f} requests a day", number / len(rates))
        found.append(compare(replace(inputs, requests_a_day=rate)))
    return found


def break_even(inputs: Inputs, saved: float = 0.1, tell: Tell | None = None) -> list[BreakEven]:
    """For each way to run that saves something: the rate above which it saves less than `saved`.

    Savings fall with the rate, so the rate is bracketed on a logarithmic scale; simulated on parts of the
    trace of at most two million requests.
    """
    inputs = replace(inputs, requests_max=min(inputs.requests_max, _ENOUGH_REQUESTS))
    low, high = _RATES
    rates = [low * (high / low) ** (step / _STEPS) for step in range(_STEPS + 1)]
    rates = [rate for rate in rates if rate <= inputs.requests_max]
    coarse = sweep(inputs, rates, tell)
    found = []
    for at, service in enumerate(coarse[0].services):
        for row, verdict in enumerate(service.verdicts):
            if verdict.choice.replicas:
                continue
            savings = [one.services[at].verdicts[row].saved for one in coarse]
            rate = _crossing(rates, savings, saved)
            found.append(BreakEven(service.service, verdict.choice.name, saved, rate))
    return found


def _crossing(rates: Sequence[float], savings: Sequence[float], saved: float) -> float | None:
    """Where the line through savings over log(rate) falls below `saved` for good."""
    if savings[-1] >= saved:
        return None
    above = [at for at, one in enumerate(savings) if one >= saved]
    if not above:
        return 0.0
    at = above[-1]
    share = (savings[at] - saved) / (savings[at] - savings[at + 1])
    return math.exp(math.log(rates[at]) + share * (math.log(rates[at + 1]) - math.log(rates[at])))


def _ways(inputs: Inputs, service: str, busiest: int) -> tuple[int, list[Choice]]:
    """Replicas of always on, and the ways to run a service, always on first."""
    if service == "profiler":
        return 1, _profiler(inputs.figures)
    work = _work(inputs.figures, service)
    replicas = replicas_for(busiest, work, inputs.utilisation, inputs.replicas_min)
    return replicas, _answering(inputs.figures, service, work, replicas)


def _answering(figures: Figures, service: str, work: Work, replicas: int) -> list[Choice]:
    """Ways to run a service that answers requests."""
    scaling = Scaling(
        max_scale=int(figures[f"{service}.max_scale"]),
        start_s=figures[f"{service}.start_ms"] / 1000,
        target=figures[f"{service}.target"] * figures["knative.utilisation"],
        window_s=figures["knative.window_s"],
        panic_s=figures["knative.panic_s"],
        delay_s=figures[f"{service}.delay_s"],
        quantum_s=figures["cloudrun.quantum_s"],
    )
    retention_s = max(figures[f"{service}.retention_s"], figures["knative.grace_s"])
    knative = replace(
        scaling,
        platform_s=figures["knative.platform_ms"] / 1000,
        idle_s=figures["knative.window_s"] + figures[f"{service}.delay_s"] + retention_s,
    )
    google = replace(
        scaling, platform_s=figures["cloudrun.platform_ms"] / 1000, idle_s=figures["cloudrun.idle_s"]
    )
    node, request, instance = _tariffs(figures)
    return [
        Choice(f"always on, {replicas}", work, node, scaling, replicas=replicas),
        Choice("Knative, min-scale 1", work, node, replace(knative, min_scale=1)),
        Choice("Knative, to zero", work, node, knative),
        Choice(f"Cloud Run by instance, always {replicas}", work, instance, scaling, replicas=replicas),
        Choice("Cloud Run by request, min 1", work, request, replace(google, min_scale=1)),
        Choice("Cloud Run by request, to zero", work, request, google),
        Choice("Cloud Run by instance, to zero", work, instance, google),
    ]


def _profiler(figures: Figures) -> list[Choice]:
    """Ways to run the profiler: one process, in log order, so never more than one instance."""
    push, pull = _work(figures, "push"), _work(figures, "pull")
    start_s = figures["profiler.start_ms"] / 1000
    pulling = Scaling(max_scale=1)
    pushed = Scaling(
        max_scale=1,
        start_s=start_s,
        platform_s=figures["knative.platform_ms"] / 1000,
        idle_s=figures["knative.window_s"] + max(figures["push.retention_s"], figures["knative.grace_s"]),
        quantum_s=figures["cloudrun.quantum_s"],
    )
    keda = Keda(
        poll_s=figures["keda.poll_s"],
        cooldown_s=figures["keda.cooldown_s"],
        commit_s=figures["keda.commit_s"],
        platform_s=figures["keda.platform_ms"] / 1000,
        start_s=start_s,
    )
    google = replace(
        keda,
        poll_s=figures["crema.poll_s"],
        cooldown_s=figures["crema.cooldown_s"],
        platform_s=figures["cloudrun.platform_ms"] / 1000,
    )
    node, _, _ = _tariffs(figures)
    prices = Prices(figures["price.pool.cpu_s"], figures["price.pool.gib_s"])
    pool = Tariff(Billing.INSTANCE, prices, prices)
    return [
        Choice("always on, 1", pull, node, pulling, replicas=1),
        Choice("KEDA pull, to zero", pull, node, pulling, keda=keda),
        Choice("Knative push, to zero", push, node, pushed),
        Choice("Cloud Run worker pool, always 1", pull, pool, pulling, replicas=1),
        Choice("Cloud Run worker pool, CREMA to zero", pull, pool, pulling, keda=google),
    ]


def _tariffs(figures: Figures) -> tuple[Tariff, Tariff, Tariff]:
    """On nodes, Cloud Run by request, Cloud Run by instance."""
    node = Prices(figures["price.node.cpu_s"], figures["price.node.gib_s"])
    paid = node if node.cpu_s or node.gib_s else None
    request = Prices(
        figures["price.request.cpu_s"],
        figures["price.request.gib_s"],
        figures["price.request.idle_cpu_s"],
        figures["price.request.idle_gib_s"],
        figures["price.request.request"],
    )
    instance = Prices(figures["price.instance.cpu_s"], figures["price.instance.gib_s"])
    return (
        Tariff(Billing.NODE, paid, paid),
        Tariff(Billing.REQUEST, request, instance),
        Tariff(Billing.INSTANCE, instance, instance),
    )


def _work(figures: Figures, name: str) -> Work:
    """CPU of a request, spread as its answers are; what an answer takes beyond it is a wait."""
    cpu_ms, p50_ms, p99_ms = (figures[f"{name}.{part}_ms"] for part in ("cpu", "p50", "p99"))
    if not cpu_ms > 0 or not 0 < p50_ms <= p99_ms:
        raise CostError(f"{name}: figures need 0 < cpu_ms and 0 < p50_ms ≤ p99_ms")
    return Work(cpu_ms / 1000, cpu_ms / 1000 * p99_ms / p50_ms, max(0.0, p50_ms / cpu_ms - 1))
