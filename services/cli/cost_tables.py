"""What `freshet cost` found: tables to act on, and the same for programs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from services.cli.output import print_json, print_line, print_table
from services.cost.choices import Billing, Verdict
from services.cost.compare import BreakEven, Comparison, Inputs, ServiceResult
from services.cost.measured import Figures

_QUANTILES: Final = (0.5, 0.99, 0.999)
_CLUSTER: Final = (Billing.NODE,)
_CLOUD_RUN: Final = (Billing.REQUEST, Billing.INSTANCE)
_HEADER: Final = (
    "", "instance h/day", "cold starts/day", "requests cold", "p50", "p99", "p99.9", "p99 warm", "USD/month",
    "saved",
)  # fmt: skip


def report_of(inputs: Inputs, comparisons: Sequence[Comparison]) -> dict[str, Any]:
    """Everything, as plain JSON. Times in ms, amounts a day; prices in US dollars a month of 730 hours."""
    return {
        **_asked(inputs),
        "scales": [
            {
                "requests_a_day": round(one.requests_a_day, 3),
                "simulated": one.plan.said,
                "busiest_minute_requests": one.busiest_minute,
                "services": [_service(result) for result in one.services],
            }
            for one in comparisons
        ],
        "figures": {name: figure.value for name, figure in inputs.figures.table.items()},
        "unsettled_figures": inputs.figures.unsettled(),
    }


def print_comparison(inputs: Inputs, comparison: Comparison) -> None:
    """One rate: a table for each service, and what it says."""
    print_line(_said(inputs, comparison))
    for result in comparison.services:
        print_line()
        print_line(f"{result.service}: {_sized(inputs, comparison, result)}")
        print_table(_HEADER, [_row(verdict) for verdict in result.verdicts])
        for where, billing in (("on a cluster", _CLUSTER), ("on Cloud Run", _CLOUD_RUN)):
            for line in _advice(result, billing):
                print_line(f"  {where}: {line}")
    _print_notes(inputs)


def print_sweep(inputs: Inputs, comparisons: Sequence[Comparison]) -> None:
    """Several rates: a row for each service and way to run, what is saved and the p99 at each rate."""
    print_line("saved against always on, and p99 with cold starts (seed " + str(inputs.seed) + ")")
    print_line()
    header = ["", "", *(f"{one.requests_a_day:,.0f}/day" for one in comparisons)]
    rows = []
    for at, result in enumerate(comparisons[0].services):
        for row, verdict in enumerate(result.verdicts):
            if row == 0 or verdict.choice.replicas:
                continue
            there = [one.services[at].verdicts[row] for one in comparisons]
            cells = [f"{_percent(one.saved)} {_ms(one, 0.99)}" for one in there]
            rows.append([result.service, verdict.choice.name, *cells])
    print_table(header, rows)
    print_line()
    for one in comparisons:
        print_line(f"{one.requests_a_day:,.0f}/day: {one.plan.said}, busiest minute {one.busiest_minute:,}")
    _print_notes(inputs)


def print_break_even(inputs: Inputs, found: Sequence[BreakEven], *, as_json: bool) -> None:
    """Up to which rate each way to run pays."""
    if as_json:
        rates = [
            {
                "service": one.service,
                "choice": one.choice,
                "saves_less_than": one.saved,
                "from_requests_a_day": None if one.requests_a_day is None else round(one.requests_a_day),
            }
            for one in found
        ]
        print_json({**_asked(inputs), "break_even": rates})
        return
    print_line(f"the rate from which on less than {100 * found[0].saved:.0f} % is saved (seed {inputs.seed})")
    print_line()
    print_table(
        ["", "", "requests/day"], [[one.service, one.choice, _rate(one.requests_a_day)] for one in found]
    )
    _print_notes(inputs)


def print_figures(figures: Figures, *, as_json: bool) -> None:
    """The table of figures."""
    if as_json:
        print_json(
            {
                name: {"value": figure.value, "by": figure.by, "settled": figure.settled}
                for name, figure in figures.table.items()
            }
        )
        return
    rows = [
        [name, f"{figure.value:g}", figure.by + ("" if figure.settled else " (stands in: not settled)")]
        for name, figure in figures.table.items()
    ]
    print_table(["figure", "value", "by"], rows)


def _asked(inputs: Inputs) -> dict[str, Any]:
    visits = inputs.visits
    return {
        "trace": {
            "rows": len(inputs.trace.times),
            "days": round(inputs.trace.length_s / 86_400, 2),
            "rows_a_day": round(inputs.trace.a_day, 3),
        },
        "visit": {
            "requests": visits.requests,
            "spacing_s": visits.spacing_s,
            "stream_s": visits.stream_s,
        },
        "seed": inputs.seed,
        "utilisation": inputs.utilisation,
    }


def _service(result: ServiceResult) -> dict[str, Any]:
    return {
        "service": result.service,
        "always_on_replicas": result.replicas,
        "limit_ms": result.limit_ms,
        "choices": [_choice(verdict) for verdict in result.verdicts],
        "advice": {
            "cluster": result.advice(_CLUSTER).choice.name,
            "cloud_run": result.advice(_CLOUD_RUN).choice.name,
        },
    }


def _choice(verdict: Verdict) -> dict[str, Any]:
    outcome = verdict.outcome
    return {
        "name": verdict.choice.name,
        "billing": verdict.choice.tariff.billing.value,
        "requests": outcome.requests,
        "instance_s_a_day": round(outcome.a_day(outcome.instance_s), 1),
        "billable_s_a_day": round(outcome.a_day(outcome.billed_s + outcome.start_s), 1),
        "work_s_a_day": round(outcome.a_day(outcome.work_s), 3),
        "cold_starts_a_day": round(outcome.a_day(outcome.cold_starts), 3),
        "cold_share": round(outcome.cold_share, 6),
        "most_instances": outcome.most_instances,
        "p50_ms": round(1000 * outcome.all.quantile_s(0.5), 3),
        "p99_ms": round(1000 * outcome.all.quantile_s(0.99), 3),
        "p99_9_ms": round(1000 * outcome.all.quantile_s(0.999), 3),
        "p99_warm_ms": round(1000 * outcome.warm.quantile_s(0.99), 3),
        "usd_a_month": None if verdict.month is None else round(verdict.month, 4),
        "saved": round(verdict.saved, 4),
    }


def _said(inputs: Inputs, comparison: Comparison) -> str:
    trace, visits = inputs.trace, inputs.visits
    each = "" if visits.requests == 1 else f", each a visit of {visits.requests} requests"
    streams = "" if visits.stream_s is None else ", a stream open in each"
    return (
        f"{len(trace.times):,} arrivals in {trace.length_s / 86_400:,.1f} days{each}{streams}; at "
        f"{comparison.requests_a_day:,.0f} requests a day, {comparison.plan.said}, seed {inputs.seed}"
    )


def _sized(inputs: Inputs, comparison: Comparison, result: ServiceResult) -> str:
    if result.service == "profiler":
        return "from a record on the log to its effect; one process, in log order"
    plural = "" if result.replicas == 1 else "s"
    return (
        f"always on is {result.replicas} replica{plural}, for {comparison.busiest_minute:,} requests in the "
        f"busiest minute at {100 * inputs.utilisation:.0f} %"
    )


def _row(verdict: Verdict) -> list[str]:
    outcome = verdict.outcome
    return [
        verdict.choice.name,
        f"{outcome.a_day(outcome.instance_s) / 3600:.2f}",
        f"{outcome.a_day(outcome.cold_starts):.1f}",
        f"{100 * outcome.cold_share:.2f} %",
        *(_ms(verdict, share) for share in _QUANTILES),
        _time(outcome.warm.quantile_s(0.99)),
        "" if verdict.month is None else f"{verdict.month:,.2f}",
        _percent(verdict.saved),
    ]


def _advice(result: ServiceResult, billing: Sequence[Billing]) -> list[str]:
    """The cheapest way within the limit, and what a cheaper one would cost in latency."""
    best = result.advice(tuple(billing))
    limit = _time(result.limit_ms / 1000)
    if best.outcome.all.quantile_s(0.99) * 1000 > result.limit_ms:
        found = [f"nothing keeps p99 within {limit}; the quickest is {best.choice.name}"]
    elif best.saved <= 0:
        found = [f"{best.choice.name}: nothing that keeps p99 within {limit} saves anything"]
    else:
        saved, p99 = _percent(best.saved), _ms(best, 0.99)
        found = [f"{best.choice.name} saves {saved}, with p99 {p99} (within {limit})"]
    mine = [one for one in result.verdicts if one.choice.tariff.billing in billing]
    cheapest = max(mine, key=lambda one: one.saved)
    if cheapest.saved > best.saved + 0.001:
        found.append(
            f"{cheapest.choice.name} saves {_percent(cheapest.saved)}, but "
            f"{100 * cheapest.outcome.cold_share:.2g} % wait for a start: p99 {_ms(cheapest, 0.99)}"
        )
    return found


def _print_notes(inputs: Inputs) -> None:
    print_line()
    print_line(
        "saved: on a cluster of instance-hours, or of USD with price.node.…; on Cloud Run of USD against"
    )
    print_line("always on by instance. Free tiers, discounts, log and store are left out: docs/COST.md.")
    if unsettled := inputs.figures.unsettled():
        print_line(f"Figures that nobody has measured for you yet: {', '.join(unsettled)};")
        print_line("freshet cost --figures says how, --figure NAME=VALUE takes yours.")


def _ms(verdict: Verdict, share: float) -> str:
    return _time(verdict.outcome.all.quantile_s(share))


def _time(seconds: float) -> str:
    if seconds >= 1:
        return f"{seconds:,.1f} s"
    return f"{1000 * seconds:.0f} ms" if seconds >= 0.01 else f"{1000 * seconds:.2g} ms"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _rate(rate: float | None) -> str:
    if rate is None:
        return "none: it pays at every rate looked at"
    if rate == 0:
        return "all: it never pays"
    digits = max(0, len(f"{rate:.0f}") - 2)  # two figures are what the method gives
    return f"{round(rate, -digits):,.0f}"
