"""What an event does to a profile."""

from __future__ import annotations

import math

import numpy as np
import pytest

from services.kernel.change import change_of, reason_of, weight_of
from services.kernel.event import Event, Line
from services.kernel.event_type import EventTypes, UnknownEventTypeError
from services.kernel.ids import event_hash, item_key
from services.kernel.position import Position
from services.kernel.profile import SEEN_BOUGHT, SEEN_FINISHED, SEEN_VIEWED, Change

TYPES = EventTypes("wishlist:200=2.5")


def change(**fields: object) -> Change:
    whole = {
        "event_id": "e",
        "event_type": "view",
        "timestamp": 1_700_000_000_123,
        "received_at": 5,
        "user_id": "u",
        **fields,
    }
    return change_of(Event(**whole), Position(1, 2, 3), TYPES)  # type: ignore[arg-type]


def test_a_single_item_is_one_line() -> None:
    made = change(item_id="a", price=3.5)
    assert made[:6] == (Position(1, 2, 3), event_hash("e"), 5, 1_700_000_000, 1, SEEN_VIEWED)
    assert made.lines == ((item_key("a"), 1.0, 3.5),)


def test_an_order_keeps_its_lines_in_order() -> None:
    lines = tuple(Line(item_id=f"i{n}", quantity=2, price=n) for n in range(40))
    made = change(event_type="purchase", items=lines)
    assert made.reason == SEEN_BOUGHT
    assert [line.item for line in made.lines] == [item_key(f"i{n}") for n in range(40)]
    assert [line.value for line in made.lines] == list(range(40))


def test_an_impression_marks_what_was_shown() -> None:
    made = change(event_type="impression", items=(Line(item_id="a"), Line(item_id="b")))
    assert made.shown == tuple(item_key(item) & 0xFFFFFFFF for item in "ab")
    assert change(event_type="impression", item_id="a").shown == made.shown[:1]
    assert change(item_id="a").shown == ()


def test_consent_travels_with_the_change() -> None:
    assert [change(item_id="a", consent=said).personalization for said in (None, True, "denied", "CPX")] == [
        None,
        True,
        False,
        None,
    ]


@pytest.mark.parametrize("event_type", ["search", "impression", "identify"])
def test_what_only_counts_has_no_lines(event_type: str) -> None:
    assert change(event_type=event_type, items=(Line(item_id="a"),)).lines == ()


def test_stars_decide_the_weight_and_come_back_from_the_ring() -> None:
    line = change(event_type="rating", item_id="a", rating=1.0).lines[0]
    assert line.weight < 0
    assert weight_of(TYPES)(12, line.value) == line.weight
    assert weight_of(TYPES)(12, math.nan) == 0.0
    assert change(event_type="wishlist", item_id="a").lines[0].weight == 2.5


@pytest.mark.parametrize(
    ("event_type", "progress", "reason"),
    [
        ("video_progress", 0.95, SEEN_FINISHED),
        ("video_progress", 0.9499, SEEN_VIEWED),
        ("video_progress", None, SEEN_VIEWED),
        ("video_start", 0.0, SEEN_VIEWED),
        ("video_complete", 0.2, SEEN_FINISHED),
        ("view", 0.99, SEEN_VIEWED),
    ],
)
def test_who_leaves_in_the_credits_has_finished(event_type: str, progress: float | None, reason: int) -> None:
    made = change(event_type=event_type, item_id="a", progress=progress)
    assert made.reason == reason
    from_the_ring = float(np.float32(made.lines[0].value))
    assert reason_of(made.type_number, from_the_ring) == reason


def test_extreme_numbers_fit_the_ring() -> None:
    made = change(item_id="a", value=1e300, timestamp=10**15)
    assert np.isfinite(np.float32(made.lines[0].value))
    assert made.time_s == 2**32 - 1
    assert math.isnan(change(item_id="a").lines[0].value)


def test_a_type_of_another_deployment_is_named() -> None:
    with pytest.raises(UnknownEventTypeError, match="sparkle"):
        change(event_type="sparkle", item_id="a")
