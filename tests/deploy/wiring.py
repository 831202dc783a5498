"""What a manifest names exists, and is what the code uses: settings, topics, groups, secrets, accounts."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final
from unittest import mock

from services.ingest.settings import IngestSettings
from services.kernel.settings import (
    LogSettings,
    SettingsError,
    SettingsGroup,
    catalogue,
    reject_unknown,
)
from services.log.kafka_address import group_name, topic_name
from services.log.kafka_topics import topic_configuration
from services.log.protocol import Topic
from services.profiler.safety import GROUPS
from services.profiler.settings import ProfilerSettings
from services.recommender.settings import RecommenderSettings
from tests.deploy.documents import Object, Pods, all_pods, is_knative, name_of

_SETTINGS: Final[Mapping[str, type[SettingsGroup]]] = {
    "freshet-ingest": IngestSettings,
    "freshet-profiler": ProfilerSettings,
    "freshet-recommender": RecommenderSettings,
}
_PATHS: Final = {Topic.EVENTS: "/", Topic.ITEMS: "/items"}
# `kubectl create secret generic NAME --from-literal=KEY=… --from-file=KEY`, as comments tell it
_SECRET: Final = re.compile(r"create secret generic ([\w-]+)((?:\s+--from-(?:literal|file)=\S+)+)")
_KEY: Final = re.compile(r"--from-(?:literal|file)=([\w.\-]+)")


def told_secrets(folder: Path) -> dict[str, set[str]]:
    """The Secrets and their keys that comments below `folder` tell an operator to create."""
    told: dict[str, set[str]] = {}
    for path in sorted(folder.rglob("*.yaml")):
        text = re.sub(r"\\\n#\s*", "", path.read_text(encoding="utf-8"))
        for name, keys in _SECRET.findall(text):
            told.setdefault(name, set()).update(_KEY.findall(keys))
    return told


def log_settings(objects: list[Object]) -> LogSettings:
    """The log as the ConfigMap `freshet` of these objects describes it. Raises SettingsError."""
    with mock.patch.dict("os.environ", _configuration(objects), clear=True):
        return LogSettings.from_environment()


def _configuration(objects: list[Object]) -> dict[str, Any]:
    for one in objects:
        if one.get("kind") == "ConfigMap" and one["metadata"]["name"] == "freshet":
            return dict(one.get("data") or {})
    return {}


def setting_names(node: Any) -> Iterator[str]:
    """Every FRESHET_ name that a document sets: as a key, as `name:`, or as `NAME=value` in a list."""
    if isinstance(node, dict):
        for key, part in node.items():
            if isinstance(key, str) and key.startswith("FRESHET_"):
                yield key
            if key == "name" and isinstance(part, str) and part.startswith("FRESHET_"):
                yield part
            yield from setting_names(part)
    elif isinstance(node, list):
        for part in node:
            if isinstance(part, str) and re.match(r"FRESHET_[A-Z_]+(=|$)", part):
                yield part.partition("=")[0]
            yield from setting_names(part)


def unknown_settings(document: Any) -> Iterator[str]:
    """Names that are no setting of Freshet."""
    known = {name for name, _, _ in catalogue()}
    for name in sorted(set(setting_names(document)) - known):
        yield f"{name} is no setting of Freshet (`freshet settings` lists them)"


def environment_problems(pods: Pods, objects: list[Object], secrets: dict[str, set[str]]) -> Iterator[str]:
    """The environment of each container, as the service would read it at start."""
    maps = {
        one["metadata"]["name"]: one.get("data") or {} for one in objects if one.get("kind") == "ConfigMap"
    }
    for container in pods.containers():
        environment: dict[str, str] = {}
        for source in container.get("envFrom") or []:
            name = (source.get("configMapRef") or {}).get("name")
            if name not in maps:
                yield f"envFrom: there is no ConfigMap {name}"
            environment |= maps.get(name, {})
        for variable in container.get("env") or []:
            name, origin = variable["name"], (variable.get("valueFrom") or {}).get("secretKeyRef")
            if origin and origin["key"] not in secrets.get(origin["name"], set()):
                yield f"{name}: no comment tells to create the key {origin['key']} of Secret {origin['name']}"
            environment[name] = _example(name) if origin else str(variable.get("value"))
        image = (container.get("image") or "").rpartition("/")[2].partition(":")[0]
        yield from _read_by(image, environment)


def _example(name: str) -> str:
    """A value of the kind that the Secret holds."""
    return "valkey://:p@freshet-valkey:6379/0" if name.endswith("_URL") else "an-example-value"


def _read_by(image: str, environment: dict[str, str]) -> Iterator[str]:
    reader = _SETTINGS.get(image)
    if reader is None:
        return
    try:
        reject_unknown(environment)
        with mock.patch.dict("os.environ", environment, clear=True):
            settings: Any = reader.from_environment()
    except SettingsError as error:
        yield f"the service would not start: {error}"
        return
    needed = {"FRESHET_LOG_URL"} if "log_url" in reader.model_fields else set()
    needed |= {"FRESHET_STORE_URL"} if "store_url" in reader.model_fields else set()
    needed |= {"FRESHET_RELEASE_URL"} if "release_url" in reader.model_fields else set()
    for name in sorted(needed - set(environment)):
        yield f"{name} is not set: its default is this machine, which a pod is not"
    if not settings.key_set() and not settings.insecure:
        yield "neither FRESHET_KEYS nor FRESHET_INSECURE: the service would not bind"


def reference_problems(objects: list[Object]) -> Iterator[str]:
    """Accounts, claims, volumes and other objects that are named but not there."""
    there = {(one["kind"], one["metadata"]["name"]) for one in objects}
    for pods in all_pods(objects):
        wanted = [("ServiceAccount", pods.spec.get("serviceAccountName"))]
        for volume in pods.spec.get("volumes") or []:
            if claim := volume.get("persistentVolumeClaim"):
                wanted.append(("PersistentVolumeClaim", claim.get("claimName")))
            if mapped := volume.get("configMap"):
                wanted.append(("ConfigMap", mapped.get("name")))
        for kind, name in wanted:
            if (kind, name) not in there:
                yield f"{pods.name}: there is no {kind}/{name}"
    for one in objects:
        for kind, name in _named(one):
            if (kind, name) not in there:
                yield f"{name_of(one)}: there is no {kind}/{name}"


def _named(obj: Object) -> Iterator[tuple[str, str]]:
    spec = obj.get("spec") or {}
    if obj["kind"] == "KafkaSource":
        for reference in (spec.get("sink"), (spec.get("delivery") or {}).get("deadLetterSink")):
            if named := (reference or {}).get("ref"):
                yield named["kind"], named["name"]
    if obj["kind"] == "ScaledObject":
        yield spec["scaleTargetRef"].get("kind", "Deployment"), spec["scaleTargetRef"]["name"]
        for trigger in spec.get("triggers") or []:
            if "authenticationRef" in trigger:
                yield "TriggerAuthentication", trigger["authenticationRef"]["name"]


def topic_problems(objects: list[Object]) -> Iterator[str]:
    """Topics, groups, brokers, partitions and retention are those that the services use."""
    settings = log_settings(objects)
    brokers = settings.log_url.removeprefix("kafka://")
    for broker in brokers.split(","):
        if "." not in broker:
            yield f"FRESHET_LOG_URL: {broker} is known in this namespace only; KEDA and Knative have others"
    pairs = {topic_name(settings, topic): group_name(settings, group) for topic, group in GROUPS.items()}
    paths = {topic_name(settings, topic): path for topic, path in _PATHS.items()}
    read: dict[str, set[str]] = {"KafkaSource": set(), "ScaledObject": set()}
    for one in objects:
        for topic, group, servers in _reads(one):
            read[one["kind"]].add(topic)
            if pairs.get(topic) != group:
                yield f"{name_of(one)}: topic {topic} with group {group}; the profiler has {pairs}"
            if servers != brokers:
                yield f"{name_of(one)}: reads from {servers}, FRESHET_LOG_URL says {brokers}"
        if one["kind"] == "KafkaSource":
            path = (one["spec"].get("sink") or {}).get("uri")
            if path != paths.get(one["spec"]["topics"][0]):
                yield f"{name_of(one)}: posts to {path}; the profiler takes {paths}"
        if one["kind"] == "KafkaSink":
            dead = topic_name(settings, Topic.DEAD)
            if one["spec"].get("topic") != dead or one["spec"]["bootstrapServers"] != [brokers]:
                yield f"{name_of(one)}: dead letters go to {dead} at {brokers}"
        if one["kind"] == "ScaledObject" and one["spec"].get("maxReplicaCount") != settings.log_partitions:
            yield f"{name_of(one)}: maxReplicaCount is the partition count, {settings.log_partitions}"
    for kind, topics in read.items():
        if topics and topics != set(pairs):
            yield f"{kind}: reads {sorted(topics)}, the profiler needs {sorted(pairs)}"
    yield from _declared(objects, settings)


def _reads(obj: Object) -> Iterator[tuple[str, str, str]]:
    """(topic, group, brokers) of what an object reads."""
    spec = obj.get("spec") or {}
    if obj["kind"] == "KafkaSource":
        for topic in spec.get("topics") or []:
            yield topic, spec.get("consumerGroup", ""), ",".join(spec.get("bootstrapServers") or [])
    if obj["kind"] == "ScaledObject":
        for trigger in spec.get("triggers") or []:
            data = trigger.get("metadata") or {}
            yield data.get("topic", ""), data.get("consumerGroup", ""), data.get("bootstrapServers", "")


def _declared(objects: list[Object], settings: LogSettings) -> Iterator[str]:
    declared = {one["metadata"]["name"]: one["spec"] for one in objects if one["kind"] == "KafkaTopic"}
    if not declared:
        return
    expected = {topic_name(settings, topic): topic for topic in Topic}
    if set(declared) != set(expected):
        yield f"KafkaTopics: {sorted(declared)} are declared, the services use {sorted(expected)}"
    for name, spec in declared.items():
        if name not in expected:
            continue
        said = {key: str(value) for key, value in (spec.get("config") or {}).items()}
        if said != topic_configuration(settings, expected[name]):
            coded = topic_configuration(settings, expected[name])
            yield f"KafkaTopic/{name}: config {said}, the code has {coded}"
        if (spec.get("partitions"), spec.get("replicas")) != (
            settings.log_partitions,
            settings.log_replication,
        ):
            yield f"KafkaTopic/{name}: partitions and replicas must be those of the ConfigMap"


def profiler_problems(objects: list[Object]) -> Iterator[str]:
    """By push one profiler, out of reach from outside."""
    for one in objects:
        if not is_knative(one) or one["metadata"]["name"] != "profiler":
            continue
        annotations = one["spec"]["template"]["metadata"].get("annotations") or {}
        if annotations.get("autoscaling.knative.dev/max-scale") != "1":
            yield "Service/profiler: max-scale 1, ordered delivery gives a second one nothing to do"
        if (one["metadata"].get("labels") or {}).get("networking.knative.dev/visibility") != "cluster-local":
            yield "Service/profiler: visibility cluster-local, it takes records without a key"
