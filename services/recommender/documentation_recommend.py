"""What /docs says about /recommend, /recommend/batch and /items: each parameter and each part of a body."""

from __future__ import annotations

from typing import Any, Final

from services.ranking.scenario import SEEN_REASONS
from services.ranking.scenario_file import built_in
from services.ranking.scenario_rules import (
    CAP_FIELDS,
    MAX_BOOSTS,
    MAX_CAPS,
    MAX_PINS,
    MAX_SLOT,
)
from services.recommender.documentation import answers, parameter
from services.recommender.documentation_examples import (
    ANSWER,
    BANANAS,
    BATCHES,
    CHEESE,
    FILTERS,
    LINES,
    MILK,
    QUESTIONS,
)
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

_Schema = dict[str, Any]


def _of(kind: str | list[str], text: str = "", examples: list[Any] | None = None, **more: Any) -> _Schema:
    schema: _Schema = {"type": kind, **more}
    if text:
        schema["description"] = text
    if examples:
        schema["examples"] = examples
    return schema


def _object(properties: dict[str, _Schema], text: str = "", *required: str) -> _Schema:
    more = {"required": list(required)} if required else {}
    return _of("object", text, properties=properties, additionalProperties=False, **more)


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


def _text(text: str, *examples: str, **more: Any) -> _Schema:
    return _of("string", text, list(examples), **more)


def _parameter(name: str, schema: _Schema) -> dict[str, Any]:
    kind = {key: value for key, value in schema.items() if key != "description"}
    return parameter(name, kind, schema["description"])


_N: Final = _of("integer", "how many items", [5], minimum=1, maximum=MAX_N, default=DEFAULT_N)
_AT_LEAST: Final = _of("integer", "see `relax`", [5], minimum=1, maximum=MAX_SLOT, default=1)
_KNOB: Final = _of("number", _DIVERSITY, [0.3], minimum=0, maximum=1)
RECOMMEND_PARAMETERS: Final[list[dict[str, Any]]] = [
    _parameter("n", _N),
    _parameter("scenario", _text(_SCENARIO, *built_in(), default="for_you")),
    _parameter("item_id", _text(_ITEM_ID, CHEESE)),
    _parameter("fields", _text(f"{_FIELDS}; comma-separated", "title,price", "all")),
    _parameter("filter", _text(_FILTER_TEXT, *FILTERS)),
    _parameter("relax", _text(f"{_RELAX}. Comma-separated", "price,brand")),
    _parameter("at_least", _AT_LEAST),
    _parameter("diversity", _KNOB),
    _parameter("exclude", _text("item ids that must not come, comma-separated", f"{BANANAS},{MILK}")),
    _parameter("explain", _of("boolean", _EXPLAIN, [True], default=False)),
    _parameter("cursor", _text(_CURSOR)),
    _parameter("country", _text("part of the context: `$context.country`", "US")),
    _parameter("language", _text("part of the context, and the language of the reasons", "en")),
    _parameter("device", _text("part of the context: `$context.device`", "mobile")),
    _parameter(
        "context.NAME",
        _text("anything else of the context, under any NAME: `context.age=12` is `$context.age` in filters"),
    ),
    _parameter("after", _text(_AFTER)),
    _parameter("anonymous_id", _text(_ANONYMOUS, "visitor_1", maxLength=256)),
]
PAGE_PARAMETERS: Final[list[dict[str, Any]]] = [
    _parameter("limit", _of("integer", "items of a page", [10], minimum=1, maximum=1000, default=100)),
    _parameter("filter", _text(_FILTER_TEXT.replace("stand in the list", "come"), *FILTERS[:3])),
    _parameter("fields", _text("fields in place of whole items; comma-separated", "title,price")),
    _parameter("cursor", _text("`next_cursor` of the page before; good for as long as you like")),
]

_ID: Final = _of("string", maxLength=256)
_A_FILTER: Final[_Schema] = {
    "type": ["object", "string"],
    "description": f"{_FILTER}; text is read in the short form",
}
_BOOST: Final = _object(
    {
        "filter": _A_FILTER,
        "by": _of("number", "standard deviations of the scores; below 0 buries", minimum=-10, maximum=10),
    },
    "",
    "filter",
    "by",
)
_PIN: Final = _object({"item": _ID, "slot": _of("integer", minimum=1, maximum=MAX_SLOT)}, "", "item", "slot")
_CAP: Final = _object(
    {
        "field": _text("", *CAP_FIELDS, "properties.manufacturer"),
        "most": _of("integer", "items", minimum=1, maximum=MAX_SLOT),
        "share": _of("number", "in place of `most`: a part of the list", minimum=0, maximum=1),
        "at_least": _of("integer", "with `share`: where the list is short", minimum=1, maximum=MAX_SLOT),
        "soft": _of("boolean", "what is too many stands behind the rest, instead of being left out"),
    },
    "",
    "field",
)


def _each(schema: _Schema, most: int, text: str) -> _Schema:
    return _of("array", text, items=schema, maxItems=most)


_RULES: Final[dict[str, _Schema]] = {
    "filter": _A_FILTER,
    "relax": _each(_of("string"), MAX_CAPS, _RELAX),
    "at_least": _AT_LEAST,
    "hide": _object(
        {reason: _text("", "30d", "12h", "always") for reason in SEEN_REASONS},
        "which seen items stay away, and for how long; in place of what the scenario hides. {} hides nothing",
    ),
    "boosts": _each(_BOOST, MAX_BOOSTS, "lift or bury what a filter matches"),
    "pins": _each(_PIN, MAX_PINS, "items that stand at a place of the list, while they may be shown at all"),
    "caps": _each(_CAP, MAX_CAPS, "at most so many items with the same value of a field"),
    "diversity": _KNOB,
    "rotate_after": _of(
        "integer",
        "impressions in this session after which what was ignored sinks; 0: never",
        minimum=0,
        maximum=128,
    ),
    "one_per_group": _of("boolean", "of a `group_id` (variants, episodes) one item stands in the list"),
    "series_in_order": _of(
        "boolean",
        "which one of a group with `group_order` (episodes): the next for who watches the series, for "
        "everybody else the first",
    ),
}
_ROW: Final = _object(
    {
        "id": _text("the row's name in the answer; its number where there is none", "top"),
        "scenario": _text(_SCENARIO, *built_in()),
        "n": _N,
        "item_id": _ID,
        "cursor": _text("`next_cursor` of this row"),
        **_RULES,
        "filter": {**_A_FILTER, "description": "holds beside the filter of the whole request"},
    }
)
_COMMON: Final[dict[str, _Schema]] = {
    "n": _N,
    "scenario": _text(_SCENARIO, *built_in(), default="for_you"),
    "item_id": {**_ID, "description": _ITEM_ID},
    "exclude": _each(_ID, MAX_EXCLUDE, "item ids that must not come"),
    "candidates": _each(_ID, MAX_CANDIDATES, "rank these instead of the catalogue: search results, a shelf"),
    "fields": {
        "type": ["array", "string"],
        "items": _of("string"),
        "description": _FIELDS,
        "examples": [["title", "price"], "all"],
    },
    "context": _of("object", _CONTEXT, [{"country": "US", "age": 12}], maxProperties=MAX_CONTEXT),
    "explain": _of("boolean", _EXPLAIN, default=False),
    **_RULES,
    "rows": _each(
        _ROW,
        MAX_ROWS,
        "several lists at once; what stands beside `rows` holds for each of them",
    ),
    "dedupe": _of("boolean", "an item stands in one row only, the first that has it", default=True),
}
_RECENT: Final = _object(
    {
        "item_id": _ID,
        "event_type": _of("string", default="view"),
        "timestamp": {"description": "Unix time (s, ms or µs) or RFC 3339; now when absent"},
    },
    "",
    "item_id",
)


def _body(properties: dict[str, _Schema], examples: dict[str, Any]) -> dict[str, Any]:
    return {"content": {"application/json": {"schema": _object(properties), "examples": examples}}}


def body_of_recommend() -> dict[str, Any]:
    """The request body of POST /recommend."""
    return _body(
        {
            "user_id": _ID,
            "anonymous_id": {**_ID, "description": _ANONYMOUS},
            **_COMMON,
            "cursor": _text(_CURSOR),
            "recent_items": _each(
                {"anyOf": [_RECENT, _ID]},
                MAX_RECENT,
                "events the log may not have seen, oldest first; for this answer only",
            ),
            "after": _text(_AFTER),
        },
        QUESTIONS,
    )


_REASON: Final = _object(
    {
        "code": _text("to translate by, see GET /scenarios"),
        "text": _of("string"),
        "item_id": _text("the item that led here"),
        "category": _text("the category that did"),
    },
    "why the item stands there; true of what is known",
)
_ANSWER: Final = _of(
    "object",
    properties={
        "items": _of(
            "array",
            items=_of(
                "object",
                "and the catalogue fields asked for",
                properties={
                    "item_id": _of("string"),
                    "score": _of("number", "falls down the list; compares within one answer only"),
                    "rank": _of("integer", "from 1"),
                    "reason": _REASON,
                    "explain": _of("object", "where it was asked for"),
                },
            ),
        ),
        "filter": _of(
            "object",
            "what the filter did: `matched` items of the catalogue pass; `relaxed` fields were dropped; "
            "`unknown` values no item has, with the nearest one; `missing` variables the request lacks",
        ),
        "notes": _of(
            "array",
            "where the request names items that are not in the catalogue: an `item_id`, or `pins`",
            items=_of("object", properties={name: _of("string") for name in ("field", "value", "problem")}),
        ),
        "next_cursor": _of(["string", "null"], "asks for the next page; null at the end"),
        "recommendation_id": _text("send it with the events that this list leads to"),
        "strategy": _text(
            "the step of the ladder that answered; none: nothing may stand in this list",
            *("model", "session", "trending", "popular", "catalogue", "none"),
        ),
        "rows": _of("array", "in place of `items` where rows were asked for: a list with an `id` each"),
    },
)


def _answers() -> dict[str, Any]:
    made = answers("the list", ANSWER)
    made["200"]["content"]["application/json"]["schema"] = _ANSWER
    return made


LISTED: Final = _answers()
_USER_OF_BATCH: Final = _object(
    {
        "user_id": _ID,
        "anonymous_id": {**_ID, "description": _ANONYMOUS},
        "item_id": _ID,
        "context": _of("object", "beside and before that of the whole call"),
        "exclude": _each(_ID, MAX_EXCLUDE, "beside those of the whole call"),
    }
)
BATCH: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        **_body(
            {
                "user_ids": _each(_ID, MAX_USERS, "who is asked for; or `users`"),
                "users": _each(_USER_OF_BATCH, MAX_USERS, "the same with something of each"),
                **_COMMON,
            },
            BATCHES,
        ),
    },
    "responses": answers(
        "a line each, like an answer of /recommend, in the order asked, as it becomes ready; a line with "
        "`error` for a user that cannot be answered; at the end `done`, how many `users` (lines), how many "
        "`failed`, and whose questions were `repeated` and answered once. Without `done` the answer was "
        'broken off. `curl -N localhost:8080/recommend/batch -d \'{"user_ids": ["u_12345"], "n": 4}\'` '
        "shows the lines as they come",
        LINES,
        "application/x-ndjson",
    ),
}
ITEM_PAGE: Final[dict[str, Any]] = {
    "parameters": PAGE_PARAMETERS,
    "responses": answers(
        "`items` in the order of their ids; `total` pass the filter (`filter` says more about it); "
        "`next_cursor` is null on the last page",
        {
            "items": [{"item_id": CHEESE, "title": "Iws single cheese, 12 oz", "price": 1.38}],
            "next_cursor": "MTA5NjAzNg",
            "total": 29,
            "filter": {"matched": 29},
        },
    ),
}
