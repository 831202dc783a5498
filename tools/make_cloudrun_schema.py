"""Make deploy/schemas/cloudrun.json, what tests/unit/test_cloudrun.py holds deploy/cloudrun against.

    python tools/make_cloudrun_schema.py run.v1.json

`run.v1.json` is Google's description of the Cloud Run Admin API v1, which `gcloud run … replace` speaks, from
https://run.googleapis.com/$discovery/rest?version=v1 or the Python package google-api-python-client (Apache
License 2.0). Kept: the fields of Service, Job and WorkerPool with their types, without those that say
"Not supported by Cloud Run", and which annotation belongs to which kind of object.
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path
from typing import Any

TARGET = Path(__file__).resolve().parent.parent / "deploy" / "schemas" / "cloudrun.json"
ROOTS = ("Service", "Job", "WorkerPool")
# What the server writes and nobody else.
LEFT_OUT = {"status", "creationTimestamp", "deletionTimestamp", "uid", "selfLink", "generation"}
UNSUPPORTED = re.compile(r"^Not supported by Cloud Run|^Optional\. Not supported by Cloud Run")
ANNOTATION = re.compile(r"\* `([\w./-]+)`: ([\w, ]+)\.?")


def kept_types(schemas: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Type name -> field name -> its type: a name of a type, or string, integer, boolean, [type], {type}."""
    kept: dict[str, dict[str, Any]] = {}
    waiting = list(ROOTS)
    while waiting:
        name = waiting.pop()
        if name in kept:
            continue
        fields = {
            field: short(told)
            for field, told in schemas[name]["properties"].items()
            if field not in LEFT_OUT and not UNSUPPORTED.match(told.get("description", ""))
        }
        kept[name] = dict(sorted(fields.items()))
        waiting += [
            one for one in re.findall(r'"(\w+)"', json.dumps(list(fields.values()))) if one in schemas
        ]
    return dict(sorted(kept.items()))


def short(told: dict[str, Any]) -> Any:
    """`told` of the discovery document in the form above."""
    if "$ref" in told:
        return told["$ref"]
    if told["type"] == "array":
        return [short(told["items"])]
    if told["type"] == "object":
        return {"*": short(told["additionalProperties"])}
    return "integer" if told.get("format") == "int64" else str(told["type"])  # JSON writes those as strings


def annotation_kinds(schemas: dict[str, Any]) -> dict[str, list[str]]:
    """Annotation -> kinds of objects (Service, Revision, Job, Execution, ...) that take it."""
    text = schemas["ObjectMeta"]["properties"]["annotations"]["description"]
    return {
        name: sorted(kind for part in kinds.split(",") if (kind := part.strip()))
        for name, kinds in ANNOTATION.findall(text)
    }


def main() -> None:
    """Write the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("discovery", type=Path, metavar="run.v1.json")
    document = json.loads(parser.parse_args().discovery.read_text(encoding="utf-8"))
    made = {
        "api": f"{document['id']}, revision {document['revision']}",
        "annotations": annotation_kinds(document["schemas"]),
        "types": kept_types(document["schemas"]),
    }
    TARGET.write_text(json.dumps(made, indent=1, sort_keys=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
