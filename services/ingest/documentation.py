"""What the documentation says about the write routes; their bodies are read by msgspec."""

from __future__ import annotations

from typing import Any, Final

from services.http.documentation import (
    NO_JSON,
    PROBLEM,
    Schema,
    answer,
    array,
    body,
    in_path,
    of,
    problem,
    record,
    text,
)
from services.ingest.documentation_fields import EVENT, ITEM, ITEM_PATCH
from services.ingest.documentation_problems import (
    ALSO_INVALID,
    EMPTY,
    NO_BODY_ITEM,
    NO_EVENT,
    NO_ITEM,
    NO_LOG,
)
from services.ingest.payload import MAX_ENTRIES

# Items of the demo shop, so that what is tried on the page changes what is recommended there.
_BANANAS: Final = "1082185"
_MILK: Final = "1029743"
_GOUDA: Final = "p_67890"  # in no catalogue until somebody tries PUT
_EVENTS: Final = {
    "view": {
        "summary": "somebody looks at an item, now",
        "value": {"user_id": "u_12345", "event_type": "view", "item_id": _BANANAS},
    },
    "others": {
        "summary": "as others spell it, and at another time",
        "value": {
            "user_id": "u_12345",
            "event_type": "product_view",
            "product_id": _GOUDA,
            "timestamp": 1687872000,
        },
    },
    "order": {
        "summary": "an order of several items is one event",
        "value": {
            "event_id": "order-1001",
            "user_id": "u_12345",
            "event_type": "purchase",
            "order_id": "1001",
            "currency": "USD",
            "items": [{"item_id": _BANANAS, "quantity": 2, "price": 0.92}, {"item_id": _MILK}],
        },
    },
    "video": {
        "summary": "how far a video has run",
        "value": {
            "user_id": "u_12345",
            "event_type": "video_progress",
            "video_id": "cabiria",
            "progress": 0.4,
            "context": {"country": "DE", "device": "tv"},
        },
    },
    "impression": {
        "summary": "what a list has shown",
        "value": {
            "user_id": "u_12345",
            "event_type": "impression",
            "items": [{"item_id": _BANANAS}, {"item_id": _MILK}],
        },
    },
    "list": {
        "summary": "several at once; a visitor without a name too",
        "value": [
            {"user_id": "u_12345", "event_type": "cart_add", "item_id": _MILK},
            {"anonymous_id": "visitor_1", "event_type": "view", "item_id": _BANANAS},
        ],
    },
}
_ITEM: Final = {
    "item_id": _GOUDA,
    "title": "Gouda, young",
    "categories": ["Grocery > Cheese"],
    "brand": "Polder",
    "price": 4.5,
    "currency": "EUR",
    "available": True,
}
_OTHER_ITEM: Final = {"item_id": "p_67891", "title": "Gouda, old", "group_id": "gouda", "price": 6.9}
_POSITION: Final = text("where it stands on the log: for `after=` of /recommend", "1-0-42")


def _named(id_name: str, **more: Schema) -> dict[str, Schema]:
    return {"index": of("integer", "its place in the body, from 0"), id_name: of(["string", "null"]), **more}


def _list_answers(
    id_name: str, title: str, example: dict[str, Any], rejected: dict[str, str]
) -> dict[str, Any]:
    what = title.lower()
    refused = record(
        f"Rejected{title}",
        "one that was not accepted; its neighbours may be",
        _named(id_name, code=text("for programs"), error=text("what to change")),
        "*",
    )
    accepted = record(
        f"{title}sAccepted",
        "what the log has, and what was not accepted and why",
        {
            "accepted": of("integer", "how many"),
            f"{id_name}s": array(text(), "of the accepted ones, in the order of the body; ids made here too"),
            "positions": array(_POSITION, "of the accepted ones"),
            "rejected": array(refused),
        },
        "*",
    )
    outcome = record(
        f"{title}Outcome",
        "what is known of one of them",
        _named(
            id_name,
            outcome=text("unknown: it may still arrive", enum=["accepted", "rejected", "unknown"]),
            position=_POSITION,
            code=text(),
            error=text(),
        ),
        "index",
        id_name,
        "outcome",
    )
    unread = {**PROBLEM, "title": f"{title}sRejected"}
    unread["properties"] = {**PROBLEM["properties"], "rejected": array(refused, "each of them")}
    unsure = {**PROBLEM, "title": f"{title}sUnsure"}
    unsure["properties"] = {**PROBLEM["properties"], "outcomes": array(outcome, "each of them")}
    return {
        **answer(202, f"The log has the {what}s that are accepted.", accepted, example),
        **problem(400, "The body cannot be read.", {"empty_body": EMPTY, **NO_JSON}),
        **problem(
            413,
            f"The body is larger than 1 MiB, or holds more than {MAX_ENTRIES:,} {what}s.",
            {"too_many_entries": f"the body holds 1001 entries; send {MAX_ENTRIES} at most"},
        ),
        **problem(
            415,
            "The body is in a form that is not read here.",
            {"unsupported_media_type": "Content-Type 'text/xml': send JSON or NDJSON"},
        ),
        **problem(422, "Nothing in it could be accepted; `rejected` says why, one by one.", rejected, unread),
        **problem(
            503,
            "The log is away or full; `outcomes` tells of each. Send the same again, with the same ids.",
            NO_LOG,
            unsure,
        ),
    }


def _one_answers(
    id_name: str, example: dict[str, str], unread: dict[str, str] | None = None
) -> dict[str, Any]:
    """Answers about one thing that the path names; `unread` is what may be wrong with a body."""
    title = "Item" if id_name == "item_id" else "User"
    accepted = record(f"{title}Accepted", "the log has it", {id_name: text(), "position": _POSITION}, "*")
    unsure = {**PROBLEM, "title": f"{title}Unsure"}
    unsure["properties"] = {
        **PROBLEM["properties"],
        id_name: text(),
        "outcome": text("unknown: it may still arrive", enum=["rejected", "unknown"]),
    }
    of_path = {f"invalid_{id_name}": f"{id_name} in the path is longer than 256 bytes"}
    if unread is None:
        says, bad = "The id cannot be read.", of_path
    else:
        says, bad = "The id or the body cannot be read.", {**of_path, "empty_body": EMPTY, **NO_JSON}
    again = {code: detail.replace(", with the same ids", "") for code, detail in NO_LOG.items()}
    return {
        **answer(202, "The log has it.", accepted, example),
        **problem(400, says, bad),
        **(problem(422, f"The body is no item. {ALSO_INVALID}", unread) if unread else {}),
        **problem(503, "The log is away or full; send the same again.", again, unsure),
    }


_ONE_ITEM: Final = {"item_id": _GOUDA, "position": "1-3-1745"}
_ITEM_ID: Final = in_path("item_id", "the item", _GOUDA)
CALLS: Final[dict[str, dict[str, Any]]] = {
    "POST /events": {
        "operationId": "postEvents",
        "summary": "Post events",
        "description": "One event, a list, NDJSON, or CloudEvents (binary, structured, batch). 202 once "
        "the log has acknowledged them: none is lost from then on. Each event stands alone; a repeated "
        "`event_id` counts once. At most 128 events of one user in a request. Bodies may be gzip; "
        "`text/plain` is read as JSON, as beacons "
        f"send it. {ALSO_INVALID}",
        "tags": ["Events"],
        "requestBody": body("Event or events.", {"oneOf": [EVENT, array(EVENT)]}, _EVENTS),
        "responses": _list_answers(
            "event_id",
            "Event",
            {
                "accepted": 1,
                "event_ids": ["01a21685-2d5d-702b-9ca0-557e336e06fa"],
                "positions": ["1-3-9728"],
                "rejected": [],
            },
            NO_EVENT,
        ),
    },
    "POST /items": {
        "operationId": "postItems",
        "summary": "Put items",
        "description": f"One item, a list or NDJSON; each in place of what was known of it. {ALSO_INVALID}",
        "tags": ["Catalogue"],
        "requestBody": body(
            "Item or items.", {"oneOf": [ITEM, array(ITEM)]}, {"one": _ITEM, "list": [_ITEM, _OTHER_ITEM]}
        ),
        "responses": _list_answers(
            "item_id",
            "Item",
            {"accepted": 1, "item_ids": [_GOUDA], "positions": ["1-3-1744"], "rejected": []},
            NO_ITEM,
        ),
    },
    "PUT /items/{item_id}": {
        "operationId": "putItem",
        "summary": "Put an item",
        "description": "The whole item, in place of what was known of it.",
        "tags": ["Catalogue"],
        "parameters": [_ITEM_ID],
        "requestBody": body(
            "The item; `item_id` needs not stand in it.", ITEM, {"gouda": {**_ITEM, "price": 4.2}}
        ),
        "responses": _one_answers("item_id", _ONE_ITEM, NO_BODY_ITEM),
    },
    "PATCH /items/{item_id}": {
        "operationId": "patchItem",
        "summary": "Change fields of an item",
        "description": "A merge patch (RFC 7396): null removes a field. A patch of an item that there is "
        "not changes nothing.",
        "tags": ["Catalogue"],
        "parameters": [_ITEM_ID],
        "requestBody": body(
            "The fields to change.", ITEM_PATCH, {"price": {"price": 3.9, "list_price": None}}
        ),
        "responses": _one_answers(
            "item_id",
            _ONE_ITEM,
            {
                **NO_BODY_ITEM,
                "item_too_large": "the patch is larger than 65536 bytes; shorten its texts",
                "empty_patch": "the patch changes nothing; the fields are title, description, …",
            },
        ),
    },
    "DELETE /items/{item_id}": {
        "operationId": "deleteItem",
        "summary": "Take an item out",
        "description": "It leaves the catalogue, and every list, at once.",
        "tags": ["Catalogue"],
        "parameters": [_ITEM_ID],
        "responses": _one_answers("item_id", _ONE_ITEM),
    },
    "DELETE /users/{user_id}": {
        "operationId": "deleteUser",
        "summary": "Forget a user",
        "description": "Everything known about the user goes (docs/PRIVACY.md). What comes later begins "
        "anew.",
        "tags": ["Users"],
        "parameters": [in_path("user_id", "the user", "ada")],
        "responses": _one_answers("user_id", {"user_id": "ada", "position": "1-1-9485"}),
    },
}
