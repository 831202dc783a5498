"""How long this process took to start, as far as a process can tell: from its first moment to each step."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, Literal

from services.http.health import ReadyCheck
from services.kernel.metrics import START, START_TIME, Metrics

Step = Literal["loaded", "store", "log", "release", "catalogue", "listening", "ready", "work"]

# Who woke a service is let through as soon as it is ready. What comes later than this had not waited for it.
WAITED_S: Final = 2.0
# How late `ready` is seen at most; while a start is under way most checks fail without asking anybody.
_LOOK_MIN_S: Final = 0.005
_LOOK_MAX_S: Final = 1.0
_CHECK_S: Final = 1.0


def began_s() -> float:
    """When this process began, on the monotonic clock: to 10 ms, or this moment where no one can say."""
    now_s = time.monotonic()
    with suppress(OSError, ValueError, IndexError, AttributeError):  # not Linux, or no /proc
        # After the name, which may hold anything, in brackets; the 20th of the rest counts from the boot.
        ticks = Path("/proc/self/stat").read_bytes().rpartition(b")")[2].split()[19]
        began_after_boot_s = int(ticks) / os.sysconf("SC_CLK_TCK")
        return now_s - max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - began_after_boot_s)
    return now_s


_BEGAN_S: Final = began_s()


class Start:
    """The start of one service, in a process of its own or beside others: each step counts once."""

    def __init__(
        self,
        metrics: Metrics,
        service: str,
        *,
        process_began_s: float = _BEGAN_S,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._service = service
        self._began_s = process_began_s
        self._clock_s = clock_s
        self._gauge = metrics.gauge(START)
        self._reached_s: dict[Step, float] = {}
        self._has_worked = False
        began_at = time.time() - (clock_s() - process_began_s)
        metrics.gauge(START_TIME).labels(service).set(round(began_at, 2))

    def reached(self, step: Step) -> None:
        """The start has come to this step. Later calls change nothing."""
        if step not in self._reached_s:
            self._reached_s[step] = took_s = self._clock_s() - self._began_s
            self._gauge.labels(self._service, step).set(took_s)

    def worked(self) -> None:
        """The service has done what it is for; tells of the first time, unless nobody had waited for it."""
        if self._has_worked:
            return
        self._has_worked = True
        ready_s = self._reached_s.get("ready")
        if ready_s is None or self._clock_s() - self._began_s - ready_s <= WAITED_S:
            self.reached("work")

    async def watch(self, checks: Sequence[ReadyCheck]) -> None:
        """Return when all checks of `/readyz` have passed."""
        pause_s = _LOOK_MIN_S
        while not await _all_pass(checks):
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 1.2, _LOOK_MAX_S)
        self.reached("ready")


async def _all_pass(checks: Sequence[ReadyCheck]) -> bool:
    try:
        async with asyncio.timeout(_CHECK_S):
            for check in checks:
                await check()
    except Exception:  # /readyz tells why
        return False
    return True
