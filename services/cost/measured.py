"""Every figure that was measured or looked up, in one table, each with what shows it.

All of them are inputs of `freshet cost` (`--figure NAME=VALUE`). `by` names the program that measures a
figure or the page that has it; `settled` is False where it stands in for one that nobody has measured yet on
a quiet machine or a real node, and the command says so.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Final

from services.cost.error import CostError


@dataclass(frozen=True, slots=True)
class Figure:
    """A number with its origin. Its unit is the end of its name."""

    value: float
    by: str
    settled: bool = True


_TIMES: Final = "make bench-cost ARGS=--measure"
_FRESHNESS: Final = "make bench-freshness"
_COLDSTART: Final = "make bench-coldstart"
_CLUSTER: Final = "make test-cluster"
_DEPLOY: Final = "deploy/knative"
# Prices change: check them, and give your own.
_LIST: Final = "Cloud Run list price, tier 1, September 2025; check cloud.google.com/run/pricing"

# SERVICE.cpu_ms: CPU of a request, which occupies the instance. p50_ms, p99_ms: until the answer, one at a
# time. start_ms: from exec to the first answer. X.platform_ms: from the decision to start an instance to exec
# (scheduling, network, container).
FIGURES: Final[Mapping[str, Figure]] = MappingProxyType(
    {
        "ingest.cpu_ms": Figure(0.31, _TIMES),
        "ingest.p50_ms": Figure(0.42, _TIMES),
        "ingest.p99_ms": Figure(0.90, _TIMES),
        "ingest.start_ms": Figure(144, _COLDSTART),
        "recommender.cpu_ms": Figure(2.3, _TIMES),
        "recommender.p50_ms": Figure(2.3, _TIMES),
        "recommender.p99_ms": Figure(3.4, _TIMES),
        "recommender.start_ms": Figure(278, _COLDSTART),
        # push: a record a request; pull: records in batches
        "push.cpu_ms": Figure(0.84, _TIMES),
        "push.p50_ms": Figure(1.3, _TIMES),
        "push.p99_ms": Figure(1.6, _TIMES),
        "pull.cpu_ms": Figure(0.029, "make bench-profiler"),
        "pull.p50_ms": Figure(1.5, _FRESHNESS),
        "pull.p99_ms": Figure(2.5, _FRESHNESS),
        "profiler.start_ms": Figure(280, f"{_COLDSTART}: coldstart_effect_kafka"),
        "knative.platform_ms": Figure(977, _CLUSTER),
        # From the replica asked for to the profile, 1,262 ms, less what is the profiler's own.
        "keda.platform_ms": Figure(980, _CLUSTER),
        # Google publishes none.
        "cloudrun.platform_ms": Figure(1000, "your own Cloud Run metrics", settled=False),
        "knative.window_s": Figure(60, "Knative config-autoscaler, stable-window"),
        "knative.panic_s": Figure(6, "Knative config-autoscaler, panic-window-percentage 10"),
        "knative.grace_s": Figure(
            30, "Knative config-autoscaler, scale-to-zero-grace-period: an upper bound"
        ),
        "knative.utilisation": Figure(
            0.7, "Knative config-autoscaler, container-concurrency-target-percentage"
        ),
        "ingest.retention_s": Figure(300, f"{_DEPLOY}: scale-to-zero-pod-retention-period"),
        "recommender.retention_s": Figure(300, f"{_DEPLOY}: scale-to-zero-pod-retention-period"),
        "push.retention_s": Figure(60, f"{_DEPLOY}: scale-to-zero-pod-retention-period"),
        "ingest.delay_s": Figure(0, f"{_DEPLOY}: scale-down-delay"),
        "recommender.delay_s": Figure(60, f"{_DEPLOY}: scale-down-delay"),
        "ingest.target": Figure(50, f"{_DEPLOY}: autoscaling.knative.dev/target"),
        "recommender.target": Figure(25, f"{_DEPLOY}: autoscaling.knative.dev/target"),
        "ingest.max_scale": Figure(10, f"{_DEPLOY}: autoscaling.knative.dev/max-scale"),
        "recommender.max_scale": Figure(10, f"{_DEPLOY}: autoscaling.knative.dev/max-scale"),
        "keda.poll_s": Figure(5, f"{_DEPLOY}: pollingInterval"),
        "keda.cooldown_s": Figure(60, f"{_DEPLOY}: cooldownPeriod"),
        "keda.commit_s": Figure(2, "FRESHET_COMMIT_DELAY_MS"),
        "crema.poll_s": Figure(60, "deploy/cloudrun: CREMA asked by Cloud Scheduler"),
        "crema.cooldown_s": Figure(60, "CREMA says none: one look without lag", settled=False),
        "cloudrun.idle_s": Figure(900, "Cloud Run keeps an idle instance up to 15 minutes"),
        "cloudrun.quantum_s": Figure(0.1, "Cloud Run rounds up to 100 ms"),
        "ingest.vcpu": Figure(1, "Cloud Run's least for more than one request at a time"),
        "ingest.memory_gib": Figure(0.5, "deploy/cloudrun"),
        "recommender.vcpu": Figure(1, "Cloud Run's least for more than one request at a time"),
        "recommender.memory_gib": Figure(1, "deploy/cloudrun/recommender.yaml"),
        "profiler.vcpu": Figure(1, "Cloud Run's least for more than one request at a time"),
        "profiler.memory_gib": Figure(0.5, "deploy/cloudrun"),
        # US dollars, beyond the free tier, without discounts for commitment
        "price.request.cpu_s": Figure(24e-6, _LIST),
        "price.request.gib_s": Figure(2.5e-6, _LIST),
        "price.request.idle_cpu_s": Figure(2.5e-6, _LIST),
        "price.request.idle_gib_s": Figure(2.5e-6, _LIST),
        "price.request.request": Figure(0.4e-6, _LIST),
        "price.instance.cpu_s": Figure(18e-6, _LIST),
        "price.instance.gib_s": Figure(2e-6, _LIST),
        "price.pool.cpu_s": Figure(
            18e-6, "as by instance; worker pools have a lower price of their own: check"
        ),
        "price.pool.gib_s": Figure(
            2e-6, "as by instance; worker pools have a lower price of their own: check"
        ),
        # What a vCPU and a GiB of your nodes cost you; 0: nobody said, and hours are all there is to compare.
        "price.node.cpu_s": Figure(0, "yours"),
        "price.node.gib_s": Figure(0, "yours"),
    }
)
MONTH_S: Final = 730 * 3600.0  # as price lists count it


@dataclass(frozen=True, slots=True)
class Figures:
    """The table, with what the user said instead."""

    table: Mapping[str, Figure] = field(default_factory=lambda: FIGURES)

    def __getitem__(self, name: str) -> float:
        """The value of a figure."""
        return self.table[name].value

    def instead(self, said: Mapping[str, float]) -> Figures:
        """With these values. Raises CostError for a name that is not in the table, or a value below 0."""
        changed = dict(self.table)
        for name, value in said.items():
            if name not in changed:
                near = difflib.get_close_matches(name, changed, 1)
                hint = f"; did you mean {near[0]}?" if near else ""
                raise CostError(f"there is no figure {name}{hint} (freshet cost --figures lists them)")
            if not value >= 0:
                raise CostError(f"{name} cannot be {value}")
            changed[name] = replace(changed[name], value=value, by="as you said", settled=True)
        return Figures(MappingProxyType(changed))

    def unsettled(self) -> list[str]:
        """Names of figures that still stand in for measured ones."""
        return [name for name, figure in self.table.items() if not figure.settled]


@dataclass(frozen=True, slots=True)
class Prices:
    """US dollars. `cpu_s`, `gib_s`: a vCPU and a GiB for a second; `idle_…`: of an instance that is kept
    without a request; `request`: one request.
    """

    cpu_s: float
    gib_s: float
    idle_cpu_s: float = 0.0
    idle_gib_s: float = 0.0
    request: float = 0.0
