"""What the documentation says of answers: their types, and examples as the demo shop gives them, abridged."""

from __future__ import annotations

from typing import Any, Final

from services.http.documentation import Schema, array, of, record, text
from services.ranking.sources import SOURCES
from services.recommender.documentation_examples import BANANAS

_NULL_TEXT: Final = ["string", "null"]
_FREE: Final[Schema] = {"description": "any JSON"}
_TIME_S: Final = of("integer", "Unix time, s", 1795672265)
_WHEN: Final = text("RFC 3339, UTC", "2026-01-31T12:00:00.000+00:00")


def _either(schema: Schema) -> Schema:
    """The schema, or null."""
    return {"anyOf": [schema, {"type": "null"}]}


ITEM_FIELDS: Final[dict[str, Schema]] = {
    "title": of(_NULL_TEXT),
    "description": of(_NULL_TEXT),
    "url": of(_NULL_TEXT),
    "image_urls": array(text()),
    "categories": array(array(text()), "paths from the root", [["Grocery", "Cheese"]]),
    "brand": of(_NULL_TEXT),
    "tags": array(text()),
    "price": of(["number", "null"]),
    "list_price": of(["number", "null"], "before a discount"),
    "currency": of(_NULL_TEXT, "ISO 4217"),
    "language": of(_NULL_TEXT),
    "group_id": of(_NULL_TEXT, "variants of a product, episodes of a series"),
    "group_order": of(["number", "null"]),
    "available": of("boolean"),
    "published_at": of(["integer", "null"], "Unix time, ms"),
    "expires_at": of(["integer", "null"], "Unix time, ms"),
    "properties": of("object", "fields of your own"),
}
STORED_ITEM: Final = record(
    "StoredItem",
    "An item as the catalogue has it; what was never said is not there",
    {"item_id": text(), **ITEM_FIELDS},
    "item_id",
    additionalProperties=False,
)
_REASON: Final = record(
    "Reason",
    "why the item stands there; true of what is known",
    {
        "code": text("to translate by, see GET /scenarios", "similar_to_item"),
        "text": text("in the language asked for"),
        "item_id": text("the item that led here"),
        "category": text("the category that did"),
        "country": text("where it is popular"),
        "device": text("on what it is popular"),
        "progress": of("number", "how far the video has run", minimum=0, maximum=1),
    },
    "code",
    "text",
    additionalProperties=False,
)
_RANKED: Final = record(
    "RankedItem",
    "an item of a list; `fields` adds those of the catalogue",
    {
        "item_id": text(),
        "score": of("number", "falls down the list; compares within one answer only"),
        "rank": of("integer", "from 1", minimum=1),
        "reason": _REASON,
        "explain": of("object", "where it was asked for: the sources that found it, and what rules did"),
        **ITEM_FIELDS,
    },
    "item_id",
    "score",
    "rank",
    "reason",
    additionalProperties=False,
)
_STRANGE: Final = record(
    "Note",
    "something the request names that is not there",
    {"field": text(), "value": _FREE, "problem": text("in words, with the nearest right name")},
    "field",
    "value",
    "problem",
)
_FILTERED: Final = record(
    "FilterReport",
    "what the filter did",
    {
        "matched": of("integer", "items of the catalogue that pass"),
        "relaxed": array(text(), "fields whose conditions were dropped"),
        "unknown": array(_STRANGE, "values that no item has"),
        "missing": array(text(), "variables that the request lacks"),
    },
    "matched",
    additionalProperties=False,
)
# No enum: a source of the deployment's own may name another.
_STRATEGIES: Final = (*sorted({source.strategy for source in SOURCES.values()}), "none")
_LIST: Final[dict[str, Schema]] = {
    "items": array(_RANKED, "best first"),
    "filter": _FILTERED,
    "notes": array(_STRANGE, "where the request names items that are not in the catalogue"),
    "next_cursor": of(_NULL_TEXT, "asks for the next page; null at the end"),
    "recommendation_id": text("send it with the events that this list leads to"),
    "scenario": text("which list it is", "for_you"),
    "strategy": text(
        "what the first item is from, the model or a step of the ladder below it; none: the list is empty",
        *_STRATEGIES,
    ),
    "release": of(_NULL_TEXT, "the release that was used"),
}
_ALWAYS: Final = ("items", "next_cursor", "recommendation_id", "scenario", "strategy", "release")
_FACTS: Final[dict[str, Schema]] = {
    "user_id": of(_NULL_TEXT),
    "anonymous_id": of(_NULL_TEXT),
    "profile_events": of("integer", "events that the answer knows of"),
    "profile_age_ms": of(["integer", "null"], "since the newest of them came in"),
    "fresh": of("boolean", "whether `after` was reached, and the profile could be read"),
}
LIST: Final = record(
    "RecommendedList", "A list", {**_LIST, **_FACTS}, *_ALWAYS, *_FACTS, additionalProperties=False
)
_ROW_ANSWER: Final = record(
    "RowOfPage",
    "A list of a page",
    {"id": text("as the request has it"), **_LIST},
    "id",
    *_ALWAYS,
    additionalProperties=False,
)
PAGE: Final = record(
    "Page",
    "Several lists, where `rows` were asked for",
    {"rows": array(_ROW_ANSWER), **_FACTS},
    "*",
    additionalProperties=False,
)
LIST_ANSWER: Final[dict[str, Any]] = {
    "items": [
        {
            "item_id": BANANAS,
            "score": 11.614608,
            "rank": 1,
            "reason": {"code": "trending", "text": "Trending right now"},
            "title": "Bananas, 40 lb",
            "price": 0.92,
        },
        {
            "item_id": "1022254",
            "score": 8.590984,
            "rank": 2,
            "reason": {
                "code": "similar_to_item",
                "text": "Similar to Bananas, 40 lb, which you looked at",
                "item_id": BANANAS,
            },
            "title": "Potatoes sweet & yams, 40 lb",
            "price": 1.67,
        },
    ],
    "next_cursor": "AUyfeN1rKM0u3yhvbz2uYFp0l0kdqjQZXG5REaMq2XB8zB6SVHZ9zsg",
    "recommendation_id": "AQGiFoUujexkTSZmb3JfeW91AGRheTAtNTJjZjk0NDgwNGMyAGxpdmU",
    "scenario": "for_you",
    "strategy": "model",
    "release": "day0-52cf944804c2",
    "user_id": "u_12345",
    "anonymous_id": None,
    "profile_events": 1,
    "profile_age_ms": 271,
    "fresh": True,
}
LINES: Final = (
    '{"user_id":"u_12345","items":[{"item_id":"1082185","score":11.614389,"rank":1,…}],…}\n'
    '{"user_id":"","error":{"status":422,"code":"invalid_id","detail":"user_ids[1]: is empty; …"}}\n'
    '{"done":true,"users":2,"failed":1,"repeated":[]}\n'
)
STREAM: Final = (
    'retry: 500\n\nid: 1-3-9728\ndata: {"items":[{"item_id":"1082185","score":11.51349,"rank":1,…}],…}\n\n'
)
ITEM_PAGE: Final = record(
    "ItemPage",
    "Items in the order of their ids",
    {
        "items": array(STORED_ITEM),
        "next_cursor": of(_NULL_TEXT, "asks for the next page; null on the last"),
        "total": of("integer", "how many there are, or pass the filter"),
        "filter": _FILTERED,
    },
    "items",
    "next_cursor",
    "total",
    additionalProperties=False,
)
ITEM_PAGE_ANSWER: Final = {
    "items": [
        {"item_id": "1000002", "title": "Meat: beef bulk", "price": 4.25},
        {"item_id": "1000050", "title": "Kids cereal, 14.5 oz", "price": 2.99},
    ],
    "next_cursor": "MTAwMDcwNw",
    "total": 6946,
}
_INTERESTS: Final = array(
    record("Interest", "a category", {"category": text(), "weight": of("number", "a share")}, "*"),
    "heaviest first; weights add up to 1 at most",
)
PROFILE: Final = record(
    "Profile",
    "What is known about a user; nobody knows somebody with 0 events",
    {
        "user_id": text(),
        "events": of("integer", "how many came in"),
        "position": of(_NULL_TEXT, "of the last one on the log"),
        "recent": array(
            record(
                "RecentEvent",
                "an event",
                {
                    "item_id": text(),
                    "event_type": text(),
                    "timestamp": _TIME_S,
                    "value": of(["number", "null"]),
                },
                "*",
            ),
            "newest first, at most 128",
        ),
        "interests": _INTERESTS,
        "consent": of(_NULL_TEXT, "withheld while personalisation is denied"),
        "expires_in_s": of(["integer", "null"], "until all is forgotten, if nothing comes"),
    },
    "*",
    additionalProperties=False,
)
PROFILE_ANSWER: Final = {
    "user_id": "u_2153",
    "events": 6,
    "position": "1-3-9727",
    "recent": [{"item_id": "931671", "event_type": "purchase", "timestamp": 1795672265, "value": 1.0}],
    "interests": [{"category": "Meat-packaged > Frozen meat", "weight": 0.2159}],
    "consent": None,
    "expires_in_s": 7775978,
}
EXPORT: Final = record(
    "UserExport",
    "Everything that is stored about a user. `state` says what there is: of unknown, expired and deleted "
    "users nothing but that. docs/PRIVACY.md explains the parts",
    {
        "user_id": text(),
        "exported_at": _WHEN,
        "state": text("", enum=["known", "unknown", "expired", "deleted"]),
        "events": of("integer"),
        "deleted_at": _WHEN,
        "consent": of(_NULL_TEXT),
        "records": of("integer"),
        "position": of(_NULL_TEXT),
        "first_recent_at": of(_NULL_TEXT),
        "last_recent_at": of(_NULL_TEXT),
        "last_received_at": _WHEN,
        "expires_at": _WHEN,
        "recent": array(of("object"), "events, oldest first"),
        "seen": array(of("object"), "marks by which scenarios hide items"),
        "shown": array(of("object"), "what was shown and left alone"),
        "interests": _INTERESTS,
        "bank": of("object", "decayed sums of item vectors, as numbers"),
        "event_id_hashes": array(text(), "of the last 128 events"),
        "stored": of("object", "bytes and layout"),
    },
    "user_id",
    "exported_at",
    "state",
    "events",
    additionalProperties=False,
)
EXPORT_ANSWER: Final = {
    "user_id": "u_2153",
    "exported_at": "2026-11-26T05:54:11.402+00:00",
    "state": "known",
    "consent": None,
    "events": 6,
    "records": 6,
    "position": "1-3-9727",
    "first_recent_at": "2026-01-18T01:47:06.000+00:00",
    "last_recent_at": "2026-11-26T05:51:05.000+00:00",
    "last_received_at": "2026-11-26T05:51:43.986+00:00",
    "expires_at": "2027-02-24T05:51:43.986+00:00",
    "recent": [
        {
            "item_id": "1013641",
            "item_key": "46f0d3c1f78bb4a1",
            "event_type": "purchase",
            "timestamp": "2026-01-18T01:47:06.000+00:00",
            "value": 1.5,
        }
    ],
    "seen": [
        {"item_ids": ["1013641"], "fingerprint": "f78bb4a1", "day": "2026-01-18", "reasons": ["bought"]}
    ],
    "shown": [],
    "interests": [{"category": "Meat-packaged > Frozen meat", "weight": 0.2159}],
    "bank": {
        "space": "day0-d9425a257126",
        "space_id": "fd93f7d6df5b938b",
        "space_epoch": 1,
        "sums": [[0.8510125, 0.38128543]],
        "weights": [1.0],
    },
    "event_id_hashes": ["a16416f0625395d2"],
    "stored": {"bytes": 1912, "layout": 1},
}
