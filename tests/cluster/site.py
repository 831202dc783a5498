"""Where the test runs: the cluster's gateway, how images get there, and what is installed for it.

KNATIVE_GATEWAY        address of Knative's gateway, e.g. http://10.0.0.2 (requests carry the Host)
KNATIVE_LOCAL_GATEWAY  the cluster-local one, where it is another (kubectl port-forward -n kourier-system …)
IMAGE_PREFIX           put before every image, e.g. registry.example.com/ (default: images as they are)
LOAD_IMAGES            a command that takes the path of a `docker save` archive (kind load image-archive);
                       without it the images must be where the cluster finds them
"""

from __future__ import annotations

import base64
import copy
import os
import secrets
import shlex
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import Any, Final

from tests.cluster import kubectl
from tests.deploy.check import MANIFESTS, NAMESPACE, version
from tests.deploy.documents import Object, is_knative, pods_of, read
from tests.deploy.kustomize import render

SERVICES: Final = ("ingest", "profiler", "recommender", "cli")
OUTSIDE_IMAGES: Final = ("apache/kafka:4.1.0", "valkey/valkey:8.1")
# Shortest that Knative takes: what is measured is the wake, not the wait before it.
QUICK: Final = {
    "autoscaling.knative.dev/window": "6s",
    "autoscaling.knative.dev/scale-to-zero-pod-retention-period": "0s",
    "autoscaling.knative.dev/scale-down-delay": "0s",
}
COOLDOWN_S: Final = 15  # instead of 60, for the same reason

# The barest thing that Knative can run from the same image: it answers 200 to anything.
_BARE: Final = """
import _thread, signal, socket, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit())
def answer(caller):
    while caller.recv(65536):
        caller.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 0\\r\\n\\r\\n")
    caller.close()
listening = socket.create_server(("", 8080), backlog=64)
while True:
    _thread.start_new_thread(answer, listening.accept()[:1])
"""


def gateway() -> str:
    """KNATIVE_GATEWAY. Raises ClusterError."""
    try:
        return os.environ["KNATIVE_GATEWAY"]
    except KeyError:
        raise kubectl.ClusterError("set KNATIVE_GATEWAY, e.g. http://10.0.0.2") from None


def local_gateway() -> str:
    """Where cluster-local addresses answer."""
    return os.environ.get("KNATIVE_LOCAL_GATEWAY") or gateway()


def bring_images() -> None:
    """Tag, save and load all images, where LOAD_IMAGES says how."""
    command, prefix = os.environ.get("LOAD_IMAGES"), os.environ.get("IMAGE_PREFIX", "")
    if not command:
        return
    names = [*(f"freshet-{name}:{version()}" for name in SERVICES), *OUTSIDE_IMAGES]
    if prefix:
        for name in names:
            subprocess.run(["docker", "tag", name, prefix + name], check=True)
    with tempfile.TemporaryDirectory() as folder:
        archive = str(Path(folder) / "images.tar")
        subprocess.run(["docker", "save", "-o", archive, *(prefix + name for name in names)], check=True)
        subprocess.run([*shlex.split(command), archive], check=True, stdout=subprocess.DEVNULL)


def here(obj: Object) -> Object:
    """The object with images from this site, and quick to scale down."""
    made = copy.deepcopy(obj)
    pods = pods_of(made)
    if pods is not None:
        for container in pods.containers():
            container["image"] = os.environ.get("IMAGE_PREFIX", "") + container["image"]
            # Ending pods hold their share for 30 s, and a small node has to hold three generations of them.
            (container.get("resources") or {}).get("requests", {})["cpu"] = "10m"
            if not _counts_storage():
                for amounts in (container.get("resources") or {}).values():
                    amounts.pop("ephemeral-storage", None)
    if is_knative(made):
        made["spec"]["template"]["metadata"].setdefault("annotations", {}).update(QUICK)
    if made["kind"] == "ScaledObject":
        made["spec"]["cooldownPeriod"] = COOLDOWN_S
    if made["kind"] == "ConfigMap" and made["metadata"]["name"] == "freshet":
        made["data"]["FRESHET_LOG_REPLICATION"] = "1"
    return made


@cache
def _counts_storage() -> bool:
    """Whether nodes count ephemeral storage; one that does not takes no pod that asks for some."""
    nodes = kubectl.read("nodes")["items"]
    return all("ephemeral-storage" in one["status"]["allocatable"] for one in nodes)


def rendered(folder: str, *kinds: str) -> list[Object]:
    """What a folder makes, for this site; only of these kinds where some are named."""
    return [here(one) for one in render(MANIFESTS / folder) if not kinds or one["kind"] in kinds]


def secret(name: str, **values: str) -> Object:
    """A Secret as `kubectl create secret generic` would make it."""
    meta = {"name": name, "namespace": NAMESPACE}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "stringData": values}


@cache
def key() -> str:
    """The key of what is installed."""
    found = kubectl.read("-n", NAMESPACE, "secret", "freshet")["data"]["FRESHET_KEYS"]
    return base64.b64decode(found).decode()


def install_base() -> None:
    """Namespace, secrets, one Kafka broker, Valkey without a volume, the ConfigMap."""
    password = secrets.token_hex(16)
    store_url = f"valkey://:{password}@freshet-valkey:6379/0"
    kubectl.apply(*rendered("namespace"))
    kubectl.apply(
        secret("freshet-valkey", password=password),
        secret(
            "freshet",
            FRESHET_KEYS=secrets.token_hex(16),
            FRESHET_STORE_URL=store_url,
            FRESHET_RELEASE_URL=store_url,
        ),
    )
    kubectl.apply(*(here(one) for one in read(Path(__file__).parent / "kafka.yaml")))
    kubectl.apply(*(_without_volume(one) for one in rendered("infrastructure") if _is_valkeys(one)))
    for name in ("deployment/freshet-kafka", "statefulset/freshet-valkey"):
        kubectl.run("-n", NAMESPACE, "rollout", "status", name, "--timeout=110s")
    kubectl.apply(*rendered("push", "ConfigMap"))


def _is_valkeys(obj: Object) -> bool:
    return not str(obj["apiVersion"]).startswith("kafka.strimzi.io/")


def _without_volume(obj: Object) -> Object:
    """A test cluster may have no storage class."""
    if obj["kind"] == "StatefulSet":
        del obj["spec"]["volumeClaimTemplates"]
        volume: dict[str, Any] = {"name": "data", "emptyDir": {"sizeLimit": "1Gi"}}
        obj["spec"]["template"]["spec"]["volumes"].append(volume)
    return obj


def run_setup() -> None:
    """The setup Job, until it is complete. Raises ClusterError with what it printed."""
    kubectl.run("-n", NAMESPACE, "delete", "job", "freshet-setup", "--ignore-not-found")
    kubectl.apply(*rendered("setup"))
    job = ("-n", NAMESPACE, "job/freshet-setup")

    def done() -> dict[str, Any]:
        found: dict[str, Any] = kubectl.read(*job).get("status") or {}
        return found if found.get("succeeded") or found.get("failed") else {}

    status = kubectl.until("the setup job", 240, done, poll_s=0.5)
    if not status.get("succeeded"):
        said = kubectl.run("-n", NAMESPACE, "logs", "job/freshet-setup", check=False).stdout
        raise kubectl.ClusterError(f"the setup job failed: {said[-2000:]}")


def bare_service() -> Object:
    """A Knative Service like the recommender, with a program in it that does nothing."""
    made = next(
        one for one in rendered("push") if is_knative(one) and one["metadata"]["name"] == "recommender"
    )
    made["metadata"]["name"] = "bare"
    spec = made["spec"]["template"]["spec"]
    spec["containers"][0]["command"] = ["python", "-I", "-S", "-c", _BARE]
    return made


def uninstall() -> None:
    """Everything goes."""
    kubectl.run("delete", "namespace", NAMESPACE, "--ignore-not-found", "--timeout=110s", check=False)
