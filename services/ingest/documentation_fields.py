"""What /docs says about each field of an event and of an item."""

from __future__ import annotations

from typing import Final

from services.http.documentation import Schema, array, of, record, text
from services.kernel.event_input import ITEM_ID_SPELLINGS, MAX_LINES
from services.kernel.event_type import EventType

TYPES: Final = ", ".join(one.name.lower() for one in EventType)

_TIME: Final = "Unix time in s, ms or µs, or RFC 3339"
_LINE: Final = record(
    "Line",
    "one item of an order, or of what was shown",
    {
        "item_id": text("the item", "p_67890"),
        "quantity": of("number", "how many, above 0", 2),
        "price": of("number", "of one piece", 4.5),
    },
    "item_id",
)

EVENT: Final[Schema] = record(
    "Event",
    "What somebody did. A field of no name below is kept under `properties`.",
    {
        "user_id": text("who; without it `anonymous_id` must be there", "u_12345"),
        "anonymous_id": text(
            "a visitor who has not signed in; has a profile of their own where `user_id` is absent"
        ),
        "event_type": text(
            f"{TYPES}, a type of your own, or what others call them (product_view, add_to_cart, view_item …)",
            "view",
        ),
        "item_id": text(f"the item that it is about; also {', '.join(ITEM_ID_SPELLINGS[1:])}", "p_67890"),
        "items": array(
            _LINE,
            "in place of `item_id`: lines of an order, or what an impression showed",
            [{"item_id": "p_67890", "quantity": 2, "price": 4.5}],
            minItems=1,
            maxItems=MAX_LINES,
        ),
        "timestamp": of(["number", "string"], f"when it happened: {_TIME}; absent: now", 1687872000),
        "event_id": text("makes a repeated event count once; absent: one is made and returned"),
        "progress": of(
            "number",
            "of `video_progress`: how far the video has run; from 0.95 on it is finished, and "
            "leaves `continue_watching`; absent: `value`, where that lies between 0 and 1",
            0.4,
            minimum=0,
            maximum=1,
        ),
        "rating": of("number", "of `rating`: how good", 4, minimum=0, maximum=5),
        "price": of("number", "of one piece", 4.5),
        "quantity": of("number", "how many, above 0", 2),
        "currency": text("ISO 4217", "EUR"),
        "value": of("number", "any other number that belongs to it", 9.0),
        "order_id": text("the order that a purchase belongs to; also transaction_id", "1001"),
        "session_id": text("the visit"),
        "recommendation_id": text("of the list that led to it, as its answer had it"),
        "context": of(
            "object",
            "where it came from. `country` and `device` make what is popular there",
            {"country": "DE", "language": "de", "device": "mobile"},
        ),
        "consent": of(
            ["boolean", "string", "object"],
            "whether a profile may be kept: true, false, words, or purposes of consent tools "
            "(docs/PRIVACY.md). What was said last holds",
            True,
        ),
        "properties": of("object", "anything else", {"store": "12"}),
    },
    "event_type",
)

_ITEM_FIELDS: Final[dict[str, Schema]] = {
    "item_id": text("its id; in the path it needs not stand here too", "p_67890"),
    "title": text("what it is called; reasons name it so", "Gouda, young"),
    "description": text("a longer text"),
    "url": text("its page"),
    "image_urls": array(text(), "its pictures", ["https://shop.example/gouda.jpg"]),
    "categories": array(
        {"anyOf": [text(), array(text())]},
        'paths from the root, the most telling first: a list, or text split at " > "',
        ["Food > Cheese"],
    ),
    "brand": text("its brand", "Polder"),
    "tags": array(text(), "any words", ["organic"]),
    "price": of("number", "what it costs", 4.5),
    "list_price": of("number", "what it cost before a discount", 5.2),
    "currency": text("ISO 4217", "EUR"),
    "language": text("of its texts", "en"),
    "group_id": text("variants of a product, episodes of a series: one of them stands in a list", "gouda"),
    "group_order": of("number", "its place among them: `continue_watching` offers the next", 1),
    "available": of("boolean", "false: in no list", True),
    "published_at": of(["string", "number"], f"in no list before: {_TIME}", "2026-01-31T12:00:00Z"),
    "expires_at": of(["string", "number"], f"in no list from then on: {_TIME}", "2030-01-31T12:00:00Z"),
    "properties": of(
        "object", "fields of your own; filters name them properties.NAME", {"territories": ["DE", "AT"]}
    ),
}

ITEM: Final[Schema] = record(
    "Item",
    "Something that can be recommended. No other fields: your own go under `properties`.",
    _ITEM_FIELDS,
)


def _or_null(schema: Schema) -> Schema:
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    return {**schema, "type": [*kinds, "null"]}


ITEM_PATCH: Final[Schema] = record(
    "ItemPatch",
    "What to change of an item; null removes.",
    {name: schema if name == "item_id" else _or_null(schema) for name, schema in _ITEM_FIELDS.items()},
)
