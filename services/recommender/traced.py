"""What a trace tells of an answer, and which trace an answer of a stream belongs to."""

from __future__ import annotations

import time
from collections.abc import Sequence

from services.kernel.tracing import TRACEPARENT, Span, SpanKind, Tracer, current_span
from services.recommender.answer import Answer
from services.recommender.deadline import Deadline
from services.recommender.query import Query

_HEARD = {
    "messaging.system": "redis",
    "messaging.operation.name": "process",
    "messaging.operation.type": "process",
}


def tell_answer(tracer: Tracer | None, answered: Answer, query: Query, until: Deadline) -> None:
    """Say of the request's span what was answered; nothing where the request is not traced."""
    if tracer is not None and (span := current_span()) is not None:
        _tell(tracer, span, answered, query, until)


def begin_list(tracer: Tracer | None, heard: Sequence[str]) -> Span | None:
    """The span of one list of a stream. `heard`: `traceparent` of the changes since the last one.

    A list that a traced event has caused is the end of that event's trace, with links to the other events and
    to the stream. Any other is a part of the stream's own.
    """
    if tracer is None:
        return None
    stream = current_span()
    if not heard:
        return tracer.begin("answer", SpanKind.INTERNAL, {}, parent=stream) if stream is not None else None
    links = [{TRACEPARENT: other} for other in heard[:-1]]
    return tracer.begin(
        "answer",
        SpanKind.CONSUMER,
        _HEARD,
        parent={TRACEPARENT: heard[-1]},
        links=links if stream is None else [*links, stream],
    )


def end_list(
    tracer: Tracer | None, span: Span | None, answered: Answer, query: Query, until: Deadline
) -> None:
    """The list is on its way."""
    if tracer is not None and span is not None:
        _tell(tracer, span, answered, query, until)
        span.end()


def _tell(tracer: Tracer, span: Span, answered: Answer, query: Query, until: Deadline) -> None:
    content = answered.content
    lists = content.get("rows", [content])
    span.note(
        {
            "freshet.scenario": ",".join(dict.fromkeys(made["scenario"] for made in lists)),
            "freshet.strategy": ",".join(dict.fromkeys(made["strategy"] for made in lists)),
            "freshet.items": sum(len(made["items"]) for made in lists),
            "freshet.fresh": content["fresh"],
        }
    )
    if (release := lists[0]["release"]) is not None:
        span.note({"freshet.release": release})
    if answered.position is not None:
        span.note({"freshet.position": str(answered.position)})
    if query.after is not None:
        span.note({"freshet.after": str(query.after)})
    at_ns = time.time_ns() - int((time.perf_counter() - until.started_s) * 1e9)
    for stage, took_ms in until.stages_ms.items():  # one after the other, as they were marked
        part = tracer.begin(stage, SpanKind.INTERNAL, {}, parent=span, at_ns=at_ns)
        at_ns += int(took_ms * 1e6)
        if part is not None:
            part.end(at_ns)
