"""The part of kustomize that deploy/knative uses, so that the check needs no binary; the rest is refused.

Where a kubectl is installed, `make check-deploy` compares with its own kustomize (against_kubectl.py), and
`make check-cluster` always does. Order, as kustomize has it: resources, components, patches, namespace,
images, replacements.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

from tests.deploy.documents import Object, documents, name_of, read

_KNOWN = {
    "apiVersion",
    "kind",
    "namespace",
    "resources",
    "components",
    "patches",
    "images",
    "replacements",
}
_NO_NAMESPACE = {"Namespace"}


class RenderError(Exception):
    """A kustomization says something that this renderer, or kustomize, does not take."""


def render(folder: Path, *components: Path) -> list[Object]:
    """The objects of a kustomization, in no particular order, with these components added to it.

    Raises RenderError, DocumentError.
    """
    objects = _accumulate(folder, [])
    for component in components:
        _accumulate(component, objects)
    return objects


def _accumulate(folder: Path, objects: list[Object]) -> list[Object]:
    """`objects` and what the folder adds, with its transformations applied to all of them."""
    found = read(folder / "kustomization.yaml")
    if len(found) != 1 or not isinstance(found[0], dict):
        raise RenderError(f"{folder}: kustomization.yaml is not one mapping")
    said = found[0]
    if unknown := set(said) - _KNOWN:
        raise RenderError(f"{folder}: {sorted(unknown)} is not known to this renderer")
    for name in said.get("resources") or []:
        path = folder / name
        for one in _accumulate(path, []) if path.is_dir() else read(path):
            if any(_key(one) == _key(other) for other in objects):
                raise RenderError(f"{folder}: {name_of(one)} comes twice")
            objects.append(one)
    for name in said.get("components") or []:
        _accumulate(folder / name, objects)
    for patch in said.get("patches") or []:
        _patch(folder, patch, objects)
    if namespace := said.get("namespace"):
        for one in objects:
            if one.get("kind") not in _NO_NAMESPACE:
                one["metadata"]["namespace"] = namespace
    for image in said.get("images") or []:
        for one in objects:
            _set_image(one, image)
    for replacement in said.get("replacements") or []:
        _replace(replacement, objects)
    return objects


def _key(obj: Object) -> tuple[str, str, str]:
    return obj["apiVersion"], obj["kind"], obj["metadata"]["name"]


def _matches(target: dict[str, Any], obj: Object) -> bool:
    if unknown := set(target) - {"group", "version", "kind", "name"}:
        raise RenderError(f"a target by {sorted(unknown)} is not known to this renderer")
    group, _, version = obj["apiVersion"].rpartition("/")
    has = {"group": group, "version": version, "kind": obj["kind"], "name": obj["metadata"]["name"]}
    return all(has[name] == value for name, value in target.items())


def _patch(folder: Path, patch: dict[str, Any], objects: list[Object]) -> None:
    if set(patch) - {"target", "path", "patch"} or "target" not in patch:
        raise RenderError(f"{folder}: a patch has `target` and `path` or `patch`")
    if "path" in patch:
        operations = read(folder / patch["path"])[0]
    else:
        operations = documents(patch["patch"], f"{folder}: patch")[0]
    if not isinstance(operations, list):
        raise RenderError(f"{folder}: patches are lists of JSON 6902 operations here")
    for one in objects:
        if _matches(patch["target"], one):
            for operation in operations:
                _apply(operation, one)


def _apply(operation: dict[str, Any], obj: Object) -> None:
    """One operation of RFC 6902: add, replace or remove."""
    steps = [part.replace("~1", "/").replace("~0", "~") for part in operation["path"].split("/")[1:]]
    try:
        parent: Any = obj
        for step in steps[:-1]:
            parent = parent[int(step)] if isinstance(parent, list) else parent[step]
        last, value = steps[-1], copy.deepcopy(operation.get("value"))
        match operation["op"], isinstance(parent, list):
            case "add", True:
                parent.insert(len(parent) if last == "-" else int(last), value)
            case "add", False:
                parent[last] = value
            case "replace", True:
                parent[int(last)] = value
            case "replace", False if last in parent:
                parent[last] = value
            case "remove", True:
                del parent[int(last)]
            case "remove", False:
                del parent[last]
            case _:
                raise KeyError(last)
    except (KeyError, IndexError, ValueError, TypeError) as error:
        raise RenderError(
            f"{name_of(obj)}: {operation['op']} {operation['path']} does not apply ({error!r})"
        ) from None


def _set_image(node: Any, image: dict[str, str]) -> None:
    if isinstance(node, list):
        for part in node:
            _set_image(part, image)
        return
    if not isinstance(node, dict):
        return
    for field, part in node.items():
        if field in {"containers", "initContainers"} and isinstance(part, list):
            for container in part:
                if _repository(container.get("image", "")) == image["name"]:
                    container["image"] = f"{image.get('newName', image['name'])}:{image['newTag']}"
        else:
            _set_image(part, image)


def _repository(image: str) -> str:
    path, slash, last = image.rpartition("/")
    return path + slash + last.partition(":")[0]


def _replace(replacement: dict[str, Any], objects: list[Object]) -> None:
    source = dict(replacement["source"])
    field, options = source.pop("fieldPath"), source.pop("options", None)
    sources = [one for one in objects if _matches(source, one)]
    if len(sources) != 1:
        raise RenderError(f"a replacement has {len(sources)} sources, not one: {source}")
    value: Any = sources[0]
    for step in field.split("."):
        value = value[step]
    if options:
        value = value.split(options["delimiter"])[options["index"]]
    for target in replacement["targets"]:
        for one in objects:
            if _matches(target["select"], one):
                for path in target["fieldPaths"]:
                    _apply({"op": "replace", "path": "/" + path.replace(".", "/"), "value": value}, one)
