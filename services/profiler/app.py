"""The profiler as a part of an app, and as an app of its own."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import replace

from services.http.app import App, create_app
from services.http.body import BodyReader
from services.http.part import Part
from services.http.raw_route import Router
from services.http.start import Start
from services.kernel.metrics import Metrics
from services.kernel.tracing import Tracer
from services.log.open import open_log
from services.log.protocol import EventLog, LogError, Topic
from services.profiler.catalogue_writer import CatalogueApplier
from services.profiler.consumer import PullLoop
from services.profiler.dead_letters import DeadLetters
from services.profiler.events_applier import EventsApplier
from services.profiler.faults import Fault, no_fault
from services.profiler.outcomes import SafetyError
from services.profiler.push import PushIntake
from services.profiler.release_follower import Live, ReleaseFollower
from services.profiler.routes import push_router
from services.profiler.safety import GROUPS
from services.profiler.settings import ProfilerSettings
from services.profiler.store_view import StoreView
from services.profiler.stores import Stores
from services.profiler.traced import Traces
from services.profiler.updater import Updater
from services.release.source import ReleaseSource
from services.store.connection import Connection, connect
from services.store.errors import StoreError
from services.tracing.open import open_tracer

_log = logging.getLogger(__name__)
_HELD_BODIES = 16  # bodies of the largest size that push holds at once
_RETRY_S = 0.5
_PING_TIMEOUT_S = 0.1  # a probe waits 150 ms, the connection tries again for longer


class Profiler:
    """Everything that applies records, wired. `running` starts it and stops it cleanly."""

    def __init__(
        self,
        settings: ProfilerSettings,
        log: EventLog,
        connection: Connection,
        metrics: Metrics,
        *,
        fault: Fault = no_fault,
        groups: Mapping[Topic, str] = GROUPS,
        tracer: Tracer | None = None,
    ) -> None:
        self.settings = settings
        self.connection = connection
        self.start = Start(metrics, "profiler")
        self._log = log
        stores = Stores(connection)
        self._producer = log.producer()
        letters = DeadLetters(self._producer, metrics)
        self.follower = ReleaseFollower(
            ReleaseSource(settings.release_url, settings.cache_dir),
            stores.meta,
            stores.catalogue,
            event_types=settings.event_types,
            poll_ms=settings.release_poll_ms,
            metrics=metrics,
            taken=lambda: self.start.reached("release"),
        )
        view = StoreView(stores)
        updater = Updater(
            stores,
            view,
            self.follower,
            letters,
            settings=settings,
            metrics=metrics,
            fault=fault,
            worked=self.start.worked,
            traces=Traces(tracer, settings) if tracer is not None else None,
        )
        events = EventsApplier(log, stores, view, self.follower, updater, groups=groups)
        self._catalogue = CatalogueApplier(
            log,
            stores,
            StoreView(stores),
            self.follower,
            letters,
            settings=settings,
            metrics=metrics,
            groups=groups,
        )
        self.intakes: dict[Topic, PushIntake] = {}
        self._loops: dict[Topic, PullLoop] = {}
        appliers: tuple[CatalogueApplier, EventsApplier] = (self._catalogue, events)
        for applier in appliers:
            if settings.profiler_mode == "push":
                self.intakes[applier.topic] = PushIntake(
                    log, applier, applier.fence_of, batch_records=settings.batch_records
                )
                continue
            self._loops[applier.topic] = PullLoop(
                log,
                applier,
                groups[applier.topic],
                batch_records=settings.batch_records,
                commit_delay_ms=settings.commit_delay_ms,
                metrics=metrics,
                fault=fault if applier.topic is Topic.EVENTS else no_fault,
                joined=self._joined,
            )

    def _joined(self, topic: Topic) -> None:
        if topic is Topic.EVENTS:
            self.start.reached("log")

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Consume from here on; leave with everything applied committed."""
        async with AsyncExitStack() as held:
            # It connects with the first dead letter; until then nothing needs it.
            held.push_async_callback(self._producer.stop)
            following = [
                asyncio.create_task(self._meet_log()),
                asyncio.create_task(self.follower.run()),
                asyncio.create_task(self._backfill()),
            ]
            held.push_async_callback(_cancel, following)
            loops = [asyncio.create_task(loop.run()) for loop in self._loops.values()]
            held.push_async_callback(self._finish, loops)
            for intake in self.intakes.values():
                held.push_async_callback(intake.close)
                held.push_async_callback(_cancel, [asyncio.create_task(intake.watch())])
            yield

    async def ready(self) -> None:
        """Raise, saying what to do, unless records are being applied."""
        ways: tuple[PullLoop | PushIntake, ...] = (*self._loops.values(), *self.intakes.values())
        for way in ways:
            if way.trouble:
                raise SafetyError(0, way.trouble)
        try:
            async with asyncio.timeout(_PING_TIMEOUT_S):
                await self.connection.ping()
        except TimeoutError:
            where = f"the store at {self.connection.text}"
            text = f"{where} does not answer; is it running, is FRESHET_STORE_URL right?"
            raise SafetyError(0, text) from None

    async def _meet_log(self) -> None:
        """Open what the checks ask the log through, while the consumers join their groups."""
        with suppress(LogError):  # the checks tell it
            await self._log.bounds(Topic.EVENTS)

    async def _finish(self, loops: Sequence[asyncio.Task[None]]) -> None:
        for loop in self._loops.values():
            loop.stop()
        await asyncio.gather(*loops, return_exceptions=True)

    async def _backfill(self) -> None:
        """Give the catalogue's items vectors whenever a release comes that does not know them."""
        filled: Live | None = None
        way = self._loops.get(Topic.ITEMS) or self.intakes[Topic.ITEMS]
        while True:
            live = self.follower.live
            if live is not filled and live.release is not None and not way.trouble:
                try:
                    written = await self._catalogue.backfill(live)
                    filled = live
                    if written:
                        _log.info("%d items have vectors for release %s", written, live.release.name)
                except StoreError as error:
                    _log.warning("vectors of new items wait: %s", error)
                except Exception:
                    _log.exception("vectors of new items wait")
            await asyncio.sleep(_RETRY_S)


async def _cancel(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    with suppress(asyncio.CancelledError):
        await asyncio.gather(*tasks, return_exceptions=True)


def profiler_part(
    settings: ProfilerSettings,
    log: EventLog,
    metrics: Metrics,
    *,
    connection: Connection,
    fault: Fault = no_fault,
    tracer: Tracer | None = None,
) -> Part:
    """The profiler over a log and a connection that the caller closes."""
    profiler = Profiler(settings, log, connection, metrics, fault=fault, tracer=tracer)
    router = Router()
    if profiler.intakes:
        bodies = BodyReader(settings.max_body_bytes, settings.max_body_bytes * _HELD_BODIES)
        router = push_router(
            profiler.intakes[Topic.EVENTS], profiler.intakes[Topic.ITEMS], bodies, settings.log_generation
        )
    return Part("profiler", router, profiler.running, {"profiler": profiler.ready}, start=profiler.start)


def create_profiler_app(settings: ProfilerSettings, *, fault: Fault = no_fault) -> App:
    """The profiler alone in its process. `fault` is for tests."""
    metrics = Metrics()
    tracer = open_tracer(settings, "freshet-profiler")
    log = open_log(settings)
    connection = connect(settings)
    part = profiler_part(settings, log, metrics, connection=connection, fault=fault, tracer=tracer)

    @asynccontextmanager
    async def running() -> AsyncIterator[None]:
        try:
            try:
                for warning in await connection.check():
                    _log.warning("store: %s", warning)
            except StoreError as error:  # the readiness check tells it until it is mended
                _log.error("store: %s", error)
            else:
                if part.start is not None:
                    part.start.reached("store")
            async with part.running():
                yield
        finally:
            await connection.close()
            await log.close()

    # A trace begins with who posts, not with each record that a KafkaSource brings.
    parts = [replace(part, running=running)]
    return create_app("profiler", settings, metrics, parts, tracer=tracer, begins_traces=False)
