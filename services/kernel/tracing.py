"""What a trace is to us: spans that somebody else keeps. Without tracing there is no tracer, only None.

services/tracing makes them of OpenTelemetry where FRESHET_TRACES asks for that; nothing else knows it. A span
is begun for what has a parent to hang it on, or may be the first of a trace: an HTTP request. What was not
sampled has no span, so that `None` is all that code beside it ever meets.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from enum import Enum
from typing import Final, Protocol

Attributes = Mapping[str, str | int | float | bool]
# W3C Trace Context in lower-case names: `traceparent`, and `tracestate` where there is one.
Carrier = Mapping[str, str]

TRACEPARENT: Final = "traceparent"
TRACESTATE: Final = "tracestate"
# `00-`, 32 digits of the trace, `-`, 16 of the span, `-`, two of flags. Later versions may add to it.
_TRACEPARENT_CHARS: Final = 55
TRACESTATE_CHARS_MAX: Final = 512  # what W3C asks everybody to pass on; longer ones are left behind


class SpanKind(Enum):
    """Who is on the other side, as OpenTelemetry says it."""

    INTERNAL = "internal"
    SERVER = "server"
    CLIENT = "client"
    PRODUCER = "producer"
    CONSUMER = "consumer"


class Span(Protocol):
    """One step of a trace that somebody wants to see. Cheap, never raises, never blocks.

    No attribute may hold an id of a user or a piece of an event (docs/PRIVACY.md).
    """

    def rename(self, name: str) -> None:
        """What it turned out to be."""

    def note(self, attributes: Attributes) -> None:
        """Say more of it."""

    def link(self, other: Span | Carrier) -> None:
        """This has to do with `other`, which is not its parent. What cannot be read is no link."""

    def fail(self, kind: str) -> None:
        """It went wrong; `kind` comes from a small closed set: a status, the name of an exception."""

    def end(self, at_ns: int | None = None) -> None:
        """It is over: now, or at a Unix time in ns."""

    @property
    def carrier(self) -> Carrier:
        """What a child elsewhere needs to know."""


class Tracer(Protocol):
    """Begins spans. One a process."""

    def begin(
        self,
        name: str,
        kind: SpanKind,
        attributes: Attributes,
        *,
        parent: Span | Carrier | None,
        links: Sequence[Span | Carrier] = (),
        at_ns: int | None = None,
    ) -> Span | None:
        """A span below `parent` (None, or what cannot be read: the first of a new trace), begun now or at a
        Unix time in ns. None when it is not sampled."""

    async def close(self) -> None:
        """Send what is left, for some seconds at most. Nothing is begun any more."""


_current: ContextVar[Span | None] = ContextVar("freshet_span", default=None)


def current_span() -> Span | None:
    """The span of the request that this task answers; None where it is not traced."""
    return _current.get()


def enter_span(span: Span | None) -> None:
    """From here on `span` is what this task, and what it starts, works for."""
    _current.set(span)


def is_sampled(carrier: Carrier) -> bool:
    """Whether who sent it wants its trace to be seen."""
    parent = carrier.get(TRACEPARENT, "")
    if len(parent) < _TRACEPARENT_CHARS:
        return False
    try:
        return bool(int(parent[53:55], 16) & 1)
    except ValueError:
        return False


def carrier_of(parent: str, state: str = "") -> Carrier:
    """The two texts as a carrier."""
    if not state or len(state) > TRACESTATE_CHARS_MAX:
        return {TRACEPARENT: parent}
    return {TRACEPARENT: parent, TRACESTATE: state}
