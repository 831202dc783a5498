"""kubectl as functions. KUBECONFIG says which cluster."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from typing import Any

from tests.deploy.documents import Object

_TIMEOUT_S = 120


class ClusterError(Exception):
    """kubectl failed, or what was waited for did not come."""


def run(*arguments: str, given: str | None = None, check: bool = True) -> subprocess.CompletedProcess[str]:
    """kubectl, with `given` on its standard input. Raises ClusterError unless `check` is off."""
    try:
        done = subprocess.run(
            ["kubectl", *arguments],
            input=given,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
    except FileNotFoundError:
        raise ClusterError("kubectl is not here: install it") from None
    if check and done.returncode:
        raise ClusterError(f"kubectl {' '.join(arguments)}: {done.stderr.strip()}")
    return done


def read(*arguments: str) -> Any:
    """The answer of `kubectl get … -o json`."""
    return json.loads(run("get", *arguments, "-o", "json").stdout)


def apply(*objects: Object, arguments: tuple[str, ...] = ()) -> str:
    """Apply the objects; what kubectl says."""
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)})
    return run("apply", *arguments, "-f", "-", given=text).stdout


def dry_run(obj: Object) -> str:
    """The server's refusal of an object, with everything that admission says; empty when it takes it."""
    done = run(
        "apply", "--dry-run=server", "--validate=strict", "-f", "-", given=json.dumps(obj), check=False
    )
    return done.stderr.strip() or "refused without a reason" if done.returncode else ""


def until(what: str, timeout_s: float, probe: Callable[[], Any], *, poll_s: float = 0.2) -> Any:
    """The first truthy answer of `probe`. Raises ClusterError after `timeout_s`."""
    end_s = time.monotonic() + timeout_s
    while True:
        answer = probe()
        if answer:
            return answer
        if time.monotonic() > end_s:
            raise ClusterError(f"{what}: not within {timeout_s:.0f} s")
        time.sleep(poll_s)


def versions() -> dict[str, str]:
    """What the cluster is: Kubernetes, and the platforms where their namespaces carry a version."""
    found = {"kubernetes": json.loads(run("version", "-o", "json").stdout)["serverVersion"]["gitVersion"]}
    for name, namespace in (("knative-serving", "knative-serving"), ("keda", "keda")):
        labels = read("namespace", namespace, "--ignore-not-found") if _there(namespace) else {}
        version = (labels.get("metadata", {}).get("labels") or {}).get("app.kubernetes.io/version")
        if version:
            found[name] = version
    return found


def _there(namespace: str) -> bool:
    return bool(run("get", "namespace", namespace, "--ignore-not-found").stdout.strip())
