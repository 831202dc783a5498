"""From an event to what it does to a profile."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from services.kernel.bank import WeightOf
from services.kernel.consent import personalization
from services.kernel.event import Event, item_lines
from services.kernel.event_type import UNRECORDED, EventType, EventTypes
from services.kernel.ids import event_hash, fingerprint, item_key
from services.kernel.position import Position
from services.kernel.profile import (
    SEEN_BOUGHT,
    SEEN_DISLIKED,
    SEEN_FINISHED,
    SEEN_VIEWED,
    Change,
    Line,
)
from services.kernel.segments import segment_keys_of

# Who rates, likes or carts an item has seen it; taking it out of the cart says nothing new.
_REASONS: Final[Mapping[int, int]] = MappingProxyType(
    {
        EventType.PURCHASE: SEEN_BOUGHT,
        EventType.VIDEO_COMPLETE: SEEN_FINISHED,
        EventType.DISLIKE: SEEN_DISLIKED,
        EventType.CART_REMOVE: 0,
    }
)
# Credits are about the last twentieth of a film: who stops there has seen it, and most players then send no
# video_complete.
FINISHED_FROM: Final = 0.95
_VIDEO: Final = frozenset({EventType.VIDEO_START, EventType.VIDEO_PROGRESS, EventType.VIDEO_COMPLETE})
_TIME_MAX_S: Final = 2**32 - 1
_VALUE_MAX: Final = 3.4e38  # f32


def weight_of(types: EventTypes) -> WeightOf:
    """Weights by type number and ring value, as `rebuild_bank` takes them."""
    table = [types.weight(number) for number in range(256)]
    rating = int(EventType.RATING)

    def weight(number: int, value: float) -> float:
        if number == rating and not math.isnan(value):
            return types.weight(number, value)
        return table[number]

    return weight


def reason_of(number: int, value: float = math.nan) -> int:
    """The SEEN_ bit that an event of this type sets for its items, 0 for none. `value` is what the ring keeps
    of the event: a video that has run to FINISHED_FROM is finished.
    """
    if number in _VIDEO and round(value, 4) >= FINISHED_FROM:  # the ring has f32
        return SEEN_FINISHED
    return _REASONS.get(number, SEEN_VIEWED)


def change_of(event: Event, position: Position, types: EventTypes) -> Change:
    """What `Profile.apply` needs of an event. Raises UnknownEventTypeError for a type not configured here."""
    number = types.number(event.event_type)
    lines: tuple[Line, ...] = ()
    shown: tuple[int, ...] = ()
    if number == EventType.IMPRESSION:
        shown = tuple(fingerprint(item_key(item_id)) for item_id, _, _ in item_lines(event))
    elif number not in UNRECORDED:
        weight = types.weight(number, _stars(event))
        lines = tuple(
            Line(item_key(item_id), weight, _value(event, number, price))
            for item_id, _, price in item_lines(event)
        )
    return Change(
        position,
        event_hash(event.event_id),
        event.received_at,
        min(event.timestamp // 1000, _TIME_MAX_S),
        number,
        reason_of(number, math.nan if event.progress is None else event.progress),
        lines,
        segment_keys_of(event.context) if event.context and lines else (),
        None if event.consent is None else personalization(event.consent),
        shown,
    )


def _value(event: Event, number: int, price: float | None) -> float:
    """What the ring keeps of an event's numbers: stars, how far a video has run, else value or price."""
    if number == EventType.RATING:
        value = _stars(event)
    elif number in _VIDEO:
        value = event.progress
    else:
        value = event.value if event.value is not None else price
    return math.nan if value is None else max(-_VALUE_MAX, min(value, _VALUE_MAX))


def _stars(event: Event) -> float | None:
    """The rating, inside the bounds that ingest keeps; a producer of another kind must not spoil a bank."""
    return None if event.rating is None else min(max(event.rating, 0.0), 5.0)
