"""Every pod keeps to pod security `restricted` and to a few habits beyond it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from tests.deploy.documents import Pods, is_knative

# Knative has no volume for a release cache without a feature flag: these two write to their root file system.
_WRITES_ITS_CACHE: Final = ("freshet-recommender", "freshet-profiler")
_IMAGES_USER: Final = 65532


def problems(pods: Pods, version: str) -> Iterator[str]:
    """What is wrong with the pods; `version` is the tag of Freshet's own images."""
    spec = pods.spec
    if spec.get("automountServiceAccountToken") is not False:
        yield "automountServiceAccountToken: false, nothing here talks to the Kubernetes API"
    if spec.get("enableServiceLinks") is not False:
        yield "enableServiceLinks: false, or a Service's address arrives as a FRESHET_ setting"
    if not spec.get("serviceAccountName"):
        yield "serviceAccountName is missing"
    for field in ("hostNetwork", "hostPID", "hostIPC"):
        if spec.get(field):
            yield f"{field} is not allowed"
    for volume in spec.get("volumes") or []:
        kinds = set(volume) - {"name"}
        if kinds - {"configMap", "secret", "emptyDir", "persistentVolumeClaim", "projected"}:
            yield f"volume {volume.get('name')}: {sorted(kinds)} is not allowed"
        if "emptyDir" in volume and not (volume["emptyDir"] or {}).get("sizeLimit"):
            yield f"volume {volume.get('name')}: an emptyDir needs a sizeLimit"
    for container in pods.containers():
        for problem in _container(container, pods, version):
            yield f"container {container.get('name')}: {problem}"


def _container(container: dict[str, Any], pods: Pods, version: str) -> Iterator[str]:
    image = container.get("image") or ""
    name, _, tag = image.rpartition("/")[2].partition(":")
    if name.startswith("freshet-") and tag != version:
        yield f"image {image}: the tag must be the version, {version}"
    if not tag or tag == "latest":
        yield f"image {image}: name a version"
    # A Knative Service has no pod-wide context, so its containers say all of it themselves.
    wide = {} if is_knative(pods.owner) else pods.spec.get("securityContext") or {}
    own = container.get("securityContext") or {}
    said = {**wide, **own}
    if said.get("runAsNonRoot") is not True:
        yield "securityContext.runAsNonRoot: true"
    if not said.get("runAsUser") or (name.startswith("freshet-") and said["runAsUser"] != _IMAGES_USER):
        yield f"securityContext.runAsUser: {_IMAGES_USER} for Freshet's images, never 0"
    if (said.get("seccompProfile") or {}).get("type") != "RuntimeDefault":
        yield "securityContext.seccompProfile: RuntimeDefault"
    if own.get("allowPrivilegeEscalation") is not False or own.get("privileged"):
        yield "securityContext.allowPrivilegeEscalation: false"
    capabilities = own.get("capabilities") or {}
    if capabilities.get("drop") != ["ALL"] or capabilities.get("add"):
        yield "securityContext.capabilities: drop ALL, add none"
    caches = is_knative(pods.owner) and name in _WRITES_ITS_CACHE
    if own.get("readOnlyRootFilesystem") is not (not caches):
        yield f"securityContext.readOnlyRootFilesystem: {str(not caches).lower()}"
    resources = container.get("resources") or {}
    if not {"cpu", "memory"} <= set(resources.get("requests") or {}):
        yield "resources.requests: cpu and memory"
    if "memory" not in (resources.get("limits") or {}):
        yield "resources.limits: memory"
    if caches and "ephemeral-storage" not in (resources.get("limits") or {}):
        yield "resources.limits: ephemeral-storage bounds the cache"
    if pods.owner.get("kind") in {"Deployment", "StatefulSet"} and container.get("ports"):
        for probe in ("readinessProbe", "livenessProbe"):
            if probe not in container:
                yield f"{probe} is missing"
