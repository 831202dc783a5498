"""CloudEvents: what the envelope gives to the event inside."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import pytest

from services.ingest.cloudevents import attributes_in_headers, unwrap, with_attributes
from services.kernel.malformed import Malformed

DATA = {"user_id": "u", "event_type": "view", "item_id": "i"}
ENVELOPE: dict[str, Any] = {"specversion": "1.0", "id": "ce-1", "source": "/shop", "type": "freshet.event.v1"}


def test_the_envelope_fills_what_the_data_lacks() -> None:
    envelope = {**ENVELOPE, "time": "2026-01-31T12:00:00Z", "data": DATA}
    assert unwrap(envelope) == {**DATA, "event_id": "ce-1", "timestamp": "2026-01-31T12:00:00Z"}
    own = {**DATA, "event_id": "mine", "timestamp": 5}
    assert unwrap({**envelope, "data": own}) == own


def test_a_foreign_type_is_the_event_type_where_the_data_has_none() -> None:
    data = {"user_id": "u", "item_id": "i"}
    assert unwrap({**ENVELOPE, "type": "product_view", "data": data})["event_type"] == "product_view"
    assert unwrap({**ENVELOPE, "type": "com.shop.x", "data": DATA})["event_type"] == "view"
    assert "event_type" not in unwrap({**ENVELOPE, "data": data})


def test_data_in_base64() -> None:
    encoded = b64encode(b'{"user_id": "u"}').decode()
    assert unwrap({**ENVELOPE, "data_base64": encoded}) == {"user_id": "u", "event_id": "ce-1"}


@pytest.mark.parametrize(
    "envelope",
    [
        7, [], {}, {**ENVELOPE}, {**ENVELOPE, "data": 1}, {**ENVELOPE, "data": [DATA]}, {"data": DATA},
        {**ENVELOPE, "specversion": "0.3", "data": DATA}, {**ENVELOPE, "data_base64": "!"},
        {**ENVELOPE, "data_base64": 5}, {**ENVELOPE, "data_base64": "é"},
        {**ENVELOPE, "data_base64": b64encode(b"[" * 100_000).decode()},
        {**ENVELOPE, "data_base64": b64encode(b"\xff").decode()},
    ],
)  # fmt: skip
def test_what_is_no_cloudevent(envelope: object) -> None:
    refused = unwrap(envelope)
    assert isinstance(refused, Malformed)
    assert refused.code == "invalid_cloudevent"


def test_what_was_malformed_stays_so() -> None:
    malformed = Malformed("not_utf8", "x")
    assert unwrap(malformed) is malformed
    assert with_attributes(malformed, ENVELOPE) is malformed


def test_binary_mode_is_known_by_its_headers() -> None:
    headers = {"ce-specversion": "1.0", "ce-id": "a%20b", "ce-type": "view", "ce-source": "/s"}
    assert attributes_in_headers(headers) == {"specversion": "1.0", "id": "a b", "type": "view"}
    assert attributes_in_headers({"content-type": "application/json"}) is None
