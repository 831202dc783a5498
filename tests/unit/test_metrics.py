"""The catalogue of metrics, and registries that do not clash."""

from __future__ import annotations

from services.kernel.metrics import (
    CATALOGUE,
    HTTP_DURATION,
    HTTP_REQUESTS,
    INGEST_IN_FLIGHT_BYTES,
    RELEASE_INFO,
    InUse,
    Metrics,
)


def test_names_are_unique_and_follow_prometheus() -> None:
    names = [metric.name for metric in CATALOGUE]
    assert len(set(names)) == len(names)
    for metric in CATALOGUE:
        assert metric.name.startswith("freshet_")
        assert metric.help
        assert metric.name.endswith("_total") == (metric.kind == "counter")
        assert not {"user_id", "item_id", "subject", "path"} & set(metric.labels)


def test_every_declaration_can_be_made() -> None:
    metrics = Metrics()
    make = {"counter": metrics.counter, "gauge": metrics.gauge, "histogram": metrics.histogram}
    for metric in CATALOGUE:
        assert make[metric.kind](metric) is make[metric.kind](metric)
    assert all(f"# HELP {metric.name}".encode() in metrics.exposition() for metric in CATALOGUE)


def test_two_apps_in_one_process_do_not_share() -> None:
    first, second = Metrics(), Metrics()
    first.counter(HTTP_REQUESTS).labels("a", "GET", "/x", "200").inc()
    first.histogram(HTTP_DURATION).labels("a", "GET", "/x").observe(0.001)
    second.gauge(INGEST_IN_FLIGHT_BYTES).set(7)
    assert b'route="/x"' in first.exposition()
    assert b"freshet_http" not in second.exposition()


def test_services_in_one_process_each_name_the_release_they_use() -> None:
    metrics = Metrics()
    gauge = metrics.gauge(RELEASE_INFO)
    profiler, recommender = InUse(gauge, "profiler"), InUse(gauge, "recommender")

    def named() -> set[tuple[str, str]]:
        samples = [sample for family in gauge.collect() for sample in family.samples]
        assert all(sample.value == 1 for sample in samples)
        return {(sample.labels["service"], sample.labels["release"]) for sample in samples}

    profiler.name("r1")
    recommender.name("r1")
    assert named() == {("profiler", "r1"), ("recommender", "r1")}
    recommender.name("r2")  # the one that sees a promotion first
    assert named() == {("profiler", "r1"), ("recommender", "r2")}
    recommender.name("r2")
    profiler.name("r2")
    assert named() == {("profiler", "r2"), ("recommender", "r2")}
    recommender.name(None)  # withdrawn
    assert named() == {("profiler", "r2")}
