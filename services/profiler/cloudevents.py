"""From a CloudEvents request, as a Knative KafkaSource posts it, to records of the log.

Binary mode: attributes in `ce-` headers, the record's value as body. Structured and batched mode: JSON. The
place on the log comes from the extension attributes `knativekafkapartition` and `knativekafkaoffset`.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from services.kernel.position import Position
from services.kernel.problem import Problem, ProblemError
from services.log.protocol import Record
from services.profiler.reading import CE_TYPE

STRUCTURED: Final = "application/cloudevents+json"
BATCHED: Final = "application/cloudevents-batch+json"
MAX_EVENTS: Final = 1000  # a request; as many as ingest takes
_PARTITION: Final = "knativekafkapartition"
_OFFSET: Final = "knativekafkaoffset"


class _Envelope(msgspec.Struct, frozen=True):
    """One CloudEvent in JSON. `data` is kept as it came."""

    type: str = ""
    data: msgspec.Raw = msgspec.Raw()
    data_base64: str | None = None
    knativekafkapartition: str | int | None = None
    knativekafkaoffset: str | int | None = None
    key: str = ""


_one: Final = msgspec.json.Decoder(_Envelope)
_many: Final = msgspec.json.Decoder(list[_Envelope])


def read_cloudevents(headers: Mapping[str, str], body: bytes, generation: int) -> list[Record]:
    """The records of one request. Raises ProblemError 400 that says what is missing."""
    media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type not in {STRUCTURED, BATCHED}:
        position = _position(headers.get(f"ce-{_PARTITION}"), headers.get(f"ce-{_OFFSET}"), generation)
        return [_record(position, headers.get("ce-type", ""), headers.get("ce-key", ""), body or None)]
    try:
        envelopes = _many.decode(body) if media_type == BATCHED else [_one.decode(body)]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise _bad("invalid_cloudevent", f"the body is not {media_type}: {error}") from None
    if not 1 <= len(envelopes) <= MAX_EVENTS:
        raise _bad("invalid_batch", f"send 1 to {MAX_EVENTS} events a request, not {len(envelopes)}")
    return [
        _record(
            _position(one.knativekafkapartition, one.knativekafkaoffset, generation),
            one.type,
            one.key,
            _data(one),
        )
        for one in envelopes
    ]


def _record(position: Position, ce_type: str, key: str, value: bytes | None) -> Record:
    return Record(position, key.encode(), value, ((CE_TYPE, ce_type.encode()),), 0)


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
