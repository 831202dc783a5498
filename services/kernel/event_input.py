"""From what a client sent to the canonical event: accepted spellings, checks, defaults."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from services.kernel.bounded import BoundError, read_number, read_object, read_text
from services.kernel.event import Event, Line
from services.kernel.event_type import EventTypes, UnknownEventTypeError
from services.kernel.ids import IdError, json_type, read_id, uuid7
from services.kernel.nearest import likely_meant
from services.kernel.timestamps import TimestampError, read_timestamp_ms

MAX_LINES: Final = 100  # an order or an impression is one record; larger ones are several
MAX_FUTURE_MS: Final = 5 * 60 * 1000  # clocks of phones are that wrong; beyond it the unit or the date is
MAX_PROPERTIES_BYTES: Final = 8192  # with 100 lines an event stays far below Kafka's 1 MiB
MAX_PROPERTIES_DEPTH: Final = 5
MAX_CONTEXT_BYTES: Final = 2048
MAX_CONTEXT_DEPTH: Final = 3
_MAX_CODE_BYTES: Final = 64
_MAX_AMOUNT: Final = 1e12
_MAX_QUANTITY: Final = 1e6
_MAX_RATING: Final = 5.0
_SMALLEST_QUANTITY: Final = 1e-9  # above zero; goods by weight have fractions
_CURRENCY_LETTERS: Final = 3
_SLIPS_MAX: Final = 10  # names looked at for one that was meant: some µs each, and a request has 1,000 events
_NAMED_MAX: Final = 40  # characters of a client's own name in an answer

ITEM_ID_SPELLINGS: Final = ("item_id", "product_id", "video_id", "content_id")
_SAMPLE: Final = '{"user_id": "u_12345", "event_type": "view", "item_id": "p_67890"}'
_GA4_ORDER_ID: Final = "transaction_id"
_KNOWN: Final = frozenset(Event.__struct_fields__) - {"received_at"} | {*ITEM_ID_SPELLINGS, _GA4_ORDER_ID}


class EventError(ValueError):
    """One event cannot be accepted: a stable `code`, and a message that says what to change."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def parse_event(raw: object, received_at_ms: int, types: EventTypes) -> Event:
    """The canonical event of one decoded JSON object. Raises EventError.

    An absent `event_id` becomes a UUIDv7, an absent `timestamp` becomes `received_at_ms`. Null means absent.
    Fields of no known name are kept under `properties`.
    """
    if not isinstance(raw, dict):
        raise EventError(
            "not_an_object", f"an event is a JSON object such as {_SAMPLE}, not {json_type(raw)}"
        )
    fields = {name: value for name, value in raw.items() if value is not None}
    user_id = _id(fields, "user_id")
    anonymous_id = _id(fields, "anonymous_id")
    if user_id is None and anonymous_id is None:
        raise EventError(
            "missing_user_id",
            f"user_id (or anonymous_id) is missing; {_slip(fields, 'user_id', 'anonymous_id')}"
            f"a small event is {_SAMPLE}",
        )
    event_type = _event_type(fields, types)
    item_id = _item_id(fields)
    items = _lines(fields)
    if item_id is None and items is None and types.needs_item(event_type):
        slip = _slip(fields, *ITEM_ID_SPELLINGS)
        raise EventError(
            "missing_item_id", f"item_id (or items) is missing; {slip}{event_type!r} is about an item"
        )
    return Event(
        event_id=_id(fields, "event_id") or uuid7(received_at_ms),
        event_type=event_type,
        timestamp=_timestamp_ms(fields, received_at_ms),
        received_at=received_at_ms,
        user_id=user_id,
        anonymous_id=anonymous_id,
        item_id=item_id,
        items=items,
        **_details(fields, event_type),
    )


def event_id_of(raw: object) -> str | None:
    """The event id of an input that was refused, when it has a usable one, for the answer that names it."""
    if isinstance(raw, dict) and raw.get("event_id") is not None:
        try:
            return read_id(raw["event_id"])
        except IdError:
            return None
    return None


def _slip(fields: dict[str, Any], *wanted: str) -> str:
    """Which field may have been meant for one that is missing, as a part of the sentence that says so."""
    for name in [name for name in fields if name not in _KNOWN][:_SLIPS_MAX]:
        meant = likely_meant(name, wanted)
        if meant is not None:
            return f"{name[:_NAMED_MAX]!r} is no field of an event, did you mean {meant!r}? "
    return ""


def _details(fields: dict[str, Any], event_type: str) -> dict[str, Any]:
    """The optional fields that are there."""
    details = {name: read(name, fields[name]) for name, read in _READERS.items() if name in fields}
    if _GA4_ORDER_ID in fields and "order_id" not in fields:
        details["order_id"] = _read_id(_GA4_ORDER_ID, fields[_GA4_ORDER_ID])
    if event_type == "rating" and "rating" not in details:
        if "value" not in details:
            raise EventError("missing_rating", "rating is missing; send a number from 0 to 5")
        details["rating"] = _number(0, _MAX_RATING)("value", fields["value"])
    if event_type == "video_progress" and "progress" not in details and 0 <= details.get("value", -1) <= 1:
        details["progress"] = details["value"]
    unknown = fields.keys() - _KNOWN
    if unknown or "properties" in fields:
        given = fields.get("properties", {})
        if unknown and isinstance(given, dict):
            given = {**{name: fields[name] for name in sorted(unknown)}, **given}
        details["properties"] = _object(MAX_PROPERTIES_BYTES, MAX_PROPERTIES_DEPTH)("properties", given)
    return details


def _event_type(fields: dict[str, Any], types: EventTypes) -> str:
    raw = fields.get("event_type")
    if raw is None:
        slip = _slip(fields, "event_type")
        raise EventError("missing_event_type", f"event_type is missing; {slip}a small event is {_SAMPLE}")
    if not isinstance(raw, str):
        raise EventError("unknown_event_type", f"event_type must be a string, not {json_type(raw)}")
    try:
        return types.canonical(raw)
    except UnknownEventTypeError as error:
        raise EventError("unknown_event_type", f"event_type {error}") from None


def _timestamp_ms(fields: dict[str, Any], received_at_ms: int) -> int:
    raw = fields.get("timestamp")
    if raw is None:
        return received_at_ms
    try:
        timestamp_ms = read_timestamp_ms(raw)
    except TimestampError as error:
        raise EventError("invalid_timestamp", f"timestamp {error}") from None
    if timestamp_ms > received_at_ms + MAX_FUTURE_MS:
        raise EventError(
            "timestamp_in_future",
            "timestamp lies more than 5 minutes in the future; check the clock and the unit (s, ms or µs)",
        )
    return timestamp_ms


def _id(fields: dict[str, Any], name: str) -> str | None:
    raw = fields.get(name)
    return None if raw is None else _read_id(name, raw)


def _read_id(name: str, raw: object) -> str:
    try:
        return read_id(raw)
    except IdError as error:
        raise EventError(f"invalid_{name.rpartition('.')[2]}", f"{name} {error}") from None


def _item_id(fields: dict[str, Any], path: str = "") -> str | None:
    """The item id under any of its spellings; two spellings must not disagree."""
    found: str | None = None
    for name in ITEM_ID_SPELLINGS:
        raw = fields.get(name)
        if raw is None:
            continue
        item_id = _read_id(path + name, raw)
        if found is not None and item_id != found:
            raise EventError("conflicting_item_id", f"{path}{name} differs from item_id; send one of them")
        found = item_id
    return found


def _lines(fields: dict[str, Any]) -> tuple[Line, ...] | None:
    raw = fields.get("items")
    if raw is None:
        return None
    if not isinstance(raw, list) or not raw:
        raise EventError("invalid_items", 'items must be a list such as [{"item_id": "p_1", "quantity": 2}]')
    if len(raw) > MAX_LINES:
        raise EventError("too_many_items", f"items holds more than {MAX_LINES} lines; send several events")
    return tuple(_line(entry, f"items[{index}].") for index, entry in enumerate(raw))


def _line(raw: object, path: str) -> Line:
    if not isinstance(raw, dict):  # an impression may be a plain list of ids
        return Line(item_id=_read_id(path + "item_id", raw))
    item_id = _item_id(raw, path)
    if item_id is None:
        raise EventError("missing_item_id", f"{path}item_id is missing")
    quantity, price = raw.get("quantity"), raw.get("price")
    return Line(
        item_id=item_id,
        quantity=None if quantity is None else _quantity(path + "quantity", quantity),
        price=None if price is None else _price(path + "price", price),
    )


def _field_error(name: str, error: Exception) -> EventError:
    return EventError(f"invalid_{name.rpartition('.')[2]}", f"{name} {error}")


def _number(low: float, high: float) -> Callable[[str, object], float]:
    def read(name: str, raw: object) -> float:
        try:
            return read_number(raw, low, high)
        except BoundError as error:
            raise _field_error(name, error) from None

    return read


def _object(max_bytes: int, max_depth: int) -> Callable[[str, object], dict[str, Any]]:
    def read(name: str, raw: object) -> dict[str, Any]:
        try:
            return read_object(raw, max_bytes, max_depth)
        except BoundError as error:
            raise _field_error(name, error) from None

    return read


def _currency(name: str, raw: object) -> str:
    if not (isinstance(raw, str) and len(raw) == _CURRENCY_LETTERS and raw.isascii() and raw.isalpha()):
        raise EventError("invalid_currency", f"{name} must be an ISO 4217 code such as EUR")
    return raw.upper()


def _context(name: str, raw: object) -> dict[str, Any]:
    context = _object(MAX_CONTEXT_BYTES, MAX_CONTEXT_DEPTH)(name, raw)
    for key in ("country", "language", "device"):
        value = context.get(key)
        if value is not None:
            try:
                read_text(value, _MAX_CODE_BYTES)
            except BoundError as error:
                raise EventError("invalid_context", f"context.{key} {error}") from None
    return context


def _consent(name: str, raw: object) -> bool | str | dict[str, Any]:
    if isinstance(raw, bool):
        return raw
    try:
        if isinstance(raw, str):
            return read_text(raw, MAX_CONTEXT_BYTES)
        return read_object(raw, MAX_CONTEXT_BYTES, MAX_CONTEXT_DEPTH)
    except BoundError:
        raise EventError(
            "invalid_consent", f"{name} must be true, false, a consent string or an object of purposes"
        ) from None


_price = _number(0, _MAX_AMOUNT)
_quantity = _number(_SMALLEST_QUANTITY, _MAX_QUANTITY)

_READERS: Final[dict[str, Callable[[str, object], Any]]] = {
    "session_id": _read_id,
    "order_id": _read_id,
    "recommendation_id": _read_id,
    "value": _number(-_MAX_AMOUNT, _MAX_AMOUNT),
    "price": _price,
    "currency": _currency,
    "quantity": _quantity,
    "rating": _number(0, _MAX_RATING),
    "progress": _number(0, 1),
    "context": _context,
    "consent": _consent,
}
