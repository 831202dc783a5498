"""What a service settles for its process before it loads anything else: its `__main__` imports this first."""

from __future__ import annotations

import gc
import os
import sys

# Loading a service makes 100,000 objects and hardly any garbage, for which the collector would look through
# all of them again and again. `tune_garbage_collector` turns it on once the service runs.
gc.disable()

# numpy's BLAS starts a thread a core with the process, which spin for some 50 ms of CPU; an answer here is
# made in one thread, beside others. Whoever wants more says so in the environment.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# redis-py looks for OpenTelemetry's metrics, 25 ms and 2 MB where the extra `otel` is installed, to count for
# an application that reads those counts. Nothing here does; traces need none of it.
sys.modules.setdefault("opentelemetry.sdk.metrics", None)  # type: ignore[arg-type] # Python's way to say no
