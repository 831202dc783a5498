"""Make deploy/schemas/*.json, what `make check-deploy` holds the manifests against, from their owners' files.

    python tools/make_schemas.py --kubernetes swagger.json CRD.yaml...

`swagger.json` is `api/openapi-spec/swagger.json` of kubernetes/kubernetes; the CRDs are named in
deploy/schemas/README.md. Kept: structure, types and bounds, as JSON Schema in which an unknown field is an
error. Left out: descriptions (all but "behind a feature flag", which becomes `x-flag`), `status`, CEL rules.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

SCHEMAS = Path(__file__).resolve().parent.parent / "deploy" / "schemas"
CORE = (
    "apps.v1.Deployment",
    "apps.v1.StatefulSet",
    "batch.v1.CronJob",
    "batch.v1.Job",
    "core.v1.ConfigMap",
    "core.v1.Namespace",
    "core.v1.PersistentVolumeClaim",
    "core.v1.Secret",
    "core.v1.Service",
    "core.v1.ServiceAccount",
    "networking.v1.NetworkPolicy",
    "policy.v1.PodDisruptionBudget",
)
KEPT = (
    "required",
    "enum",
    "pattern",
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "minProperties",
    "maxProperties",
)
FLAG = re.compile(r"behind a feature flag\s*-\s*([\w.\-]+)")
INTEGERS = {"int32": 1 << 31, "int64": 1 << 63}
QUANTITY = "io.k8s.apimachinery.pkg.api.resource.Quantity"
INT_OR_STRING = "io.k8s.apimachinery.pkg.util.intstr.IntOrString"
META = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"


def strict(schema: dict[str, Any], *, closed: bool = True) -> dict[str, Any]:
    """A schema of OpenAPI 2 or 3 as JSON Schema; with `closed`, an undeclared field is an error."""
    if "$ref" in schema:
        return {"$ref": schema["$ref"].replace("#/definitions/", "#/$defs/")}
    made: dict[str, Any] = {name: schema[name] for name in KEPT if name in schema}
    if flag := FLAG.search(schema.get("description", "")):
        made["x-flag"] = flag[1]
    if schema.get("x-kubernetes-int-or-string") or schema.get("format") == "int-or-string":
        return {**made, "type": ["integer", "string"]}
    if kind := schema.get("type"):
        made["type"] = [kind, "null"] if schema.get("nullable") else kind
    if kind == "integer" and (bound := INTEGERS.get(schema.get("format", ""))):
        made.setdefault("minimum", -bound)
        made.setdefault("maximum", bound - 1)
    if "properties" in schema:
        made["properties"] = {
            name: strict(part, closed=closed) for name, part in schema["properties"].items()
        }
    more = schema.get("additionalProperties")
    if isinstance(more, dict):
        made["additionalProperties"] = strict(more, closed=closed)
    elif "properties" in schema and closed and not _open(schema):
        made["additionalProperties"] = False
    if isinstance(schema.get("items"), dict):
        made["items"] = strict(schema["items"], closed=closed)
    for junctor in ("allOf", "anyOf", "oneOf"):  # these never declare a field
        if junctor in schema:
            made[junctor] = [strict(part, closed=False) for part in schema[junctor]]
    if "not" in schema:
        made["not"] = strict(schema["not"], closed=False)
    return made


def _open(schema: dict[str, Any]) -> bool:
    return bool(
        schema.get("x-kubernetes-preserve-unknown-fields") or schema.get("x-kubernetes-embedded-resource")
    )


def _references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"].rpartition("/")[2]
        for part in node.values():
            yield from _references(part)
    elif isinstance(node, list):
        for part in node:
            yield from _references(part)


def kubernetes(swagger: dict[str, Any]) -> dict[str, Any]:
    """The kinds in CORE and every definition that they lead to."""
    definitions: dict[str, Any] = {}
    wanted = [f"io.k8s.api.{name}" for name in CORE]
    while wanted:
        name = wanted.pop()
        if name not in definitions:
            definitions[name] = strict(_without_status(swagger["definitions"][name]))
            wanted += _references(definitions[name])
    definitions[QUANTITY] = {
        "type": ["string", "number"],
        "pattern": r"^[+-]?\d+(\.\d+)?([eE][+-]?\d+|[numkMGTPE]|[KMGTPE]i)?$",
    }
    definitions[INT_OR_STRING] = {"type": ["integer", "string"]}
    kinds = {}
    for name in CORE:
        known = swagger["definitions"][f"io.k8s.api.{name}"]["x-kubernetes-group-version-kind"][0]
        version = f"{known['group']}/{known['version']}" if known["group"] else known["version"]
        kinds[f"{version}/{known['kind']}"] = {"$ref": f"#/$defs/io.k8s.api.{name}"}
    return {"kinds": kinds, "$defs": definitions}


def _without_status(definition: dict[str, Any]) -> dict[str, Any]:
    if "x-kubernetes-group-version-kind" not in definition:
        return definition
    properties = {name: part for name, part in definition["properties"].items() if name != "status"}
    return {**definition, "properties": properties}


def custom(text: str) -> dict[str, Any]:
    """The kinds of a CustomResourceDefinition's served versions."""
    kinds = {}
    for document in yaml.safe_load_all(text):
        spec = document["spec"]
        for version in spec["versions"]:
            if not version["served"] or version.get("deprecated"):
                continue
            schema = strict(version["schema"]["openAPIV3Schema"])
            schema["properties"].pop("status", None)
            schema["properties"] |= {
                "apiVersion": {"type": "string"},
                "kind": {"type": "string"},
                "metadata": {"$ref": f"#/$defs/{META}"},
            }
            kinds[f"{spec['group']}/{version['name']}/{spec['names']['kind']}"] = schema
    return kinds


def main() -> None:
    """Write one file for Kubernetes and one for all custom resources."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kubernetes", type=Path, required=True)
    parser.add_argument("crds", type=Path, nargs="+")
    arguments = parser.parse_args()
    core = kubernetes(json.loads(arguments.kubernetes.read_text()))
    kinds: dict[str, Any] = {}
    for path in arguments.crds:
        kinds |= custom(path.read_text())
    for name, content in (("kubernetes", core), ("custom", {"kinds": kinds})):
        text = json.dumps(content, separators=(",", ":"), sort_keys=True)
        (SCHEMAS / f"{name}.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
