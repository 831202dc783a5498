"""Sends spans, and says seldom and in one line that they do not arrive."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import Final

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

_log = logging.getLogger(__name__)

_AGAIN_S: Final = 60.0  # a collector that is away for a night is a line a minute
_REASON_MAX: Final = 300  # characters
_EXPORTER: Final = "opentelemetry.exporter.otlp.proto.http.trace_exporter"  # tells each failed attempt
_QUEUE: Final = "opentelemetry.sdk._shared_internal"  # tells each span that the full queue had no room for


class PatientExporter(SpanExporter):
    """Another exporter, whose failures are counted and told once a minute. Called by one thread at a time."""

    def __init__(self, inner: SpanExporter, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._inner = inner
        self._clock_s = clock_s
        self._said = _LastWord()
        self._lost = 0  # spans since the last line
        self._told_s: float | None = None  # None: all is well, as far as anybody was told
        self._dropped = _Seldom(clock_s)
        logging.getLogger(_EXPORTER).addFilter(self._said)
        logging.getLogger(_QUEUE).addFilter(self._dropped)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """See SpanExporter.export. A failure is final: the spans are gone, what comes next is tried again."""
        self._said.text = ""
        try:
            result = self._inner.export(spans)
        except Exception as error:
            self._said.text = f"{type(error).__name__}: {error}"
            result = SpanExportResult.FAILURE
        if result is SpanExportResult.SUCCESS:
            if self._told_s is not None:
                _log.warning("traces are sent again")
            self._told_s, self._lost = None, 0
            return result
        self._lost += len(spans)
        now_s = self._clock_s()
        if self._told_s is None or now_s - self._told_s >= _AGAIN_S:
            _log.warning(
                "%d spans could not be sent; events and answers go on without them. Is there a collector at "
                "OTEL_EXPORTER_OTLP_ENDPOINT (http://localhost:4318 where it is not set)? %s",
                self._lost,
                self._said.text[:_REASON_MAX],
            )
            self._told_s, self._lost = now_s, 0
        return result

    def shutdown(self) -> None:
        """See SpanExporter.shutdown."""
        self._inner.shutdown()
        logging.getLogger(_EXPORTER).removeFilter(self._said)
        logging.getLogger(_QUEUE).removeFilter(self._dropped)

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """See SpanExporter.force_flush."""
        return self._inner.force_flush(timeout_millis)


class _LastWord(logging.Filter):
    """Lets nothing through and remembers what was said last."""

    text = ""

    def filter(self, record: logging.LogRecord) -> bool:
        """See logging.Filter.filter."""
        self.text = record.getMessage()
        return False


class _Seldom(logging.Filter):
    """Lets one line through a minute."""

    def __init__(self, clock_s: Callable[[], float]) -> None:
        super().__init__()
        self._clock_s = clock_s
        self._next_s = float("-inf")

    def filter(self, record: logging.LogRecord) -> bool:  # noqa: ARG002 - whatever it says
        """See logging.Filter.filter."""
        now_s = self._clock_s()
        if now_s < self._next_s:
            return False
        self._next_s = now_s + _AGAIN_S
        return True
