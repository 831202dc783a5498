"""A reader of the log that KEDA starts and stops: it looks at the lag now and then, and stops on a cooldown.

Lag is what is written and not committed. At zero it stays, so that the next look sees it; while the reader
runs it lasts from the arrival until the commit after it, so that a look may miss it. The cooldown counts from
the last look that saw lag. A reader may therefore be stopped although events come, and be started again.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from services.cost.error import CostError
from services.cost.load import Load
from services.cost.outcome import Outcome
from services.cost.queue import Floats, billed_s, completions


@dataclass(frozen=True, slots=True)
class Keda:
    """`poll_s` between two looks at the lag, the first at `phase_s`; `cooldown_s` from the last lag seen to
    zero; `commit_s` from a record's effect to its commit. `platform_s`, `start_s`: as in Scaling.
    """

    poll_s: float = 5.0
    cooldown_s: float = 60.0
    commit_s: float = 2.0
    platform_s: float = 0.0
    start_s: float = 0.0
    phase_s: float = 0.0
    quantum_s: float = 0.1

    def __post_init__(self) -> None:
        """Check what would make no sense. Raises CostError."""
        if self.poll_s <= 0 or min(self.cooldown_s, self.commit_s, self.platform_s, self.start_s) < 0:
            raise CostError("the polling interval must be above 0, and no time below")

    def look_after(self, times_s: Floats) -> Floats:
        """The first look at or after each moment."""
        return np.ceil((times_s - self.phase_s) / self.poll_s) * self.poll_s + self.phase_s

    def look_before(self, times_s: Floats) -> Floats:
        """The last look at or before each moment."""
        return np.floor((times_s - self.phase_s) / self.poll_s) * self.poll_s + self.phase_s


def simulate_keda(load: Load, keda: Keda) -> Outcome:
    """What happens to records that arrive as `load` says, by at most one reader; latency: to the effect."""
    outcome = Outcome(length_s=load.length_s)
    if not len(load):
        return outcome
    arrivals = load.arrivals
    runs = _runs(load, keda)
    first = np.array([run[0] for run in runs], np.int64)
    sizes = np.diff(np.concatenate((first, [len(load)])))
    ready = np.array([run[1] for run in runs])
    gone = np.minimum(np.array([run[2] for run in runs]), load.length_s)
    decided = np.minimum(ready - keda.platform_s - keda.start_s, load.length_s)
    outcome.instance_s = float(np.maximum(0.0, gone - decided).sum())
    outcome.cold_starts = len(runs)
    outcome.start_s = len(runs) * keda.start_s
    outcome.most_instances = 1
    outcome.work_s = float(load.work.sum())
    begin = np.maximum(arrivals, np.repeat(ready, sizes))
    done = load.answered(completions(begin, load.work))
    outcome.record(done - arrivals, arrivals < np.repeat(ready, sizes))
    outcome.billed_s = billed_s(begin, done, keda.quantum_s)
    return outcome


def _runs(load: Load, keda: Keda) -> list[tuple[int, float, float]]:
    """Each run of the reader: its first record, when it is ready, when it is gone (s)."""
    arrivals = load.arrivals
    committed = load.answered(completions(arrivals, load.work)) + keda.commit_s
    # 1. Of a running reader: the records whose lag a look sees, the first look that does and the last.
    first_s, final_s = keda.look_after(arrivals), keda.look_before(committed)
    first_look, seen = first_s, np.flatnonzero(final_s >= first_s)
    seen_at, first_s, final_s = arrivals[seen], first_s[seen], np.maximum.accumulate(final_s[seen])
    # 2. Where the chain of looks that see lag breaks for longer than the cooldown.
    breaks = np.append(np.flatnonzero(first_s[1:] - final_s[:-1] > keda.cooldown_s), len(seen) - 1)
    runs: list[tuple[int, float, float]] = []
    at = 0
    while at < len(load):  # 3. from run to run
        ready_s = float(first_look[at]) + keda.platform_s + keda.start_s
        waiting = max(at + 1, int(np.searchsorted(arrivals, ready_s, side="left")))
        caught_up_s = ready_s + float(load.work[at:waiting].sum()) + keda.commit_s
        last_s = float(keda.look_before(np.array(caught_up_s)))
        follower = int(np.searchsorted(seen_at, ready_s, side="left"))
        if follower < len(seen) and first_s[follower] - last_s <= keda.cooldown_s:
            last_s = max(last_s, float(final_s[breaks[np.searchsorted(breaks, follower, side="left")]]))
        gone_s = last_s + keda.cooldown_s
        runs.append((at, ready_s, gone_s))
        at = max(waiting, int(np.searchsorted(arrivals, gone_s, side="left")))
    return runs
