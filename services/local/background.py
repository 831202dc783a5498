"""What runs beside the services: loading the demo, a day-0 release when one is due, the Valkey's keeper."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any

import uvicorn

from services.cli.progress import progress
from services.http.part import Part
from services.http.raw_route import Router
from services.local.auto_release import AutoRelease
from services.local.embedded_valkey import EmbeddedValkey
from services.local.failure import LocalError
from services.local.first_start import FirstStart, load_demo
from services.local.settings import RunSettings
from services.local.welcome import welcome
from services.log.protocol import EventLog
from services.store.connection import Connection
from services.store.errors import StoreError


class Background:
    """Tasks of one process. `failure` is what ended them, and with them the server."""

    def __init__(
        self,
        *,
        settings: RunSettings,
        event_log: EventLog,
        connection: Connection,
        first: FirstStart | None,
        valkey: EmbeddedValkey | None,
        say: Callable[[str], None],
        tell_up: Callable[[], None] | None = None,
    ) -> None:
        self._settings = settings
        self._log = event_log
        self._connection = connection
        self._first = first
        self._valkey = valkey
        self._say = say
        self._tell_up = tell_up
        self._loading = "the demo shop is being loaded" if first is not None else ""
        self.server: uvicorn.Server | None = None
        self.failure: Exception | None = None

    def part(self) -> Part:
        """As a part of the app, so that it stops before the services do."""
        return Part("local", Router(), self._running, {"demo": self._ready})

    async def _ready(self) -> None:
        if self._loading:
            raise LocalError(self._loading)

    @asynccontextmanager
    async def _running(self) -> AsyncIterator[None]:
        work: list[Coroutine[Any, Any, None]] = [self._start_up()]
        if self._valkey is not None:
            work.append(self._valkey.watch(self._say))
        tasks = [asyncio.create_task(self._guarded(coroutine)) for coroutine in work]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _guarded(self, work: Coroutine[Any, Any, None]) -> None:
        """A failure here ends the process: half a Freshet that looks whole helps nobody."""
        try:
            await work
        except Exception as error:
            self.failure = error
            if self.server is not None:
                self.server.should_exit = True

    async def _start_up(self) -> None:
        """1. Load what is left of the demo shop. 2. Say that all is up. 3. Keep a release in step."""
        if self._first is not None:
            await self._load_demo(self._first)  # 1
            self._loading = ""
        releases = AutoRelease(self._connection, self._settings, self._say)
        if self._tell_up is not None:
            self._tell_up()  # 2
        else:
            with suppress(StoreError):
                self._say(welcome(self._settings, empty=await releases.count() == 0))  # 2
        await releases.run()  # 3

    async def _load_demo(self, first: FirstStart) -> None:
        with progress("loading the demo shop", first.total) as show:

            def said(done: int) -> None:
                self._loading = f"the demo shop is being loaded: {done:,} of {first.total:,} records"
                show(done, f"{done:,} records")

            await load_demo(first, self._settings, self._log, self._connection, said)
