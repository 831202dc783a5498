"""A profiler in a process of its own, `python -m tests.e2e.crash_profiler`, that dies at a named point.

Arguments: settings as JSON, the point (or "-"), and at which pass of it to die.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys

from services.kernel.metrics import Metrics
from services.log.open import open_log
from services.profiler.app import Profiler
from services.profiler.faults import Fault
from services.profiler.settings import ProfilerSettings
from services.store.connection import connect


def killer(point: str, passes: int) -> Fault:
    """A fault that lets the process die like a machine that loses power."""
    left = passes

    def fault(reached: str) -> None:
        nonlocal left
        if reached == point:
            left -= 1
            if left <= 0:
                os.kill(os.getpid(), signal.SIGKILL)

    return fault


async def main() -> None:
    settings = ProfilerSettings(**json.loads(sys.argv[1]))
    fault = killer(sys.argv[2], int(sys.argv[3]))
    log, connection = open_log(settings), connect(settings)
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    profiler = Profiler(settings, log, connection, Metrics(), fault=fault)
    try:
        async with profiler.running():
            await stopped.wait()
    finally:
        await connection.close()
        await log.close()


if __name__ == "__main__":
    asyncio.run(main())
