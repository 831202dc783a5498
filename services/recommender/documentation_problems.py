"""What the documentation says of questions that cannot be answered as asked; "…" is what is left out."""

from __future__ import annotations

from typing import Final

SAYS: Final = (
    "The question cannot be answered as asked. Filters have more codes (docs/FILTERS.md), each with the "
    "place."
)
_SCENARIO: Final = "scenario: 'foryou' is no scenario; did you mean 'for_you'? There are: for_you, …"
_N: Final = "n: must be a whole number from 1 to 200"
_CONTRADICTION: Final = "filter.price: nothing is at least 5 and below 2; change one of the bounds"
_FIELD: Final = "filter.brnad: 'brnad' is no field of an item; did you mean 'brand'? …"
_POSITION: Final = "after: 'now' is not a position; send one as it stood in a 202 answer"
_CURSOR: Final = "cursor: 'x' is none of ours; send `next_cursor` of the page before …"
OF_QUERY: Final = {
    "unknown_parameter": "'limit' is no parameter; did you mean 'n'? There are: after, …",
    "repeated_parameter": "n is there 2 times; send it once",
    "unknown_scenario": _SCENARIO,
    "invalid_value": _N,
    "unknown_field": _FIELD,
    "contradictory_filter": "filter.price: nothing is at least 5 and at most 2; change one of the bounds",
    "invalid_position": _POSITION,
    "invalid_cursor": _CURSOR,
    "invalid_id": "item_id: is longer than 256 bytes",
    "too_many": "exclude: holds 501; at most 500",
}
_OF_BODIES: Final = {
    "unknown_parameter": "'n' is read from the body; write it there",
    "unknown_field": "'limit' is no field of the body; did you mean 'n'? There are: …",
    "unknown_scenario": _SCENARIO,
    "invalid_value": _N,
    "unknown_operator": "filter.price.max: 'max' is no operator; did you mean 'lte'? There are: eq, …",
    "contradictory_filter": _CONTRADICTION,
    "invalid_rule": "boosts[0].by: must be a number from -10 to 10, not 20",
    "repeated_row": "rows: give each row an id of its own",
    "too_many": "rows: holds 13; at most 12",
}
OF_BODY: Final = {
    "invalid_body": 'the body must be a JSON object, like {"user_id": "u_12345", "n": 10}',
    **_OF_BODIES,
    "unknown_event_type": "recent_items[0].event_type: 'veiw' is unknown; the nearest is 'view'",
    "invalid_timestamp": "recent_items[0].timestamp: cannot be read; use Unix time in s, ms or µs, or RFC "
    "3339 such as 2026-01-31T12:00:00Z",
    "invalid_position": _POSITION,
    "invalid_cursor": _CURSOR,
    "invalid_id": "user_id: is empty; an id has 1 to 256 bytes",
}
OF_BATCH: Final = {
    "invalid_body": 'the body must be a JSON object, like {"user_ids": ["u_12345", "u_67890"], "n": 5}',
    **_OF_BODIES,
}
OF_ITEMS: Final = {
    "unknown_parameter": "'brand' is no parameter; it is a field of items: filter by it, as "
    '"brand:value" in `filter`. '
    "There are: cursor, fields, filter, limit",
    "repeated_parameter": "limit is there twice; send it once",
    "invalid_value": "limit: must be a whole number from 1 to 1000",
    "invalid_cursor": "cursor: is not one of ours; take `next_cursor` of the page before",
    "unknown_field": _FIELD,
    "invalid_filter": "filter: 'brand' is no clause; write field:value, such as "
    "brand:Acme,Zenith;price:5..20;…",
}
