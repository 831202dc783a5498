"""From what clients send to the canonical event."""

from __future__ import annotations

import math
import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.kernel.event import Line, decode_event, encode_event, item_lines
from services.kernel.event_input import EventError, event_id_of, parse_event
from services.kernel.event_type import EventTypes
from services.kernel.ids import read_id

NOW_MS = 1_790_000_000_000
TYPES = EventTypes("wishlist:200=2")
SMALL: dict[str, Any] = {"user_id": "u_1", "event_type": "view", "item_id": "p_1"}


def code_of(raw: object) -> str:
    with pytest.raises(EventError) as caught:
        parse_event(raw, NOW_MS, TYPES)
    assert caught.value.message
    assert len(caught.value.message) < 700
    return caught.value.code


def test_the_smallest_event_of_the_contract() -> None:
    event = parse_event(
        {
            "user_id": "u_12345",
            "event_type": "product_view",
            "product_id": "p_67890",
            "timestamp": 1687872000,
        },
        NOW_MS,
        TYPES,
    )
    assert (event.user_id, event.event_type, event.item_id) == ("u_12345", "view", "p_67890")
    assert (event.timestamp, event.received_at) == (1_687_872_000_000, NOW_MS)
    assert uuid.UUID(event.event_id).version == 7


@pytest.mark.parametrize("spelling", ["item_id", "product_id", "video_id", "content_id"])
def test_spellings_of_the_item(spelling: str) -> None:
    event = parse_event({"user_id": 7, "event_type": "view", spelling: 12345678901234567890}, NOW_MS, TYPES)
    assert (event.user_id, event.item_id, event.timestamp) == ("7", "12345678901234567890", NOW_MS)


def test_every_field_stands_in_the_record() -> None:
    raw = {
        **SMALL, "event_id": "e", "anonymous_id": "a", "session_id": 3, "value": -2, "price": 9.5,
        "currency": "eur", "quantity": 0.5, "rating": 4, "progress": 1, "order_id": 1001,
        "recommendation_id": "r", "context": {"country": "DE", "device": "phone"}, "consent": {"ads": False},
        "properties": {"a": [1, {"b": 2}]},
    }  # fmt: skip
    event = parse_event(raw, NOW_MS, TYPES)
    assert event.currency == "EUR"
    assert (event.session_id, event.order_id) == ("3", "1001")
    assert event.properties == raw["properties"]
    assert decode_event(encode_event(event)) == event


def test_unknown_fields_are_kept_under_properties() -> None:
    event = parse_event({**SMALL, "page": "/x", "properties": {"a": 1}, "received_at": 1}, NOW_MS, TYPES)
    assert event.properties == {"page": "/x", "received_at": 1, "a": 1}
    assert event.received_at == NOW_MS


def test_null_means_absent() -> None:
    event = parse_event(
        {**SMALL, "price": None, "event_id": None, "timestamp": None, "x": None}, NOW_MS, TYPES
    )
    assert event.price is None
    assert event.properties is None


def test_an_anonymous_visitor_is_a_subject() -> None:
    event = parse_event({"anonymous_id": "a", "event_type": "search"}, NOW_MS, TYPES)
    assert event.subject == "a"
    assert parse_event({**SMALL, "anonymous_id": "a"}, NOW_MS, TYPES).subject == "u_1"


def test_an_order_of_a_hundred_lines_is_one_event() -> None:
    lines = [{"product_id": f"p{n}", "quantity": 2, "price": 1.5} for n in range(100)]
    event = parse_event({"user_id": "u", "event_type": "purchase", "items": lines}, NOW_MS, TYPES)
    assert event.items is not None
    assert event.items[99] == Line("p99", 2.0, 1.5)
    assert [line.item_id for line in item_lines(event)] == [f"p{n}" for n in range(100)]
    assert (
        code_of({"user_id": "u", "event_type": "purchase", "items": [*lines, {"item_id": "x"}]})
        == "too_many_items"
    )


def test_an_impression_may_be_a_plain_list_of_ids() -> None:
    event = parse_event({"user_id": "u", "event_type": "impression", "items": ["a", 2]}, NOW_MS, TYPES)
    assert [line.item_id for line in item_lines(event)] == ["a", "2"]


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        (
            {"userId": "u", "event_type": "view", "item_id": "p"},
            "'userId' is no field of an event, did you mean 'user_id'?",
        ),
        (
            {"user_id": "u", "type": "view", "item_id": "p"},
            "'type' is no field of an event, did you mean 'event_type'?",
        ),
        ({"user_id": "u", "event_type": "view", "colour": 1, "itemid": "p"}, "did you mean 'item_id'?"),
        (
            {"user_id": "u", "event_type": "view", "x" * 999 + "item_id": "p"},
            "item_id (or items) is missing; 'view' is",
        ),
        ({"event_type": "view", "item_id": "p", "colour": "red"}, "is missing; a small event is"),
    ],
)
def test_what_is_missing_may_stand_under_a_name_that_is_nearly_right(raw: object, told: str) -> None:
    with pytest.raises(EventError) as caught:
        parse_event(raw, NOW_MS, TYPES)
    assert told in caught.value.message


def test_a_rating_may_stand_in_value() -> None:
    assert parse_event({**SMALL, "event_type": "rate", "value": 4}, NOW_MS, TYPES).rating == 4.0
    assert code_of({**SMALL, "event_type": "rating"}) == "missing_rating"
    assert code_of({**SMALL, "event_type": "rating", "value": 40}) == "invalid_value"


def test_progress_may_stand_in_value_where_it_lies_between_0_and_1() -> None:
    def progress(**fields: object) -> float | None:
        return parse_event({**SMALL, "event_type": "video_progress", **fields}, NOW_MS, TYPES).progress

    assert [progress(value=value) for value in (0, 0.4, 1)] == [0, 0.4, 1]
    assert progress(value=0.4, progress=0.6) == 0.6
    assert [progress(value=value) for value in (-1, 1.5, 640)] == [None, None, None]  # seconds, or what else
    assert parse_event({**SMALL, "event_type": "view", "value": 0.4}, NOW_MS, TYPES).progress is None


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"user_id": None}, "missing_user_id"),
        ({"user_id": True}, "invalid_user_id"),
        ({"user_id": ""}, "invalid_user_id"),
        ({"user_id": "a" * 257}, "invalid_user_id"),
        ({"user_id": ["a"]}, "invalid_user_id"),
        ({"user_id": 1.0}, "invalid_user_id"),
        ({"anonymous_id": "\n"}, "invalid_anonymous_id"),
        ({"event_type": None}, "missing_event_type"),
        ({"event_type": 5}, "unknown_event_type"),
        ({"event_type": "wach"}, "unknown_event_type"),
        ({"event_type": "x" * 10_000}, "unknown_event_type"),
        ({"item_id": None}, "missing_item_id"),
        ({"item_id": False}, "invalid_item_id"),
        ({"product_id": "other"}, "conflicting_item_id"),
        ({"items": []}, "invalid_items"),
        ({"items": {}}, "invalid_items"),
        ({"items": [{}]}, "missing_item_id"),
        ({"items": [{"item_id": "a", "quantity": 0}]}, "invalid_quantity"),
        ({"items": [None]}, "invalid_item_id"),
        ({"timestamp": math.nan}, "invalid_timestamp"),
        ({"timestamp": True}, "invalid_timestamp"),
        ({"timestamp": -1}, "invalid_timestamp"),
        ({"timestamp": "yesterday"}, "invalid_timestamp"),
        ({"timestamp": NOW_MS + 300_001}, "timestamp_in_future"),
        ({"timestamp": 9e10}, "timestamp_in_future"),
        ({"value": math.nan}, "invalid_value"),
        ({"value": 1e13}, "invalid_value"),
        ({"price": -1}, "invalid_price"),
        ({"price": "9.99"}, "invalid_price"),
        ({"price": math.inf}, "invalid_price"),
        ({"price": 10**400}, "invalid_price"),
        ({"quantity": -1}, "invalid_quantity"),
        ({"quantity": True}, "invalid_quantity"),
        ({"rating": 5.1}, "invalid_rating"),
        ({"progress": 1.01}, "invalid_progress"),
        ({"currency": "Euro"}, "invalid_currency"),
        ({"currency": 978}, "invalid_currency"),
        ({"context": "DE"}, "invalid_context"),
        ({"context": {"country": 49}}, "invalid_context"),
        ({"context": {"x": "y" * 3000}}, "invalid_context"),
        ({"consent": 1}, "invalid_consent"),
        ({"properties": []}, "invalid_properties"),
        ({"properties": {"x": "y" * 9000}}, "invalid_properties"),
        ({"properties": {"a": {"b": {"c": {"d": {"e": {"f": 1}}}}}}}, "invalid_properties"),
        ({"properties": {"x": math.nan}}, "invalid_properties"),
        ({"properties": {"x": 2**63}}, "invalid_properties"),
        ({"properties": {"x": "\ud800"}}, "invalid_properties"),
        ({"properties": {"\ud800": 1}}, "invalid_properties"),
        ({"color": "r" * 9000}, "invalid_properties"),
        ({"event_id": ""}, "invalid_event_id"),
        ({"session_id": {}}, "invalid_session_id"),
    ],
)
def test_what_is_wrong_has_a_code(change: dict[str, Any], code: str) -> None:
    assert code_of({**SMALL, **change}) == code


@pytest.mark.parametrize("raw", [None, 1, "x", [], [SMALL], True])
def test_what_is_no_object(raw: object) -> None:
    assert code_of(raw) == "not_an_object"


def test_five_minutes_ahead_is_a_wrong_clock_and_more_is_a_wrong_unit() -> None:
    assert parse_event({**SMALL, "timestamp": NOW_MS + 300_000}, NOW_MS, TYPES).timestamp == NOW_MS + 300_000


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
_NAMES = st.sampled_from(
    [*SMALL, "product_id", "items", "timestamp", "properties", "context", "consent", "price", "rating", "x"]
)


@given(st.dictionaries(_NAMES, _JSON))
def test_any_json_is_an_event_that_survives_the_log_or_an_event_error(change: dict[str, Any]) -> None:
    try:
        event = parse_event({**SMALL, **change}, NOW_MS, TYPES)
    except EventError as error:
        assert error.code  # noqa: PT017 - either way is right
        error.message.encode()
    else:
        again = decode_event(encode_event(event))
        assert again == event
        assert event.timestamp <= NOW_MS + 300_000
        assert all(read_id(line.item_id) for line in item_lines(event))


def test_the_id_of_a_refused_event_is_named_when_it_has_one() -> None:
    assert event_id_of({"event_id": 5}) == "5"
    assert event_id_of({"event_id": ["x"]}) is None
    assert event_id_of({}) is None
    assert event_id_of(7) is None
