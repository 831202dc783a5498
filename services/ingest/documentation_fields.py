"""What /docs says about each field of an event and of an item."""

from __future__ import annotations

from typing import Any, Final

from services.kernel.event_input import ITEM_ID_SPELLINGS, MAX_LINES
from services.kernel.event_type import EventType

TYPES: Final = ", ".join(one.name.lower() for one in EventType)

Schema = dict[str, Any]


def _text(says: str, example: str | None = None) -> Schema:
    return _of("string", says, example)


def _of(kind: str, says: str, example: Any = None, **more: Any) -> Schema:
    return {"type": kind, "description": says, **({} if example is None else {"example": example}), **more}


def _list(says: str, example: list[Any], of: Schema | None = None) -> Schema:
    return _of("array", says, example, items=of or {"type": "string"})


_TIME: Final = "Unix time in s, ms or µs, or RFC 3339"
_LINE: Final = {
    "type": "object",
    "required": ["item_id"],
    "properties": {
        "item_id": _text("the item", "p_67890"),
        "quantity": _of("number", "how many, above 0", 2),
        "price": _of("number", "of one piece", 4.5),
    },
}

EVENT: Final[Schema] = {
    "type": "object",
    "description": "A field of no name below is kept under `properties`.",
    "required": ["event_type"],
    "properties": {
        "user_id": _text("who; without it `anonymous_id` must be there", "u_12345"),
        "anonymous_id": _text(
            "a visitor who has not signed in; has a profile of their own where `user_id` is absent"
        ),
        "event_type": _text(
            f"{TYPES}, or what others call them (product_view, add_to_cart, view_item …)", "view"
        ),
        "item_id": _text(f"the item that it is about; also {', '.join(ITEM_ID_SPELLINGS[1:])}", "p_67890"),
        "items": _list(
            f"in place of `item_id`: lines of an order, or what an impression showed; at most {MAX_LINES}",
            [{"item_id": "p_67890", "quantity": 2, "price": 4.5}],
            _LINE,
        ),
        "timestamp": _of("number", f"when it happened: {_TIME}; absent: now", 1687872000),
        "event_id": _text("makes a repeated event count once; absent: one is made and returned"),
        "progress": _of(
            "number",
            "of `video_progress`: how far the video has run, 0 to 1; from 0.95 on it is finished, and leaves "
            "`continue_watching`; absent: `value`, where that lies between 0 and 1",
            0.4,
            minimum=0,
            maximum=1,
        ),
        "rating": _of("number", "of `rating`: 0 to 5", 4, minimum=0, maximum=5),
        "price": _of("number", "of one piece", 4.5),
        "quantity": _of("number", "how many, above 0", 2),
        "currency": _text("ISO 4217", "EUR"),
        "value": _of("number", "any other number that belongs to it", 9.0),
        "order_id": _text("the order that a purchase belongs to; also transaction_id", "1001"),
        "session_id": _text("the visit"),
        "recommendation_id": _text("of the list that led to it, as its answer had it"),
        "context": _of(
            "object",
            "where it came from. `country` and `device` make what is popular there",
            {"country": "DE", "language": "de", "device": "mobile"},
        ),
        "consent": {
            "description": "whether a profile may be kept: true, false, words, or purposes of consent tools "
            "(docs/PRIVACY.md). What was said last holds",
            "example": True,
        },
        "properties": _of("object", "anything else", {"store": "12"}),
    },
}

ITEM: Final[Schema] = {
    "type": "object",
    "properties": {
        "item_id": _text("its id; in the path it needs not stand here too", "p_67890"),
        "title": _text("what it is called; reasons name it so", "Gouda, young"),
        "description": _text("a longer text"),
        "url": _text("its page"),
        "image_urls": _list("its pictures", ["https://shop.example/gouda.jpg"]),
        "categories": _list("paths from the root, the most telling first", ["Food > Cheese"]),
        "brand": _text("its brand", "Polder"),
        "tags": _list("any words", ["organic"]),
        "price": _of("number", "what it costs", 4.5),
        "list_price": _of("number", "what it cost before a discount", 5.2),
        "currency": _text("ISO 4217", "EUR"),
        "language": _text("of its texts", "en"),
        "group_id": _text(
            "variants of a product, episodes of a series: one of them stands in a list", "gouda"
        ),
        "group_order": _of("number", "its place among them: `continue_watching` offers the next", 1),
        "available": _of("boolean", "false: in no list", True),
        "published_at": _of("string", f"in no list before: {_TIME}", "2026-01-31T12:00:00Z"),
        "expires_at": _of("string", f"in no list from then on: {_TIME}", "2030-01-31T12:00:00Z"),
        "properties": _of(
            "object", "fields of your own; filters name them properties.NAME", {"territories": ["DE", "AT"]}
        ),
    },
}
