"""The catalogue of metrics of all services, and the small factory that makes them in one registry.

A metric is declared here once, with its help text and labels, and nowhere else. Each app has a registry of
its own (several apps may live in one process); `Metrics` hands out the same object for the same declaration.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import generate_latest

# 1 ms to 10 s: answers take a few ms, the longest wait for the log's acknowledgement is 5 s.
_LATENCY_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.08, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric as it is published. Labels take a closed, small set of values: never an id."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = _LATENCY_S


HTTP_REQUESTS = Metric(
    "freshet_http_requests_total",
    "counter",
    "HTTP requests answered",
    ("service", "method", "route", "status"),
)
HTTP_DURATION = Metric(
    "freshet_http_request_duration_seconds",
    "histogram",
    "time from the request's headers to the answer's headers",
    ("service", "method", "route"),
)

START_TIME = Metric(
    "freshet_start_time_seconds", "gauge", "when the process of the service began, Unix time", ("service",)
)
START = Metric(
    "freshet_start_seconds",
    "gauge",
    "time from the process's beginning to a step of its start: loaded, store, log, release, catalogue, "
    "listening, ready, work",
    ("service", "step"),
)

INGEST_RECORDS = Metric(
    "freshet_ingest_records_total",
    "counter",
    "records by what became of them: accepted, refused (log full or away), unknown (no answer in time)",
    ("topic", "outcome"),
)
INGEST_REJECTED = Metric("freshet_ingest_rejected_total", "counter", "inputs rejected by code", ("code",))
INGEST_CALLS = Metric(
    "freshet_ingest_calls_total",
    "counter",
    "calls of Segment's and Google's clients by what became of them: accepted, ignored (about no item), "
    "unknown_event, incomplete (names no item), rejected (invalid)",
    ("api", "call", "outcome"),
)
INGEST_ACK = Metric(
    "freshet_ingest_ack_duration_seconds", "histogram", "time until the log has acknowledged", ("topic",)
)
INGEST_IN_FLIGHT_BYTES = Metric(
    "freshet_ingest_in_flight_bytes", "gauge", "bytes handed to the log that it has not resolved"
)

PROFILER_RECORDS = Metric(
    "freshet_profiler_records_total",
    "counter",
    "records by what became of them: applied, duplicate, old, dead",
    ("topic", "outcome"),
)
PROFILER_ITEM_LINES = Metric(
    "freshet_profiler_item_lines_total",
    "counter",
    "items of applied events, by whether they are in the release or the catalogue; `freshet doctor` names "
    "those that are not",
    ("known",),
)
PROFILER_BATCH = Metric(
    "freshet_profiler_batch_duration_seconds",
    "histogram",
    "time from a batch's fetch to its last write",
    ("topic",),
)
PROFILER_LAG = Metric(
    "freshet_profiler_lag_records", "gauge", "records of a partition not applied yet", ("topic", "partition")
)
PROFILER_FRESHNESS = Metric(
    "freshet_profiler_freshness_seconds", "histogram", "time from received_at to the profile's write"
)
PROFILER_FIRST_WAIT = Metric(
    "freshet_profiler_first_event_wait_seconds",
    "gauge",
    "time from received_at to the profile's write of the first event that this process applied",
)
PROFILER_CONFLICTS = Metric(
    "freshet_profiler_conflicts_total",
    "counter",
    "writes that were refused and done again: profile, aggregates, catalogue",
    ("kind",),
)
PROFILER_DEAD = Metric(
    "freshet_profiler_dead_total", "counter", "records moved to the dead topic", ("topic",)
)

RECOMMENDATIONS = Metric(
    "freshet_recommendations_total", "counter", "lists answered", ("scenario", "strategy")
)
RECOMMEND_STAGE = Metric(
    "freshet_recommend_stage_duration_seconds", "histogram", "time by stage of an answer", ("stage",)
)
RECOMMEND_PROFILE_AGE = Metric(
    "freshet_recommend_profile_age_seconds",
    "histogram",
    "age of the profile behind an answer",
    buckets=(0.01, 0.1, 1.0, 10.0, 60.0, 600.0, 3600.0, 86_400.0, 604_800.0),
)
RECOMMEND_FALLBACKS = Metric(
    "freshet_recommend_fallbacks_total",
    "counter",
    "steps of the ladder that failed or were late",
    ("step", "cause"),
)
RECOMMEND_STREAMS = Metric("freshet_recommend_streams", "gauge", "event streams open")
RELEASE_LOADS = Metric(
    "freshet_release_loads_total", "counter", "releases loaded or refused", ("service", "outcome")
)
RELEASE_INFO = Metric(
    "freshet_release_info", "gauge", "1 for the release being served", ("service", "release")
)
SCENARIO_LOADS = Metric(
    "freshet_scenario_loads_total",
    "counter",
    "versions of the scenario file that were loaded or refused, and times it went missing",
    ("outcome",),
)
SCENARIO_INFO = Metric(
    "freshet_scenario_info", "gauge", "1 for the version of the scenario file being served", ("version",)
)
SCENARIO_OK = Metric(
    "freshet_scenario_ok", "gauge", "1 while what is served is the scenario file as it is now, 0 otherwise"
)
CATALOGUE_ITEMS = Metric("freshet_catalogue_items", "gauge", "items in the catalogue in memory")

CATALOGUE: Final[tuple[Metric, ...]] = tuple(
    value for value in list(globals().values()) if isinstance(value, Metric)
)


class InUse:
    """The one series of an info gauge that names what its owner has in use now.

    Others may have theirs in the same gauge: `freshet run` keeps the metrics of all services in one registry.
    `owner` are the labels before the last one, which takes the name.
    """

    def __init__(self, gauge: Gauge, *owner: str) -> None:
        self._gauge = gauge
        self._owner = owner
        self._name: str | None = None

    def name(self, name: str | None) -> None:
        """`name` is in use from here on; None: nothing is."""
        before, self._name = self._name, name
        if name is not None:
            self._gauge.labels(*self._owner, name).set(1)
        if before is not None and before != name:
            self._gauge.remove(*self._owner, before)


class Metrics:
    """Makes the metrics of one process in one registry; the same declaration gives the same object."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry if registry is not None else CollectorRegistry()
        self._made: dict[str, Counter | Gauge | Histogram] = {}

    def counter(self, metric: Metric) -> Counter:
        """The counter of a declaration."""
        made = self._made.get(metric.name)
        if made is None:
            made = Counter(metric.name, metric.help, metric.labels, registry=self.registry)
            self._made[metric.name] = made
        assert isinstance(made, Counter), f"{metric.name} is a {metric.kind}"
        return made

    def gauge(self, metric: Metric) -> Gauge:
        """The gauge of a declaration."""
        made = self._made.get(metric.name)
        if made is None:
            made = Gauge(metric.name, metric.help, metric.labels, registry=self.registry)
            self._made[metric.name] = made
        assert isinstance(made, Gauge), f"{metric.name} is a {metric.kind}"
        return made

    def histogram(self, metric: Metric) -> Histogram:
        """The histogram of a declaration."""
        made = self._made.get(metric.name)
        if made is None:
            made = Histogram(
                metric.name, metric.help, metric.labels, registry=self.registry, buckets=metric.buckets
            )
            self._made[metric.name] = made
        assert isinstance(made, Histogram), f"{metric.name} is a {metric.kind}"
        return made

    def exposition(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self.registry)
