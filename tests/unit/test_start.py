"""The start of a service as it tells it: steps count once, from the process's beginning."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from services.http.start import WAITED_S, Start
from services.kernel.metrics import Metrics

ROOT = Path(__file__).resolve().parents[2]


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def start(metrics: Metrics, clock: Clock) -> Start:
    return Start(metrics, "profiler", process_began_s=999.5, clock_s=clock)


def told(metrics: Metrics) -> dict[str, float]:
    pattern = r'^freshet_start_seconds\{service="profiler",step="(\w+)"\} (\S+)$'
    return {step: float(s) for step, s in re.findall(pattern, metrics.exposition().decode(), re.MULTILINE)}


def test_a_step_counts_from_the_process_s_beginning_and_once(
    start: Start, metrics: Metrics, clock: Clock
) -> None:
    assert told(metrics) == {}, "what has not happened is not 0"
    start.reached("loaded")
    clock.now_s += 1
    start.reached("release")
    clock.now_s += 60
    start.reached("release")  # the next promotion
    assert told(metrics) == {"loaded": 0.5, "release": 1.5}


@pytest.mark.parametrize(("later_s", "counts"), [(0.0, True), (WAITED_S, True), (WAITED_S + 0.1, False)])
def test_the_first_work_counts_where_somebody_may_have_waited_for_it(
    start: Start, metrics: Metrics, clock: Clock, later_s: float, counts: bool
) -> None:
    start.reached("ready")
    clock.now_s += later_s
    start.worked()
    clock.now_s += 1
    start.worked()
    assert told(metrics).get("work") == (0.5 + later_s if counts else None)


def test_work_before_it_is_ready_was_waited_for(start: Start, metrics: Metrics, clock: Clock) -> None:
    clock.now_s += 9
    start.worked()
    start.reached("ready")
    assert told(metrics) == {"work": 9.5, "ready": 9.5}


def test_it_is_ready_when_every_check_passes(start: Start, metrics: Metrics) -> None:
    looks = 0

    async def passes() -> None:
        pass

    async def passes_later() -> None:
        nonlocal looks
        looks += 1
        if looks < 4:
            assert "ready" not in told(metrics)
            raise ConnectionError("not yet")

    asyncio.run(start.watch([passes, passes_later]))
    assert looks == 4
    assert "ready" in told(metrics)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="where it cannot be known, it is the import")
def test_a_process_began_after_who_made_it_and_before_its_first_line() -> None:
    code = (
        "import time; first_line_s = time.monotonic()\n"
        "from services.http.start import _BEGAN_S\n"
        "print(_BEGAN_S, first_line_s, time.monotonic())"
    )
    before_s = time.monotonic()
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    began_s, first_line_s, _ = map(float, ran.stdout.split())
    tick_s = 1 / os.sysconf("SC_CLK_TCK")  # the kernel rounds down
    assert before_s - tick_s <= began_s <= first_line_s
