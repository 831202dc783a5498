"""What the documentation says of questions: each parameter, and each part of a body."""

from __future__ import annotations

from typing import Any, Final

from services.http.documentation import Schema, array, in_query, of, record, text
from services.ranking.scenario import SEEN_REASONS
from services.ranking.scenario_file import built_in
from services.ranking.scenario_rules import (
    CAP_FIELDS,
    MAX_BOOSTS,
    MAX_CAPS,
    MAX_PINS,
    MAX_SLOT,
)
from services.recommender.documentation_examples import BANANAS, CHEESE, FILTERS, MILK
from services.recommender.parse_batch import MAX_USERS
from services.recommender.query import (
    DEFAULT_N,
    MAX_CANDIDATES,
    MAX_CONTEXT,
    MAX_EXCLUDE,
    MAX_N,
    MAX_RECENT,
    MAX_ROWS,
)


def _object(title: str, properties: dict[str, Schema], says: str = "", *required: str) -> Schema:
    return record(title, says, properties, *required, additionalProperties=False)


_FILTER: Final = "which items may stand in the list (docs/FILTERS.md)"
_FILTER_TEXT: Final = (
    f"{_FILTER}, in the short form: field:value joined by `;`, `,` for either, `..` for a range, `!` for not"
)
_RELAX: Final = (
    "where the filter leaves fewer than `at_least` items: the fields whose conditions are dropped, in this "
    "order. The answer's `filter.relaxed` names those that were. Without it: fewer items"
)
_AFTER: Final = (
    "a position from the 202 of an event of this user: wait for it, inside the deadline; `fresh` says "
    "whether it was reached. Positions of items say nothing here"
)
_CURSOR: Final = "`next_cursor` of the page before: none of what former pages showed comes again"
_FIELDS: Final = "catalogue fields to answer beside the ids, or `all`"
_EXPLAIN: Final = "say of each item which sources found it and what boosts, rotation and diversity did"
_DIVERSITY: Final = "0: by score alone; 1: as unlike each other as can be"
_CONTEXT: Final = (
    "what filters read as `$context.NAME`; `language` is that of the reasons, `country` and `device` shape "
    "lists for who is new"
)
_ITEM_ID: Final = "the item of this page: what `similar` and `bought_together` start from, `$item` in filters"
_SCENARIO: Final = "which list; GET /scenarios describes them"
_ANONYMOUS: Final = "another subject, whose profile is combined for this answer, or the only one"


_N: Final = of("integer", "how many items", 5, minimum=1, maximum=MAX_N, default=DEFAULT_N)
_AT_LEAST: Final = of("integer", "see `relax`", 5, minimum=1, maximum=MAX_SLOT, default=1)
_KNOB: Final = of("number", _DIVERSITY, 0.3, minimum=0, maximum=1)
RECOMMEND_PARAMETERS: Final[list[dict[str, Any]]] = [
    in_query("n", _N, 5),
    in_query("scenario", text(_SCENARIO, *built_in(), default="for_you")),
    in_query("item_id", text(_ITEM_ID, CHEESE)),
    in_query("fields", text(f"{_FIELDS}; comma-separated", "title,price", "all"), "title,price"),
    in_query("filter", text(_FILTER_TEXT, *FILTERS)),
    in_query("relax", text(f"{_RELAX}. Comma-separated", "price,brand")),
    in_query("at_least", _AT_LEAST),
    in_query("diversity", _KNOB),
    in_query("exclude", text("item ids that must not come, comma-separated", f"{BANANAS},{MILK}")),
    in_query("explain", of("boolean", _EXPLAIN, True, default=False)),
    in_query("cursor", text(_CURSOR)),
    in_query("country", text("part of the context: `$context.country`", "US")),
    in_query("language", text("part of the context, and the language of the reasons", "en")),
    in_query("device", text("part of the context: `$context.device`", "mobile")),
    {
        **in_query(
            "context",
            of(
                "object",
                "anything else of the context, each with `context.` before its name: `context.age=12` is "
                "`$context.age` in filters",
                {"context.age": "12"},
                additionalProperties=text(),
                propertyNames={"pattern": "^context\\."},
            ),
        ),
        "example": {},  # what the page fills in
        "style": "form",
        "explode": True,  # each of them is a parameter of its own
    },
    in_query("after", text(_AFTER)),
    in_query("anonymous_id", text(_ANONYMOUS, "visitor_1", maxLength=256)),
]
PAGE_PARAMETERS: Final[list[dict[str, Any]]] = [
    in_query("limit", of("integer", "items of a page", 10, minimum=1, maximum=1000, default=100), 10),
    in_query("filter", text(_FILTER_TEXT.replace("stand in the list", "come"), *FILTERS[:3])),
    in_query("fields", text("fields in place of whole items; comma-separated", "title,price"), "title,price"),
    in_query("cursor", text("`next_cursor` of the page before; good for as long as you like")),
]

_ID: Final = of("string", maxLength=256)
_A_FILTER: Final[Schema] = {
    "title": "Filter",
    "type": ["object", "string"],
    "description": f"{_FILTER}; text is read in the short form",
}
_BOOST: Final = _object(
    "Boost",
    {
        "filter": _A_FILTER,
        "by": of("number", "standard deviations of the scores; below 0 buries", minimum=-10, maximum=10),
    },
    "",
    "filter",
    "by",
)
_PIN: Final = _object(
    "Pin", {"item": _ID, "slot": of("integer", minimum=1, maximum=MAX_SLOT)}, "", "item", "slot"
)
_CAP: Final = _object(
    "Cap",
    {
        "field": text("", *CAP_FIELDS, "properties.manufacturer"),
        "most": of("integer", "items", minimum=1, maximum=MAX_SLOT),
        "share": of("number", "in place of `most`: a part of the list", minimum=0, maximum=1),
        "at_least": of("integer", "with `share`: where the list is short", minimum=1, maximum=MAX_SLOT),
        "soft": of("boolean", "what is too many stands behind the rest, instead of being left out"),
    },
    "",
    "field",
)


def _each(schema: Schema, most: int, says: str) -> Schema:
    return array(schema, says, maxItems=most)


_RULES: Final[dict[str, Schema]] = {
    "filter": _A_FILTER,
    "relax": _each(of("string"), MAX_CAPS, _RELAX),
    "at_least": _AT_LEAST,
    "hide": _object(
        "Hide",
        {reason: text("", "30d", "12h", "always") for reason in SEEN_REASONS},
        "which seen items stay away, and for how long; in place of what the scenario hides. {} hides nothing",
    ),
    "boosts": _each(_BOOST, MAX_BOOSTS, "lift or bury what a filter matches"),
    "pins": _each(_PIN, MAX_PINS, "items that stand at a place of the list, while they may be shown at all"),
    "caps": _each(_CAP, MAX_CAPS, "at most so many items with the same value of a field"),
    "diversity": _KNOB,
    "rotate_after": of(
        "integer",
        "impressions in this session after which what was ignored sinks; 0: never",
        minimum=0,
        maximum=128,
    ),
    "one_per_group": of("boolean", "of a `group_id` (variants, episodes) one item stands in the list"),
    "series_in_order": of(
        "boolean",
        "which one of a group with `group_order` (episodes): the next for who watches the series, for "
        "everybody else the first",
    ),
}
_ROW: Final = _object(
    "Row",
    {
        "id": text("the row's name in the answer; its number where there is none", "top"),
        "scenario": text(_SCENARIO, *built_in()),
        "n": _N,
        "item_id": _ID,
        "cursor": text("`next_cursor` of this row"),
        **_RULES,
        "filter": _A_FILTER,
    },
)
_COMMON: Final[dict[str, Schema]] = {
    "n": _N,
    "scenario": text(_SCENARIO, *built_in(), default="for_you"),
    "item_id": {**_ID, "description": _ITEM_ID},
    "exclude": _each(_ID, MAX_EXCLUDE, "item ids that must not come"),
    "candidates": _each(_ID, MAX_CANDIDATES, "rank these instead of the catalogue: search results, a shelf"),
    "fields": {
        "type": ["array", "string"],
        "items": of("string"),
        "description": _FIELDS,
        "examples": [["title", "price"], "all"],
    },
    "context": of("object", _CONTEXT, {"country": "US", "age": 12}, maxProperties=MAX_CONTEXT),
    "explain": of("boolean", _EXPLAIN, default=False),
    **_RULES,
    "rows": _each(
        _ROW,
        MAX_ROWS,
        "several lists at once; what stands beside `rows` holds for each of them",
    ),
    "dedupe": of("boolean", "an item stands in one row only, the first that has it", default=True),
}
_RECENT: Final = _object(
    "RecentItem",
    {
        "item_id": _ID,
        "event_type": of("string", default="view"),
        "timestamp": {"description": "Unix time (s, ms or µs) or RFC 3339; now when absent"},
    },
    "",
    "item_id",
)


REQUEST: Final = _object(
    "RecommendRequest",
    {
        "user_id": _ID,
        "anonymous_id": {**_ID, "description": _ANONYMOUS},
        **_COMMON,
        "cursor": text(_CURSOR),
        "recent_items": _each(
            {"anyOf": [_RECENT, _ID]},
            MAX_RECENT,
            "events the log may not have seen, oldest first; for this answer only",
        ),
        "after": text(_AFTER),
    },
    "Whom to recommend to, which list, and its rules",
)
_USER_OF_BATCH: Final = _object(
    "BatchUser",
    {
        "user_id": _ID,
        "anonymous_id": {**_ID, "description": _ANONYMOUS},
        "item_id": _ID,
        "context": of("object", "beside and before that of the whole call"),
        "exclude": _each(_ID, MAX_EXCLUDE, "beside those of the whole call"),
    },
    "a user with something of their own",
)
BATCH: Final = _object(
    "BatchRequest",
    {
        "user_ids": _each(_ID, MAX_USERS, "who is asked for; or `users`"),
        "users": _each(_USER_OF_BATCH, MAX_USERS, "the same with something of each"),
        **_COMMON,
    },
    "Who is asked for; the rest holds for all of them",
)
