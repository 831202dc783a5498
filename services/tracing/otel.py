"""Spans by OpenTelemetry's SDK. Its own variables configure it (OTEL_…); nothing global is set.

Spans wait in a bounded queue (OTEL_BSP_MAX_QUEUE_SIZE, 2,048) for a thread that sends them; what does not fit
is dropped. So no request ever waits for a collector.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from collections.abc import Sequence
from typing import Any, Final

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.trace import Link, SpanContext, Status, StatusCode, get_current_span, set_span_in_context
from opentelemetry.trace import Span as SdkSpan
from opentelemetry.trace import SpanKind as SdkKind
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from services.kernel.settings import SettingsError
from services.kernel.tracing import Attributes, Carrier, Span, SpanKind
from services.tracing.patient_exporter import PatientExporter

_VERSION: Final = "0.1.0"
# At the end of a process: a collector that is there takes what is left in some ms.
_CLOSE_S: Final = 3.0
_LOOK_S: Final = 0.02
# They write a line for each context that cannot be read, and quote it: whoever calls would write our log.
_OF_CALLERS: Final = ("opentelemetry.trace.span", "opentelemetry.trace.propagation.tracecontext")
_KINDS: Final = {kind: SdkKind[kind.name] for kind in SpanKind}
_propagator: Final = TraceContextTextMapPropagator()
_NOBODY: Final = Context()  # of whatever else in this process uses OpenTelemetry we are no child


class OtelSpan:
    """A sampled span."""

    __slots__ = ("_carrier", "span")

    def __init__(self, span: SdkSpan) -> None:
        self.span = span
        self._carrier: dict[str, str] | None = None

    def rename(self, name: str) -> None:
        """See Span.rename."""
        self.span.update_name(name)

    def note(self, attributes: Attributes) -> None:
        """See Span.note."""
        self.span.set_attributes(attributes)

    def link(self, other: Span | Carrier) -> None:
        """See Span.link."""
        context = _context_of(other)
        if context is not None:
            self.span.add_link(context)

    def fail(self, kind: str) -> None:
        """See Span.fail."""
        self.span.set_attribute("error.type", kind)
        self.span.set_status(Status(StatusCode.ERROR))

    def end(self, at_ns: int | None = None) -> None:
        """See Span.end."""
        self.span.end(at_ns)

    @property
    def carrier(self) -> Carrier:
        """See Span.carrier."""
        if self._carrier is None:
            self._carrier = {}
            _propagator.inject(self._carrier, set_span_in_context(self.span, _NOBODY))
        return self._carrier


class OtelTracer:
    """The Tracer of a process. Sampling is OTEL_TRACES_SAMPLER's."""

    def __init__(self, provider: TracerProvider) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("freshet", _VERSION)

    @classmethod
    def from_environment(
        cls, service: str, namespace: str, exporter: SpanExporter | None = None
    ) -> OtelTracer:
        """As OTEL_… says, through `exporter` where one is given. Raises SettingsError for bad values."""
        try:
            # None at exit: `close` is bounded, the SDK's own 30 s are more than a platform waits.
            provider = TracerProvider(resource=_resource(service, namespace), shutdown_on_exit=False)
            sending = PatientExporter(exporter if exporter is not None else OTLPSpanExporter())
            provider.add_span_processor(BatchSpanProcessor(sending))
        except ValueError as error:
            raise SettingsError(f"a variable OTEL_… cannot be used: {error}") from None
        for name in _OF_CALLERS:
            logging.getLogger(name).setLevel(logging.ERROR)
        return cls(provider)

    def begin(
        self,
        name: str,
        kind: SpanKind,
        attributes: Attributes,
        *,
        parent: Span | Carrier | None,
        links: Sequence[Span | Carrier] = (),
        at_ns: int | None = None,
    ) -> OtelSpan | None:
        """See Tracer.begin."""
        linked = [Link(context) for other in links if (context := _context_of(other)) is not None]
        span = self._tracer.start_span(
            name,
            _below(parent),
            _KINDS[kind],
            attributes,
            linked,
            at_ns,
            record_exception=False,
            set_status_on_exception=False,
        )
        return OtelSpan(span) if span.is_recording() else None

    async def close(self) -> None:
        """See Tracer.close. In a thread that may be left behind: the loop's executor would wait."""
        closing = threading.Thread(target=self._provider.shutdown, name="freshet-traces-close", daemon=True)
        closing.start()
        give_up_s = time.monotonic() + _CLOSE_S
        while closing.is_alive() and time.monotonic() < give_up_s:  # noqa: ASYNC110 - a thread is asked
            await asyncio.sleep(_LOOK_S)


def _below(parent: Span | Carrier | None) -> Context:
    if parent is None:
        return _NOBODY
    if isinstance(parent, OtelSpan):
        return set_span_in_context(parent.span, _NOBODY)
    return _propagator.extract(_texts(parent), _NOBODY)


def _context_of(other: Span | Carrier) -> SpanContext | None:
    context = get_current_span(_below(other)).get_span_context()
    return context if context.is_valid else None


def _texts(parent: Any) -> Carrier:
    carrier: Carrier = getattr(parent, "carrier", parent)
    return carrier


def _resource(service: str, namespace: str) -> Resource:
    """What the environment says of this process goes first; a name it has to have."""
    named = os.environ.get("OTEL_SERVICE_NAME") or "service.name=" in os.environ.get(
        "OTEL_RESOURCE_ATTRIBUTES", ""
    )
    ours: dict[str, str] = {"service.namespace": namespace, "service.version": _VERSION}
    told = Resource.create({} if named else {"service.name": service})
    return Resource(ours).merge(told)
