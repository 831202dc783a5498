"""What /docs says about the routes: parameters, bodies, examples."""

from __future__ import annotations

from typing import Any

from services.ranking.scenario_file import built_in
from services.recommender.query import DEFAULT_N, MAX_CANDIDATES, MAX_N, MAX_RECENT, MAX_ROWS

EXAMPLE_ANSWER: dict[str, Any] = {
    "items": [
        {
            "item_id": "p_67890",
            "score": 0.8312,
            "rank": 1,
            "reason": {"code": "similar_to", "item_id": "p_11", "text": "Because you looked at p_11"},
            "title": "Aged cheddar",
            "price": 4.99,
        }
    ],
    "recommendation_id": "AQGLx1…",
    "scenario": "for_you",
    "strategy": "model",
    "release": "day0-3f2a9c01b7de",
    "user_id": "u_12345",
    "anonymous_id": None,
    "profile_events": 12,
    "profile_age_ms": 4,
    "fresh": True,
}
EXAMPLE_BODY: dict[str, Any] = {
    "user_id": "u_12345",
    "recent_items": [{"item_id": "p_67890", "event_type": "cart_add", "timestamp": 1687872000}],
    "exclude": ["p_1"],
    "fields": ["title", "price"],
    "rows": [
        {"id": "top", "scenario": "trending", "n": 6},
        {"id": "yours", "scenario": "for_you", "n": 12},
    ],
}


def parameter(name: str, kind: dict[str, Any], text: str, *, where: str = "query") -> dict[str, Any]:
    """One parameter in OpenAPI's form; those in the path are required."""
    return {"name": name, "in": where, "required": where == "path", "description": text, "schema": kind}


def path_of(name: str, text: str) -> dict[str, Any]:
    """An id in the path."""
    return parameter(name, {"type": "string"}, f"{text}; slashes stand as they are or as %2F", where="path")


_ID: dict[str, Any] = {"type": "string", "maxLength": 256}
AFTER = (
    "a position from the 202 of an event of this user: wait for it, inside the deadline; `fresh` says "
    "whether it was reached. Positions of items say nothing here"
)
_SCENARIO: dict[str, Any] = {"type": "string", "examples": list(built_in())}
RECOMMEND_PARAMETERS: list[dict[str, Any]] = [
    parameter(
        "n", {"type": "integer", "minimum": 1, "maximum": MAX_N, "default": DEFAULT_N}, "how many items"
    ),
    parameter("scenario", {**_SCENARIO, "default": "for_you"}, "which list; see /scenarios"),
    parameter("exclude", {"type": "string"}, "item ids that must not come, comma-separated"),
    parameter("item_id", _ID, "the item of this page: what `similar` starts from"),
    parameter("fields", {"type": "string"}, "catalogue fields to answer, comma-separated, or `all`"),
    parameter("after", {"type": "string"}, AFTER),
    parameter("anonymous_id", _ID, "another subject whose profile is combined for this answer"),
]
USER = path_of("user_id", "the user")
ITEM = path_of("item_id", "the item")
PAGE_PARAMETERS: list[dict[str, Any]] = [
    parameter("limit", {"type": "integer", "minimum": 1, "maximum": 1000, "default": 100}, "items of a page"),
    parameter("cursor", {"type": "string"}, "`next_cursor` of the page before"),
]
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
        {"ok": False, "own": [], "problems": [_WHERE], "warnings": []},
    ),
}


def body_of_recommend() -> dict[str, Any]:
    """The request body of POST /recommend."""
    ids = {"type": "array", "items": _ID}
    recent = {
        "type": "object",
        "required": ["item_id"],
        "properties": {
            "item_id": _ID,
            "event_type": {"type": "string", "default": "view"},
            "timestamp": {"description": "Unix time (s, ms or µs) or RFC 3339; now when absent"},
        },
    }
    row = {
        "type": "object",
        "properties": {"id": _ID, "scenario": _SCENARIO, "n": {"type": "integer"}, "item_id": _ID},
    }
    properties: dict[str, Any] = {
        "user_id": _ID,
        "anonymous_id": _ID,
        "n": {"type": "integer", "minimum": 1, "maximum": MAX_N, "default": DEFAULT_N},
        "scenario": _SCENARIO,
        "item_id": _ID,
        "exclude": ids,
        "fields": {"type": "array", "items": {"type": "string"}},
        "after": {"type": "string", "description": AFTER},
        "recent_items": {
            "type": "array",
            "maxItems": MAX_RECENT,
            "items": recent,
            "description": "events the log may not have seen, oldest first; for this answer only",
        },
        "candidates": {
            **ids,
            "maxItems": MAX_CANDIDATES,
            "description": "rank these instead of the catalogue",
        },
        "context": {
            "type": "object",
            "description": "country, language, device, …: checked, and kept for models to come; no list "
            "depends on it yet",
        },
        "rows": {"type": "array", "maxItems": MAX_ROWS, "items": row, "description": "several lists at once"},
        "dedupe": {"type": "boolean", "default": True, "description": "an item stands in one row only"},
    }
    schema = {"type": "object", "additionalProperties": False, "properties": properties}
    return {"content": {"application/json": {"schema": schema, "example": EXAMPLE_BODY}}}
