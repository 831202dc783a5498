"""Pieces of the command line that several commands share."""

from __future__ import annotations

import argparse
from typing import Any


def table_flags(command: argparse.ArgumentParser, when: str = "") -> None:
    """--items and --vectors: the id table of a graph. `when` begins their help where they are optional."""
    command.add_argument(
        "--items",
        required=not when,
        metavar="I",
        help=f"{when}the id table, in index order: NDJSON, CSV, Parquet, a JSON list, or one id a line",
    )
    command.add_argument("--vectors", metavar="V.npy", help=f"{when}item vectors, floats [items, d]")


def share(text: str) -> float:
    """A number between 0 and 1, without the ends."""
    number = float(text)
    if not 0.0 < number < 1.0:
        raise argparse.ArgumentTypeError("must lie between 0 and 1")
    return number


def file_flags(command: argparse.ArgumentParser) -> None:
    """A file of rows, how it is read, and where it goes."""
    command.add_argument("file", help="CSV, TSV, NDJSON or Parquet, gzipped or not; - reads standard input")
    command.add_argument("--format", choices=("csv", "tsv", "ndjson", "parquet"), help="default: by the name")
    command.add_argument("--delimiter", metavar="CHARACTER", help="of a CSV file (default ,)")
    mapping_flags(command)
    command.add_argument(
        "--decimal-comma", action="store_true", help="prices and other numbers are written 1.234,50"
    )
    command.add_argument(
        "--dry-run", action="store_true", help="show the first rows as they would be sent, and send nothing"
    )
    command.add_argument("--rejects", metavar="FILE", help="where rejected rows are listed with reasons")
    command.add_argument(
        "--patience-s",
        type=float,
        metavar="S",
        default=120.0,
        help="how long to wait for a server that is away (default 120)",
    )
    server_flags(command)


def mapping_flags(command: argparse.ArgumentParser) -> None:
    """--map and --set: how columns are named."""
    command.add_argument(
        "--map",
        action="append",
        default=[],
        metavar="NAME=COLUMN",
        help="take NAME from this column, e.g. --map item_id=sku; may be repeated",
    )
    command.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="the same value in every row, e.g. --set event_type=purchase; may be repeated",
    )


def unit_flag(command: argparse.ArgumentParser) -> None:
    """--timestamp-unit."""
    command.add_argument(
        "--timestamp-unit",
        choices=("s", "ms", "us", "ns"),
        help="unit of numeric timestamps (default: by magnitude)",
    )


def server_flags(command: argparse.ArgumentParser) -> None:
    """--url, --key, --json: a running Freshet."""
    command.add_argument("--url", help="the running Freshet (default: this machine, FRESHET_PORT)")
    command.add_argument("--key", help="API key (default: the first of FRESHET_KEYS)")
    json_flag(command)


def json_flag(command: argparse.ArgumentParser) -> None:
    """--json."""
    command.add_argument(
        "--json", dest="as_json", action="store_true", help="print the result as JSON, a failure too"
    )


def add_group(commands: Any, name: str, text: str) -> Any:
    """Commands under a name, as `freshet release` has."""
    group = commands.add_parser(name, help=text, description=text)
    return group.add_subparsers(metavar="COMMAND", required=True)


def add_command(
    commands: Any, name: str, handler: str, text: str, *, example: str = ""
) -> argparse.ArgumentParser:
    """A command; `handler` is `module:function` below services.cli, imported when it is chosen.

    `example`: lines that work as they stand. Where more is to be said, an epilog says it with examples.
    """
    lines = "\n".join(f"  {line}" for line in example.splitlines())
    command: argparse.ArgumentParser = commands.add_parser(
        name, help=text, description=text, epilog=f"for instance:\n{lines}" if example else None
    )
    command.set_defaults(handler=handler)
    return command


def count(text: str) -> int:
    """A whole number from 1."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number
