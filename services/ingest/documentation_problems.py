"""What the documentation says of what cannot be accepted. "…" stands for what is left out."""

from __future__ import annotations

from typing import Final

EMPTY: Final = "the body is empty; send a JSON object or a list of them"
NO_LOG: Final = {
    "log_unavailable": "too much waits for the event log; try again; send the same again, with the same ids",
    "log_timeout": "…; send the same again, with the same ids",
    "log_full": "partition 0 of the events log is at its bound of … records, and they are not applied by "
    "every consumer group yet: is the profiler running? FRESHET_LOG_MAX_RECORDS sets the bound; …",
}
_SAMPLE: Final = '{"user_id": "u_12345", "event_type": "view", "item_id": "p_67890"}'
NO_EVENT: Final = {
    "missing_user_id": f"user_id (or anonymous_id) is missing; a small event is {_SAMPLE}",
    "missing_event_type": f"event_type is missing; a small event is {_SAMPLE}",
    "unknown_event_type": "event_type 'veiw' is unknown; the nearest is 'view'",
    "missing_item_id": "item_id (or items) is missing; 'view' is about an item",
    "conflicting_item_id": "product_id differs from item_id; send one of them",
    "missing_rating": "rating is missing; send a number from 0 to 5",
    "invalid_timestamp": "timestamp cannot be read; use Unix time in s, ms or µs, or RFC 3339 such as "
    "2026-01-31T12:00:00Z",
    "timestamp_in_future": "timestamp lies more than 5 minutes in the future; check the clock and the unit "
    "(s, ms or µs)",
    "invalid_items": 'items must be a list such as [{"item_id": "p_1", "quantity": 2}]',
    "too_many_items": "items holds more than 100 lines; send several events",
    "invalid_price": "price must be a number, not a string; leave the quotes out",
    "too_many_of_one_user": "a request takes at most 128 events of one user; send more later",
    "record_too_large": "the record has … bytes; the event log takes … at most",
    "not_an_object": f"an event is a JSON object such as {_SAMPLE}, not a string",
    "invalid_cloudevent": "the CloudEvent has no data; put the event's fields there",
    "nothing_accepted": "none of the 2 entries could be accepted; the first: user_id (or anonymous_id) is "
    "missing; "
    f"a small event is {_SAMPLE}",
    "empty_list": "the list is empty; send at least one entry",
}
_FIELDS_OF_OWN: Final = "Fields of your own go under properties"
NO_ITEM: Final = {
    "missing_item_id": "item_id is missing",
    "unknown_field": f"'titel' is no field of an item; did you mean 'title'? {_FIELDS_OF_OWN}",
    "invalid_price": "price must be a number, not a string; leave the quotes out",
    "invalid_properties": "properties is larger than 16384 bytes",
    "item_too_large": "the item is larger than 65536 bytes; shorten its texts",
    "not_an_object": "an item is a JSON object, not a string",
    "nothing_accepted": "none of the 2 entries could be accepted; the first: item_id is missing",
    "empty_list": "the list is empty; send at least one entry",
}
ALSO_INVALID: Final = (
    "A field that cannot be read is `invalid_` and its name: `invalid_price`, `invalid_currency`, "
    "`invalid_context`."
)


NO_BODY_ITEM: Final = {
    "unknown_field": f"'pirce' is no field of an item; did you mean 'price'? {_FIELDS_OF_OWN}",
    "invalid_price": NO_ITEM["invalid_price"],
    "conflicting_item_id": "item_id in the body differs from the one in the path",
    "item_too_large": NO_ITEM["item_too_large"],
    "not_an_object": "an item is a JSON object, not a list",
}
