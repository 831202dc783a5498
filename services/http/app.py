"""The app around the parts: the edge, health routes, problems, documentation."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from starlette.routing import Route

from services.http.edge import Edge
from services.http.health import health_router
from services.http.part import Part
from services.http.problems import answer_with_problems
from services.kernel.metrics import Metrics
from services.kernel.settings import HttpSettings

_VERSION = "0.1.0"


def create_app(name: str, settings: HttpSettings, metrics: Metrics, parts: Sequence[Part]) -> FastAPI:
    """An app that serves `parts`; they start in the order given and stop in the reverse one."""

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as running:
            for part in parts:
                await running.enter_async_context(part.running())
            yield

    app = FastAPI(
        title=f"Freshet {name}", version=_VERSION, lifespan=lifespan, redoc_url=None, redirect_slashes=False
    )
    checks = {check: run for part in parts for check, run in part.ready.items()}
    # Put side by side instead of `include_router`, which matches every path twice; the busiest come first.
    for router in (*(part.router for part in parts), health_router(checks, metrics)):
        assert all(isinstance(route, Route) for route in router.routes), "routers are flat: see 405"
        app.router.routes.extend(router.routes)
    app.state.stopping = [part.stopping for part in parts if part.stopping is not None]
    answer_with_problems(app)
    app.add_middleware(Edge, settings=settings, metrics=metrics, service=name)
    _describe(app)
    return app


def _describe(app: FastAPI) -> None:
    """Tell the documentation how keys are sent, so that its "Authorize" works."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = get_openapi(title=app.title, version=app.version, routes=app.routes)
            schema.setdefault("components", {})["securitySchemes"] = {
                "bearer": {"type": "http", "scheme": "bearer"},
                "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            }
            schema["security"] = [{}, {"bearer": []}, {"header": []}]
            app.openapi_schema = schema
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way to extend the schema
