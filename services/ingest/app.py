"""The ingest service as a part of an app, and as an app of its own."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

from services.http.app import App, create_app
from services.http.body import BodyReader
from services.http.keys import KeyRing
from services.http.part import Part
from services.http.start import Start
from services.ingest.client_routes import client_router
from services.ingest.publisher import Publisher
from services.ingest.routes import IngestState, ingest_router
from services.ingest.settings import IngestSettings
from services.ingest.traced import Sending
from services.kernel.event_type import EventTypes
from services.kernel.metrics import INGEST_CALLS, INGEST_REJECTED, Metrics
from services.kernel.tracing import Tracer
from services.log.open import open_log
from services.log.protocol import EventLog
from services.tracing.open import open_tracer


def wall_clock_ms() -> int:
    """Unix time, ms."""
    return time.time_ns() // 1_000_000


def ingest_part(
    settings: IngestSettings,
    log: EventLog,
    metrics: Metrics,
    now_ms: Callable[[], int] = wall_clock_ms,
    *,
    tracer: Tracer | None = None,
) -> Part:
    """Ingest over `log`, which the caller closes."""
    start = Start(metrics, "ingest")
    publisher = Publisher(
        log.producer(),
        settings.ack_timeout_ms,
        settings.max_in_flight_bytes,
        metrics,
        connected=lambda: start.reached("log"),
        acknowledged=start.worked,
        sending=Sending(tracer, settings) if tracer is not None else None,
    )
    state = IngestState(
        publisher=publisher,
        bodies=BodyReader(settings.max_body_bytes, settings.max_in_flight_bytes),
        types=EventTypes(settings.event_types),
        rejected=metrics.counter(INGEST_REJECTED),
        now_ms=now_ms,
    )

    router = ingest_router(state)
    keys = KeyRing(settings.key_set(), settings.write_key_set())
    router.routes.extend(client_router(state, keys, metrics.counter(INGEST_CALLS)).routes)

    @asynccontextmanager
    async def running() -> AsyncIterator[None]:
        await publisher.start()
        try:
            yield
        finally:
            await publisher.stop()

    return Part("ingest", router, running, {"log": publisher.ready}, start=start)


def create_ingest_app(settings: IngestSettings) -> App:
    """Ingest alone in its process."""
    metrics = Metrics()
    tracer = open_tracer(settings, "freshet-ingest")
    log = open_log(settings)
    part = ingest_part(settings, log, metrics, tracer=tracer)

    @asynccontextmanager
    async def running() -> AsyncIterator[None]:
        try:
            async with part.running():
                yield
        finally:
            await log.close()

    return create_app("ingest", settings, metrics, [replace(part, running=running)], tracer=tracer)
