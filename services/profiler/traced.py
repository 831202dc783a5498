"""Spans of the write: each traced record of a batch has its own, below the request that sent it.

A batch writes for many records at once. Whoever looks for one event wants to see its way, so the calls of the
store stand below each record's span, with the same times: they are begun afterwards, with their times, since
only then it is known what was written.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from types import TracebackType
from typing import Final, NamedTuple, Self

from services.kernel.tracing import TRACEPARENT, Attributes, Carrier, Span, SpanKind, Tracer, is_sampled
from services.log.kafka_address import group_name
from services.log.protocol import Topic
from services.log.traced import carrier_in, messaging_attributes, position_attributes
from services.profiler.batch import Batch
from services.profiler.reading import Work
from services.profiler.safety import GROUPS
from services.profiler.settings import ProfilerSettings

# A batch has up to five spans a record. More records than this, and spans would hold up the events for longer
# than writing them takes; the newest have them.
TRACED_MAX: Final = 64
_NOTHING: Final[AbstractContextManager[None]] = nullcontext()


class Step(NamedTuple):
    """A call of the store: the span's name, and what is said of it."""

    name: str
    attributes: Attributes


def _step(operation: str, what: str) -> Step:
    # The protocol is that of Redis, whoever speaks it.
    named = {"db.stored_procedure.name": what} if operation == "EVALSHA" else {}
    return Step(f"{operation} {what}", {"db.system.name": "redis", "db.operation.name": operation, **named})


READ: Final = _step("MGET", "profiles")
WRITE_AGGREGATES: Final = _step("EVALSHA", "aggregate_write")
WRITE_PROFILES: Final = _step("EVALSHA", "profile_write")


class _Traced(NamedTuple):
    place: int  # in the batch
    work: Work
    parent: Carrier


class Traces:
    """Looks for traced records. One an updater."""

    def __init__(self, tracer: Tracer, settings: ProfilerSettings) -> None:
        self.tracer = tracer
        self.processing: Attributes = {
            **messaging_attributes(settings, Topic.EVENTS),
            "messaging.consumer.group.name": group_name(settings, GROUPS[Topic.EVENTS]),
            "messaging.operation.name": "process",
            "messaging.operation.type": "process",
        }
        self.announcing: Attributes = {
            "messaging.system": "redis",
            # The channel's own name ends with an id.
            "messaging.destination.template": f"{settings.namespace}:c:{{subject}}",
            "messaging.operation.name": "publish",
            "messaging.operation.type": "send",
        }

    def begin(self, works: Sequence[Work]) -> BatchTrace | None:
        """None where no record of the batch is traced."""
        traced = [
            _Traced(index, work, parent)
            for index, work in enumerate(works)
            if (parent := carrier_in(work.record)) is not None and is_sampled(parent)
        ]
        return BatchTrace(self, traced[-TRACED_MAX:]) if traced else None


class BatchTrace:
    """The spans of one batch. `with` it around the writing: what goes wrong inside fails them all."""

    def __init__(self, traces: Traces, traced: Sequence[_Traced]) -> None:
        self._traces = traces
        self._traced = traced
        self._began_ns = time.time_ns()
        self._steps: list[tuple[Step, int, int]] = []
        self._spans: dict[int, Span] = {}  # of records that were written, by their place in the batch
        self._announcements: list[Span] = []

    @contextmanager
    def step(self, step: Step) -> Iterator[None]:
        """Note when a call of the store begins and ends."""
        began_ns = time.time_ns()
        try:
            yield
        finally:
            self._steps.append((step, began_ns, time.time_ns()))

    def forget(self) -> None:
        """Somebody else tells of these records."""
        self._traced = ()

    def announce(self, batch: Batch) -> Mapping[str, str]:
        """The batch is written and about to be announced: by subject, the `traceparent` to announce.

        Records of one subject are announced once, in the trace of the newest, with links to the others.
        """
        self._begin(len(batch.works))
        changed = batch.positions()
        by_subject: dict[str, list[Span]] = {}
        for one in self._traced:
            if one.place in self._spans and one.work.subject in changed:
                by_subject.setdefault(one.work.subject, []).append(self._spans[one.place])
        announced: dict[str, str] = {}
        for subject, spans in by_subject.items():
            span = self._traces.tracer.begin(
                "publish profile change",
                SpanKind.PRODUCER,
                self._traces.announcing,
                parent=spans[-1],
                links=spans[:-1],
            )
            if span is not None:
                self._announcements.append(span)
                announced[subject] = span.carrier[TRACEPARENT]
        return announced

    def finish(self, batch: Batch) -> None:
        """All of the batch is written and announced."""
        for announcement in self._announcements:
            announcement.end()
        for index, span in self._spans.items():
            span.note({"freshet.outcome": batch.fates[index] or "old"})
            self._end(span)
        self._spans = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing is told of what was not written without an error: it comes again in a smaller batch."""
        if kind is None:
            return
        if not self._spans and self._traced:
            self._begin(self._traced[-1].place + 1)
        for span in (*self._announcements, *self._spans.values()):
            span.fail(kind.__name__)
        for announcement in self._announcements:
            announcement.end()
        for span in self._spans.values():
            self._end(span)

    def _begin(self, count: int) -> None:
        """Spans of those of the first `count` records that are traced."""
        name = f"process {self._traces.processing['messaging.destination.name']}"
        for index, work, parent in self._traced:
            if index >= count:
                break
            attributes = {
                **self._traces.processing,
                **position_attributes(self._traces.processing, work.position),
                "messaging.batch.message_count": count,
            }
            span = self._traces.tracer.begin(
                name, SpanKind.CONSUMER, attributes, parent=parent, at_ns=self._began_ns
            )
            if span is not None:
                self._spans[index] = span

    def _end(self, span: Span) -> None:
        for (name, attributes), began_ns, ended_ns in self._steps:
            call = self._traces.tracer.begin(name, SpanKind.CLIENT, attributes, parent=span, at_ns=began_ns)
            if call is not None:
                call.end(ended_ns)
        span.end()


def noted(trace: BatchTrace | None, step: Step) -> AbstractContextManager[None]:
    """`with` this around a call of the store; it is nothing where nobody is traced."""
    return _NOTHING if trace is None else trace.step(step)
