"""Routes whose endpoint takes the Request and answers a Response, matched by Starlette and nothing between.

FastAPI, which describes them at /openapi.json, is loaded when somebody asks for that and not before
(docs/adr/0007-cold-start.md): half of what a cold start of ingest took was loading it.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

Endpoint = Callable[[Request], Coroutine[Any, Any, Response]]


class RawRoute(Route):
    """The endpoint is called with the request and nothing else. What it takes is told to the docs through
    `openapi_extra`; the other options are FastAPI's, for the docs too.
    """

    def __init__(
        self,
        path: str,
        endpoint: Endpoint,
        *,
        methods: Sequence[str],
        tags: Sequence[str] = (),
        status_code: int = 200,
        include_in_schema: bool = True,
        openapi_extra: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(path, endpoint, methods=list(methods), include_in_schema=include_in_schema)
        self.methods = set(methods)  # a HEAD that nobody asked for is none
        self.app = _application(endpoint)
        self.tags: Final = list(tags)
        self.status_code: Final = status_code
        self.openapi_extra: Final = openapi_extra


class Router:
    """A flat list of routes, in the order in which they are tried."""

    def __init__(self, *, tags: Sequence[str] = ()) -> None:
        self._tags = tuple(tags)
        self.routes: list[RawRoute] = []

    def add_api_route(
        self,
        path: str,
        endpoint: Endpoint,
        *,
        methods: Sequence[str],
        tags: Sequence[str] = (),
        status_code: int = 200,
        include_in_schema: bool = True,
        openapi_extra: Mapping[str, Any] | None = None,
    ) -> None:
        """See RawRoute. FastAPI's name for it, and its meaning."""
        self.routes.append(
            RawRoute(
                path,
                endpoint,
                methods=methods,
                tags=(*self._tags, *tags),
                status_code=status_code,
                include_in_schema=include_in_schema,
                openapi_extra=openapi_extra,
            )
        )


def _application(endpoint: Endpoint) -> Callable[[Scope, Receive, Send], Coroutine[Any, Any, None]]:
    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        answer = await endpoint(Request(scope, receive, send))
        await answer(scope, receive, send)

    return application
