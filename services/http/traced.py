"""A span a request: the outermost layer of an app, where traces are on. Elsewhere it is not there."""

from __future__ import annotations

from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.http.edge import METHODS, route_of
from services.http.keys import OPEN_PATHS
from services.kernel.tracing import (
    TRACEPARENT,
    TRACESTATE,
    Carrier,
    Span,
    SpanKind,
    Tracer,
    carrier_of,
    current_span,
    enter_span,
    is_sampled,
)

_UNTRACED: Final = OPEN_PATHS | {"/metrics", "/docs", "/openapi.json"}  # asked for by machines, or once
_TRACEPARENT: Final = TRACEPARENT.encode()
_TRACESTATE: Final = TRACESTATE.encode()


class TraceLayer:
    """ASGI middleware. The caller's `traceparent` is the parent; without one a trace begins here.

    Probes, and pages in `quiet`, have no spans. With `begins=False` no trace begins here either: requests
    that a machine makes for each record would fill the collector with traces of one span.
    """

    def __init__(self, app: ASGIApp, tracer: Tracer, quiet: frozenset[str], *, begins: bool = True) -> None:
        self._app = app
        self._tracer = tracer
        self._quiet = quiet | _UNTRACED
        self._begins = begins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request through."""
        span = self._begin(scope)
        if span is None:
            await self._app(scope, receive, send)
            return
        status = 0

        async def send_out(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        around = current_span()
        enter_span(span)
        try:
            await self._app(scope, receive, send_out)
        except BaseException as error:
            span.fail(type(error).__name__)
            raise
        finally:
            enter_span(around)
            _finish(span, scope, status)

    def _begin(self, scope: Scope) -> Span | None:
        if scope["type"] != "http" or scope["method"] == "OPTIONS":  # preflights
            return None
        if scope["path"] in self._quiet or scope["path"].startswith("/docs/"):
            return None
        parent = _carrier(scope)
        if not self._begins and (parent is None or not is_sampled(parent)):
            return None
        method = scope["method"] if scope["method"] in METHODS else "_OTHER"
        attributes = {
            "http.request.method": method,
            "url.scheme": scope["scheme"],
            "network.protocol.version": scope["http_version"],
        }
        return self._tracer.begin(_name(method), SpanKind.SERVER, attributes, parent=parent)


def _carrier(scope: Scope) -> Carrier | None:
    parent = state = b""
    for name, value in scope["headers"]:
        if name == _TRACEPARENT:
            parent = value
        elif name == _TRACESTATE:
            state = value
    return carrier_of(parent.decode("latin-1"), state.decode("latin-1")) if parent else None


def _name(method: str) -> str:
    return "HTTP" if method == "_OTHER" else method


def _finish(span: Span, scope: Scope, status: int) -> None:
    """What is known at the end: the route, never the path, which holds ids, nor the query."""
    route = route_of(scope)
    if route != "other":
        method = scope["method"] if scope["method"] in METHODS else "_OTHER"
        span.rename(f"{_name(method)} {route}")
        span.note({"http.route": route, **({} if "{" in route else {"url.path": route})})
    if status:  # 0: the client went before there was an answer
        span.note({"http.response.status_code": status})
    if status >= 500:
        span.fail(str(status))
    span.end()
