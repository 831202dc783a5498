"""`freshet run`: all services in one process, on one port, around one event loop."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, suppress
from types import FrameType
from typing import Any

from services.http.app import create_app
from services.http.part import Part
from services.http.raw_route import Router
from services.http.server import TunedServer, bind, check_binding, server_config
from services.ingest.app import ingest_part
from services.kernel.metrics import Metrics
from services.local.background import Background
from services.local.data_dir import DataDir
from services.local.demo_loading import DemoMarkFile
from services.local.embedded_valkey import EmbeddedValkey
from services.local.first_start import DemoWish, build_release, decide
from services.local.settings import RunSettings
from services.local.shop_page import shop_part
from services.log.open import open_log
from services.profiler.app import profiler_part
from services.recommender.app import recommender_part
from services.store.connection import Connection, connect
from services.store.errors import StoreError
from services.store.meta import MetaStore
from services.tracing.open import open_tracer

_FOLLOWER_LOG = logging.getLogger("services.recommender.follow_release")
_IDENTITY_WAIT_S = 5.0  # a profiler that refuses a store creates none; then everything starts without
_IDENTITY_INTERVAL_S = 0.01


def run(settings: RunSettings, wish: DemoWish, *, tell_up: Callable[[], None] | None = None) -> None:
    """Serve until SIGTERM or Ctrl-C. Raises LocalError, SettingsError and errors of the log and the store.

    `tell_up` is called once all is up, in place of the greeting for people.
    1. Hold the data directory and the port: both fail early and clearly.
    2. Start the embedded Valkey where no other is named.
    3. Serve.
    On the way out: drain requests, commit, and the Valkey stops last.
    """
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    # Here a first release comes by itself, so its absence is no news.
    _FOLLOWER_LOG.addFilter(lambda record: "no release is live" not in record.getMessage())
    check_binding(settings)
    signal.signal(signal.SIGTERM, _interrupt)
    with ExitStack() as held:
        data_dir = held.enter_context(DataDir(settings.data_dir))  # 1
        listeners = [held.enter_context(listener) for listener in bind(settings.host, settings.port)]
        valkey = EmbeddedValkey(data_dir.valkey) if settings.needs_embedded else None
        if valkey is not None:  # 2
            held.callback(valkey.stop)
            valkey.start(_say)
        placed = settings.placed(data_dir, valkey.url if valkey else None)
        _run_loop(_serve(placed, data_dir, listeners, valkey, wish, tell_up=tell_up))  # 3


async def _serve(
    settings: RunSettings,
    data_dir: DataDir,
    listeners: list[socket.socket],
    valkey: EmbeddedValkey | None,
    wish: DemoWish,
    *,
    tell_up: Callable[[], None] | None = None,
) -> None:
    tracer = open_tracer(settings, "freshet")
    async with AsyncExitStack() as held:
        event_log = open_log(settings)
        held.push_async_callback(event_log.close)
        connection = connect(settings)
        held.push_async_callback(connection.close)
        for warning in await connection.check():
            _say(f"store: {warning}")
        first = await decide(DemoMarkFile(data_dir.demo_mark), event_log, wish, _say)
        if first is not None:
            await asyncio.to_thread(build_release, first.shop, settings.release_url, _say)
        metrics = Metrics()
        background = Background(
            settings=settings,
            event_log=event_log,
            connection=connection,
            first=first,
            valkey=valkey,
            say=_say,
            tell_up=tell_up,
        )
        parts = [
            ingest_part(settings, event_log, metrics, tracer=tracer),
            profiler_part(settings, event_log, metrics, connection=connection, tracer=tracer),
            _identity_part(connection),
            recommender_part(settings, metrics, connection=connection, tracer=tracer),
            background.part(),
            shop_part(),
        ]
        app = create_app("run", settings, metrics, parts, tracer=tracer)
        await held.enter_async_context(app.router.lifespan_context(app))
        server = TunedServer(server_config(app, "warning", lifespan="off"))
        background.server = server
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, _already_stopping)  # uvicorn raises the signal again at its end
        await server.serve(sockets=listeners)
    if background.failure is not None:
        raise background.failure


def _identity_part(connection: Connection) -> Part:
    """Starts when the profiler has given a new store its identity, so that the recommender finds one."""

    @asynccontextmanager
    async def running() -> AsyncIterator[None]:
        with suppress(TimeoutError, StoreError):  # the parts' own readiness says what is missing
            async with asyncio.timeout(_IDENTITY_WAIT_S):
                while await MetaStore(connection).read() is None:  # noqa: ASYNC110 - the store is asked
                    await asyncio.sleep(_IDENTITY_INTERVAL_S)
        yield

    return Part("identity", Router(), running)


def _run_loop(work: Coroutine[Any, Any, None]) -> None:
    """asyncio.run on uvloop, where there is one."""
    try:
        import uvloop
    except ImportError:
        asyncio.run(work)
    else:
        uvloop.run(work)


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    """SIGTERM before the server runs: unwind, so that the Valkey is stopped."""
    raise KeyboardInterrupt


def _already_stopping(_signal: int, _frame: FrameType | None) -> None:
    """What is left to do after a clean stop: nothing."""
