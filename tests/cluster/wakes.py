"""From one pod to none, and from none to one on a request: whole, and without what the platform takes.

The platform's share is the wake of a Service that runs the barest program from the recommender's own image:
activator, scheduler, container, interpreter. What a service takes beyond it is Freshet's.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import httpx

from tests.cluster import kubectl
from tests.cluster.callers import Caller
from tests.cluster.figures import print_times, say
from tests.deploy.check import NAMESPACE

_ZERO_TIMEOUT_S = 180  # 6 s window, 30 s that the queue proxy waits for late requests, and slack
Ask = Callable[[], httpx.Response]


def pods(service: str) -> int:
    """Pods of a Knative Service, ending ones included."""
    found = kubectl.read("-n", NAMESPACE, "pods", "-l", f"serving.knative.dev/service={service}")
    return len(found["items"])


def wait_for_none(*services: str) -> dict[str, float]:
    """Wait until no pod is left; s until each was gone."""
    began_s = time.monotonic()
    gone: dict[str, float] = {}

    def look() -> bool:
        for service in services:
            if service not in gone and pods(service) == 0:
                gone[service] = time.monotonic() - began_s
        return len(gone) == len(services)

    kubectl.until(f"no pods of {services}", _ZERO_TIMEOUT_S, look, poll_s=0.5)
    return gone


def wait_until_ready(*services: str) -> None:
    """Knative says that each serves its latest revision."""
    for service in services:
        kubectl.run(
            "-n",
            NAMESPACE,
            "wait",
            "--for=condition=Ready",
            f"services.serving.knative.dev/{service}",
            "--timeout=110s",
        )


def measure(runs: int) -> None:
    """Print the wakes of all three, in one series of runs, and the way down to zero."""
    services = ("bare", "ingest", "recommender")
    callers = {name: Caller(name) for name in services}
    event = {"user_id": "waker", "event_type": "view", "item_id": "item-1"}
    asks: dict[str, tuple[str, str, object]] = {
        "bare": ("GET", "/", None),
        "ingest": ("POST", "/events", event),
        "recommender": ("GET", "/recommend/waker?n=5", None),
    }
    woken: dict[str, list[float]] = {name: [] for name in services}
    gone: dict[str, list[float]] = {name: [] for name in services}
    for run in range(runs):
        for name, seconds in wait_for_none(*services).items():
            if run:  # before the first run nobody asked
                gone[name].append(seconds)
        for name in (*services[run % 3 :], *services[: run % 3]):  # whoever is first wakes the platform, too
            seconds, answer = callers[name].timed(*asks[name])
            if answer.status_code not in {200, 202}:
                raise kubectl.ClusterError(f"{name} woke to {answer.status_code}: {answer.text[:300]}")
            woken[name].append(seconds)
            say(f"{name}: 0 → 1 in {seconds:.2f} s")
    platform_s = statistics.median(woken["bare"])
    print_times("wake_platform", woken["bare"], of="activator, pod, container, interpreter")
    for name in ("ingest", "recommender"):
        beyond_platform_ms = round((statistics.median(woken[name]) - platform_s) * 1000)
        print_times(
            f"wake_{name}",
            woken[name],
            of="request at zero pods → answer",
            beyond_platform_ms=beyond_platform_ms,
        )
    if runs > 1:
        print_times("to_zero", gone["recommender"], of="last request → no pod left; window 6 s")
