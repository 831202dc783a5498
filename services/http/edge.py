"""What every request passes first and every answer last: one ASGI layer, because each costs about 10 µs."""

from __future__ import annotations

import logging
from time import perf_counter
from typing import Final

from prometheus_client import Counter, Histogram
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.http.answers import problem_answer
from services.http.cors import Cors, is_preflight
from services.http.keys import KeyRing
from services.http.local_only import LocalOnly
from services.http.raw_path import keep_raw_path
from services.kernel.metrics import HTTP_DURATION, HTTP_REQUESTS, Metrics
from services.kernel.problem import Problem, ProblemError
from services.kernel.settings import HttpSettings

_log = logging.getLogger(__name__)
METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_INTERNAL: Final = Problem(
    500, "internal_error", "this is a fault of the service, not of the request; it is logged"
)


class Edge:
    """ASGI middleware: raw paths, CORS, keys, faults, request metrics."""

    def __init__(
        self,
        app: ASGIApp,
        settings: HttpSettings,
        metrics: Metrics,
        service: str,
        open_paths: frozenset[str] = frozenset(),
    ) -> None:
        self._app = app
        self._keys = KeyRing(settings.key_set(), settings.write_key_set(), open_paths)
        self._local_only = LocalOnly(settings)
        self._cors = Cors(settings.origins())
        self._meter = _Meter(metrics, service)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request through.

        1. Keep the path raw.
        2. Answer preflights; turn strangers away; ask all others for their key.
        3. Let the app answer; a fault of ours becomes a problem without a stack trace.
        On the way out, every answer gets its CORS headers and is counted.
        """
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started_s = perf_counter()
        headers: dict[bytes, bytes] = dict(scope["headers"])
        cors_headers = self._cors.headers_for(headers.get(b"origin"))
        answered = False

        async def send_out(message: Message) -> None:
            nonlocal answered
            if message["type"] == "http.response.start":
                answered = True
                if cors_headers:
                    message["headers"] = [*message.get("headers", ()), *cors_headers]
                self._meter.observe(scope, message["status"], perf_counter() - started_s)
            await send(message)

        # 1.
        keep_raw_path(scope)
        # 2.
        early = self._early_answer(scope, headers)
        if early is not None:
            await early(scope, receive, send_out)
            return
        # 3.
        try:
            await self._app(scope, receive, send_out)
        except ClientDisconnect:
            return
        except Exception as error:
            problem = error.problem if isinstance(error, ProblemError) else _INTERNAL
            if problem is _INTERNAL:
                _log.exception("%s %s failed", scope["method"], route_of(scope))
            if answered:  # half an answer cannot be mended: the server closes the connection
                raise
            await problem_answer(problem)(scope, receive, send_out)

    def _early_answer(self, scope: Scope, headers: dict[bytes, bytes]) -> Response | None:
        method: str = scope["method"]
        if is_preflight(method, headers):
            allowed = self._cors.preflight(headers)
            if isinstance(allowed, Problem):
                return problem_answer(allowed)
            answer = Response(status_code=204)
            answer.raw_headers.extend(allowed)
            return answer
        refusal = self._local_only.refusal(headers) or self._keys.refusal(
            method, scope["path"], headers, scope["query_string"]
        )
        return None if refusal is None else problem_answer(refusal)


class _Meter:
    """Request metrics with their label sets kept: `labels()` takes longer than counting."""

    def __init__(self, metrics: Metrics, service: str) -> None:
        self._service = service
        self._requests = metrics.counter(HTTP_REQUESTS)
        self._duration = metrics.histogram(HTTP_DURATION)
        # Bounded: routes × methods × statuses of this app; what has no route is "other".
        self._kept: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}

    def observe(self, scope: Scope, status: int, duration_s: float) -> None:
        route, method = route_of(scope), scope["method"]
        kept = self._kept.get((route, method, status))
        if kept is None:
            shown = method if method in METHODS else "other"
            kept = (
                self._requests.labels(self._service, shown, route, str(status)),
                self._duration.labels(self._service, shown, route),
            )
            if shown == method:
                self._kept[route, method, status] = kept
        kept[0].inc()
        kept[1].observe(duration_s)


def route_of(scope: Scope) -> str:
    """The route's template; never the path, which holds ids."""
    route = scope.get("route")
    return str(getattr(route, "path_format", None) or getattr(route, "path", "other"))
