"""A collector for tests: takes traces by OTLP over HTTP, as any other does, and lets one look at them."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span as ProtoSpan
from opentelemetry.proto.trace.v1.trace_pb2 import Status


@dataclass(frozen=True, slots=True)
class Seen:
    """A span as it arrived. Ids in hexadecimal digits, times in Unix ns; `links` are (trace, span)."""

    service: str
    name: str
    kind: str
    trace: str
    id: str
    parent: str
    attributes: Mapping[str, Any]
    links: tuple[tuple[str, str], ...]
    failed: bool
    began_ns: int
    ended_ns: int


class Collector:
    """Where `FRESHET_TRACES=otlp` may send to. `environment` leads a process here, fast."""

    def __init__(self, port: int) -> None:
        self.environment = {
            "FRESHET_TRACES": "otlp",
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}",
            "OTEL_BSP_SCHEDULE_DELAY": "50",
        }
        self.payloads: list[bytes] = []
        self.hangs = threading.Event()  # once set, nobody is answered until `released`
        self.released = threading.Event()
        self.asked = threading.Event()
        self._seen: list[Seen] = []
        self._lock = threading.Lock()

    def take(self, payload: bytes) -> None:
        """One export."""
        request = ExportTraceServiceRequest.FromString(payload)
        with self._lock:
            self.payloads.append(payload)
            for resource in request.resource_spans:
                service = {pair.key: pair.value.string_value for pair in resource.resource.attributes}
                for scope in resource.scope_spans:
                    self._seen += [_seen(service["service.name"], span) for span in scope.spans]

    def spans(self, trace: str | None = None) -> list[Seen]:
        """What has arrived, of one trace or of all, in the order in which it began."""
        with self._lock:
            found = [span for span in self._seen if trace in {None, span.trace}]
        return sorted(found, key=lambda span: span.began_ns)


def _seen(service: str, span: ProtoSpan) -> Seen:
    return Seen(
        service,
        span.name,
        ProtoSpan.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_"),
        span.trace_id.hex(),
        span.span_id.hex(),
        span.parent_span_id.hex(),
        {pair.key: getattr(pair.value, pair.value.WhichOneof("value") or "") for pair in span.attributes},
        tuple((link.trace_id.hex(), link.span_id.hex()) for link in span.links),
        span.status.code == Status.STATUS_CODE_ERROR,
        span.start_time_unix_nano,
        span.end_time_unix_nano,
    )


@contextmanager
def collector() -> Iterator[Collector]:
    """A collector on a port of its own; it ends with the block."""
    held: list[Collector] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            held[0].asked.set()
            if held[0].hangs.is_set():
                held[0].released.wait()
                return
            known = self.path == "/v1/traces" and self.headers["content-type"] == "application/x-protobuf"
            if known:
                held[0].take(gzip.decompress(body) if self.headers["content-encoding"] == "gzip" else body)
            answer = ExportTraceServiceResponse().SerializeToString()
            self.send_response(200 if known else 404)
            self.send_header("content-type", "application/x-protobuf")
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *arguments: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    held.append(Collector(server.server_address[1]))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield held[0]
    finally:
        held[0].released.set()
        server.shutdown()
        thread.join()
        server.server_close()
