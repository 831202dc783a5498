"""The renderer against kubectl's own kustomize, object by object."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator

from tests.deploy.check import MANIFESTS
from tests.deploy.documents import Object, documents, name_of
from tests.deploy.kustomize import render

_TIMEOUT_S = 60


def usable_kubectl() -> str | None:
    """A kubectl with kustomize 4 or newer; Debian 12's own has 2, which knows no components."""
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        return None
    told = subprocess.run(
        [kubectl, "version", "--client", "--output", "json"],
        check=False,
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_S,
    )
    try:
        major = int(json.loads(told.stdout)["kustomizeVersion"].lstrip("v").split(".")[0])
    except (ValueError, KeyError):  # older ones do not say
        return None
    return kubectl if major >= 4 else None


def by_kubectl(kubectl: str, folder: str) -> list[Object]:
    """What `kubectl kustomize` makes of a folder below deploy/knative. Raises CalledProcessError."""
    made = subprocess.run(
        [kubectl, "kustomize", str(MANIFESTS / folder)],
        check=True,
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_S,
    )
    return documents(made.stdout, f"kubectl kustomize {folder}")


def folders() -> list[str]:
    """Every folder that can be applied."""
    found = MANIFESTS.glob("*/kustomization.yaml")
    return sorted(path.parent.name for path in found if not path.parent.name.startswith("."))


def differences(kubectl: str) -> Iterator[str]:
    """Objects that the two make differently."""
    for folder in folders():
        try:
            theirs = {name_of(one): one for one in by_kubectl(kubectl, folder)}
        except subprocess.CalledProcessError as error:
            yield f"kubectl kustomize {folder}: {error.stderr.strip()}"
            continue
        ours = {name_of(one): one for one in render(MANIFESTS / folder)}
        for name in sorted(theirs.keys() | ours.keys()):
            if theirs.get(name) != ours.get(name):
                yield f"{folder}: {name} is rendered differently from kubectl kustomize"
