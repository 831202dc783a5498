"""Serving an app over real HTTP from a thread, for tests that speak to it as a client does."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from starlette.types import ASGIApp

from services.http.protocol import EdgeProtocol

_START_S = 30.0
_STOP_S = 30.0


@contextmanager
def serving(app: ASGIApp) -> Iterator[str]:
    """The base URL of `app` under uvicorn on a free port of loopback."""
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        app, http=EdgeProtocol, log_level="warning", access_log=False, timeout_graceful_shutdown=5
    )
    server = uvicorn.Server(config)
    started = threading.Event()
    failure: list[BaseException] = []

    async def run() -> None:
        stop_watch = asyncio.create_task(_announce(server, started))
        try:
            await server.serve(sockets=[listener])
        finally:
            stop_watch.cancel()

    def thread() -> None:
        try:
            asyncio.run(run())
        except BaseException as error:
            failure.append(error)
        finally:
            started.set()

    runner = threading.Thread(target=thread, name="uvicorn", daemon=True)
    runner.start()
    try:
        assert started.wait(_START_S), "the app did not start"
        assert not failure, failure
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        runner.join(_STOP_S)
        listener.close()
        assert not runner.is_alive(), "the app did not stop"


async def _announce(server: uvicorn.Server, started: threading.Event) -> None:
    while not server.started:
        await asyncio.sleep(0.01)
    started.set()
