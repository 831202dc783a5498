"""Routes whose endpoint takes the Request and answers a Response, matched by Starlette and nothing between.

FastAPI, which describes them at /openapi.json, is loaded when somebody asks for that and not before
(docs/adr/0007-cold-start.md): half of what a cold start of ingest took was loading it.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

Endpoint = Callable[[Request], Coroutine[Any, Any, Response]]


class RawRoute(Route):
    """The endpoint is called with the request, nothing else. `described_in` is the module whose `CALLS` say
    what it takes and answers; it is imported when somebody asks for that. Empty: it is in no description.
    """

    def __init__(
        self, path: str, endpoint: Endpoint, *, methods: Sequence[str], described_in: str = ""
    ) -> None:
        super().__init__(path, endpoint, methods=list(methods), include_in_schema=bool(described_in))
        self.methods = set(methods)  # a HEAD that nobody asked for is none
        self.app = _application(endpoint)
        self.described_in: Final = described_in


class Router:
    """A flat list of routes, in the order in which they are tried. `described_in`: see RawRoute."""

    def __init__(self, *, described_in: str = "") -> None:
        self._described_in = described_in
        self.routes: list[RawRoute] = []

    def add_api_route(
        self, path: str, endpoint: Endpoint, *, methods: Sequence[str], include_in_schema: bool = True
    ) -> None:
        """See RawRoute. FastAPI's name for it, and its meaning."""
        described_in = self._described_in if include_in_schema else ""
        self.routes.append(RawRoute(path, endpoint, methods=methods, described_in=described_in))


def _application(endpoint: Endpoint) -> Callable[[Scope, Receive, Send], Coroutine[Any, Any, None]]:
    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        answer = await endpoint(Request(scope, receive, send))
        await answer(scope, receive, send)

    return application
