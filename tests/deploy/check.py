"""All rules over all of deploy/: what is wrong, one line each."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from services.kernel.settings import SettingsError
from tests.deploy import knative, network, schemas, security, wiring
from tests.deploy.documents import DocumentError, Object, all_pods, is_knative, name_of, pods_of, read
from tests.deploy.kustomize import RenderError, render

ROOT: Final = Path(__file__).resolve().parents[2]
MANIFESTS: Final = ROOT / "deploy" / "knative"
NAMESPACE: Final = "freshet"
# What stands together in one cluster. The components that no overlay takes are added to the first.
INSTALLATIONS: Final = {
    "push": ("push", "infrastructure", "setup", "trainer", "cli"),
    "pull": ("pull", "infrastructure", "setup", "trainer", "cli"),
    "push-sasl": ("push-sasl", "infrastructure-sasl", "setup-sasl", "trainer-sasl", "cli-sasl"),
    "pull-sasl": ("pull-sasl", "infrastructure-sasl", "setup-sasl", "trainer-sasl", "cli-sasl"),
}
EXTRAS: Final = ("provisioned", "streams", "outside", "traces")
_READERS_OF_THE_LOG: Final = ("ingest", "profiler", "trainer", "setup", "cli")


def version() -> str:
    """The project's version, which is the tag of its images."""
    return str(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"])


def installation(names: tuple[str, ...]) -> list[Object]:
    """What the folders make together; an object that two of them bring alike counts once."""
    objects: list[Object] = []
    for name in names:
        for one in render(MANIFESTS / name):
            if one not in objects:
                objects.append(one)
    return objects


def problems(objects: list[Object]) -> Iterator[str]:
    """What is wrong with the objects of one installation."""
    broken = [f"{name_of(one)}: {text}" for one in objects for text in schemas.problems(one)]
    if broken:  # the other rules read fields as their schemas have them
        yield from broken
        return
    secrets = wiring.told_secrets(MANIFESTS)
    try:
        log = wiring.log_settings(objects)
    except SettingsError as error:
        yield f"ConfigMap/freshet: {error}"
        return
    keys = [(one["apiVersion"], one["kind"], one["metadata"]["name"]) for one in objects]
    for one in objects:
        if keys.count((one["apiVersion"], one["kind"], one["metadata"]["name"])) > 1:
            yield f"{name_of(one)}: comes twice, and not alike"
        for text in _of_one(one, objects, secrets, log.log_retention_h * 3600):
            yield f"{name_of(one)}: {text}"
    yield from wiring.reference_problems(objects)
    yield from wiring.topic_problems(objects)
    yield from wiring.profiler_problems(objects)
    yield from network.problems(objects)
    yield from network.broker_problems(objects, log.log_url, _READERS_OF_THE_LOG)


def _of_one(
    obj: Object, objects: list[Object], secrets: dict[str, set[str]], retention_s: int
) -> Iterator[str]:
    if obj["kind"] == "Namespace":
        labels = obj["metadata"].get("labels") or {}
        if labels.get("pod-security.kubernetes.io/enforce") != "restricted":
            yield "pod-security.kubernetes.io/enforce: restricted"
    elif obj["metadata"].get("namespace") != NAMESPACE:
        yield f"stands in namespace {obj['metadata'].get('namespace')}, not {NAMESPACE}"
    if obj["kind"] == "Secret":
        yield "a Secret in git: create it by hand and refer to it"
    if obj["kind"] == "ServiceAccount" and obj.get("automountServiceAccountToken") is not False:
        yield "automountServiceAccountToken: false"
    if is_knative(obj):
        yield from knative.service_problems(obj)
    if obj["kind"] == "KafkaSource":
        yield from knative.source_problems(obj, retention_s)
    if obj["kind"] == "ScaledObject":
        yield from knative.scaling_problems(obj)
    if obj["kind"] == "ScaledObject":
        target = obj["spec"]["scaleTargetRef"]
        for one in objects:
            there = (one["kind"], one["metadata"]["name"]) == (target.get("kind"), target["name"])
            if there and "replicas" in one["spec"]:
                yield f"{name_of(one)}: spec.replicas is KEDA's; an apply with a number would fight it"
    if pods := pods_of(obj):
        yield from security.problems(pods, version())
        yield from wiring.environment_problems(pods, objects, secrets)
    yield from wiring.unknown_settings(obj)


def file_problems(root: Path = ROOT) -> Iterator[str]:
    """Files that are not rendered: well formed, and no setting that Freshet does not have."""
    for path in sorted([*root.glob("docker-compose*.y*ml"), *(root / "deploy").rglob("*.y*ml")]):
        try:
            for document in read(path):
                for text in wiring.unknown_settings(document):
                    yield f"{path.relative_to(root)}: {text}"
        except DocumentError as error:
            yield f"{path.relative_to(root)}: {error}"


def everything() -> Iterator[str]:
    """All of it."""
    yield from file_problems()
    for title, folders in INSTALLATIONS.items():
        try:
            objects = installation(folders)
        except (RenderError, DocumentError) as error:
            yield f"{title}: {error}"
            continue
        yield from (f"{title}: {text}" for text in problems(objects))
        if not all_pods(objects):
            yield f"{title}: has no pods"
    yield from (f"push with {', '.join(EXTRAS)}: {text}" for text in problems(with_extras()))


def with_extras() -> list[Object]:
    """The first installation with the components that are a user's choice."""
    components = [MANIFESTS / "components" / name for name in EXTRAS]
    objects = render(MANIFESTS / "push", *components)
    return objects + [one for one in installation(INSTALLATIONS["push"][1:]) if one["kind"] != "Namespace"]
