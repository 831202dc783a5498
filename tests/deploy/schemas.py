"""Whether an object has only fields that its kind knows, each of its type, none behind a feature flag."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

from tests.deploy.documents import Object

_FOLDER = Path(__file__).resolve().parents[2] / "deploy" / "schemas"
_MESSAGE_MAX = 300  # characters; a oneOf repeats the whole object


@cache
def _loaded() -> tuple[dict[str, Any], dict[str, Any]]:
    kinds: dict[str, Any] = {}
    definitions: dict[str, Any] = {}
    for name in ("kubernetes", "custom"):
        content = json.loads((_FOLDER / f"{name}.json").read_text())
        kinds |= content["kinds"]
        definitions |= content.get("$defs", {})
    return kinds, definitions


@cache
def _validator(kind: str) -> Draft202012Validator:
    kinds, definitions = _loaded()
    return Draft202012Validator({**kinds[kind], "$defs": definitions})


def problems(obj: Object) -> Iterator[str]:
    """What the schema of the object's kind says about it."""
    kinds, _ = _loaded()
    kind = f"{obj.get('apiVersion')}/{obj.get('kind')}"
    if kind not in kinds:
        yield f"no schema of {kind}: a wrong apiVersion or kind, or one to add with tools/make_schemas.py"
        return
    for error in sorted(_validator(kind).iter_errors(obj), key=lambda one: [str(step) for step in one.path]):
        path = ".".join(str(step) for step in error.absolute_path) or "the object"
        yield f"{path}: {error.message[:_MESSAGE_MAX]}"
    yield from _flagged(kinds[kind], obj, "")
    if not (obj.get("metadata") or {}).get("name"):
        yield "metadata.name is missing"


def _flagged(schema: dict[str, Any], value: Any, path: str) -> Iterator[str]:
    """Fields that a cluster takes only after an administrator has set a flag."""
    if flag := schema.get("x-flag"):
        yield f"{path.lstrip('.')}: stands behind the feature flag {flag}"
    if isinstance(value, dict):
        for name, part in value.items():
            if below := schema.get("properties", {}).get(name):
                yield from _flagged(below, part, f"{path}.{name}")
    elif isinstance(value, list) and "items" in schema:
        for index, part in enumerate(value):
            yield from _flagged(schema["items"], part, f"{path}.{index}")
