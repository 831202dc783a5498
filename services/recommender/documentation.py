"""What /docs says about the routes: parameters, bodies, examples."""

from __future__ import annotations

from typing import Any

from services.recommender.documentation_examples import BANANAS


def parameter(name: str, kind: dict[str, Any], text: str, *, where: str = "query") -> dict[str, Any]:
    """One parameter in OpenAPI's form; those in the path are required."""
    return {"name": name, "in": where, "required": where == "path", "description": text, "schema": kind}


def path_of(name: str, text: str) -> dict[str, Any]:
    """An id in the path."""
    return parameter(name, {"type": "string"}, f"{text}; slashes stand as they are or as %2F", where="path")


USER = path_of("user_id", "the user")
ITEM = {**path_of("item_id", "the item"), "example": BANANAS}
_PROBLEM: dict[str, Any] = {
    "description": "what to change, as problem details (RFC 9457)",
    "content": {"application/problem+json": {"example": {"status": 422, "code": "unknown_scenario"}}},
}


def answers(text: str, example: Any = None, media_type: str = "application/json") -> dict[str, Any]:
    """The responses of a route."""
    content = {media_type: {} if example is None else {"example": example}}
    return {"200": {"description": text, "content": content}, "422": _PROBLEM}


EXPORT_OF_USER: dict[str, Any] = {
    "parameters": [USER],
    "responses": answers(
        "everything stored about the user; `state` is known, unknown, expired or deleted (docs/PRIVACY.md)",
        {
            "user_id": "u_12345",
            "exported_at": "2026-01-01T12:00:00.000+00:00",
            "state": "unknown",
            "events": 0,
        },
    ),
}


_WHERE = {"where": "scenarios.sale.sources[0]", "line": 4, "message": "'trendign' is no source; …"}
CHECK_OF_SCENARIOS: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"application/toml": {"schema": {"type": "string"}}},
        "description": "a scenario file (docs/SCENARIOS.md)",
    },
    "responses": answers(
        "`ok`, and what is wrong or odd, each with its line",
        {"ok": False, "all": {}, "own": [], "problems": [_WHERE], "warnings": []},
    ),
}
