"""Where and on what an event happened."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.kernel.change import change_of
from services.kernel.event import Event
from services.kernel.event_type import EventTypes
from services.kernel.position import Position
from services.kernel.segments import (
    DEVICES,
    is_segment_key,
    segment_key,
    segment_keys_of,
    segments_of,
)

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
ALL = [f"country={a}{b}" for a in LETTERS for b in LETTERS if a + b not in {"UK", "XX", "ZZ"}] + [
    f"device={device}" for device in DEVICES
]


@pytest.mark.parametrize(
    ("context", "expected"),
    [
        (None, ()),
        ({}, ()),
        ({"country": "DE", "device": "mobile"}, ("country=DE", "device=mobile")),
        ({"device": " Smart-TV ", "country": " at "}, ("country=AT", "device=tv")),
        ({"device": "iOS"}, ("device=mobile",)),
        ({"device": "ipad"}, ("device=tablet",)),
        ({"device": "Web"}, ("device=desktop",)),
        ({"device": "fridge"}, ("device=other",)),
        ({"country": "uk"}, ("country=GB",)),
        ({"country": "ZZ", "device": ""}, ()),
        ({"country": "Germany", "device": "  "}, ()),
        ({"country": "D\u00c9"}, ()),
        ({"country": "\u00df"}, ()),  # one letter that becomes two capital ones
        ({"country": 49, "device": {"type": "ios"}}, ()),
        ({"country": None, "language": "de"}, ()),
    ],
)
def test_a_context_is_read_as_it_is_spelt(
    context: dict[str, object] | None, expected: tuple[str, ...]
) -> None:
    assert segments_of(context) == expected
    assert segment_keys_of(context) == tuple(segment_key(segment) for segment in expected)


@given(st.dictionaries(st.sampled_from(["country", "device"]), st.text(max_size=80)))
def test_whatever_clients_send_there_are_but_a_few_segments(context: dict[str, str]) -> None:
    assert set(segments_of(context)) <= set(ALL)
    assert all(is_segment_key(key) for key in segment_keys_of(context))


def test_each_segment_has_a_key_of_its_own_which_is_frozen() -> None:
    assert len({segment_key(segment) for segment in ALL}) == len(ALL)
    assert all(is_segment_key(segment_key(segment)) for segment in ALL)
    assert segment_key("country=AA") == 0x5E63_4D45_4E54_5000
    assert segment_key("country=DE") == 0x5E63_4D45_4E54_5000 + 3 * 26 + 4
    assert segment_key("device=mobile") == 0x5E63_4D45_4E54_5000 + 676
    assert segment_key("device=other") == 0x5E63_4D45_4E54_5000 + 682
    assert not is_segment_key(0)
    assert not is_segment_key(2**64 - 1)


@pytest.mark.parametrize("text", ["", "country=de", "country=DEU", "country=UK", "device=ios", "language=de"])
def test_what_is_no_segment_is_refused_with_what_is(text: str) -> None:
    with pytest.raises(ValueError, match="country=DE"):
        segment_key(text)


def test_only_an_event_with_items_belongs_to_segments() -> None:
    def change(event_type: str, item_id: str | None) -> tuple[int, ...]:
        event = Event(
            event_id="e",
            event_type=event_type,
            timestamp=1,
            received_at=1,
            user_id="u",
            item_id=item_id,
            context={"country": "DE"},
        )
        return change_of(event, Position(1, 0, 0), EventTypes()).segments

    assert change("view", "a") == (segment_key("country=DE"),)
    assert change("search", None) == ()
