"""What /docs says about the routes of Segment's and Google's clients."""

from __future__ import annotations

from typing import Any, Final

from services.http.documentation import (
    NO_JSON,
    PROBLEM,
    Schema,
    answer,
    array,
    body,
    of,
    problem,
    record,
    text,
)
from services.ingest.documentation_problems import NO_LOG

_WHEN: Final = {
    "messageId": "5f1c2a0e-1d6b-4c8b-9c53-0b6f0f6b1a01",
    "timestamp": "2026-01-31T12:00:00Z",
    "sentAt": "2026-01-31T12:00:01Z",
}
_VIEW: Final = {
    "userId": "u_12345",
    "event": "Product Viewed",
    "properties": {"product_id": "1082185", "price": 4.5, "currency": "EUR"},
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
        "products": [{"product_id": "1082185", "quantity": 2, "price": 4.5}, {"sku": "1029743"}],
    },
}
_PLAYING: Final = {
    "userId": "u_12345",
    "event": "Video Content Playing",
    "properties": {"asset_id": "cabiria", "position": 3000, "total_length": 7500},
}
_PAGE: Final = {"anonymousId": "a_1", "name": "Product", "properties": {"product_id": "1082185"}}
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
        {"name": "view_item", "params": {"items": [{"item_id": "1082185", "price": 4.5}]}},
        {
            "name": "purchase",
            "params": {
                "transaction_id": "1001",
                "value": 9.0,
                "currency": "EUR",
                "items": [{"item_id": "1082185", "quantity": 2, "price": 4.5}],
            },
        },
    ],
}


_ANSWER: Final = record(
    "SegmentAnswer",
    "as Segment answers, and what was of no use",
    {
        "success": of("boolean", "", True),
        "unused": array(
            record(
                "UnusedCall",
                "a call that leads to no event",
                {
                    "index": of("integer", "its place in the batch, from 0"),
                    "outcome": text("", enum=["ignored", "incomplete", "unknown_event", "rejected"]),
                    "reason": text("why, with the nearest right name"),
                },
                "*",
            ),
            "the first ten",
        ),
    },
    "success",
)
_REFUSED: Final[Schema] = {
    **PROBLEM,
    "title": "SegmentProblem",
    "properties": {
        **PROBLEM["properties"],
        "success": of("boolean", "", False),
        "message": text("the detail, where Segment's clients look for it"),
    },
}
_CALL: Final = record(
    "SegmentCall",
    "A call as Segment's libraries send it",
    {
        "userId": of(["string", "null"], "who", "u_12345"),
        "anonymousId": of(["string", "null"], "the visitor", "a_1"),
        "previousId": text("of `alias`: the other id"),
        "event": text("of `track`: what happened", "Product Viewed"),
        "name": of(["string", "null"], "of `page` and `screen`"),
        "properties": of("object", "of the event", {"product_id": "1082185"}),
        "traits": of("object", "are not stored"),
        "context": of("object", "country, language and device are used"),
        "messageId": text("makes a repeated call count once"),
        "timestamp": text("when it happened; put right by `sentAt`", "2026-01-31T12:00:00Z"),
        "sentAt": text("when it was sent, by the same clock", "2026-01-31T12:00:01Z"),
        "writeKey": text("a write key, where it is in no header"),
    },
)
_TYPED: Final = {
    "type": text("track, page, screen, identify, alias or group", "track"),
    **_CALL["properties"],
}
_SEGMENT_BATCH: Final = record(
    "SegmentBatch",
    "Calls with their `type`",
    {
        "batch": array(
            record("SegmentBatchCall", "A call and its type", _TYPED, "type"), "up to 500 KB", maxItems=1000
        ),
        "context": of("object", "of all of them"),
        "sentAt": text("when it was sent, by the sender's clock"),
        "writeKey": text("a write key, where it is in no header"),
    },
    "batch",
)
_GA4_BODY: Final = record(
    "Ga4Body",
    "A body of the Measurement Protocol",
    {
        "client_id": text("the visitor", "a_1"),
        "app_instance_id": text("the visitor, in an app"),
        "user_id": text("who", "u_12345"),
        "timestamp_micros": of(["integer", "string"], "when it happened"),
        "consent": of("object", "`ad_personalization` says whether a profile may be kept"),
        "events": array(
            record(
                "Ga4Event",
                "one of GA4's recommended events",
                {"name": text("", "view_item"), "params": of("object", "its parameters")},
                "name",
            ),
            "what happened",
        ),
    },
    "events",
)
_OBJECT: Final = {
    "not_an_object": "the body must be a JSON object, not a list",
    "empty_body": "the body is empty; send a JSON object or a list of them",
    **{
        **NO_JSON,
        "invalid_json": "JSON is malformed: invalid character (byte 11); check quotes, commas and brackets",
    },
}
_BAD_KEY: Final = {
    "key_in_body": "writeKey takes write keys only (pages show it); send it as `Authorization: Bearer "
    "KEY`, as "
    "`X-API-Key: KEY` or as the user name of Basic"
}
_TOO_MANY: Final = {
    "too_many_of_one_user": "a batch takes at most 128 events of one user, so that none counts twice when "
    "it is sent again; make the client's batches smaller (upload_size in Python, flushAt in JavaScript)"
}


def _as_segment(responses: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The problems with what Segment's clients look for."""
    for response in responses.values():
        for content in response["content"].values():
            for example in content["examples"].values():
                problem_told = example["value"]
                problem_told |= {"success": False, "message": problem_told["detail"]}
    return responses


def _segment(name: str, summary: str, says: str, *, batch: bool = False, **examples: Any) -> dict[str, Any]:
    unread = dict(_OBJECT)
    if batch:
        unread = {
            "missing_batch": "batch must be a list of calls",
            "too_many_entries": "the body holds 1001 entries; send 1000 at most",
            **_TOO_MANY,
            **unread,
        }
    size = 512_000 if batch else 32_768
    unread["body_too_large"] = f"the body has more than {size} bytes (after gunzip too)"
    return {
        "operationId": f"segment{name.capitalize()}",
        "summary": summary,
        "description": f"{says} docs/SEGMENT.md has the table of events. The key is Basic's user name, or "
        f"`writeKey` in the body.",
        "tags": ["Segment and GA4"],
        "requestBody": body(
            "As Segment's libraries send it; gzip too.", _SEGMENT_BATCH if batch else _CALL, examples
        ),
        "responses": {
            **answer(
                200,
                "The log has what is of use. `unused`, where it is there, says what is not and why; "
                "Segment's clients do not look at it.",
                _ANSWER,
                {"success": True},
            ),
            **_as_segment(
                problem(
                    400,
                    "The body is no JSON object, or larger than Segment allows: 32 KB a call, 500 KB in all.",
                    unread,
                    _REFUSED,
                )
            ),
            **_as_segment(
                problem(401, "The key is missing, or not one of this service's.", _BAD_KEY, _REFUSED)
            ),
            "413": None,  # Segment's clients know 400
            **problem(503, "The log is away or full. The clients send the same again.", NO_LOG),
        },
    }


CALLS: Final[dict[str, dict[str, Any]]] = {
    "POST /v1/track": _segment(
        "track",
        "Segment: something happened",
        "The e-commerce and video events are understood.",
        viewed=_VIEW,
        order=_ORDER,
        playing=_PLAYING,
    ),
    "POST /v1/page": _segment(
        "page",
        "Segment: a page was seen",
        "A view where `properties` has a product, else ignored.",
        product=_PAGE,
    ),
    "POST /v1/screen": _segment(
        "screen",
        "Segment: a screen was seen",
        "A view where `properties` has a product, else ignored.",
        product=_PAGE,
    ),
    "POST /v1/identify": _segment(
        "identify",
        "Segment: who a visitor is",
        "Both ids are one person's. Traits are not stored.",
        both=_IDENTIFY,
    ),
    "POST /v1/alias": _segment(
        "alias", "Segment: two ids of one person", "Both ids are one person's.", both=_ALIAS
    ),
    "POST /v1/group": _segment(
        "group", "Segment: who belongs to a group", "Accepted and ignored.", group=_GROUP
    ),
    "POST /v1/batch": _segment(
        "batch", "Segment: several calls", "Calls with their `type`.", batch=True, calls=_BATCH
    ),
    "POST /v1/import": _segment(
        "import", "Segment: several calls of the past", "The same as /v1/batch.", batch=True, calls=_BATCH
    ),
    "POST /mp/collect": {
        "operationId": "ga4Collect",
        "summary": "GA4: Measurement Protocol",
        "description": "GA4's recommended events; docs/SEGMENT.md says which are used. The write key is "
        "`api_secret`.",
        "tags": ["Segment and GA4"],
        "requestBody": body("As Google's clients send it.", _GA4_BODY, {"purchase": _COLLECT}),
        "responses": {
            "204": {"description": "The log has what is of use."},
            **problem(
                400,
                "The body is no JSON object with `events`.",
                {"missing_events": "events must be a list", **_TOO_MANY, **_OBJECT},
            ),
            **problem(503, "The log is away or full. Send the same again.", NO_LOG),
        },
    },
}
