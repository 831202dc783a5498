"""The recommender as a part of an app, and as an app of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from services.http.app import App
from services.http.app import create_app as create_http_app
from services.http.part import Part
from services.http.raw_route import Router
from services.kernel.metrics import Metrics
from services.kernel.tracing import Tracer
from services.recommender.batch_routes import batch_router
from services.recommender.read_routes import read_router
from services.recommender.routes import recommend_router
from services.recommender.settings import RecommenderSettings
from services.recommender.state import State
from services.store.connection import Connection
from services.tracing.open import open_tracer


class NotReadyError(Exception):
    """The recommender cannot do its work yet; the message says why and what to do."""


def recommender_part(
    settings: RecommenderSettings,
    metrics: Metrics,
    *,
    connection: Connection | None = None,
    tracer: Tracer | None = None,
) -> Part:
    """The recommender inside an app. A `connection` given is shared with others and not closed here.

    To add a part of the state: make it in `State.__init__`, start it in `__aenter__`, stop it in `__aexit__`.
    """
    state = State(settings, connection=connection, metrics=metrics, tracer=tracer)
    router = Router()
    for routes in (recommend_router(state), batch_router(state), read_router(state)):
        router.routes.extend(routes.routes)

    @asynccontextmanager
    async def running() -> AsyncIterator[None]:
        async with state:
            yield

    async def ready() -> None:
        reason = await state.unready()
        if reason is not None:
            raise NotReadyError(reason)

    checks = {"recommender": ready}
    return Part("recommender", router, running, checks, stopping=state.stopping.set, start=state.start)


def create_app(settings: RecommenderSettings) -> App:
    """The recommender alone."""
    metrics = Metrics()
    tracer = open_tracer(settings, "freshet-recommender")
    parts = [recommender_part(settings, metrics, tracer=tracer)]
    return create_http_app("recommender", settings, metrics, parts, tracer=tracer)
