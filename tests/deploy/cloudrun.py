"""Rules for deploy/cloudrun: Google's schema, strictly, and what Freshet and Cloud Run need of each other.

Where the schema is silent, Google's documentation speaks: reserved paths, preview features, limits.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from services.kernel.setting_fields import SecretStr
from services.kernel.settings import catalogue
from tests.deploy.documents import Object, read

FOLDER = Path(__file__).resolve().parents[2] / "deploy" / "cloudrun"
_SCHEMA = FOLDER.parent / "schemas" / "cloudrun.json"
# `gcloud run worker-pools|jobs|services replace` takes these; crema.yaml is another project's.
KINDS = {
    "Service": "serving.knative.dev/v1",
    "Job": "run.googleapis.com/v1",
    "WorkerPool": "run.googleapis.com/v1",
}
_ANNOTATED = ("run.googleapis.com/", "autoscaling.knative.dev/")
_RESERVED_PATH = re.compile(r"z$|^/eventlog$|^/_ah/")
_VARIABLE = re.compile(r"\$\{(\w+)\}")
_GEN2_MEMORY_MIB = 512
_MIB = {"Mi": 1, "Gi": 1024}
# A burst that fills an instance is answered within the deadline on one core.
ANSWER_CPU_MS = 2.3


@cache
def schema() -> dict[str, Any]:
    """`types` and `annotations` as tools/make_cloudrun_schema.py wrote them."""
    made: dict[str, Any] = json.loads(_SCHEMA.read_text(encoding="utf-8"))
    return made


def objects() -> dict[str, Object]:
    """File name -> its object, for every file that gcloud takes."""
    found = {}
    for path in sorted(FOLDER.glob("*.yaml")):
        (obj,) = read(path)
        if obj["kind"] in KINDS:
            found[path.name] = obj
    return found


def problems(obj: Object) -> Iterator[str]:
    """All that is wrong with one object."""
    if KINDS.get(obj["kind"]) != obj["apiVersion"]:
        yield f"{obj['apiVersion']} {obj['kind']} is none of {KINDS}"
        return
    yield from _shape(obj, obj["kind"], "")
    yield from _annotations(obj)
    for container, spec in containers(obj):
        yield from _container(obj, container, spec)


def containers(obj: Object) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """(container, the spec that holds it)."""
    spec = obj["spec"]["template"]["spec"]
    if obj["kind"] == "Job":
        spec = spec["template"]["spec"]
    for container in spec["containers"]:
        yield container, spec


def _shape(value: Any, kind: Any, place: str) -> Iterator[str]:
    """`value` against the type `kind` of the schema; a field that it does not know is an error."""
    if isinstance(kind, list):
        if not isinstance(value, list):
            yield f"{place}: a list is expected"
            return
        for at, one in enumerate(value):
            yield from _shape(one, kind[0], f"{place}[{at}]")
    elif isinstance(kind, dict):
        for name, one in _fields(value):
            yield from _shape(one, kind["*"], f"{place}.{name}")
    elif kind in schema()["types"]:
        fields = schema()["types"][kind]
        if not isinstance(value, dict):
            yield f"{place}: a {kind} is expected"
        for name, one in _fields(value):
            if name in fields:
                yield from _shape(one, fields[name], f"{place}.{name}")
            else:
                yield f"{place}.{name} is no field of {kind}, or Cloud Run does not support it"
    elif type(value) is not {"string": str, "integer": int, "boolean": bool, "number": float}[kind]:
        yield f"{place}: {value!r} is no {kind}"


def _fields(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        yield from value.items()


def _annotations(obj: Object) -> Iterator[str]:
    places = [(obj["kind"], obj["metadata"])]
    inner = "Execution" if obj["kind"] == "Job" else "Revision"
    places.append((inner, obj["spec"]["template"].get("metadata") or {}))
    given: dict[str, str] = {}
    for kind, metadata in places:
        for name, value in (metadata.get("annotations") or {}).items():
            given[name] = value
            known = schema()["annotations"].get(name)
            if not name.startswith(_ANNOTATED):
                yield f"{name}: no annotation of Cloud Run"
            elif known is None or not {kind, "All resources"} & set(known):
                yield f"{name}: not on a {kind} ({known})"
    if given.get("run.googleapis.com/execution-environment") != "gen2":
        yield "execution-environment: gen2, which mounted buckets need"
    interfaces = given.get("run.googleapis.com/network-interfaces", "")
    if set(json.loads(interfaces or "[{}]")[0]) != {"network", "subnetwork"}:
        yield "network-interfaces: network and subnetwork, or Kafka and Valkey are out of reach"
    if given.get("run.googleapis.com/vpc-access-egress") != "private-ranges-only":
        yield "vpc-access-egress: private-ranges-only"
    if obj["kind"] == "Service":
        yield from _service_annotations(obj, given)


def _service_annotations(obj: Object, given: dict[str, str]) -> Iterator[str]:
    if given.get("autoscaling.knative.dev/minScale") != "0":
        yield "minScale: 0"
    if given.get("run.googleapis.com/startup-cpu-boost") != "true":
        yield "startup-cpu-boost: true"
    probed = any("readinessProbe" in container for container, _ in containers(obj))
    if probed and given.get("run.googleapis.com/launch-stage") != "BETA":
        yield "launch-stage: BETA, for readinessProbe is in preview"


def _container(obj: Object, container: dict[str, Any], spec: dict[str, Any]) -> Iterator[str]:
    if not spec.get("serviceAccountName", "").startswith(f"{obj['metadata']['name']}@"):
        yield "serviceAccountName: one of its own"
    yield from _environment(container)
    yield from _probes(obj, container)
    limits = (container.get("resources") or {}).get("limits") or {}
    amount, unit = limits.get("memory", "0Mi")[:-2], limits.get("memory", "0Mi")[-2:]
    if int(amount) * _MIB[unit] < _GEN2_MEMORY_MIB:
        yield f"memory: at least {_GEN2_MEMORY_MIB}Mi in gen2"
    mounted = {mount["name"] for mount in container.get("volumeMounts", [])}
    volumes = {volume["name"]: volume for volume in spec.get("volumes", [])}
    if mounted != set(volumes):
        yield f"volumes {sorted(volumes)}, but mounts {sorted(mounted)}"
    for volume in volumes.values():
        options = ((volume.get("csi") or {}).get("volumeAttributes") or {}).get("mountOptions", "")
        if "csi" in volume and not {"uid=65532", "gid=65532"} <= set(options.split(",")):
            yield "mountOptions: uid=65532,gid=65532, the user of the images"
    if obj["kind"] == "Service":
        yield from _capacity(container, spec)


def _environment(container: dict[str, Any]) -> Iterator[str]:
    settings = {name: default for name, default, _ in catalogue()}
    given = environment(container)
    if len(given) != len(container.get("env", [])):
        yield "env: a name stands twice"
    for name, value in given.items():
        if name.startswith("FRESHET_") and name not in settings:
            yield f"{name} is no setting of Freshet"
        secret = isinstance(settings.get(name), SecretStr) or name == "FRESHET_STORE_URL"
        if secret and (value is not None or "PASSWORD" in name):
            yield f"{name}: by secretKeyRef"
    if "FRESHET_PORT" in given:
        yield "FRESHET_PORT: Cloud Run says by PORT where to listen"
    if "FRESHET_LOG_URL" in given:
        wanted = {"SECURITY_PROTOCOL": "SASL_SSL", "SASL_MECHANISM": "OAUTHBEARER", "TOKEN": "gcp"}
        for name, value in wanted.items():
            if given.get(f"FRESHET_KAFKA_{name}") != value:
                yield f"FRESHET_KAFKA_{name}: {value}"


def environment(container: dict[str, Any]) -> dict[str, str | None]:
    """Name -> value, None where it is a secret."""
    return {entry["name"]: entry.get("value") for entry in container.get("env", [])}


def _probes(obj: Object, container: dict[str, Any]) -> Iterator[str]:
    wanted = {"Service": {"startupProbe", "livenessProbe"}, "WorkerPool": {"startupProbe", "livenessProbe"}}
    for name in wanted.get(obj["kind"], set()) - container.keys():
        yield f"{name} is missing"
    for name in ("startupProbe", "livenessProbe", "readinessProbe"):
        if (probe := container.get(name)) is None:
            continue
        path = probe["httpGet"]["path"]
        if _RESERVED_PATH.search(path):
            yield f"{name}: Google's front end keeps {path} for itself"
        if path != ("/ready" if name == "readinessProbe" else "/health"):
            yield f"{name}: {path}"
        if probe["timeoutSeconds"] > probe["periodSeconds"]:
            yield f"{name}: timeoutSeconds above periodSeconds"


def _capacity(container: dict[str, Any], spec: dict[str, Any]) -> Iterator[str]:
    defaults = {name: default for name, default, _ in catalogue()}
    given = environment(container)

    def number(name: str) -> float:
        return float(given.get(name) or defaults[name])

    concurrency, timeout_s = spec["containerConcurrency"], spec["timeoutSeconds"]
    if number("FRESHET_ACK_TIMEOUT_MS") / 1000 >= timeout_s:
        yield "timeoutSeconds: above FRESHET_ACK_TIMEOUT_MS"
    if container["name"] != "recommender":
        return
    if number("FRESHET_STREAM_MAX_S") >= timeout_s:
        yield "timeoutSeconds: above FRESHET_STREAM_MAX_S"
    if number("FRESHET_MAX_STREAMS") > concurrency / 2:
        yield "FRESHET_MAX_STREAMS: at most half of containerConcurrency, or streams keep answers out"
    if concurrency * ANSWER_CPU_MS > number("FRESHET_DEADLINE_MS"):
        yield "containerConcurrency: the last of a burst would miss FRESHET_DEADLINE_MS"


def variables() -> set[str]:
    """All ${…} of the files."""
    return {name for path in FOLDER.glob("*.yaml") for name in _VARIABLE.findall(path.read_text())}
