"""The span of handing a request's records to the log, and what of it goes with them."""

from __future__ import annotations

from collections.abc import Sequence

from services.kernel.settings import LogSettings
from services.kernel.tracing import Attributes, Span, SpanKind, Tracer, current_span
from services.log.protocol import Append, Draft, Topic
from services.log.traced import headers_of, messaging_attributes, position_attributes, with_headers


class Sending:
    """Begins these spans, below the request's own."""

    def __init__(self, tracer: Tracer, settings: LogSettings) -> None:
        self._tracer = tracer
        self._attributes = {
            topic: {
                **messaging_attributes(settings, topic),
                "messaging.operation.name": "send",
                "messaging.operation.type": "send",
            }
            for topic in Topic
        }

    def begin(self, topic: Topic, count: int) -> Sent | None:
        """None where the request is not traced."""
        around = current_span()
        if around is None:
            return None
        attributes = self._attributes[topic]
        span = self._tracer.begin(
            f"send {attributes['messaging.destination.name']}", SpanKind.PRODUCER, attributes, parent=around
        )
        return None if span is None else Sent(span, topic, attributes, count)


class Sent:
    """One append of a traced request. All of its records have one context: the request is what they share."""

    def __init__(self, span: Span, topic: Topic, log: Attributes, count: int) -> None:
        self._span = span
        self._topic = topic
        self._log = log
        if count > 1:
            span.note({"messaging.batch.message_count": count})

    def carrying(self, drafts: Sequence[Draft]) -> Sequence[Draft]:
        """The drafts with the trace in their headers. Items go without: compaction keeps them for ever."""
        if self._topic is not Topic.EVENTS:
            return drafts
        headers = headers_of(self._span.carrier)
        return [with_headers(draft, headers) for draft in drafts]

    def end(self, appends: Sequence[Append]) -> None:
        """The log has answered, or (no appends) nobody waits any more."""
        failed = next((append.error for append in appends if append.error is not None), None)
        if failed is not None or not appends:
            self._span.fail(type(failed).__name__ if failed is not None else "cancelled")
        if len(appends) == 1 and (position := appends[0].position) is not None:
            self._span.note(position_attributes(self._log, position))
        self._span.end()
