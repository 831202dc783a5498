"""`freshet cost`: what scale-to-zero saves on a trace, and what it costs in latency."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from services.cli.failure import EXIT_OK, CommandError
from services.cli.output import print_json, say
from services.cli.parser_cost import SERVICES
from services.cli.progress import progress

if TYPE_CHECKING:
    from services.cost.choices import Tell
    from services.cost.compare import Inputs
    from services.cost.measured import Figures

DEMO_VISIT_REQUESTS: Final = 10  # that an order of the demo stands for: an assumption, --visit-requests


def cost(arguments: argparse.Namespace) -> int:
    """Simulate and show."""
    from services.cli.cost_tables import print_figures
    from services.cost.error import CostError

    try:
        figures = _figures(arguments)
        if arguments.figures:
            print_figures(figures, as_json=arguments.as_json)
        else:
            plot = _plot_path(arguments.plot)
            _run(inputs_of(arguments, figures), arguments, plot)
    except CostError as error:
        raise CommandError(str(error)) from None
    return EXIT_OK


def inputs_of(arguments: argparse.Namespace, figures: Figures) -> Inputs:
    """What the command line asks. Raises CommandError, CostError."""
    from services.cli.cost_trace import read_trace
    from services.cost.compare import Inputs
    from services.cost.trace import REQUESTS_MAX, Visits

    requests = arguments.visit_requests or (DEMO_VISIT_REQUESTS if arguments.trace == "demo" else 1)
    trace = read_trace(arguments)
    return Inputs(
        trace,
        trace.a_day * requests,
        Visits(requests, arguments.visit_spacing_s, arguments.streams),
        figures,
        arguments.services,
        utilisation=arguments.utilisation,
        replicas_min=arguments.replicas_min,
        limit_ms=arguments.limit_ms,
        freshness_limit_ms=arguments.freshness_limit_s * 1000,
        requests_max=arguments.requests_max or REQUESTS_MAX,
        seed=arguments.seed,
    )


def _run(inputs: Inputs, arguments: argparse.Namespace, plot: Path | None) -> None:
    from services.cli.cost_tables import print_break_even, print_comparison, print_sweep, report_of
    from services.cost.compare import break_even, sweep

    if arguments.break_even:
        with progress("looking for the break-even", 1.0, quiet=arguments.as_json) as show:
            found = break_even(inputs, tell=_tell(show))
        print_break_even(inputs, found, as_json=arguments.as_json)
        return
    with progress("simulating", 1.0, quiet=arguments.as_json) as show:
        comparisons = sweep(inputs, arguments.scale or [inputs.requests_a_day], _tell(show))
    if plot is not None:
        from services.cli.cost_plot import draw_sweep

        draw_sweep(report_of(inputs, comparisons), plot)
        say(f"drawn in {plot}")
    if arguments.as_json:
        print_json(report_of(inputs, comparisons))
    elif len(comparisons) == 1:
        print_comparison(inputs, comparisons[0])
    else:
        print_sweep(inputs, comparisons)


def _tell(show: Callable[[float, str], None]) -> Tell:
    return lambda what, done: show(done, what)


def _figures(arguments: argparse.Namespace) -> Figures:
    from services.cost.measured import Figures

    said: dict[str, float] = {}
    for text in arguments.figure:
        name, _, value = text.partition("=")
        try:
            said[name.strip()] = float(value)
        except ValueError:
            raise CommandError(
                f"--figure takes NAME=VALUE with a number, as --figure recommender.start_ms=520; not {text!r}"
            ) from None
    short: dict[str, Any] = {
        "price.request.cpu_s": arguments.price_cpu_s,
        "price.request.gib_s": arguments.price_gib_s,
        "price.request.request": arguments.price_request,
        **{f"{service}.vcpu": arguments.vcpu for service in SERVICES},
        **{f"{service}.memory_gib": arguments.memory_gib for service in SERVICES},
    }
    return Figures().instead(said | {name: value for name, value in short.items() if value is not None})


def _plot_path(text: str | None) -> Path | None:
    """Refused before the work, not after it."""
    if text is None:
        return None
    path = Path(text)
    if path.suffix.lower() not in {".svg", ".png"}:
        raise CommandError(f"--plot {text}: the name ends in .svg or .png")
    if not path.absolute().parent.is_dir():
        raise CommandError(f"--plot {text}: there is no directory {path.absolute().parent}")
    return path
