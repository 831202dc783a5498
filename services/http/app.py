"""The app around the parts: the edge, health routes, problems, documentation."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from starlette.applications import Starlette

from services.http.docs_page import description_routes
from services.http.edge import Edge
from services.http.health import health_router
from services.http.part import Part
from services.http.problems import answer_with_problems
from services.kernel.metrics import Metrics
from services.kernel.settings import HttpSettings
from services.kernel.tracing import Tracer

_VERSION = "0.1.0"


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


def create_app(
    name: str,
    settings: HttpSettings,
    metrics: Metrics,
    parts: Sequence[Part],
    *,
    tracer: Tracer | None = None,
    begins_traces: bool = True,
) -> App:
    """An app that serves `parts`; they start in the order given and stop in the reverse one.

    With a `tracer`, which is closed last, each request has a span; see TraceLayer for `begins_traces`.
    """

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        for part in parts:
            if part.start is not None:
                part.start.reached("loaded")
        async with AsyncExitStack() as running:
            if tracer is not None:
                running.push_async_callback(tracer.close)
            for part in parts:
                await running.enter_async_context(part.running())
            yield

    app = App(f"Freshet {name}", lifespan)
    checks = {check: run for part in parts for check, run in part.ready.items()}
    # The busiest come first.
    for router in (*(part.router for part in parts), health_router(checks, metrics)):
        app.router.routes.extend(router.routes)
    app.router.routes.extend(description_routes(app.openapi))
    app.state.starting = [(part.start, list(part.ready.values())) for part in parts if part.start is not None]
    app.state.stopping = [part.stopping for part in parts if part.stopping is not None]
    answer_with_problems(app)
    open_paths = frozenset[str]().union(*(part.open_paths for part in parts))
    app.add_middleware(Edge, settings=settings, metrics=metrics, service=name, open_paths=open_paths)
    if tracer is not None:
        from services.http.traced import TraceLayer

        app.add_middleware(TraceLayer, tracer=tracer, quiet=open_paths, begins=begins_traces)
    return app
