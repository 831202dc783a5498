"""How a trace names the event log, and how it travels in a record's headers.

A record carries its trace twice: `traceparent` is what every Kafka client with tracing reads, and
`ce_traceparent`, CloudEvents' extension for distributed tracing, what a Knative KafkaSource hands on.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

from services.kernel.position import Position
from services.kernel.settings import LogSettings
from services.kernel.tracing import TRACEPARENT, TRACESTATE, Attributes, Carrier, carrier_of
from services.log.kafka_address import topic_name
from services.log.protocol import RECORD_BYTES_MAX, Draft, Record, Topic

CE_TRACEPARENT: Final = f"ce_{TRACEPARENT}"
CE_TRACESTATE: Final = f"ce_{TRACESTATE}"
_PARENTS: Final = frozenset({TRACEPARENT, CE_TRACEPARENT})
_STATES: Final = frozenset({TRACESTATE, CE_TRACESTATE})
# Four headers, two of them with a tracestate of 512 characters, and the draft's own ones.
_ROOM_BYTES: Final = 4096


def messaging_attributes(settings: LogSettings, topic: Topic) -> Attributes:
    """The log and a topic by the semantic conventions. The embedded log speaks Redis' protocol."""
    system = "kafka" if urlsplit(settings.log_url).scheme == "kafka" else "redis"
    return {"messaging.system": system, "messaging.destination.name": topic_name(settings, topic)}


def position_attributes(log: Attributes, position: Position) -> Attributes:
    """Where a record stands on the log that `log` (of `messaging_attributes`) tells of."""
    kafka = {"messaging.kafka.offset": position.offset} if log["messaging.system"] == "kafka" else {}
    return {
        "messaging.destination.partition.id": str(position.partition),
        "freshet.position": str(position),
        **kafka,
    }


def headers_of(carrier: Carrier) -> tuple[tuple[str, bytes], ...]:
    """The headers that carry a trace."""
    return tuple(
        (f"{prefix}{name}", text.encode("latin-1", "replace"))
        for name, text in carrier.items()
        for prefix in ("", "ce_")
    )


def with_headers(draft: Draft, headers: tuple[tuple[str, bytes], ...]) -> Draft:
    """The draft with `headers`; as it is where it might become too large for the log by them."""
    if len(draft.key) + len(draft.value or b"") > RECORD_BYTES_MAX - _ROOM_BYTES:
        return draft
    return draft._replace(headers=(*draft.headers, *headers))


def carrier_in(record: Record) -> Carrier | None:
    """The trace that a record belongs to, or None."""
    parent = state = b""
    for name, value in record.headers:
        if name in _PARENTS:
            parent = parent or value
        elif name in _STATES:
            state = state or value
    if not parent:
        return None
    return carrier_of(parent.decode("latin-1"), state.decode("latin-1"))
