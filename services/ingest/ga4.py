"""From GA4's Measurement Protocol to events: https://developers.google.com/analytics/devguides/collection.

What server-side tag managers send. The names of its events are spellings that /events takes, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from services.ingest.translation import (
    MAX_NAME,
    Call,
    amount,
    currency,
    first_id,
    ignored,
    incomplete,
    line,
    split,
    unknown_event,
    usable_id,
)
from services.kernel.consent import personalization
from services.kernel.event_input import MAX_LINES
from services.kernel.event_type import EventTypes

# GA4's recommended events that say something about an item or a person. The type of each is what
# `EventTypes.find` says, so that /events and /mp/collect cannot differ; docs/SEGMENT.md shows both.
USED: Final = (
    "view_item",
    "select_item",
    "select_content",
    "view_item_list",
    "add_to_cart",
    "remove_from_cart",
    "add_to_wishlist",
    "purchase",
    "search",
    "view_search_results",
    "share",
    "login",
    "sign_up",
    "video_start",
    "video_progress",
    "video_complete",
)
# Known, and about no item that somebody wants (what is taken to the till was added before).
IGNORED: Final = frozenset({
    "begin_checkout", "add_payment_info", "add_shipping_info", "view_cart", "refund", "view_promotion",
    "select_promotion", "generate_lead", "qualify_lead", "disqualify_lead", "working_lead",
    "close_convert_lead", "close_unconvert_lead", "page_view", "screen_view", "session_start",
    "first_visit", "first_open", "user_engagement", "scroll", "click", "file_download", "form_start",
    "form_submit", "exception", "ad_impression", "ad_click", "campaign_details",
    "earn_virtual_currency", "spend_virtual_currency", "join_group", "level_start", "level_end",
    "level_up", "post_score", "tutorial_begin", "tutorial_complete", "unlock_achievement",
})  # fmt: skip
_ITEM_IDS: Final = ("item_id", "content_id", "video_id", "product_id")
_ITEMLESS: Final = frozenset({"search", "identify"})
_NONE: Final[Mapping[str, Any]] = MappingProxyType({})
_MAX_QUERY: Final = 256  # characters of what was searched for


def translate(body: Mapping[str, Any], raw: object, types: EventTypes) -> Call:
    """The events of one of the body's events; it does not raise, whatever that holds."""
    name = raw.get("name") if isinstance(raw, dict) else None
    if not isinstance(raw, dict) or not isinstance(name, str) or not name:
        return incomplete("event", "an event", "its name")
    if name in IGNORED:
        return ignored("event", f"{name!r} is about no item that somebody wants")
    event_type = types.find(name) if len(name) <= MAX_NAME else None
    if event_type is None:
        return unknown_event("event", name, USED)
    params = _object(raw.get("params"))
    lines = [] if event_type in _ITEMLESS else _lines(params)
    if not lines and (types.needs_item(event_type) or event_type == "impression"):
        return incomplete("event", name, "items with item_id")
    event = _event(body, params, event_type)
    if raw.get("timestamp_micros") is not None:
        event["timestamp"] = raw["timestamp_micros"]
    return Call("event", split(event, lines, MAX_LINES) if lines else [event])


def _event(body: Mapping[str, Any], params: Mapping[str, Any], event_type: str) -> dict[str, Any]:
    event: dict[str, Any] = {
        "event_type": event_type,
        "user_id": _given(body.get("user_id")),
        "anonymous_id": _given(body.get("client_id", body.get("app_instance_id"))),
        "session_id": usable_id(params.get("session_id")),
        "timestamp": body.get("timestamp_micros"),
        "context": _place(body),
        "consent": _consent(body.get("consent")),
        "recommendation_id": usable_id(params.get("recommendation_id")),
    }
    if event_type == "purchase":
        order_id = usable_id(params.get("transaction_id"))
        # The protocol has no ids of events; GA4 itself knows a repeated purchase by its transaction.
        event["event_id"] = None if order_id is None else usable_id(f"ga4-purchase-{order_id}")
        event |= {
            "order_id": order_id,
            "value": amount(params.get("value"), -1e12),
            "currency": currency(params.get("currency")),
        }
    elif event_type == "video_progress":
        event["progress"] = _progress(params)
    elif event_type == "search" and isinstance(params.get("search_term"), str):
        event["properties"] = {"query": params["search_term"][:_MAX_QUERY]}
    return {name: value for name, value in event.items() if value is not None}


def _progress(params: Mapping[str, Any]) -> float | None:
    percent = amount(params.get("video_percent"), 0, 100)
    if percent is not None:
        return percent / 100
    at, length = amount(params.get("video_current_time")), amount(params.get("video_duration"))
    return min(at / length, 1.0) if at is not None and length else None


def _lines(params: Mapping[str, Any]) -> list[dict[str, Any]]:
    items = params.get("items")
    if not isinstance(items, list) or not items:
        item_id = first_id(params, _ITEM_IDS)
        return [] if item_id is None else [{"item_id": item_id}]
    return [found for item in items if (found := line(item, ("item_id",))) is not None]


def _place(body: Mapping[str, Any]) -> dict[str, str] | None:
    country = _object(body.get("user_location")).get("country_id")
    device = _object(body.get("device"))
    place = {"country": country, "device": device.get("category"), "language": device.get("language")}
    return {
        name: value for name, value in place.items() if isinstance(value, str) and 0 < len(value) <= MAX_NAME
    } or None


def _consent(raw: object) -> dict[str, bool] | None:
    said = personalization(raw) if isinstance(raw, dict) else None
    return None if said is None else {"personalization": said}


def _given(raw: object) -> Any:
    return None if raw == "" else raw


def _object(raw: object) -> Mapping[str, Any]:
    return raw if isinstance(raw, dict) else _NONE
