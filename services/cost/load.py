"""What arrives, and how a platform scales: the input of every simulation."""

from __future__ import annotations

from dataclasses import dataclass

from services.cost.error import CostError
from services.cost.queue import Floats, Selection


@dataclass(frozen=True, slots=True)
class Load:
    """Requests of one period of `length_s` seconds.

    `arrivals` (n,) s from its beginning, never falling, all in [0, length_s); `work` (n,) s; `holds` (n,) s
    or None: until when a request keeps its instance although it needs no work (a stream that stays open);
    `wait_ratio`: as in Work.
    """

    arrivals: Floats
    work: Floats
    length_s: float
    holds: Floats | None = None
    wait_ratio: float = 0.0

    def answered(self, done: Floats, chosen: Selection = slice(None)) -> Floats:
        """When the chosen requests are answered, (n,) s, whose work is done at `done`."""
        return done + self.wait_ratio * self.work[chosen] if self.wait_ratio else done

    def __len__(self) -> int:
        """How many requests."""
        return len(self.arrivals)


@dataclass(frozen=True, slots=True)
class Scaling:
    """How many instances there are, when.

    An idle last instance goes after `idle_s`. From the decision to start an instance to its first answer pass
    `platform_s` (noticing, scheduling, the image) and `start_s` (ours: from exec on). More than one instance
    there is as Knative's autoscaler decides: for `target` requests in flight each, over `window_s` or, when
    that is exceeded, `panic_s`; fewer only after it has wanted fewer for `delay_s`. Billing is in units of
    `quantum_s`.
    """

    min_scale: int = 0
    max_scale: int = 10
    idle_s: float = 90.0
    platform_s: float = 0.0
    start_s: float = 0.0
    target: float = 28.0
    window_s: float = 60.0
    panic_s: float = 6.0
    delay_s: float = 0.0
    quantum_s: float = 0.1

    def __post_init__(self) -> None:
        """Check what would make no sense. Raises CostError."""
        if not 0 <= self.min_scale <= self.max_scale or self.max_scale < 1:
            raise CostError(
                f"scale needs 0 ≤ min ≤ max and max ≥ 1, not {self.min_scale} and {self.max_scale}"
            )
        if min(self.idle_s, self.platform_s, self.start_s, self.delay_s) < 0:
            raise CostError("times cannot be negative")
        if self.target <= 0 or not 0 < self.panic_s <= self.window_s or self.quantum_s <= 0:
            raise CostError("target, quantum and windows must be above 0, the panic window within the other")

    @property
    def cold_s(self) -> float:
        """From the decision to start an instance to when it takes its first request."""
        return self.platform_s + self.start_s
