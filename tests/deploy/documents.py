"""YAML files as plain objects, and the parts of an object that several rules look at."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml

Object = dict[str, Any]
KNATIVE = "serving.knative.dev/v1"

_BASE: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class DocumentError(Exception):
    """A file is no YAML, or YAML that two readers may understand differently."""


class _Loader(_BASE):  # type: ignore[misc]
    """Refuses a key that stands twice in one mapping; plain YAML lets the last one win in silence."""


def _mapping(loader: Any, node: Any) -> dict[Any, Any]:
    seen = set()
    for key_node, _ in node.value:
        if key_node.tag == "tag:yaml.org,2002:merge":
            continue
        key = loader.construct_object(key_node, deep=True)
        if key in seen:
            raise DocumentError(f"line {key_node.start_mark.line + 1}: the key {key!r} stands twice")
        seen.add(key)
    loader.flatten_mapping(node)
    made: dict[Any, Any] = _BASE.construct_mapping(loader, node, deep=True)
    return made


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def documents(text: str, where: str) -> list[Any]:
    """The documents of a YAML text. Raises DocumentError."""
    try:
        return [one for one in yaml.load_all(text, Loader=_Loader) if one is not None]
    except (yaml.YAMLError, DocumentError) as error:
        raise DocumentError(f"{where}: {error}") from None


def read(path: Path) -> list[Any]:
    """The documents of a file. Raises DocumentError."""
    try:
        return documents(path.read_text(encoding="utf-8"), path.name)
    except OSError as error:
        raise DocumentError(f"{path}: {error.strerror}") from None


def name_of(obj: Object) -> str:
    """`Kind/name`."""
    return f"{obj.get('kind')}/{(obj.get('metadata') or {}).get('name')}"


def is_knative(obj: Object) -> bool:
    """Whether it is a Knative Service."""
    return obj.get("kind") == "Service" and obj.get("apiVersion") == KNATIVE


class Pods(NamedTuple):
    """The pods that an object makes."""

    owner: Object
    labels: dict[str, str]
    spec: dict[str, Any]

    @property
    def name(self) -> str:
        """`Kind/name` of the owner."""
        return name_of(self.owner)

    def containers(self) -> Iterator[dict[str, Any]]:
        """All of them, init containers too."""
        yield from self.spec.get("initContainers") or []
        yield from self.spec.get("containers") or []


def pods_of(obj: Object) -> Pods | None:
    """The pods that a workload or a Knative Service makes; None for other objects."""
    kind, spec = obj.get("kind"), obj.get("spec") or {}
    if kind == "CronJob":
        spec = (spec.get("jobTemplate") or {}).get("spec") or {}
    elif kind not in {"Deployment", "StatefulSet", "Job"} and not is_knative(obj):
        return None
    template = spec.get("template") or {}
    labels = dict((template.get("metadata") or {}).get("labels") or {})
    if is_knative(obj):
        labels["serving.knative.dev/service"] = (obj.get("metadata") or {}).get("name", "")
    return Pods(obj, labels, template.get("spec") or {})


def all_pods(objects: list[Object]) -> list[Pods]:
    """The pods of every object that makes some."""
    return [pods for one in objects if (pods := pods_of(one)) is not None]
