"""The event as it stands on the log."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import msgspec

EVENT_CE_TYPE: Final = "freshet.event.v1"
USER_DELETION_CE_TYPE: Final = "freshet.user_deletion.v1"


class PoisonError(ValueError):
    """A record on the log that can never be applied; the reason goes to the dead topic with it."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Line(msgspec.Struct, omit_defaults=True, frozen=True):
    """One item of an order or of an impression."""

    item_id: str
    quantity: float | None = None
    price: float | None = None  # of one piece


class Event(msgspec.Struct, omit_defaults=True, frozen=True, kw_only=True):
    """What somebody did, in canonical names. Times are Unix ms. At least one of the two user ids is there.

    `timestamp` is when it happened (the client's word), `received_at` is ingest's clock. `event_type` is the
    canonical name of a built-in or configured type (`EventTypes.number` gives its frozen number).
    """

    event_id: str
    event_type: str
    timestamp: int
    received_at: int
    user_id: str | None = None
    anonymous_id: str | None = None
    session_id: str | None = None
    item_id: str | None = None
    items: tuple[Line, ...] | None = None
    value: float | None = None
    price: float | None = None
    currency: str | None = None  # ISO 4217
    quantity: float | None = None
    rating: float | None = None  # 0 to 5
    progress: float | None = None  # 0 to 1
    order_id: str | None = None
    recommendation_id: str | None = None
    context: dict[str, Any] | None = None
    consent: bool | str | dict[str, Any] | None = None
    properties: dict[str, Any] | None = None

    @property
    def subject(self) -> str:
        """Whose profile this belongs to: `user_id`, else `anonymous_id` (one shared id space)."""
        return self.user_id or self.anonymous_id or ""


class UserDeletion(msgspec.Struct, frozen=True, kw_only=True):
    """The wish that everything known about a user be forgotten; a record of its own on the events topic."""

    user_id: str
    received_at: int  # Unix ms

    @property
    def subject(self) -> str:
        """Whose profile this belongs to."""
        return self.user_id


class ItemLine(NamedTuple):
    """An item that an event touched."""

    item_id: str
    quantity: float
    price: float | None


_encoder: Final = msgspec.json.Encoder()
_event_decoder: Final = msgspec.json.Decoder(Event)
_deletion_decoder: Final = msgspec.json.Decoder(UserDeletion)


def item_lines(event: Event) -> tuple[ItemLine, ...]:
    """The items of an event in line order: those of `items`, else the single `item_id`, else none."""
    if event.items:
        return tuple(
            ItemLine(line.item_id, 1.0 if line.quantity is None else line.quantity, line.price)
            for line in event.items
        )
    if event.item_id is None:
        return ()
    return (ItemLine(event.item_id, 1.0 if event.quantity is None else event.quantity, event.price),)


def encode_event(event: Event) -> bytes:
    """The record's value: canonical JSON, absent fields left out."""
    return _encoder.encode(event)


def decode_event(value: bytes) -> Event:
    """Read a record's value. Raises PoisonError."""
    try:
        event = _event_decoder.decode(value)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise PoisonError(f"not an event: {error}") from None
    if not event.event_id or not event.subject:
        raise PoisonError("not an event: event_id and user_id (or anonymous_id) must not be empty")
    if event.timestamp < 0 or event.received_at < 0:
        raise PoisonError("not an event: timestamp and received_at must not be negative")
    return event


def encode_user_deletion(deletion: UserDeletion) -> bytes:
    """The record's value."""
    return _encoder.encode(deletion)


def decode_user_deletion(value: bytes) -> UserDeletion:
    """Read a record's value. Raises PoisonError."""
    try:
        deletion = _deletion_decoder.decode(value)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise PoisonError(f"not a user deletion: {error}") from None
    if not deletion.user_id:
        raise PoisonError("not a user deletion: user_id must not be empty")
    return deletion


def decode_log_value(ce_type: str, value: bytes | None) -> Event | UserDeletion:
    """What a record of the events topic holds, by its `ce_type` header (empty: event). Raises PoisonError."""
    if value is None:
        raise PoisonError("a record of the events topic has no value")
    if ce_type in {EVENT_CE_TYPE, ""}:
        return decode_event(value)
    if ce_type == USER_DELETION_CE_TYPE:
        return decode_user_deletion(value)
    raise PoisonError(f"unknown ce_type {ce_type[:64]!r}; this version reads {EVENT_CE_TYPE}")
