"""The event on the log: what is poison."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.kernel.event import (
    EVENT_CE_TYPE,
    USER_DELETION_CE_TYPE,
    Event,
    PoisonError,
    UserDeletion,
    decode_event,
    decode_log_value,
    encode_event,
    encode_user_deletion,
)

EVENT = Event(event_id="e", event_type="view", timestamp=1, received_at=2, user_id="u", item_id="i")


def test_absent_fields_are_left_out() -> None:
    assert encode_event(EVENT) == (
        b'{"event_id":"e","event_type":"view","timestamp":1,"received_at":2,"user_id":"u","item_id":"i"}'
    )


def test_records_are_told_apart_by_their_type() -> None:
    deletion = UserDeletion(user_id="u", received_at=5)
    assert decode_log_value(EVENT_CE_TYPE, encode_event(EVENT)) == EVENT
    assert decode_log_value("", encode_event(EVENT)) == EVENT
    assert decode_log_value(USER_DELETION_CE_TYPE, encode_user_deletion(deletion)) == deletion


def test_fields_of_a_later_version_are_passed_over() -> None:
    assert decode_event(encode_event(EVENT)[:-1] + b',"new":[1]}') == EVENT


@pytest.mark.parametrize(
    ("ce_type", "value"),
    [
        (EVENT_CE_TYPE, None),
        (EVENT_CE_TYPE, b""),
        (EVENT_CE_TYPE, b"\xff"),
        (EVENT_CE_TYPE, b"[" * 100_000),
        (EVENT_CE_TYPE, b"{}"),
        (EVENT_CE_TYPE, b'{"event_id":"e","event_type":"view","timestamp":1,"received_at":2}'),
        (EVENT_CE_TYPE, b'{"event_id":"e","event_type":"view","timestamp":-1,"received_at":2,"user_id":"u"}'),
        (
            EVENT_CE_TYPE,
            b'{"event_id":"e","event_type":"view","timestamp":"x","received_at":2,"user_id":"u"}',
        ),
        (USER_DELETION_CE_TYPE, b'{"user_id":"","received_at":1}'),
        (USER_DELETION_CE_TYPE, b"null"),
        ("freshet.event.v2", encode_event(EVENT)),
    ],
)
def test_poison(ce_type: str, value: bytes | None) -> None:
    with pytest.raises(PoisonError) as caught:
        decode_log_value(ce_type, value)
    assert caught.value.reason


@given(st.binary(max_size=200))
def test_any_bytes_are_an_event_or_poison(value: bytes) -> None:
    with pytest.raises(PoisonError):
        decode_event(value)
