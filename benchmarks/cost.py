"""The cost model on the demo shop at several sizes: what each way to run saves, and the p99 it costs.

The same simulation as `freshet cost`, once for each seed; spreads are those of the seeds. With `--measure` it
measures what goes into it instead: the time that a request takes of each service that runs alone.
"""

from __future__ import annotations

import argparse
import re
import statistics
from collections.abc import Sequence

import numpy as np

from benchmarks._measure import emit, note
from services.cli.cost import DEMO_VISIT_REQUESTS
from services.cost.choices import Verdict
from services.cost.compare import BreakEven, Comparison, Inputs, break_even, compare
from services.cost.trace import Visits, trace_of
from services.local.demo_shop import read_shop

RATES = [100, 1_000, 10_000, 100_000, 1_000_000]
REQUESTS_MAX = 2_000_000  # a share of time needs no more; a million requests a day are two days of that


def inputs_of(rate: float, seed: int) -> Inputs:
    """The demo shop, each order a visit."""
    trace = trace_of(np.array([order["timestamp"] for order in read_shop().orders], np.float64))
    return Inputs(trace, rate, Visits(DEMO_VISIT_REQUESTS), requests_max=REQUESTS_MAX, seed=seed)


def slug(text: str) -> str:
    """A name for a figure."""
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")


def show(rates: Sequence[int], by_rate: Sequence[Sequence[Comparison]]) -> None:
    """One figure for each service, way and rate; a table of medians."""
    table = [
        "| service | way to run | " + " | ".join(f"{rate:,}/day" for rate in rates) + " |",
        "|---|---|" + "---|" * len(rates),
    ]
    for at, service in enumerate(by_rate[0][0].services):
        for row, first in enumerate(service.verdicts):
            if first.choice.replicas:
                continue
            cells = []
            for rate, runs in zip(rates, by_rate, strict=True):
                there = [one.services[at].verdicts[row] for one in runs]
                cells.append(figures_of(f"cost_{service.service}_{slug(first.choice.name)}_{rate}", there))
            table.append(f"| {service.service} | {first.choice.name} | " + " | ".join(cells) + " |")
    note("\n".join(table))


def figures_of(name: str, runs: Sequence[Verdict]) -> str:
    """Print what a way saves, how often it starts and its p99; answers a cell of the table."""
    saved = [100 * one.saved for one in runs]
    starts = [one.outcome.a_day(one.outcome.cold_starts) for one in runs]
    p99_ms = [1000 * one.outcome.all.quantile_s(0.99) for one in runs]
    emit(f"{name}_saved", saved, "%", 1)
    emit(f"{name}_cold_starts", starts, "a day", 1)
    emit(f"{name}_p99", p99_ms, "ms", 1)
    if runs[0].month is not None:
        emit(f"{name}_month", [one.month or 0.0 for one in runs], "USD", 2)
    p99 = statistics.median(p99_ms)
    said = f"{p99 / 1000:.1f} s" if p99 >= 1000 else f"{p99:.1f} ms"
    return f"{statistics.median(saved):.0f} %, {said}"


def show_break_even(runs: Sequence[Sequence[BreakEven]]) -> None:
    """From how many requests a day on less than a tenth is saved."""
    table = ["| service | way to run | saves less than 10 % from |", "|---|---|---|"]
    for at, first in enumerate(runs[0]):
        found = [one[at].requests_a_day for one in runs]
        rates = [rate for rate in found if rate is not None]
        if rates and len(rates) == len(found) and min(rates) > 0:
            emit(f"cost_{first.service}_{slug(first.choice)}_break_even", rates, "requests/day", 0)
        said = (
            f"{float(f'{statistics.median(rates):.2g}'):,.0f} requests/day" if rates else "no rate looked at"
        )
        table.append(f"| {first.service} | {first.choice} | {said} |")
    note("\n".join(table))


def main() -> None:
    """Simulate, or measure what goes in."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rates", type=int, nargs="+", default=RATES, help="requests a day")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--measure", action="store_true", help="measure the services instead")
    arguments = parser.parse_args()
    if arguments.measure:
        from benchmarks._service_times import measure

        measure()
        return
    seeds = range(1, arguments.seeds + 1)
    by_rate = []
    for rate in arguments.rates:
        note(f"{rate:,} requests a day ...")
        by_rate.append([compare(inputs_of(rate, seed)) for seed in seeds])
    show(arguments.rates, by_rate)
    note("break-even ...")
    show_break_even([break_even(inputs_of(arguments.rates[0], seed)) for seed in seeds])


if __name__ == "__main__":
    main()
