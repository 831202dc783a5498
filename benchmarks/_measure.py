"""How a figure is printed: one JSON object a line on stdout, a table for people on stderr."""

from __future__ import annotations

import json
import platform
import statistics
import sys
from collections.abc import Sequence


def percentile(values: Sequence[float], percent: float) -> float:
    """The value at `percent` (0–100) of the sorted values, nearest rank."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def emit(name: str, runs: Sequence[float], unit: str, digits: int = 2, **more: object) -> None:
    """Print one figure: the median of the runs, their spread, what else describes it."""
    line = {
        "name": name,
        "value": round(statistics.median(runs), digits),
        "unit": unit,
        "min": round(min(runs), digits),
        "max": round(max(runs), digits),
        "runs": len(runs),
        **more,
    }
    print(json.dumps(line), flush=True)
    note(f"{name:<46} {line['value']:>12,} {unit:<8} ({line['min']:,} to {line['max']:,}, {len(runs)} runs)")


def note(text: str) -> None:
    """Say something to the person who watches."""
    print(text, file=sys.stderr, flush=True)


def machine() -> str:
    """The machine in a few words, for a figure's context."""
    return f"{platform.machine()} Python {platform.python_version()}"
