"""Calls of Segment's tracking API as events."""

from __future__ import annotations

from typing import Any

import pytest

from services.ingest.client_routes import message_bytes
from services.ingest.payload import read_one
from services.ingest.segment import _FINISHED_FROM, Envelope, translate
from services.ingest.segment_events import EVENTS, IGNORED, RULES, folded
from services.ingest.translation import Call
from services.kernel.change import FINISHED_FROM
from services.kernel.event import Event, item_lines
from services.kernel.event_input import parse_event
from services.kernel.event_type import EventTypes
from services.kernel.problem import ProblemError

NOW_MS = 1_767_225_600_000
TYPES = EventTypes("wishlist_emailed:200=2.5")
NOW = Envelope(NOW_MS)
# A message as @segment/analytics-node makes it, with what must not go on.
PRIVATE: dict[str, Any] = {
    "context": {
        "ip": "203.0.113.9",
        "userAgent": "SECRET",
        "traits": {"email": "ada@SECRET.example"},
        "page": {"url": "https://shop.example/SECRET", "referrer": "SECRET"},
        "library": {"name": "SECRET", "version": "3.1.0"},
        "location": {"country": "DE", "city": "SECRET", "latitude": 52.5},
        "device": {"type": "ios", "id": "SECRET", "advertisingId": "SECRET"},
        "locale": "de-DE",
    },
    "traits": {"email": "SECRET", "phone": "SECRET"},
    "integrations": {"All": True},
}


def call_of(kind: str, envelope: Envelope = NOW, **message: Any) -> Call:
    return translate({"userId": "u", "messageId": "m", **message}, kind, envelope, TYPES)


def events_of(kind: str, envelope: Envelope = NOW, **message: Any) -> list[Event]:
    call = call_of(kind, envelope, **message)
    assert call.unused is None, call.unused
    return [parse_event(event, NOW_MS, TYPES) for event in call.events]


def event_of(kind: str, envelope: Envelope = NOW, **message: Any) -> Event:
    (event,) = events_of(kind, envelope, **message)
    return event


def track(name: str, **properties: Any) -> Event:
    return event_of("track", event=name, properties=properties)


def outcome(kind: str, **message: Any) -> str:
    unused = call_of(kind, **message).unused
    return "accepted" if unused is None else unused.outcome


PROPERTIES: dict[str, dict[str, Any]] = {
    "product": {"product_id": "p"},
    "products": {"products": [{"product_id": "p"}]},
    "asset": {"asset_id": "p"},
    "playback": {"content_asset_id": "p"},
    "nobody's item": {},
}


@pytest.mark.parametrize("name", EVENTS)
def test_each_name_of_the_table_becomes_its_type(name: str) -> None:
    rule = EVENTS[name]
    event = track(name, rating=4, **PROPERTIES[rule.about])
    assert (event.event_type, event.user_id, event.event_id) == (rule.event_type, "u", "m")
    assert [line.item_id for line in item_lines(event)] == ([] if rule.about == "nobody's item" else ["p"])
    for spelling in (name.upper(), name.replace(" ", "_").lower(), f" {name.replace(' ', '-')} "):
        assert track(spelling, rating=4, **PROPERTIES[rule.about]).event_type == rule.event_type


def test_the_table_names_types_that_exist_and_nothing_twice() -> None:
    assert {rule.event_type for rule in EVENTS.values()} <= set(EventTypes().names())
    names = [*map(folded, EVENTS), *map(folded, IGNORED)]
    assert len(names) == len(set(names))
    for name in IGNORED:
        assert outcome("track", event=name, properties={"product_id": "p"}) == "ignored"
    assert folded("Product Viewed") in RULES


def test_an_order_with_its_products() -> None:
    event = track(
        "Order Completed",
        order_id="1001",
        total="27.50",
        revenue=25,
        currency="eur",
        email="SECRET",
        products=[
            {"product_id": "p1", "sku": "s1", "name": "SECRET", "price": "18.99", "quantity": 2},
            {"sku": "s2", "price": "free", "quantity": 0},
            {"id": 3},
            {"name": "without an id"},
            None,
        ],
    )
    assert (event.event_type, event.order_id, event.value, event.currency) == (
        "purchase",
        "1001",
        27.5,
        "EUR",
    )
    assert [tuple(line) for line in item_lines(event)] == [
        ("p1", 2.0, 18.99),
        ("s2", 1.0, None),
        ("3", 1.0, None),
    ]
    assert event.properties is None


def test_a_list_longer_than_a_record_is_several_with_ids_that_follow() -> None:
    products = [{"product_id": f"p{number}"} for number in range(250)]
    events = events_of("track", event="Product List Viewed", properties={"products": products})
    assert [event.event_id for event in events] == ["m", "m/2", "m/3"]
    assert [line.item_id for event in events for line in item_lines(event)] == [f"p{n}" for n in range(250)]


def test_one_product_carries_price_quantity_and_what_led_to_it() -> None:
    event = track("Product Added", sku="s", price=4.5, quantity="3", currency="EUR", recommendation_id="r1")
    assert (event.item_id, event.price, event.quantity, event.currency) == ("s", 4.5, 3.0, "EUR")
    assert event.recommendation_id == "r1"
    assert track("Product Added", product_id="", sku="s").item_id == "s"
    assert track("Product Added", product_id={"a": 1}, id=7).item_id == "7"
    assert track("Product Reviewed", product_id="p", rating="4").rating == 4.0
    assert track("Products Searched", query="young gouda").properties == {"query": "young gouda"}


def test_what_cannot_be_read_is_left_out_and_the_event_stays() -> None:
    nonsense: list[Any] = [True, "", "much", -1, 1e300, 10**400, float("nan"), [], {}, None]
    for value in nonsense:
        event = track("Product Added", product_id="p", price=value, quantity=value, currency=value)
        assert (event.item_id, event.price, event.quantity, event.currency) == ("p", None, None, None)
        order = track("Order Completed", products=[{"product_id": "p"}], order_id="o", total=[value])
        assert order.value is None
    for thing in nonsense:
        event = event_of("track", event="Product Viewed", properties={"product_id": "p"}, context=thing)
        assert event.context is None
        event = event_of(
            "track",
            event="Product Viewed",
            properties={"product_id": "p"},
            context={"location": thing, "device": {"type": thing}, "locale": thing, "consent": thing},
        )
        assert event.consent is None


def test_video_progress_and_its_end() -> None:
    playing = track("Video Content Playing", asset_id="film", position=3000, total_length=7500)
    assert (playing.event_type, playing.item_id, playing.progress) == ("video_progress", "film", 0.4)
    live = track("Video Content Playing", asset_id="film", position=3000, total_length=None)
    assert live.progress is None
    begun = track("Video Playback Started", content_asset_ids=["film", "next"], position=0, total_length=7500)
    assert (begun.event_type, begun.item_id) == ("video_start", "film")
    # A part before a break for advertisements ends, then the film does.
    part = track("Video Content Completed", asset_id="film", position=3000, total_length=7500)
    assert (part.event_type, part.progress) == ("video_progress", 0.4)
    for end in (7500, 7200, 9000):
        film = track("Video Content Completed", asset_id="film", position=end, total_length=7500)
        assert (film.event_type, film.progress) == ("video_complete", None)
    assert track("Video Content Completed", asset_id="film").event_type == "video_complete"
    assert _FINISHED_FROM == FINISHED_FROM


def test_pages_and_screens_with_a_product_are_views() -> None:
    for kind in ("page", "screen"):
        viewed = event_of(kind, name="Product", properties={"product_id": "p", "url": "https://SECRET"})
        assert (viewed.event_type, viewed.item_id, viewed.properties) == ("view", "p", None)
        assert outcome(kind, name="Home", properties={"id": "the page's own", "url": "/"}) == "ignored"
        assert outcome(kind) == "ignored"


def test_identify_and_alias_bring_both_ids() -> None:
    one = event_of("identify", anonymousId="a", traits={"email": "SECRET"})
    assert (one.event_type, one.user_id, one.anonymous_id, one.properties) == ("identify", "u", "a", None)
    other = event_of("alias", previousId="a")
    assert (other.event_type, other.user_id, other.anonymous_id) == ("identify", "u", "a")
    assert outcome("alias") == "incomplete"
    assert outcome("group", groupId="g") == "ignored"


def test_who_is_known_by_the_anonymous_id_alone() -> None:
    for nobody in (None, ""):
        event = event_of(
            "track", userId=nobody, anonymousId="a", event="Product Viewed", properties={"sku": "s"}
        )
        assert (event.user_id, event.subject) == (None, "a")


def test_names_of_the_deployments_own_and_other_spellings() -> None:
    assert track("Wishlist Emailed", sku="s").event_type == "wishlist_emailed"
    assert track("Wishlist Emailed").item_id is None
    assert track("add_to_cart", product_id="p").event_type == "cart_add"
    assert outcome("track", event="view_item") == "incomplete"


@pytest.mark.parametrize(
    ("message", "expected", "says"),
    [
        ({"event": "Product Veiwed"}, "unknown_event", "'Product Viewed'"),
        ({"event": "x" * 5000}, "unknown_event", "is no event known here"),
        ({"event": "Product Viewed"}, "incomplete", "product_id, sku or id"),
        ({"event": "Order Completed", "properties": {"products": [{}]}}, "incomplete", "products"),
        ({"event": "Video Content Playing"}, "incomplete", "asset_id"),
        ({"event": "Product Reviewed", "properties": {"sku": "s", "rating": "good"}}, "incomplete", "rating"),
        ({"event": 5}, "incomplete", "name"),
        ({}, "incomplete", "name"),
    ],
)
def test_what_is_of_no_use_says_why(message: dict[str, Any], expected: str, says: str) -> None:
    unused = call_of("track", **message).unused
    assert unused is not None
    assert unused.outcome == expected
    assert says in unused.told()
    assert len(unused.told()) < 300


def test_messages_that_are_none() -> None:
    messages: list[Any] = [None, 5, [], "text"]
    for message in messages:
        assert translate(message, "track", NOW, TYPES).unused is not None
    kinds: list[Any] = [None, 5, [], "delete"]
    for kind in kinds:
        call = translate({"userId": "u"}, kind, NOW, TYPES)
        assert call.unused is not None
        assert (call.kind, call.unused.outcome) == ("other", "incomplete")


def at(timestamp: Any, sent_at: Any = None, batch_sent_at: Any = None, **message: Any) -> int:
    event = event_of(
        "track",
        Envelope(NOW_MS, batch_sent_at),
        event="Product Viewed",
        properties={"sku": "s"},
        timestamp=timestamp,
        **({} if sent_at is None else {"sentAt": sent_at}),
        **message,
    )
    return event.timestamp


def test_a_clock_that_is_wrong_is_put_right() -> None:
    """timestamp = receivedAt - (sentAt - originalTimestamp)"""
    happened, sent = "2030-06-01T10:00:00.000Z", "2030-06-01T10:00:02.500Z"
    assert at(happened, sent) == NOW_MS - 2500
    assert at(happened, None, sent) == NOW_MS - 2500
    assert at("2001-06-01T12:00:00+02:00", "2001-06-01T10:01:00Z") == NOW_MS - 60_000
    assert at("2025-06-01T10:00:00Z") == 1_748_772_000_000  # history: no sentAt
    assert at(None, sent) == NOW_MS
    assert at("soon", sent) == NOW_MS
    assert at("2025-06-01T10:00:00Z", "soon") == 1_748_772_000_000
    assert at("1970-01-01T00:00:00Z", "2100-01-01T00:00:00Z") == 0
    # A copy that Segment itself sends has been put right.
    assert at("2025-06-01T10:00:00Z", sent, receivedAt="2025-06-01T10:00:01Z") == 1_748_772_000_000


def test_country_language_device_and_nothing_else_of_the_context() -> None:
    event = event_of("track", event="Product Viewed", properties={"sku": "s", "name": "SECRET"}, **PRIVATE)
    assert event.context == {"country": "DE", "language": "de", "device": "ios"}
    private: dict[str, dict[str, Any]] = {
        "identify": {},
        "page": {"properties": {"sku": "s", "title": "SECRET"}},
        "alias": {"previousId": "a"},
        "track": {"event": "Order Completed", "properties": {"sku": "s", "coupon": "SECRET"}},
    }
    for kind, message in private.items():
        assert "SECRET" not in str(call_of(kind, **message, **PRIVATE).events)


@pytest.mark.parametrize(
    ("context", "expected"),
    [
        ({"location": {"country": "Germany"}, "locale": "x"}, None),
        ({"locale": "pt_BR"}, {"language": "pt"}),
        ({"userAgentData": {"mobile": True, "platform": "Android"}}, {"device": "mobile"}),
        ({"userAgentData": {"mobile": False, "platform": "macOS"}}, {"device": "desktop"}),
        ({"userAgentData": {"mobile": False, "platform": "Android"}}, None),
    ],
)
def test_places(context: dict[str, Any], expected: dict[str, str] | None) -> None:
    message: dict[str, Any] = {"event": "Product Viewed", "properties": {"sku": "s"}}
    assert event_of("track", **message, context=context).context == expected
    assert event_of("track", Envelope(NOW_MS, None, context), **message).context == expected


@pytest.mark.parametrize(
    ("preferences", "said"),
    [
        ({"Personalization": True, "Analytics": False}, True),
        ({"personalisation": False, "Functional": True}, False),
        ({"Functional": True, "Analytics": True, "Advertising": False, "DataSharing": False}, True),
        ({"Functional": True, "Analytics": False}, False),
        ({"C0001": True, "C0002": False, "C0003": True}, False),
        ({"Advertising": False}, None),
        ({"Analytics": "maybe"}, None),
        ({}, None),
        (None, None),
    ],
)
def test_consent_categories(preferences: Any, said: bool | None) -> None:
    context = {"consent": {"categoryPreferences": preferences}}
    event = event_of("track", event="Product Viewed", properties={"sku": "s"}, context=context)
    assert event.consent == (None if said is None else {"personalization": said})
    # Who denies is heard even by a call that is of no use otherwise.
    page = call_of("page", name="Home", context=context)
    assert bool(page.events) == (said is False)
    if said is False:
        assert parse_event(page.events[0], NOW_MS, TYPES).event_type == "identify"


def test_nesting_just_below_what_the_reader_takes_is_no_fault() -> None:
    codes = set()
    for depth in range(800, 1100):
        body = b'{"type": "track", "properties": ' + b"[" * depth + b"]" * depth + b"}"
        try:
            message = read_one(body)
            assert message_bytes(message, body) <= len(body)
            codes.add(outcome("track", **message))
        except ProblemError as error:
            codes.add(error.problem.code)
    assert codes == {"incomplete", "nested_too_deeply"}
