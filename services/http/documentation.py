"""What the documentation of every service is made of. Loaded when somebody asks for it, never before.

A service's calls are told in a module that its Router names: `CALLS`, by method and path as in
"GET /items/{item_id}", each an Operation Object of OpenAPI 3.1. A schema with a `title` is a type: it
stands in the document once, under that name, and all other places point there (http/description.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from services.kernel.problem import PROBLEM_MEDIA_TYPE, phrase

Schema = dict[str, Any]
JSON: Final = "application/json"


def of(kind: str | list[str], text: str = "", *examples: Any, **more: Any) -> Schema:
    """A schema of that type; what it means, and examples of it."""
    told = {"description": text} if text else {}
    return {"type": kind, **told, **({"examples": list(examples)} if examples else {}), **more}


def text(says: str = "", *examples: str, **more: Any) -> Schema:
    """A string."""
    return of("string", says, *examples, **more)


def array(of_what: Schema, says: str = "", *examples: Any, **more: Any) -> Schema:
    """A list of `of_what`."""
    return of("array", says, *examples, items=of_what, **more)


def record(title: str, says: str, properties: dict[str, Schema], *required: str, **more: Any) -> Schema:
    """A type of its own: an object that has `required`, and may have the rest. "*" requires all."""
    named = list(properties) if required == ("*",) else list(required)
    made: Schema = {"title": title, "type": "object", "description": says, "properties": properties, **more}
    return {**made, "required": named} if named else made


PROBLEM: Final = record(
    "Problem",
    "What went wrong and what to change (RFC 9457)",
    {
        "type": text("always about:blank: programs look at `code`", "about:blank"),
        "title": text("the status in words", "Unprocessable Content"),
        "status": of("integer", "the HTTP status", 422),
        "code": text("for programs; never changes", "missing_user_id"),
        "detail": text("for people: what to change", "user_id (or anonymous_id) is missing"),
    },
    "*",
)


def problem(
    status: int,
    says: str,
    details: Mapping[str, str],
    schema: Schema = PROBLEM,
    **more: Any,
) -> dict[str, dict[str, Any]]:
    """The response of `status` by that key. `details` has, by code, what the problem says; `more` are members
    that stand beside them."""
    examples = {
        code: {
            "value": {
                "type": "about:blank",
                "title": phrase(status),
                "status": status,
                "code": code,
                "detail": detail,
                **more,
            }
        }
        for code, detail in details.items()
    }
    content = {PROBLEM_MEDIA_TYPE: {"schema": schema, "examples": examples}}
    made: dict[str, Any] = {"description": says, "content": content}
    if status == 503:
        made["headers"] = {"Retry-After": {"description": "seconds", "schema": {"type": "integer"}}}
    return {str(status): made}


def answer(
    status: int, says: str, schema: Schema, example: Any, media_type: str = JSON
) -> dict[str, dict[str, Any]]:
    """The response of `status` by that key."""
    content = {media_type: {"schema": schema, "example": example}}
    return {str(status): {"description": says, "content": content}}


def body(says: str, schema: Schema, examples: Mapping[str, Any], media_type: str = JSON) -> dict[str, Any]:
    """A request body that must be there. Of `examples`, those with a `value` may have a `summary` too."""
    told = {
        name: one if isinstance(one, Mapping) and one.keys() <= {"summary", "value"} else {"value": one}
        for name, one in examples.items()
    }
    content = {media_type: {"schema": schema, "examples": told}}
    return {"required": True, "description": says, "content": content}


def in_path(name: str, says: str, example: str) -> dict[str, Any]:
    """An id in the path."""
    return {
        "name": name,
        "in": "path",
        "required": True,
        "description": f"{says}; any id, `%2F` belongs to it",
        "schema": {"type": "string", "minLength": 1, "maxLength": 256},
        "example": example,
    }


def in_query(name: str, schema: Schema, example: Any = None) -> dict[str, Any]:
    """A parameter that may be left out; its description is that of `schema`. The page fills `example` in."""
    kind = {key: value for key, value in schema.items() if key != "description"}
    made = {"name": name, "in": "query", "description": schema["description"], "schema": kind}
    return made if example is None else {**made, "example": example}


# What every call with a body may answer, whatever is in it; services/http/body.py.
BODY_PROBLEMS: Final[dict[int, dict[str, str]]] = {
    400: {"invalid_gzip": "the body is not gzip although Content-Encoding says so"},
    408: {"body_too_slow": "the body did not arrive within 30 s"},
    413: {"body_too_large": "the body has more than 1048576 bytes (after gunzip too); split it into several"},
    415: {"unsupported_encoding": "Content-Encoding 'br': send gzip or none"},
    503: {"overloaded": "too many large bodies at once; try again"},
}
NO_JSON: Final = {
    "invalid_json": "JSON is malformed: expected ',' or '}' (byte 22); check quotes, commas and brackets",
    "nested_too_deeply": "the JSON is nested too deeply; flatten it",
    "not_utf8": "the body is not UTF-8; encode it as UTF-8",
    "not_a_number": "NaN and Infinity are not JSON; leave the field out",
    "lone_surrogate": r"a \u escape is half of a surrogate pair, which is no character",
    "number_out_of_range": "a number is too large; send less, or an id as a string",
}

_CHECKS: Final = of("object", "each check: ok, or what is wrong and what to do", additionalProperties=text())
_STATUS: Final = text("", "ok")
CALLS: Final[dict[str, dict[str, Any]]] = {
    "GET /healthz": {
        "operationId": "health",
        "summary": "Is the process alive",
        "description": "It answers, so it is. For liveness probes; `/health` is the same.",
        "tags": ["Operations"],
        "responses": answer(
            200, "It is.", record("Health", "the process answers", {"status": _STATUS}, "*"), {"status": "ok"}
        ),
    },
    "GET /readyz": {
        "operationId": "ready",
        "summary": "Can the service do its work now",
        "description": "For readiness probes; `/ready` is the same. Each check answers within 150 ms.",
        "tags": ["Operations"],
        "responses": {
            **answer(
                200,
                "All checks pass.",
                record(
                    "Readiness",
                    "the service can do its work",
                    {"status": text("", "ready"), "checks": _CHECKS},
                    "*",
                ),
                {"status": "ready", "checks": {"log": "ok", "profiler": "ok", "recommender": "ok"}},
            ),
            **problem(
                503,
                "A check fails; `checks` says which, and why.",
                {"not_ready": "log: no answer within 150 ms"},
                {**PROBLEM, "title": "NotReady", "properties": {**PROBLEM["properties"], "checks": _CHECKS}},
                checks={"log": "no answer within 150 ms", "profiler": "ok", "recommender": "ok"},
            ),
        },
    },
    "GET /metrics": {
        "operationId": "metrics",
        "summary": "Metrics for Prometheus",
        "description": "docs/METRICS.md explains each. Behind compose's gateway each service has its own: "
        "`/metrics/ingest`, `/metrics/profiler`, `/metrics/recommender`.",
        "tags": ["Operations"],
        "responses": answer(
            200,
            "Prometheus' text format.",
            text(),
            '# TYPE freshet_http_requests_total counter\nfreshet_http_requests_total{method="POST",'
            'route="/events",service="run",status="202"} 1.0\n',
            "text/plain; version=0.0.4; charset=utf-8",
        ),
    },
}
