"""The command line of the cost model."""

from __future__ import annotations

import argparse
from typing import Any, Final

from services.cli.parser_flags import add_command, count, json_flag, share, unit_flag

SERVICES: Final = ("ingest", "recommender", "profiler")
_TEXT: Final = """\
Simulate your arrivals on every way to run a service: always on (replicas for the busiest minute), Knative
with min-scale 1 and to zero, KEDA, and Cloud Run by request and by instance. Shown are instance-hours, cold
starts, latencies with them, and US dollars. docs/COST.md has the method, and where scaling to zero loses."""
_EPILOG: Final = """\
  freshet cost                                        the demo shop, a visit of 10 requests for each order
  freshet cost --scale 1000,10000,100000,1000000      the same shop at other sizes
  freshet cost --break-even                           up to which size each way to run pays
  freshet cost --trace access.ndjson --map timestamp=time
  freshet cost --trace archive --scale 50000 --streams 30 --json
  freshet cost --figure recommender.start_ms=520 --figure price.node.cpu_s=0.000009
  freshet cost --figures                              every figure, with what measures it"""


def cost_command(commands: Any) -> None:
    """`freshet cost`."""
    command = add_command(
        commands, "cost", "cost:cost", "simulate what scale-to-zero saves, and what it costs"
    )
    command.description, command.epilog = _TEXT, _EPILOG
    _trace_flags(command)
    _figure_flags(command)
    add = command.add_argument
    add(
        "--services",
        type=_services,
        default=SERVICES,
        metavar="NAME,…",
        help=f"some of {', '.join(SERVICES)} (default: all)",
    )
    add("--limit-ms", type=float, default=100.0, metavar="MS", help="p99 that callers bear (default 100)")
    add(
        "--freshness-limit-s",
        type=float,
        default=10.0,
        metavar="S",
        help="p99 from a record to its effect that is borne (default 10)",
    )
    add("--requests-max", type=count, metavar="N", help="simulate at most so many (default 10 million)")
    add("--seed", type=count, default=1, help="same seed, same result (default 1)")
    what = command.add_mutually_exclusive_group()
    what.add_argument("--break-even", action="store_true", help="find the rate up to which 10 %% are saved")
    what.add_argument("--figures", action="store_true", help="list the figures that go in, and end")
    what.add_argument("--plot", metavar="FILE", help="draw savings over --scale as FILE.svg or FILE.png")
    json_flag(command)


def _trace_flags(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    add(
        "--trace",
        default="demo",
        metavar="demo|FILE|URL",
        help="when requests came: the demo shop's orders (default), CSV, NDJSON or Parquet, or an archive",
    )
    add("--format", choices=("csv", "tsv", "ndjson", "parquet"), help="of the file (default: by the name)")
    add("--delimiter", metavar="CHARACTER", help="of a CSV file (default ,)")
    add(
        "--map",
        action="append",
        default=[],
        metavar="timestamp=COLUMN",
        help="the column that has the times (default: timestamp)",
    )
    unit_flag(command)
    add("--scale", type=_rates, metavar="X,…", help="requests a day (default: as many as the trace has)")
    add(
        "--visit-requests",
        type=count,
        metavar="N",
        help="requests that a row stands for, the last at its time (default 1; demo: 10)",
    )
    add(
        "--visit-spacing-s",
        type=_amount,
        default=30.0,
        metavar="S",
        help="mean time between requests of a visit (default 30)",
    )
    add(
        "--streams",
        type=_amount,
        metavar="S",
        help="each visit keeps a stream of recommendations open until S seconds after its last request",
    )


def _figure_flags(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    add(
        "--utilisation",
        type=share,
        default=0.65,
        metavar="U",
        help="of an always-on replica in the busiest minute (default 0.65)",
    )
    add("--replicas-min", type=count, default=1, metavar="N", help="least that is always on (default 1)")
    add(
        "--figure",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="instead of a measured figure or a list price; may be repeated",
    )
    add("--price-cpu-s", type=_amount, metavar="USD", help="Cloud Run by request: a vCPU for a second")
    add("--price-gib-s", type=_amount, metavar="USD", help="Cloud Run by request: a GiB for a second")
    add("--price-request", type=_amount, metavar="USD", help="Cloud Run by request: a request")
    add("--vcpu", type=_amount, metavar="N", help="of every instance (default 1)")
    add("--memory-gib", type=_amount, metavar="N", help="of every instance (default 0.5)")


def _services(text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",")))
    if set(names) - set(SERVICES):
        raise argparse.ArgumentTypeError(f"takes some of {', '.join(SERVICES)}")
    return names


def _rates(text: str) -> list[float]:
    rates = [float(part) for part in text.split(",")]
    if not all(0 < rate < float("inf") for rate in rates):
        raise argparse.ArgumentTypeError("takes requests a day, as 1000,100000")
    return rates


def _amount(text: str) -> float:
    number = float(text)
    if not 0 <= number < float("inf"):
        raise argparse.ArgumentTypeError("must be 0 or more")
    return number
