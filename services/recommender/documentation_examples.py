"""Questions that work as they stand on the demo shop (`make run`); a test sends each of them there."""

from __future__ import annotations

from typing import Any, Final

BANANAS: Final = "1082185"
MILK: Final = "1029743"
CHEESE: Final = "1096036"
_SHOWN: Final = ["title", "brand", "price"]


def _example(summary: str, value: dict[str, Any]) -> dict[str, Any]:
    return {"summary": summary, "value": value}


FILTERS: Final = [
    "categories:Grocery > Cheese",
    "brand:Private;price:1..5",
    "!brand:National",
    "brand:$item.brand",
    "properties.manufacturer:2,69",
]

QUESTIONS: Final[dict[str, Any]] = {
    "page": _example(
        "a whole page in one call",
        {
            "user_id": "u_12345",
            "fields": _SHOWN,
            "rows": [
                {"id": "top", "scenario": "trending", "n": 6},
                {"id": "cheese", "n": 6, "filter": {"categories": "Grocery > Cheese"}},
                {"id": "yours", "n": 12, "caps": [{"field": "categories", "most": 3}]},
            ],
        },
    ),
    "filter": _example(
        "own brand, 1 to 5 dollars; if fewer than 5 are left, at any price",
        {
            "user_id": "u_12345",
            "filter": {"brand": "Private", "price": {"gte": 1, "lte": 5}},
            "relax": ["price"],
            "at_least": 5,
            "fields": _SHOWN,
        },
    ),
    "rules": _example(
        "lift, pin, cap, diversify, and say why",
        {
            "user_id": "u_12345",
            "boosts": [
                {"filter": {"brand": "Private"}, "by": 0.5},
                {"filter": "categories:Grocery > Soft drinks", "by": -2},
            ],
            "pins": [{"item": BANANAS, "slot": 1}],
            "caps": [{"field": "categories", "most": 2}],
            "hide": {"bought": "7d"},
            "diversity": 0.3,
            "explain": True,
            "fields": _SHOWN,
        },
    ),
    "visitor": _example(
        "a visitor without a name, with clicks that the log has not seen yet",
        {
            "recent_items": [MILK, {"item_id": CHEESE, "event_type": "cart_add"}],
            "context": {"country": "US", "language": "en", "device": "mobile"},
            "fields": _SHOWN,
        },
    ),
    "candidates": _example(
        "search results in the order for this user",
        {"user_id": "u_12345", "candidates": [BANANAS, MILK, CHEESE, "981760", "944534"], "fields": _SHOWN},
    ),
    "alternatives": _example(
        "an item's page: alike, of the same brand, not dearer",
        {
            "scenario": "similar",
            "item_id": CHEESE,
            "filter": {"brand": "$item.brand", "price": {"lte": "$item.price"}},
            "relax": ["brand", "price"],
            "fields": _SHOWN,
        },
    ),
}

BATCHES: Final[dict[str, Any]] = {
    "campaign": _example(
        "an e-mail to some users", {"user_ids": ["u_12345", "u_2153"], "n": 4, "fields": ["title", "price"]}
    ),
    "context": _example(
        "with a context or an item of each",
        {
            "users": [
                {"user_id": "u_12345", "context": {"country": "US"}},
                {"user_id": "u_2153", "item_id": MILK, "exclude": [BANANAS]},
            ],
            "scenario": "bought_together",
            "n": 4,
            "filter": "price:..10",
        },
    ),
}
