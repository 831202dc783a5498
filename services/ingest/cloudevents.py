"""CloudEvents 1.0 over HTTP: structured, batched and binary, unwrapped to the event inside.

What the data lacks is taken from the envelope: `event_id` from `id`, `timestamp` from `time`, `event_type`
from `type` (unless that is Freshet's own).
"""

from __future__ import annotations

from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import unquote

import msgspec

from services.kernel.event import EVENT_CE_TYPE
from services.kernel.ids import json_type
from services.kernel.malformed import Malformed

STRUCTURED: Final = "application/cloudevents+json"
BATCHED: Final = "application/cloudevents-batch+json"
_TAKEN: Final = (("event_id", "id"), ("timestamp", "time"), ("event_type", "type"))


def attributes_in_headers(headers: Mapping[str, str]) -> dict[str, str] | None:
    """The attributes of a binary-mode CloudEvent; None when the request is none."""
    if "ce-specversion" not in headers and "ce-id" not in headers:
        return None
    names = ("specversion", "id", "type", "time")
    return {name: unquote(headers[f"ce-{name}"]) for name in names if f"ce-{name}" in headers}


def unwrap(envelope: object) -> Any:
    """The event fields inside a structured CloudEvent; `Malformed` when it is none."""
    if isinstance(envelope, Malformed):
        return envelope
    if not isinstance(envelope, dict):
        return _invalid(
            f"a CloudEvent is an object with specversion, id, type and data, not {json_type(envelope)}"
        )
    if "data" in envelope:
        return with_attributes(envelope["data"], envelope)
    if "data_base64" not in envelope:
        return _invalid("the CloudEvent has no data; put the event's fields there")
    try:
        data = msgspec.json.decode(b64decode(envelope["data_base64"], validate=True))
    except (TypeError, Base64Error, ValueError, msgspec.MsgspecError, RecursionError):
        return _invalid("data_base64 is not JSON in base64")
    return with_attributes(data, envelope)


def with_attributes(data: object, attributes: Mapping[str, Any]) -> Any:
    """The data with what only the envelope has; `Malformed` when either is unusable."""
    if isinstance(data, Malformed):
        return data
    if attributes.get("specversion") != "1.0":
        return _invalid("specversion must be '1.0'")
    if not isinstance(data, dict):
        return _invalid(f"the CloudEvent's data must be one event, not {json_type(data)}")
    fields = dict(data)
    for name, attribute in _TAKEN:
        value = attributes.get(attribute)
        if value is not None and fields.get(name) is None and value != EVENT_CE_TYPE:
            fields[name] = value
    return fields


def _invalid(message: str) -> Malformed:
    return Malformed("invalid_cloudevent", message)
