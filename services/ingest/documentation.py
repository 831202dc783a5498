"""What the interactive documentation says about the write routes; their bodies are read by msgspec."""

from __future__ import annotations

from typing import Any, Final

from services.ingest.documentation_fields import EVENT, ITEM

SAMPLE_EVENT: Final = {
    "user_id": "u_12345",
    "event_type": "product_view",
    "product_id": "p_67890",
    "timestamp": 1687872000,
}
_SAMPLE_ORDER: Final = {
    "event_id": "order-1001",
    "user_id": "u_12345",
    "event_type": "purchase",
    "order_id": "1001",
    "currency": "EUR",
    "items": [{"item_id": "p_67890", "quantity": 2, "price": 4.5}, {"item_id": "p_67891"}],
}
_SAMPLE_ITEM: Final = {
    "item_id": "p_67890",
    "title": "Gouda, young",
    "categories": ["Food > Cheese"],
    "brand": "Polder",
    "price": 4.5,
    "currency": "EUR",
    "available": True,
}
_SAMPLE_ANSWER: Final = {"accepted": 1, "event_ids": ["0190…"], "positions": ["1-0-42"], "rejected": []}
_PROBLEM: Final = {
    "type": "about:blank",
    "title": "Unprocessable Content",
    "status": 422,
    "code": "missing_user_id",
    "detail": "user_id (or anonymous_id) is missing",
}


_SAMPLE_PROGRESS: Final = {
    "user_id": "u_12345",
    "event_type": "video_progress",
    "video_id": "cabiria",
    "progress": 0.4,
    "context": {"country": "DE", "device": "tv"},
}
_SAMPLE_IMPRESSION: Final = {
    "user_id": "u_12345",
    "event_type": "impression",
    "items": [{"item_id": "p_67890"}, {"item_id": "p_67891"}],
}


def _body(description: str, one: dict[str, Any], *, many: bool = True, **examples: Any) -> dict[str, Any]:
    content = {
        "schema": {"oneOf": [one, {"type": "array", "items": one}]} if many else one,
        "examples": {name: {"value": value} for name, value in examples.items()},
    }
    return {"required": True, "description": description, "content": {"application/json": content}}


def _answers(accepted: Any) -> dict[str, Any]:
    def problem(description: str) -> dict[str, Any]:
        return {"description": description, "content": {"application/problem+json": {"example": _PROBLEM}}}

    return {
        "202": {
            "description": "The event log has acknowledged what is accepted.",
            "content": {"application/json": {"example": accepted}},
        },
        "400": problem("The body cannot be read."),
        "413": problem("The body is larger than 1 MiB or holds more than 1,000 entries."),
        "422": problem("Nothing in it could be accepted; `rejected` says why, entry by entry."),
        "503": problem("The log is away or full; `outcomes` names every entry. Send the same ids again."),
    }


def _id_parameter(name: str) -> dict[str, Any]:
    schema = {"type": "string", "maxLength": 256}
    return {
        "name": name,
        "in": "path",
        "required": True,
        "schema": schema,
        "description": "any id; `%2F` belongs to it",
    }


EVENTS: Final = {
    "requestBody": _body(
        "One event, a list, NDJSON, or CloudEvents (binary, structured, batch); gzip too.",
        EVENT,
        sample=SAMPLE_EVENT,
        order=_SAMPLE_ORDER,
        video=_SAMPLE_PROGRESS,
        impression=_SAMPLE_IMPRESSION,
        list=[SAMPLE_EVENT, _SAMPLE_ORDER],
    ),
    "responses": _answers(_SAMPLE_ANSWER),
}
ITEMS: Final = {
    "requestBody": _body(
        "One item, a list or NDJSON; gzip too.", ITEM, sample=_SAMPLE_ITEM, list=[_SAMPLE_ITEM]
    ),
    "responses": _answers({"accepted": 1, "item_ids": ["p_67890"], "positions": ["1-0-7"], "rejected": []}),
}
_ONE_ITEM: Final = _answers({"item_id": "p_67890", "position": "1-0-7"})
ITEM_PUT: Final = {
    "parameters": [_id_parameter("item_id")],
    "requestBody": _body("The whole item.", ITEM, many=False, sample=_SAMPLE_ITEM),
    "responses": _ONE_ITEM,
}
ITEM_PATCH: Final = {
    "parameters": [_id_parameter("item_id")],
    "requestBody": _body(
        "A merge patch (RFC 7396); null removes a field.",
        ITEM,
        many=False,
        sample={"price": 3.9, "list_price": None},
    ),
    "responses": _ONE_ITEM,
}
ITEM_DELETE: Final = {"parameters": [_id_parameter("item_id")], "responses": _ONE_ITEM}
USER_DELETE: Final = {
    "parameters": [_id_parameter("user_id")],
    "responses": _answers({"user_id": "u_12345", "position": "1-0-43"}),
}
