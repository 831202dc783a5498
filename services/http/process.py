"""What a service settles for its process before it loads anything else: its `__main__` imports this first."""

from __future__ import annotations

import gc
import os

# Loading a service makes 100,000 objects and hardly any garbage, for which the collector would look through
# all of them again and again. `tune_garbage_collector` turns it on once the service runs.
gc.disable()

# numpy's BLAS starts a thread a core with the process, which spin for some 50 ms of CPU; an answer here is
# made in one thread, beside others. Whoever wants more says so in the environment.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
