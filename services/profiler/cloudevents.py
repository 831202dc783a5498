"""From a CloudEvents request, as a Knative KafkaSource posts it, to records of the log.

Binary mode: attributes in `ce-` headers, the record's value as body. Structured and batched mode: JSON. The
place on the log comes from the extension attributes `knativekafkapartition` and `knativekafkaoffset`.

What a KafkaSource makes of a record (its dispatcher, release 1.23):
- A record with CloudEvents headers keeps its attributes; its other headers and its key are left behind.
- One without becomes type `dev.knative.kafka.event`; its headers are attributes `kafkaheader` + their name
  in lower-case letters and digits, its key is `key` as far as Latin-1 goes.
- A tombstone has no body, as has an empty value.

Events have all that matters in their value. Of an item's record the key and the very bytes count, so its text
is taken only from a binary post with `KEY_ATTRIBUTE` in it; any other post names a place on the log to read.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from services.kernel.event import EVENT_CE_TYPE, USER_DELETION_CE_TYPE, PoisonError
from services.kernel.item import (
    ITEM_CE_TYPE,
    ITEM_DELETION_CE_TYPE,
    ITEM_PATCH_CE_TYPE,
    KEY_ATTRIBUTE,
    key_of_attribute,
)
from services.kernel.position import Position
from services.kernel.problem import Problem, ProblemError
from services.kernel.tracing import TRACEPARENT, TRACESTATE, carrier_of
from services.log.protocol import Record
from services.log.traced import headers_of
from services.profiler.reading import CE_TYPE

STRUCTURED: Final = "application/cloudevents+json"
BATCHED: Final = "application/cloudevents-batch+json"
MAX_EVENTS: Final = 1000  # a request; as many as ingest takes
_PARTITION: Final = "knativekafkapartition"
_OFFSET: Final = "knativekafkaoffset"
# The type of what was no CloudEvent on the log, and where its own `ce_type` header is then.
_FOREIGN_TYPE: Final = "dev.knative.kafka.event"
_FOREIGN_CE_TYPE: Final = "kafkaheadercetype"
_EVENT_TYPES: Final = frozenset({EVENT_CE_TYPE, USER_DELETION_CE_TYPE})
_ITEM_TYPES: Final = frozenset({ITEM_CE_TYPE, ITEM_PATCH_CE_TYPE, ITEM_DELETION_CE_TYPE})


class _Envelope(msgspec.Struct, frozen=True):
    """One CloudEvent in JSON. `data` is kept as it came."""

    type: str = ""
    data: msgspec.Raw = msgspec.Raw()
    data_base64: str | None = None
    knativekafkapartition: str | int | None = None
    knativekafkaoffset: str | int | None = None
    kafkaheadercetype: str = ""
    traceparent: Any = ""  # whatever somebody made of it, the event counts
    tracestate: Any = ""


_one: Final = msgspec.json.Decoder(_Envelope)
_many: Final = msgspec.json.Decoder(list[_Envelope])


def read_cloudevents(headers: Mapping[str, str], body: bytes, generation: int) -> list[Record]:
    """The records of the events topic in one request. Raises ProblemError 400 that says what is missing."""
    envelopes = _envelopes(headers, body)
    if envelopes is None:
        position = _position(headers.get(f"ce-{_PARTITION}"), headers.get(f"ce-{_OFFSET}"), generation)
        ce_type = _type(headers.get("ce-type", ""), headers.get(f"ce-{_FOREIGN_CE_TYPE}", ""))
        _must_not_be(ce_type, _ITEM_TYPES, "items belong to POST /items")
        trace = _trace(headers.get(f"ce-{TRACEPARENT}", ""), headers.get(f"ce-{TRACESTATE}", ""))
        return [_record(position, ce_type, b"", body or None, trace)]
    records = []
    for one in envelopes:
        position = _position(one.knativekafkapartition, one.knativekafkaoffset, generation)
        ce_type = _type(one.type, one.kafkaheadercetype)
        _must_not_be(ce_type, _ITEM_TYPES, "items belong to POST /items")
        records.append(_record(position, ce_type, b"", _data(one), _trace(one.traceparent, one.tracestate)))
    return records


def read_item_cloudevents(
    headers: Mapping[str, str], body: bytes, generation: int
) -> list[Record | Position]:
    """The records of the items topic in one request; only its position where a record must be read from the
    log. Raises ProblemError 400."""
    envelopes = _envelopes(headers, body)
    if envelopes is not None:
        for one in envelopes:
            _must_not_be(one.type, _EVENT_TYPES, "events belong to POST /")
        return [_position(one.knativekafkapartition, one.knativekafkaoffset, generation) for one in envelopes]
    position = _position(headers.get(f"ce-{_PARTITION}"), headers.get(f"ce-{_OFFSET}"), generation)
    _must_not_be(headers.get("ce-type", ""), _EVENT_TYPES, "events belong to POST /")
    if not (attribute := headers.get(f"ce-{KEY_ATTRIBUTE}", "")):
        return [position]
    try:
        key = key_of_attribute(attribute)
    except PoisonError as error:
        raise _bad("invalid_cloudevent", error.reason) from None
    # Whoever writes the attribute writes no empty values: no body is a tombstone.
    return [_record(position, headers.get("ce-type", ""), key, body or None)]


def _envelopes(headers: Mapping[str, str], body: bytes) -> list[_Envelope] | None:
    """The events of a structured or batched request; None for one in binary mode."""
    media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type not in {STRUCTURED, BATCHED}:
        return None
    try:
        envelopes = _many.decode(body) if media_type == BATCHED else [_one.decode(body)]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise _bad("invalid_cloudevent", f"the body is not {media_type}: {error}") from None
    if not 1 <= len(envelopes) <= MAX_EVENTS:
        raise _bad("invalid_batch", f"send 1 to {MAX_EVENTS} events a request, not {len(envelopes)}")
    return envelopes


def _must_not_be(ce_type: str, types: frozenset[str], where: str) -> None:
    """A KafkaSource of the other topic: its records would stand for those at the same offsets of ours."""
    if ce_type in types:
        raise _bad("wrong_topic", f"type {ce_type}: {where}; give each topic a KafkaSource of its own")


def _type(ce_type: str, foreign: str) -> str:
    """The record's own `ce_type` header."""
    return foreign if ce_type == _FOREIGN_TYPE else ce_type


def _trace(parent: Any, state: Any) -> tuple[tuple[str, bytes], ...]:
    """The attributes of CloudEvents' extension for distributed tracing, as the record has them."""
    if not isinstance(parent, str) or not parent:
        return ()
    return headers_of(carrier_of(parent, state if isinstance(state, str) else ""))


def _record(
    position: Position,
    ce_type: str,
    key: bytes,
    value: bytes | None,
    trace: tuple[tuple[str, bytes], ...] = (),
) -> Record:
    return Record(position, key, value, ((CE_TYPE, ce_type.encode()), *trace), 0)


def _data(envelope: _Envelope) -> bytes | None:
    if envelope.data_base64 is not None:
        try:
            return base64.b64decode(envelope.data_base64, validate=True)
        except (binascii.Error, ValueError):
            raise _bad("invalid_cloudevent", "data_base64 is not base64") from None
    return bytes(envelope.data) or None


def _position(partition: Any, offset: Any, generation: int) -> Position:
    if partition is None or offset is None:
        raise _bad(
            "missing_position",
            f"the attributes {_PARTITION} and {_OFFSET} say where a record stands on the log; a Knative "
            "KafkaSource adds them. Post your own events to ingest (POST /events) instead",
        )
    return Position(generation, _number(_PARTITION, partition, 2**31), _number(_OFFSET, offset, 2**63 - 1))


def _number(name: str, raw: str | int, bound: int) -> int:
    text = str(raw)
    if text.isascii() and text.isdigit() and len(text) <= 19 and int(text) < bound:
        return int(text)
    raise _bad("invalid_position", f"{name} is {text[:32]!r}, not a number from 0 on")


def _bad(code: str, detail: str) -> ProblemError:
    return ProblemError(Problem(400, code, detail))
