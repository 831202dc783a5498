"""One JSON object a line on standard output, as the benches print theirs."""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Sequence
from typing import Any


def print_times(name: str, times_s: Sequence[float], **more: Any) -> None:
    """Median and spread of times given in s, printed in ms."""
    times_ms = [round(one * 1000) for one in times_s]
    print_line(
        name,
        value=round(statistics.median(times_ms)),
        unit="ms",
        min=min(times_ms),
        max=max(times_ms),
        runs=len(times_ms),
        **more,
    )


def print_line(name: str, **fields: Any) -> None:
    """A figure with the day it was taken."""
    day = time.strftime("%Y-%m-%d", time.gmtime())
    print(json.dumps({"name": name, **fields, "date": day}), flush=True)


def say(text: str) -> None:
    """Progress, for whoever watches."""
    print(f"[{time.strftime('%H:%M:%S')}] {text}", file=sys.stderr, flush=True)
