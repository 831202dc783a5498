"""Results on standard output: JSON for programs, a table for people."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import msgspec


def print_json(result: Any) -> None:
    """One JSON value, indented."""
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(result), indent=2).decode() + "\n")


def print_line(text: str = "") -> None:
    """One line."""
    sys.stdout.write(text + "\n")


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Columns as wide as their widest cell; nothing is cut, so that it can be searched."""
    widths = [max(len(row[column]) for row in [header, *rows]) for column in range(len(header))]
    for row in [header, *rows]:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        print_line("  ".join(cells).rstrip())


def say(text: str) -> None:
    """A remark beside the result, on standard error."""
    sys.stderr.write(text + "\n")
