"""What /docs says about the routes of Segment's and Google's clients."""

from __future__ import annotations

from typing import Any, Final

_WHEN: Final = {
    "messageId": "5f1c2a0e-1d6b-4c8b-9c53-0b6f0f6b1a01",
    "timestamp": "2026-01-31T12:00:00Z",
    "sentAt": "2026-01-31T12:00:01Z",
}
_VIEW: Final = {
    "userId": "u_12345",
    "event": "Product Viewed",
    "properties": {"product_id": "p_67890", "price": 4.5, "currency": "EUR"},
    "context": {"locale": "de-DE", "device": {"type": "ios"}, "location": {"country": "DE"}},
    **_WHEN,
}
_ORDER: Final = {
    "userId": "u_12345",
    "event": "Order Completed",
    "messageId": "5f1c2a0e-1d6b-4c8b-9c53-0b6f0f6b1a02",
    "properties": {
        "order_id": "1001",
        "total": 9.0,
        "currency": "EUR",
        "products": [{"product_id": "p_67890", "quantity": 2, "price": 4.5}, {"sku": "p_67891"}],
    },
}
_PLAYING: Final = {
    "userId": "u_12345",
    "event": "Video Content Playing",
    "properties": {"asset_id": "cabiria", "position": 3000, "total_length": 7500},
}
_PAGE: Final = {"anonymousId": "a_1", "name": "Product", "properties": {"product_id": "p_67890"}}
_IDENTIFY: Final = {"userId": "u_12345", "anonymousId": "a_1", "traits": {"plan": "not stored"}}
_ALIAS: Final = {"userId": "u_12345", "previousId": "a_1"}
_GROUP: Final = {"userId": "u_12345", "groupId": "g_1"}
_BATCH: Final = {
    "batch": [
        {"type": "track", **_VIEW},
        {"type": "track", **_ORDER},
        {"type": "identify", **_IDENTIFY},
    ],
    "sentAt": "2026-01-31T12:00:02Z",
}
_COLLECT: Final = {
    "client_id": "a_1",
    "user_id": "u_12345",
    "consent": {"ad_personalization": "GRANTED"},
    "events": [
        {"name": "view_item", "params": {"items": [{"item_id": "p_67890", "price": 4.5}]}},
        {
            "name": "purchase",
            "params": {
                "transaction_id": "1001",
                "value": 9.0,
                "currency": "EUR",
                "items": [{"item_id": "p_67890", "quantity": 2, "price": 4.5}],
            },
        },
    ],
}


def _route(description: str, responses: dict[str, Any], **examples: Any) -> dict[str, Any]:
    content = {
        "schema": {"type": "object"},
        "examples": {name: {"value": value} for name, value in examples.items()},
    }
    return {
        "requestBody": {
            "required": True,
            "description": description,
            "content": {"application/json": content},
        },
        "responses": responses,
    }


def _example(description: str, example: Any) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"example": example}}}


_ANSWERS: Final = {
    "200": _example(
        "The event log has acknowledged what is of use. `unused`, where it is there, says what is not and "
        "why (the first ten); Segment's clients do not look at it.",
        {
            "success": True,
            "unused": [
                {
                    "index": 0,
                    "outcome": "unknown_event",
                    "reason": "'Product Veiwed' is no event known here; the nearest is 'Product Viewed'",
                }
            ],
        },
    ),
    "400": _example(
        "The body is no JSON object, or larger than Segment allows: 32 KB a call, 500 KB a batch.",
        {
            "status": 400,
            "code": "invalid_json",
            "detail": "JSON is malformed; check quotes, commas and brackets",
            "success": False,
            "message": "JSON is malformed; check quotes, commas and brackets",
        },
    ),
    "503": _example("The log is away or full. The clients send the same again.", {"code": "log_unavailable"}),
}
_HOW: Final = (
    "docs/SEGMENT.md has the table of events. gzip too; the key is Basic's user name, or `writeKey`."
)

SEGMENT: Final[dict[str, dict[str, Any]]] = {
    "track": _route(_HOW, _ANSWERS, viewed=_VIEW, order=_ORDER, playing=_PLAYING),
    "page": _route(f"A view where `properties` has a product, else ignored. {_HOW}", _ANSWERS, product=_PAGE),
    "screen": _route(
        f"A view where `properties` has a product, else ignored. {_HOW}", _ANSWERS, product=_PAGE
    ),
    "identify": _route(f"Both ids are one person's. Traits are not stored. {_HOW}", _ANSWERS, both=_IDENTIFY),
    "alias": _route(f"Both ids are one person's. {_HOW}", _ANSWERS, both=_ALIAS),
    "group": _route(f"Accepted and ignored. {_HOW}", _ANSWERS, group=_GROUP),
    "batch": _route(f"Calls with their `type`. {_HOW}", _ANSWERS, batch=_BATCH),
    "import": _route(f"The same as /v1/batch. {_HOW}", _ANSWERS, batch=_BATCH),
}
GA4: Final = {
    "parameters": [
        {
            "name": "api_secret",
            "in": "query",
            "schema": {"type": "string"},
            "description": "a write key, where there are keys",
        }
    ],
    **_route(
        "GA4's recommended events; docs/SEGMENT.md says which are used.",
        {
            "204": {"description": "The event log has acknowledged what is of use."},
            "400": _ANSWERS["400"],
            "503": _ANSWERS["503"],
        },
        purchase=_COLLECT,
    ),
}
