"""The app around the parts: the edge, health routes, problems, documentation."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from services.http.answers import json_answer
from services.http.edge import Edge
from services.http.health import health_router
from services.http.part import Part
from services.http.problems import answer_with_problems
from services.kernel.metrics import Metrics
from services.kernel.settings import HttpSettings

_VERSION = "0.1.0"
DOCS_PATH = "/docs"
SCHEMA_PATH = "/openapi.json"


class App(Starlette):
    """Starlette, that can tell what it serves. `openapi` may be replaced, as with FastAPI."""

    def __init__(self, title: str, lifespan: Callable[[Starlette], Any]) -> None:
        super().__init__(lifespan=lifespan)
        self.router.redirect_slashes = False  # a slash belongs to an id
        self.title = title
        self.version = _VERSION
        self.openapi: Callable[[], dict[str, Any]] = self._schema
        self._made: dict[str, Any] | None = None

    def _schema(self) -> dict[str, Any]:
        if self._made is None:
            from services.http.description import schema_of  # FastAPI: half a cold start

            self._made = schema_of(self.title, self.version, self.routes)
        return self._made


def create_app(name: str, settings: HttpSettings, metrics: Metrics, parts: Sequence[Part]) -> App:
    """An app that serves `parts`; they start in the order given and stop in the reverse one."""

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        for part in parts:
            if part.start is not None:
                part.start.reached("loaded")
        async with AsyncExitStack() as running:
            for part in parts:
                await running.enter_async_context(part.running())
            yield

    app = App(f"Freshet {name}", lifespan)
    checks = {check: run for part in parts for check, run in part.ready.items()}
    # The busiest come first.
    for router in (*(part.router for part in parts), health_router(checks, metrics)):
        app.router.routes.extend(router.routes)
    _serve_description(app)
    app.state.starting = [(part.start, list(part.ready.values())) for part in parts if part.start is not None]
    app.state.stopping = [part.stopping for part in parts if part.stopping is not None]
    answer_with_problems(app)
    open_paths = frozenset[str]().union(*(part.open_paths for part in parts))
    app.add_middleware(Edge, settings=settings, metrics=metrics, service=name, open_paths=open_paths)
    return app


def _serve_description(app: App) -> None:
    async def schema(_request: Request) -> Response:
        # In a thread: the first one loads FastAPI, and answers must not wait for that.
        return json_answer(await asyncio.to_thread(app.openapi))

    async def page(_request: Request) -> Response:
        return await asyncio.to_thread(_page, f"{app.title} - Swagger UI")

    for path, endpoint in ((SCHEMA_PATH, schema), (DOCS_PATH, page)):
        app.router.routes.append(Route(path, endpoint, include_in_schema=False))


def _page(title: str) -> Response:
    from services.http.description import page_of

    return page_of(title)
