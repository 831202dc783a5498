"""The check of the manifests passes what is there and refuses each of these wrong variants, naming it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.deploy import check, wiring
from tests.deploy.documents import DocumentError, Object, documents
from tests.deploy.kustomize import RenderError, render

Change = Callable[[dict[str, Object]], Any]


@cache
def _made(installation: str) -> list[Object]:
    return check.installation(check.INSTALLATIONS[installation])


def _by_key(objects: list[Object]) -> dict[str, Object]:
    """`Kind/name`; Knative's Services as `Knative/name`."""
    made = {}
    for one in objects:
        knative = one["apiVersion"].startswith("serving.knative.dev/")
        made[f"{'Knative' if knative else one['kind']}/{one['metadata']['name']}"] = one
    return made


def _pod(obj: Object) -> dict[str, Any]:
    spec: dict[str, Any] = obj["spec"]["template"]["spec"]
    return spec


def _box(obj: Object) -> dict[str, Any]:
    box: dict[str, Any] = _pod(obj)["containers"][0]
    return box


def _note(obj: Object, name: str, value: Any) -> None:
    obj["spec"]["template"]["metadata"].setdefault("annotations", {})[name] = value


def _trigger(made: dict[str, Object]) -> dict[str, Any]:
    data: dict[str, Any] = made["ScaledObject/profiler"]["spec"]["triggers"][0]["metadata"]
    return data


def _env(obj: Object, name: str, value: str) -> None:
    _box(obj)["env"] = [one for one in _box(obj)["env"] if one["name"] != name] + [
        {"name": name, "value": value}
    ]


def _drop_env(obj: Object, name: str) -> None:
    _box(obj)["env"] = [one for one in _box(obj)["env"] if one["name"] != name]


KPA = "autoscaling.knative.dev/"
REC, ING, PRO = "Knative/recommender", "Knative/ingest", "Knative/profiler"
EVENTS, KEDA, DEPLOYMENT = "KafkaSource/freshet-events", "ScaledObject/profiler", "Deployment/profiler"

# what is done to it, and what the check must say
PUSH: list[tuple[str, Change, str]] = [
    ("unknown field", lambda m: _pod(m[REC]).update(containerConcurency=3), "containerConcurency"),
    ("unknown field, core", lambda m: m["StatefulSet/freshet-valkey"]["spec"].update(replica=1), "replica"),
    ("wrong type", lambda m: _pod(m[ING]).update(timeoutSeconds="60"), "timeoutSeconds"),
    (
        "bad quantity",
        lambda m: _box(m["Job/freshet-setup"])["resources"]["limits"].update(memory="one"),
        "memory",
    ),
    ("bad apiVersion", lambda m: m[EVENTS].update(apiVersion="sources.knative.dev/v2"), "no schema"),
    (
        "old apiVersion",
        lambda m: m["Kafka/freshet"].update(apiVersion="kafka.strimzi.io/v1beta2"),
        "no schema",
    ),
    ("emptyDir", lambda m: _pod(m[REC]).update(volumes=[{"name": "v", "emptyDir": {}}]), "volumes-emptydir"),
    (
        "pod context",
        lambda m: _pod(m[REC]).update(securityContext={"runAsUser": 1}),
        "podspec-securitycontext",
    ),
    ("node selector", lambda m: _pod(m[REC]).update(nodeSelector={"a": "b"}), "podspec-nodeselector"),
    ("status", lambda m: m[REC].update(status={}), "status"),
    ("annotation typo", lambda m: _note(m[REC], KPA + "minScale-x", "1"), "unknown"),
    ("annotation of an old name", lambda m: _note(m[REC], KPA + "minScale", "1"), "unknown"),
    ("annotation no string", lambda m: _note(m[REC], KPA + "min-scale", 1), "min-scale"),
    ("annotation range", lambda m: _note(m[REC], KPA + "window", "1s"), "out of range"),
    ("annotation metric", lambda m: _note(m[REC], KPA + "metric", "latency"), "out of range"),
    ("max below min", lambda m: _note(m[REC], KPA + "min-scale", "11"), "less than"),
    (
        "annotation on the Service",
        lambda m: m[REC]["metadata"].update(annotations={KPA + "min-scale": "1"}),
        "belongs on spec.template.metadata",
    ),
    ("probe period", lambda m: _box(m[REC])["readinessProbe"].update(periodSeconds=1), "probes by itself"),
    ("probe path", lambda m: _box(m[REC])["readinessProbe"]["httpGet"].update(path="/"), "/readyz"),
    ("startup probe", lambda m: _box(m[REC]).update(startupProbe={"httpGet": {"path": "/"}}), "startupProbe"),
    ("no liveness", lambda m: _box(m[ING]).pop("livenessProbe"), "/healthz"),
    ("streams cut", lambda m: _pod(m[REC]).update(timeoutSeconds=60), "timeoutSeconds"),
    ("reserved port", lambda m: _box(m[ING])["ports"][0].update(containerPort=9090), "queue proxy"),
    ("port by setting", lambda m: _env(m[ING], "FRESHET_PORT", "8080"), "FRESHET_PORT"),
    ("service links", lambda m: _pod(m[ING]).update(enableServiceLinks=True), "enableServiceLinks"),
    (
        "token",
        lambda m: _pod(m["StatefulSet/freshet-valkey"]).pop("automountServiceAccountToken"),
        "automount",
    ),
    ("root", lambda m: _box(m[ING])["securityContext"].update(runAsUser=0), "runAsUser"),
    ("escalation", lambda m: _box(m[ING])["securityContext"].pop("allowPrivilegeEscalation"), "Escalation"),
    ("capability", lambda m: _box(m[ING])["securityContext"]["capabilities"].update(drop=[]), "capabilities"),
    ("seccomp", lambda m: _box(m[ING])["securityContext"].pop("seccompProfile"), "seccompProfile"),
    (
        "writable root",
        lambda m: _box(m[ING])["securityContext"].update(readOnlyRootFilesystem=False),
        "readOnly",
    ),
    ("no memory limit", lambda m: _box(m[ING])["resources"].pop("limits"), "limits"),
    ("another version", lambda m: _box(m[ING]).update(image="freshet-ingest:0.0.1"), "must be the version"),
    (
        "latest",
        lambda m: _box(m["StatefulSet/freshet-valkey"]).update(image="valkey/valkey"),
        "name a version",
    ),
    ("unknown setting", lambda m: m["ConfigMap/freshet"]["data"].update(FRESHET_LOG_URI="x"), "LOG_URI"),
    (
        "bad value",
        lambda m: m["ConfigMap/freshet"]["data"].update(FRESHET_LOG_PARTITIONS="four"),
        "PARTITIONS",
    ),
    ("bad own value", lambda m: _env(m[REC], "FRESHET_DEADLINE_MS", "1"), "would not start"),
    (
        "store of this machine",
        lambda m: _drop_env(m[REC], "FRESHET_STORE_URL"),
        "FRESHET_STORE_URL is not set",
    ),
    ("open to all", lambda m: _drop_env(m[REC], "FRESHET_KEYS"), "would not bind"),
    (
        "no such secret key",
        lambda m: _box(m[REC])["env"][0]["valueFrom"]["secretKeyRef"].update(key="FRESHET_KEY"),
        "no comment tells",
    ),
    ("no such account", lambda m: _pod(m[REC]).update(serviceAccountName="recommend"), "no ServiceAccount"),
    ("no such map", lambda m: m.pop("ConfigMap/freshet-valkey"), "no ConfigMap/freshet-valkey"),
    (
        "no such sink",
        lambda m: m[EVENTS]["spec"]["sink"]["ref"].update(name="profilers"),
        "no Service/profilers",
    ),
    ("unordered", lambda m: m[EVENTS]["spec"].update(ordering="unordered"), "ordered"),
    ("from the end", lambda m: m[EVENTS]["spec"].update(initialOffset="latest"), "earliest"),
    ("no retry", lambda m: m[EVENTS]["spec"]["delivery"].pop("retry"), "retry is missing"),
    ("gives up", lambda m: m[EVENTS]["spec"]["delivery"].update(retry=10), "gives up"),
    ("exponential", lambda m: m[EVENTS]["spec"]["delivery"].update(backoffPolicy="exponential"), "linear"),
    ("no dead letters", lambda m: m[EVENTS]["spec"]["delivery"].pop("deadLetterSink"), "deadLetterSink"),
    ("wrong group", lambda m: m[EVENTS]["spec"].update(consumerGroup="profiler"), "with group profiler"),
    ("wrong topic", lambda m: m[EVENTS]["spec"].update(topics=["freshet.events.g2"]), "freshet.events.g2"),
    ("wrong path", lambda m: m[EVENTS]["spec"]["sink"].update(uri="/items"), "posts to /items"),
    ("other brokers", lambda m: m[EVENTS]["spec"].update(bootstrapServers=["kafka:9092"]), "LOG_URL says"),
    (
        "brokers without a namespace",
        lambda m: m["ConfigMap/freshet"]["data"].update(
            FRESHET_LOG_URL="kafka://freshet-kafka-bootstrap:9092"
        ),
        "in this namespace only",
    ),
    ("no items", lambda m: m.pop("KafkaSource/freshet-items"), "the profiler needs"),
    ("dead topic", lambda m: m["KafkaSink/freshet-dead"]["spec"].update(topic="dead"), "dead letters go to"),
    (
        "retention",
        lambda m: m["KafkaTopic/freshet.dead"]["spec"]["config"].update({"retention.ms": 1}),
        "config",
    ),
    ("two profilers", lambda m: _note(m[PRO], KPA + "max-scale", "2"), "max-scale 1"),
    (
        "in public",
        lambda m: m[PRO]["metadata"]["labels"].pop("networking.knative.dev/visibility"),
        "visibility",
    ),
    (
        "selector of nobody",
        lambda m: m["NetworkPolicy/freshet-dns"]["spec"]["podSelector"].update(matchLabels={"app": "x"}),
        "no pod has the labels",
    ),
    ("no policy to Valkey", lambda m: m.pop("NetworkPolicy/freshet-to-valkey"), "out to port [6379]"),
    ("no policy to Kafka", lambda m: m.pop("NetworkPolicy/freshet-to-kafka"), "log's port 9092"),
    (
        "no policy from Knative",
        lambda m: m.pop("NetworkPolicy/freshet-from-knative"),
        "gateway and activator",
    ),
    ("open by default", lambda m: m.pop("NetworkPolicy/freshet-default-deny"), "closes it by default"),
    (
        "budget of nobody",
        lambda m: m["PodDisruptionBudget/freshet-valkey"]["spec"].update(
            selector={"matchLabels": {"a": "b"}}
        ),
        "no pod has the labels",
    ),
    ("namespace", lambda m: m[REC]["metadata"].update(namespace="default"), "namespace default"),
    ("pod security", lambda m: m["Namespace/freshet"]["metadata"].pop("labels"), "restricted"),
]
PULL: list[tuple[str, Change, str]] = [
    ("replicas", lambda m: m[DEPLOYMENT]["spec"].update(replicas=1), "KEDA's"),
    ("unbounded scratch", lambda m: _pod(m[DEPLOYMENT])["volumes"][0].update(emptyDir={}), "sizeLimit"),
    ("no probe", lambda m: _box(m[DEPLOYMENT]).pop("readinessProbe"), "readinessProbe is missing"),
    ("always one", lambda m: m[KEDA]["spec"].update(minReplicaCount=1), "scales from zero"),
    ("too many", lambda m: m[KEDA]["spec"].update(maxReplicaCount=8), "partition count"),
    ("slow look", lambda m: m[KEDA]["spec"].pop("pollingInterval"), "pollingInterval"),
    ("no trigger", lambda m: m[KEDA]["spec"].update(triggers=[]), "triggers"),
    ("trigger typo", lambda m: _trigger(m).update(lagTreshold="5"), "lagTreshold"),
    ("trigger number", lambda m: _trigger(m).update(lagThreshold=5), "lagThreshold"),
    (
        "last records wait",
        lambda m: _trigger(m).update(activationLagThreshold="5"),
        "last records would wait",
    ),
    ("offset reset", lambda m: _trigger(m).update(offsetResetPolicy="latest"), "offsetResetPolicy"),
    ("trigger's group", lambda m: _trigger(m).update(consumerGroup="x"), "with group x"),
    ("trigger's broker", lambda m: _trigger(m).update(bootstrapServers="x:1"), "LOG_URL says"),
    ("target", lambda m: m[KEDA]["spec"]["scaleTargetRef"].update(name="x"), "no Deployment/x"),
]


def test_what_is_there_is_right() -> None:
    assert list(check.everything()) == []


@pytest.mark.parametrize(
    ("installation", "change", "said"),
    [pytest.param("push", change, said, id=f"push: {title}") for title, change, said in PUSH]
    + [pytest.param("pull", change, said, id=f"pull: {title}") for title, change, said in PULL],
)
def test_a_wrong_variant_is_refused(installation: str, change: Change, said: str) -> None:
    made = _by_key(copy.deepcopy(_made(installation)))
    change(made)
    found = list(check.problems(list(made.values())))
    assert any(said in line for line in found), f"nothing says {said!r} in {found}"


def test_authentication_that_is_not_there_is_refused() -> None:
    made = _by_key(copy.deepcopy(_made("pull-sasl")))
    del made["TriggerAuthentication/freshet-kafka"]
    assert any(
        "no TriggerAuthentication/freshet-kafka" in line for line in check.problems(list(made.values()))
    )


def test_a_secret_in_git_is_refused() -> None:
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "freshet", "namespace": "freshet"}}
    assert any("a Secret in git" in line for line in check.problems([*_made("push"), secret]))


def test_a_key_that_stands_twice_is_refused() -> None:
    with pytest.raises(DocumentError, match="line 2: the key 'a' stands twice"):
        documents("a: 1\na: 2\n", "x.yaml")


def test_a_setting_that_does_not_exist_is_found_in_compose_and_manifests() -> None:
    compose = {
        "services": {"x": {"environment": {"FRESHET_LOG_URI": "y"}}, "y": {"environment": ["FRESHET_OH=1"]}}
    }
    manifest = {"env": [{"name": "FRESHET_AH", "value": "1"}, {"name": "FRESHET_KEYS"}]}
    named = [line.split()[0] for part in (compose, manifest) for line in wiring.unknown_settings(part)]
    assert named == ["FRESHET_LOG_URI", "FRESHET_OH", "FRESHET_AH"]


def test_files_are_looked_at(tmp_path: Path) -> None:
    (tmp_path / "deploy").mkdir()
    (tmp_path / "docker-compose.yml").write_text("services: {x: {environment: {FRESHET_NOPE: 1}}}\n")
    (tmp_path / "deploy" / "service.yaml").write_text("a: 1\na: 2\n")
    found = list(check.file_problems(tmp_path))
    assert [line.split(":")[0] for line in found] == ["deploy/service.yaml", "docker-compose.yml"]


def test_the_renderer_refuses_what_it_does_not_know(tmp_path: Path) -> None:
    (tmp_path / "kustomization.yaml").write_text("namePrefix: x-\n")
    with pytest.raises(RenderError, match="namePrefix"):
        render(tmp_path)


def test_a_patch_that_does_not_apply_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n")
    (tmp_path / "kustomization.yaml").write_text(
        "resources: [a.yaml]\npatches:\n- target: {kind: ConfigMap}\n"
        "  patch: '[{op: replace, path: /data/x, value: y}]'\n"
    )
    with pytest.raises(RenderError, match="does not apply"):
        render(tmp_path)
