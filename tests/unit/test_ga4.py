"""GA4's recommended events, posted to /events and by the Measurement Protocol."""

from __future__ import annotations

from typing import Any

import pytest

from services.ingest.ga4 import IGNORED, USED, translate
from services.kernel.event import Event, item_lines
from services.kernel.event_input import EventError, parse_event
from services.kernel.event_type import EventTypes

NOW_MS = 1_767_225_600_000
TYPES = EventTypes()
ITEM = {"item_id": "p", "item_name": "Gouda", "price": 4.5, "quantity": 2, "item_category": "Food"}


def event_of(name: str, params: dict[str, Any], **body: Any) -> Event:
    (event,) = events_of(name, params, **body)
    return event


def events_of(name: str, params: dict[str, Any], **body: Any) -> list[Event]:
    call = translate({"client_id": "c", **body}, {"name": name, "params": params}, TYPES)
    assert call.unused is None, call.unused
    return [parse_event(event, NOW_MS, TYPES) for event in call.events]


def outcome(event: Any) -> str:
    unused = translate({"client_id": "c"}, event, TYPES).unused
    return "accepted" if unused is None else unused.outcome


@pytest.mark.parametrize("name", USED)
def test_events_takes_the_names_and_the_shape(name: str) -> None:
    """A page that hands its data layer to /events as it is."""
    raw = {"user_id": "u", "event_type": name, "items": [ITEM], "value": 9.0, "currency": "EUR"}
    event = parse_event(raw, NOW_MS, TYPES)
    assert event.event_type == TYPES.find(name)
    assert [tuple(line) for line in item_lines(event)] == [("p", 2.0, 4.5)]
    assert event.properties is None


def test_a_transaction_is_an_order() -> None:
    raw = {"user_id": "u", "event_type": "purchase", "items": [ITEM], "transaction_id": 1001}
    assert parse_event(raw, NOW_MS, TYPES).order_id == "1001"
    assert parse_event({**raw, "order_id": "mine"}, NOW_MS, TYPES).order_id == "mine"
    with pytest.raises(EventError, match="transaction_id must be a string"):
        parse_event({**raw, "transaction_id": []}, NOW_MS, TYPES)


@pytest.mark.parametrize("name", USED)
def test_the_protocol_means_the_same(name: str) -> None:
    event = event_of(name, {"items": [ITEM], "video_percent": 25}, user_id="u")
    assert event.event_type == TYPES.find(name)
    assert (event.user_id, event.anonymous_id) == ("u", "c")
    about_items = event.event_type not in {"search", "identify"}
    assert [line.item_id for line in item_lines(event)] == (["p"] if about_items else [])


def test_a_purchase() -> None:
    params = {
        "transaction_id": "T-1",
        "value": "9.0",
        "currency": "eur",
        "items": [ITEM, {"item_name": "?"}, 5],
    }
    event = event_of("purchase", params, timestamp_micros="1767225500000000")
    assert (event.order_id, event.value, event.currency) == ("T-1", 9.0, "EUR")
    assert event.timestamp == 1_767_225_500_000
    assert event.subject == "c"
    assert event.event_id == event_of("purchase", params).event_id, "sent twice, it counts once"
    assert event.event_id != event_of("purchase", {**params, "transaction_id": "T-2"}).event_id
    many = events_of("purchase", {**params, "items": [{"item_id": f"p{n}"} for n in range(150)]})
    assert [len(item_lines(one)) for one in many] == [100, 50]
    assert len({one.event_id for one in many}) == 2


def test_what_else_is_read_of_the_body() -> None:
    event = event_of(
        "view_item",
        {"items": [ITEM], "session_id": 7, "recommendation_id": "r"},
        consent={"ad_user_data": "GRANTED", "ad_personalization": "DENIED"},
        user_location={"country_id": "DE", "city": "SECRET"},
        device={"category": "mobile", "language": "de", "model": "SECRET"},
        user_properties={"email": {"value": "SECRET"}},
        ip_override="203.0.113.9",
    )
    assert (event.session_id, event.recommendation_id) == ("7", "r")
    assert event.consent == {"personalization": False}
    assert event.context == {"country": "DE", "device": "mobile", "language": "de"}
    assert event.properties is None
    assert event_of("search", {"search_term": "gouda"}).properties == {"query": "gouda"}
    assert (
        event_of(
            "video_progress", {"video_id": "v", "video_current_time": 30, "video_duration": 120}
        ).progress
        == 0.25
    )
    assert event_of("select_content", {"content_type": "film", "content_id": "v"}).item_id is None
    assert item_lines(event_of("select_content", {"content_id": "v"}))[0].item_id == "v"


def test_what_is_of_no_use() -> None:
    for name in IGNORED:
        assert outcome({"name": name, "params": {"items": [ITEM]}}) == "ignored"
    assert outcome({"name": "view_itme"}) == "unknown_event"
    assert outcome({"name": "x" * 5000}) == "unknown_event"
    useless: list[Any] = [
        None,
        5,
        {},
        {"items": []},
        {"items": [{"item_name": "only a name"}]},
        {"items": "p"},
    ]
    for params in useless:
        assert outcome({"name": "view_item", "params": params}) == "incomplete"
        assert outcome({"name": "view_item_list", "params": params}) == "incomplete"
    events: list[Any] = [None, 5, [], {}, {"name": None}, {"name": []}]
    for raw in events:
        assert outcome(raw) == "incomplete"
