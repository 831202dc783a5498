"""What carries a trace, what keeps it cheap, and what is said when nobody takes it."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from services.kernel.event import EVENT_CE_TYPE, Event, encode_event
from services.kernel.event_type import EventTypes
from services.kernel.position import Position
from services.kernel.settings import LogSettings, SettingsError, TraceSettings
from services.kernel.tracing import SpanKind, carrier_of, current_span, enter_span, is_sampled
from services.log.drafts import draft_error
from services.log.protocol import RECORD_BYTES_MAX, Draft, Record, Topic
from services.log.traced import carrier_in, headers_of, messaging_attributes, with_headers
from services.profiler.reading import Work, read_record
from services.profiler.settings import ProfilerSettings
from services.profiler.traced import TRACED_MAX, Traces
from services.recommender.traced import begin_list
from services.store.trigger import MAX_TRACES, Subscription
from services.tracing.open import open_tracer
from services.tracing.otel import OtelTracer
from services.tracing.patient_exporter import PatientExporter

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PARENT = f"00-{TRACE}-{SPAN}-01"


class Kept(SpanExporter):
    """Keeps what it is given; fails on demand."""

    def __init__(self) -> None:
        self.spans: list[ReadableSpan] = []
        self.fails: Exception | bool = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        if isinstance(self.fails, Exception):
            raise self.fails
        self.spans += spans
        return SpanExportResult.FAILURE if self.fails else SpanExportResult.SUCCESS


@pytest.fixture
def kept() -> Kept:
    return Kept()


@pytest.fixture
def tracer(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> Iterator[OtelTracer]:
    for name in ("OTEL_TRACES_SAMPLER", "OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES"):
        monkeypatch.delenv(name, raising=False)
    made = OtelTracer.from_environment("freshet-test", "shop", kept)
    yield made
    made._provider.shutdown()


@pytest.mark.parametrize(
    ("parent", "expected"),
    [
        (PARENT, True),
        (f"00-{TRACE}-{SPAN}-03", True),  # another flag beside it
        (f"cc-{TRACE}-{SPAN}-01-what-comes-later", True),
        (f"00-{TRACE}-{SPAN}-00", False),
        (f"00-{TRACE}-{SPAN}-0x", False),
        (f"00-{TRACE}-{SPAN}", False),
        ("", False),
    ],
)
def test_who_wants_to_be_seen(parent: str, expected: bool) -> None:
    assert is_sampled(carrier_of(parent)) is expected


def record(offset: int, headers: tuple[tuple[str, bytes], ...] = (), user: str = "u") -> Record:
    event = Event(
        event_id=f"e{offset}", event_type="view", item_id="p", user_id=user, timestamp=1, received_at=1
    )
    common = (("ce_type", EVENT_CE_TYPE.encode()),)
    return Record(Position(1, 0, offset), user.encode(), encode_event(event), (*common, *headers), 0)


@pytest.mark.parametrize("state", ["", "vendor=1,other=a b"])
@pytest.mark.parametrize("only", ["", "ce_"])
def test_a_record_carries_its_trace_for_kafka_and_for_cloudevents(state: str, only: str) -> None:
    headers = headers_of(carrier_of(PARENT, state))
    kept = tuple(pair for pair in headers if pair[0].startswith("ce_") == bool(only))
    assert len(headers) == 2 * len(kept)
    assert carrier_in(record(1, kept)) == carrier_of(PARENT, state)


def test_a_record_without_a_trace_has_none_and_a_long_state_stays_behind() -> None:
    assert carrier_in(record(1)) is None
    assert carrier_of(PARENT, "v=" + "x" * 511) == {"traceparent": PARENT}


@pytest.mark.parametrize("left_bytes", range(0, 6000, 500))
def test_no_event_is_too_large_for_the_log_because_of_its_trace(left_bytes: int) -> None:
    draft = Draft(b"u", b"x" * (RECORD_BYTES_MAX - 1 - left_bytes))
    longest = headers_of(carrier_of(PARENT, "v=" + "x" * 510))
    assert draft_error(draft) is None
    assert draft_error(with_headers(draft, longest)) is None
    assert with_headers(Draft(b"u", b"x"), longest).headers == longest


def test_the_log_is_named_without_what_its_address_holds() -> None:
    told = messaging_attributes(LogSettings(log_url="valkey://u:secret@h/0", namespace="shop"), Topic.EVENTS)
    assert told == {"messaging.system": "redis", "messaging.destination.name": "shop.events.g1"}
    assert (
        messaging_attributes(LogSettings(log_url="kafka://h:1"), Topic.ITEMS)["messaging.system"] == "kafka"
    )


def works_of(records: Sequence[Record]) -> list[Work]:
    types = EventTypes("")
    return [read_record(one, types) for one in records]


def test_a_batch_traces_so_many_of_its_records_and_no_unsampled_one(tracer: OtelTracer) -> None:
    traces = Traces(tracer, ProfilerSettings())
    assert traces.begin(works_of([record(1), record(2)])) is None
    unsampled = headers_of(carrier_of(f"00-{TRACE}-{SPAN}-00"))
    assert traces.begin(works_of([record(1, unsampled)])) is None
    headers = headers_of(carrier_of(PARENT))
    begun = traces.begin(works_of([record(offset, headers) for offset in range(TRACED_MAX + 9)]))
    assert begun is not None
    assert [one.place for one in begun._traced] == list(range(9, TRACED_MAX + 9))  # the newest


def test_a_failed_batch_fails_its_spans(tracer: OtelTracer, kept: Kept) -> None:
    begun = Traces(tracer, ProfilerSettings()).begin(works_of([record(1, headers_of(carrier_of(PARENT)))]))
    assert begun is not None
    with pytest.raises(OSError, match="away"), begun:
        raise OSError("away")
    asyncio.run(tracer.close())
    (span,) = kept.spans
    assert span.parent is not None
    assert (f"{span.parent.trace_id:032x}", f"{span.parent.span_id:016x}") == (TRACE, SPAN)
    assert (span.attributes or {})["error.type"] == "OSError"
    assert not span.status.is_ok


def test_a_list_for_a_burst_ends_the_newest_event_and_tells_the_others(
    tracer: OtelTracer, kept: Kept
) -> None:
    others = [f"00-{number:032x}-{SPAN}-01" for number in range(1, 4)]
    span = begin_list(tracer, others)
    assert span is not None
    span.end()
    assert begin_list(tracer, []) is None  # a stream that is not traced, and no event that is
    assert begin_list(None, others) is None
    asyncio.run(tracer.close())
    (seen,) = kept.spans
    assert seen.context is not None
    assert f"{seen.context.trace_id:032x}" == others[-1][3:35]
    assert [f"{link.context.trace_id:032x}" for link in seen.links] == [one[3:35] for one in others[:-1]]


def test_announcements_are_remembered_up_to_a_bound() -> None:
    subscription = Subscription(None, "u")  # type: ignore[arg-type]
    subscription.hear(Position(1, 0, 1))
    assert subscription.traces == []
    for number in range(MAX_TRACES + 3):
        subscription.hear(Position(1, 0, number), str(number))
    assert subscription.traces == [str(number) for number in range(3, MAX_TRACES + 3)]


def test_sampling_and_names_are_the_standards(
    tracer: OtelTracer, kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = tracer.begin("a", SpanKind.SERVER, {}, parent=None)
    assert first is not None
    first.end()
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0")
    monkeypatch.setenv("OTEL_SERVICE_NAME", "mine")
    other = OtelTracer.from_environment("freshet-test", "shop", kept)
    assert other.begin("b", SpanKind.SERVER, {}, parent=None) is None
    second = other.begin("c", SpanKind.SERVER, {}, parent=carrier_of(PARENT))  # its caller decided
    assert second is not None
    second.end()
    asyncio.run(tracer.close())
    asyncio.run(other.close())
    names = {span.name: span.resource.attributes["service.name"] for span in kept.spans}
    assert names == {"a": "freshet-test", "c": "mine"}
    assert {span.resource.attributes["service.namespace"] for span in kept.spans} == {"shop"}


@pytest.mark.parametrize(
    ("parent", "state"),
    [
        (PARENT, "a=b\r\nERROR all is lost"),
        (PARENT, ",".join(f"k{number}=v" for number in range(40))),
        (f"{PARENT}-{'x' * 9000}", ""),
        (f"{PARENT}\r\nx: y", ""),
        ("é" * 55, "é=é"),
    ],
)
def test_a_caller_writes_neither_our_log_nor_headers_of_their_own(
    tracer: OtelTracer, caplog: pytest.LogCaptureFixture, parent: str, state: str
) -> None:
    span = tracer.begin("a", SpanKind.SERVER, {}, parent=carrier_of(parent, state))
    assert span is not None
    assert re.fullmatch("00-[0-9a-f]{32}-[0-9a-f]{16}-0[13]", span.carrier["traceparent"])
    assert span.carrier.keys() == {"traceparent"}
    span.end()
    assert caplog.messages == []


def test_the_current_span_is_a_matter_of_the_task(tracer: OtelTracer) -> None:
    assert current_span() is None
    span = tracer.begin("a", SpanKind.SERVER, {}, parent=None)
    enter_span(span)
    assert current_span() is span
    enter_span(None)


def test_what_cannot_be_sent_is_told_once_a_minute(kept: Kept, caplog: pytest.LogCaptureFixture) -> None:
    now_s = [0.0]
    exporter = PatientExporter(kept, lambda: now_s[0])
    spans: Any = [object()] * 3
    for fails in (True, ConnectionError("refused"), True):
        kept.fails = fails
        assert exporter.export(spans) is SpanExportResult.FAILURE
    assert [line.split(";")[0] for line in caplog.messages] == ["3 spans could not be sent"]
    now_s[0] = 61.0
    exporter.export(spans)
    assert caplog.messages[-1].startswith("9 spans could not be sent")
    kept.fails = False
    for _ in range(2):
        assert exporter.export(spans) is SpanExportResult.SUCCESS
    assert caplog.messages[-1] == "traces are sent again"
    assert len(caplog.messages) == 3
    noisy = logging.getLogger("opentelemetry.sdk._shared_internal")
    for _ in range(5):
        noisy.warning("Queue full, dropping Span.")
    assert sum(message.startswith("Queue full") for message in caplog.messages) == 1
    exporter.shutdown()


@pytest.mark.parametrize(("name", "value"), [("OTEL_SDK_DISABLED", "true"), ("OTEL_TRACES_EXPORTER", "none")])
def test_the_standards_ways_to_say_no(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    assert open_tracer(TraceSettings(traces="otlp"), "x") is None


def test_traces_are_off_unless_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    assert open_tracer(TraceSettings(), "x") is None
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "grpc")
    with pytest.raises(SettingsError, match="http/protobuf"):
        open_tracer(TraceSettings(traces="otlp"), "x")
