"""From a call of Segment's tracking API to events: https://segment.com/docs/connections/spec/.

Only what is read here goes on: no trait, no name, no address, no user agent. A field that cannot be read is
left out rather than the event, as the client hears "success" either way.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

import msgspec

from services.ingest.segment_events import (
    EVENTS,
    OF_NO_USE,
    PAGE_PRODUCT_IDS,
    PRODUCT_IDS,
    RULES,
    Rule,
    folded,
    granted,
)
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
from services.kernel.timestamps import TimestampError, read_timestamp_ms

KINDS: Final = ("track", "page", "screen", "identify", "alias", "group")
_KNOWN: Final = tuple(EVENTS)
_NONE: Final[Mapping[str, Any]] = MappingProxyType({})
_FINISHED_FROM: Final = 0.95  # that of kernel/change.py (a test compares), which would bring numpy along
_MAX_QUERY: Final = 256  # characters of what was searched for
# What a platform says of a browser's device where it does not say "mobile" (User-Agent Client Hints).
_DESKTOPS: Final = frozenset({"windows", "macos", "linux", "chrome os", "chromium os"})
_PRODUCT: Final = "product_id, sku or id"


class Envelope(msgspec.Struct, frozen=True):
    """What is said once for all messages of a request. Times are Unix ms."""

    received_at_ms: int
    sent_at: Any = None
    context: Mapping[str, Any] = msgspec.field(default_factory=dict)


def translate(message: object, kind: object, envelope: Envelope, types: EventTypes) -> Call:
    """The events of one message of type `kind`; it does not raise, whatever the message holds."""
    if not isinstance(kind, str) or kind not in KINDS:
        return incomplete("other", "a message", f"a type: one of {', '.join(KINDS)}")
    if not isinstance(message, dict):
        return incomplete(kind, "a message", "its fields: it must be an object")
    reader = _Reader(message, kind, envelope)
    if kind == "track":
        call = _track(reader, types)
    elif kind in {"page", "screen"}:
        call = _page(reader)
    elif kind == "identify":
        call = Call(kind, [reader.event("identify")])
    elif kind == "alias":
        call = _alias(reader)
    else:
        call = ignored(kind, "groups are not used")
    if call.unused is not None and reader.consent is False:
        return Call(kind, [reader.event("identify")])  # who denies is heard whatever else the call says
    return call


class _Reader:
    """A message, and what every event of it has."""

    def __init__(self, message: dict[str, Any], kind: str, envelope: Envelope) -> None:
        self.message = message
        self.kind = kind
        self._envelope = envelope
        self.properties = _object(message.get("properties"))
        self._context = {**envelope.context, **_object(message.get("context"))}
        self.consent = _consent(self._context)

    def event(self, event_type: str, **fields: Any) -> dict[str, Any]:
        """An event of this message. None in a field means absent."""
        event: dict[str, Any] = {
            "event_id": self.message.get("messageId") or None,
            "event_type": event_type,
            "user_id": _given(self.message.get("userId")),
            "anonymous_id": _given(self.message.get("anonymousId")),
            "timestamp": self._timestamp_ms(),
            "context": _place(self._context),
            "consent": None if self.consent is None else {"personalization": self.consent},
            "recommendation_id": usable_id(self.properties.get("recommendation_id")),
            **fields,
        }
        return {name: value for name, value in event.items() if value is not None}

    def _timestamp_ms(self) -> int | None:
        """timestamp = receivedAt - (sentAt - originalTimestamp): the client's clock may be wrong.

        Segment's own copies of a message (webhooks) have `receivedAt`, and a timestamp that is right already.
        """
        said_ms = _moment_ms(self.message.get("timestamp"))
        if said_ms is None or "receivedAt" in self.message:
            return said_ms
        sent_ms = _moment_ms(self.message.get("sentAt") or self._envelope.sent_at)
        if sent_ms is None:
            return said_ms
        return max(0, self._envelope.received_at_ms - (sent_ms - said_ms))


def _track(reader: _Reader, types: EventTypes) -> Call:
    name = reader.message.get("event")
    if not isinstance(name, str) or not name.strip():
        return incomplete("track", "track", "the name of its event")
    name = name.strip()
    if len(name) > MAX_NAME:
        return unknown_event("track", name, ())
    key = folded(name)
    rule = RULES.get(key)
    if rule is None:
        own = types.find(key.replace(" ", "_"))
        if own is not None:
            about_one = types.needs_item(own) or bool(_lines(reader.properties))
            rule = Rule(own, "product" if about_one else "nobody's item")
        elif key in OF_NO_USE:
            return ignored("track", f"{name!r} is about no item that somebody wants")
        else:
            return unknown_event("track", name, _KNOWN)
    if rule.about in {"asset", "playback"}:
        return _video(reader, name, rule)
    return _product(reader, name, rule)


def _product(reader: _Reader, name: str, rule: Rule) -> Call:
    properties = reader.properties
    fields: dict[str, Any] = {}
    lines: list[dict[str, Any]] = []
    if rule.event_type == "search":
        query = properties.get("query")
        fields["properties"] = {"query": query[:_MAX_QUERY]} if isinstance(query, str) else None
    elif rule.about != "nobody's item":
        lines = _lines(properties)
        if not lines:
            return incomplete("track", name, f"{_PRODUCT}, or products with one")
    if rule.event_type == "rating":
        fields["rating"] = amount(properties.get("rating"), 0, 5)
        if fields["rating"] is None:
            return incomplete("track", name, "rating: a number from 0 to 5")
    if rule.event_type == "purchase":
        fields |= {
            "order_id": first_id(properties, ("order_id", "orderId")),
            "value": _first_amount(properties, ("value", "total", "revenue")),
        }
    if rule.event_type == "video_progress":
        fields["progress"] = amount(properties.get("progress"), 0, 1)
    if lines:
        fields["currency"] = currency(properties.get("currency"))
    event = reader.event(rule.event_type, **fields)
    if rule.about != "products" and len(lines) == 1:
        return Call("track", [{**event, **lines[0]}])
    return Call("track", split(event, lines, MAX_LINES) if lines else [event])


def _video(reader: _Reader, name: str, rule: Rule) -> Call:
    word = "asset_id" if rule.about == "asset" else "content_asset_id"
    item_id = _asset(reader.properties, word) or _asset(reader.properties, "asset_id")
    if item_id is None:
        return incomplete("track", name, word)
    position = amount(reader.properties.get("position"))
    length = amount(reader.properties.get("total_length"))
    progress = min(position / length, 1.0) if position is not None and length else None
    event_type = rule.event_type
    if event_type == "video_complete" and progress is not None and progress < _FINISHED_FROM:
        event_type = "video_progress"  # a part before a break for advertisements has ended, not the film
    if event_type == "video_complete":
        progress = None
    return Call("track", [reader.event(event_type, item_id=item_id, progress=progress)])


def _page(reader: _Reader) -> Call:
    item_id = first_id(reader.properties, PAGE_PRODUCT_IDS)
    if item_id is None:
        return ignored(reader.kind, f"a {reader.kind} without a product")
    return Call(reader.kind, [reader.event("view", item_id=item_id)])


def _alias(reader: _Reader) -> Call:
    previous = _given(reader.message.get("previousId"))
    if previous is None:
        return incomplete("alias", "alias", "previousId")
    return Call("alias", [reader.event("identify", anonymous_id=previous)])


def _lines(properties: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The products of an event that say which they are: those of the list, else the event's own."""
    products = properties.get("products")
    listed = products if isinstance(products, list) and products else [properties]
    return [found for product in listed if (found := line(product, PRODUCT_IDS)) is not None]


def _asset(properties: Mapping[str, Any], name: str) -> str | None:
    """The id of what is played; of several that are about to be, the first."""
    for raw in (properties.get(name), properties.get(f"{name}s")):
        found = usable_id(raw[0] if isinstance(raw, list) and raw else raw)
        if found is not None:
            return found
    return None


def _first_amount(properties: Mapping[str, Any], names: tuple[str, ...]) -> float | None:
    found = (amount(properties.get(name), -1e12) for name in names)
    return next((value for value in found if value is not None), None)


def _place(context: Mapping[str, Any]) -> dict[str, str] | None:
    """Country, language and kind of device; never the address, the user agent or what else is there."""
    country = _object(context.get("location")).get("country")
    locale = context.get("locale")
    language = locale.replace("_", "-").partition("-")[0].lower() if isinstance(locale, str) else ""
    place = {
        "country": country if isinstance(country, str) and len(country) == 2 else None,
        "language": language if 2 <= len(language) <= 3 and language.isalpha() else None,
        "device": _device(context),
    }
    return {name: value for name, value in place.items() if value is not None} or None


def _device(context: Mapping[str, Any]) -> str | None:
    kind = _object(context.get("device")).get("type")
    if isinstance(kind, str) and 0 < len(kind) <= MAX_NAME and kind.isprintable():
        return kind
    hints = _object(context.get("userAgentData"))
    if hints.get("mobile") is True:
        return "mobile"
    platform = hints.get("platform")
    return "desktop" if isinstance(platform, str) and platform.lower() in _DESKTOPS else None


def _consent(context: Mapping[str, Any]) -> bool | None:
    preferences = _object(_object(context.get("consent")).get("categoryPreferences"))
    said = personalization(dict(preferences)) if preferences else None
    return granted(preferences) if said is None else said


def _given(raw: object) -> Any:
    """A user id as it was sent, for ingest to judge; an empty one is absent."""
    return None if raw == "" else raw


def _moment_ms(raw: object) -> int | None:
    try:
        return None if raw is None else read_timestamp_ms(raw)
    except TimestampError:
        return None


def _object(raw: object) -> Mapping[str, Any]:
    return raw if isinstance(raw, dict) else _NONE
