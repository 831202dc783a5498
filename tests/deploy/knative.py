"""Knative Services, KafkaSources and ScaledObjects: what their schemas cannot say.

Unknown annotations are ignored in silence by a cluster, ranges are refused by its webhook; both are errors
here. Ranges: knative/serving pkg/apis/autoscaling/annotation_validation.go, v1.23.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from tests.deploy.documents import Object

_AUTOSCALING: Final = "autoscaling.knative.dev/"
_COUNTS: Final = {"min-scale": 0, "max-scale": 0, "initial-scale": 1, "activation-scale": 2}
_NUMBERS: Final = {
    "target": (0.01, 1e6),
    "target-utilization-percentage": (1, 100),
    "target-burst-capacity": (-1, 1e6),
    "panic-window-percentage": (1, 100),
    "panic-threshold-percentage": (110, 1000),
}
_TIMES_S: Final = {
    "window": (6, 3600),
    "scale-down-delay": (0, 3600),
    "scale-to-zero-pod-retention-period": (0, 3600),
}
_WORDS: Final = {
    "metric": {"concurrency", "rps"},
    "class": {"kpa.autoscaling.knative.dev"},
    "metric-aggregation-algorithm": {"linear", "weightedExponential"},
}
_DURATION: Final = re.compile(r"^(?=.)(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?$")
_ISO_DURATION: Final = re.compile(r"^PT(?=.)(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?$")
_RESERVED_ENV: Final = {"PORT", "K_SERVICE", "K_CONFIGURATION", "K_REVISION", "FRESHET_PORT"}
_RESERVED_PORTS: Final = {8012, 8013, 8022, 8112, 9090, 9091}  # the queue proxy's own
_STREAM_TIMEOUT_MIN_S: Final = 300  # a stream lasts 240 s at most (FRESHET_STREAM_MAX_S)
_DRAIN_TIMEOUT_MIN_S: Final = 45
_TIMEOUT_MAX_S: Final = 600  # max-revision-timeout-seconds
# What `type: kafka` of KEDA 2.20 reads; anything else is ignored in silence.
_KAFKA_TRIGGER: Final = {
    "bootstrapServers",
    "consumerGroup",
    "topic",
    "lagThreshold",
    "activationLagThreshold",
    "offsetResetPolicy",
    "allowIdleConsumers",
    "scaleToZeroOnInvalidOffset",
    "excludePersistentLag",
    "limitToPartitionsWithLag",
    "ensureEvenDistributionOfPartitions",
    "partitionLimitation",
    "version",
    "sasl",
    "tls",
}


def service_problems(obj: Object) -> Iterator[str]:
    """A Knative Service."""
    meta, template = obj.get("metadata") or {}, (obj.get("spec") or {}).get("template") or {}
    spec = template.get("spec") or {}
    for key in meta.get("annotations") or {}:
        if key.startswith(_AUTOSCALING):
            yield f"annotation {key} does nothing on the Service: it belongs on spec.template.metadata"
    visibility = (meta.get("labels") or {}).get("networking.knative.dev/visibility", "cluster-local")
    if visibility != "cluster-local":
        yield f"networking.knative.dev/visibility: {visibility!r} is not cluster-local"
    yield from _annotations((template.get("metadata") or {}).get("annotations") or {})
    least_s = _STREAM_TIMEOUT_MIN_S if _is_recommender(spec) else _DRAIN_TIMEOUT_MIN_S
    if not least_s <= (spec.get("timeoutSeconds") or 0) <= _TIMEOUT_MAX_S:
        yield f"timeoutSeconds must be said, {least_s} to {_TIMEOUT_MAX_S}"
    for container in spec.get("containers") or []:
        yield from _container(container)


def _is_recommender(spec: dict[str, Any]) -> bool:
    return any("freshet-recommender" in (one.get("image") or "") for one in spec.get("containers") or [])


def _annotations(annotations: dict[str, Any]) -> Iterator[str]:
    known = {*_COUNTS, *_NUMBERS, *_TIMES_S, *_WORDS}
    values = {}
    for key, value in annotations.items():
        if not key.startswith(_AUTOSCALING):
            continue
        name = key.removeprefix(_AUTOSCALING)
        values[name] = value
        if name not in known:
            yield f"annotation {key} is unknown; a cluster ignores it in silence"
        elif not isinstance(value, str):
            yield f"annotation {key} must be a quoted string"
        elif not _fits(name, value):
            yield f"annotation {key}: {value!r} is out of range"
    for name in ("min-scale", "max-scale"):
        if name not in values:
            yield f"annotation {_AUTOSCALING}{name} must be said"
    try:
        least, most = int(values.get("min-scale", 0)), int(values.get("max-scale", 0))
    except ValueError:
        return
    if most and most < least:
        yield f"max-scale {most} is less than min-scale {least}"


def _fits(name: str, value: str) -> bool:
    if name in _WORDS:
        return value in _WORDS[name]
    if name in _TIMES_S:
        seconds = _seconds(value)
        return seconds is not None and _TIMES_S[name][0] <= seconds <= _TIMES_S[name][1]
    try:
        if name in _COUNTS:
            return int(value) >= _COUNTS[name]
        return _NUMBERS[name][0] <= float(value) <= _NUMBERS[name][1]
    except ValueError:
        return False


def _seconds(text: str) -> int | None:
    parts = _DURATION.match(text)
    return (
        sum(int(part or 0) * unit for part, unit in zip(parts.groups(), (3600, 60, 1), strict=True))
        if parts
        else None
    )


def _container(container: dict[str, Any]) -> Iterator[str]:
    ready, alive = container.get("readinessProbe") or {}, container.get("livenessProbe") or {}
    if (ready.get("httpGet") or {}).get("path") != "/readyz":
        yield "readinessProbe: httpGet /readyz is what the activator can follow"
    if extra := set(ready) - {"httpGet"}:
        yield f"readinessProbe: without {sorted(extra)} Knative probes by itself, many times a second"
    if (alive.get("httpGet") or {}).get("path") != "/healthz":
        yield "livenessProbe: httpGet /healthz"
    if "startupProbe" in container:
        yield "startupProbe switches off Knative's own, faster probing"
    ports = container.get("ports") or []
    if len(ports) != 1 or ports[0].get("containerPort") in _RESERVED_PORTS:
        yield "ports: exactly one, none of the queue proxy's own"
    for variable in container.get("env") or []:
        if variable.get("name") in _RESERVED_ENV:
            yield f"env {variable['name']}: the platform says which port, by PORT"


def source_problems(obj: Object, retention_s: int) -> Iterator[str]:
    """A KafkaSource: ordered, and offering a record for as long as the log keeps it (`retention_s`)."""
    spec = obj.get("spec") or {}
    delivery = spec.get("delivery") or {}
    if spec.get("ordering") != "ordered":
        yield "spec.ordering must be ordered: the profiler refuses a record before its predecessor"
    if spec.get("initialOffset") != "earliest":
        yield "spec.initialOffset must be earliest: a group without offsets begins at the beginning"
    if not delivery.get("retry"):
        yield "spec.delivery.retry is missing: a record that fails would not be tried again at all"
        return
    delay = _ISO_DURATION.match(str(delivery.get("backoffDelay")))
    if delivery.get("backoffPolicy") != "linear" or not delay:
        yield "spec.delivery: backoffPolicy linear and a backoffDelay like PT0.5S (exponential has no bound)"
        return
    delay_s = sum(float(part or 0) * unit for part, unit in zip(delay.groups(), (3600, 60, 1), strict=True))
    tries = delivery["retry"]
    if delay_s * tries * (tries + 1) / 2 < retention_s:
        offered_s = delay_s * tries * (tries + 1) / 2
        yield f"spec.delivery gives up after {offered_s:.0f} s; the log keeps records for {retention_s} s"
    if not (delivery.get("deadLetterSink") or {}).get("ref"):
        yield "spec.delivery.deadLetterSink is missing: what is refused for good would be lost unseen"


def scaling_problems(obj: Object) -> Iterator[str]:
    """A ScaledObject."""
    spec = obj.get("spec") or {}
    least, most, idle = spec.get("minReplicaCount"), spec.get("maxReplicaCount"), spec.get("idleReplicaCount")
    if least != 0 or not most or idle is not None:
        yield "minReplicaCount 0, a maxReplicaCount and no idleReplicaCount: it scales from zero"
    if (spec.get("pollingInterval") or 30) > 5 or (spec.get("cooldownPeriod") or 300) > 60:
        yield "pollingInterval at most 5 and cooldownPeriod at most 60 (the defaults are 30 and 300)"
    names = [trigger.get("name") for trigger in spec.get("triggers") or []]
    if len(set(names)) != len(names):
        yield "triggers: two have the same name"
    for trigger in spec.get("triggers") or []:
        data = trigger.get("metadata") or {}
        if trigger.get("type") != "kafka":
            yield f"trigger {trigger.get('type')!r}: the lag of a Kafka group is what scales a profiler"
        if unknown := set(data) - _KAFKA_TRIGGER:
            yield f"trigger {trigger.get('name')}: {sorted(unknown)} is unknown; KEDA ignores it in silence"
        if data.get("activationLagThreshold") != "0":
            yield f'trigger {trigger.get("name")}: activationLagThreshold "0", or the last records would wait'
        if data.get("offsetResetPolicy") != "earliest":
            yield f"trigger {trigger.get('name')}: offsetResetPolicy earliest, as the profiler has it"
