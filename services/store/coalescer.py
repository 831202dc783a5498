"""Requests in flight share round trips: what queued while one was under way goes into the next."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import Generic, TypeVar

from services.store.errors import StoreUnavailableError

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Coalescer(Generic[Key, Value]):
    """Turns single look-ups into batched ones, without a wait window.

    `fetch` gets distinct keys and answers their values in order, e.g.
    `Coalescer(lambda subjects: profiles.read(epoch, subjects))`. One fetch is under way at a time. A value is
    always read after it was asked for (so read-your-writes holds).
    """

    def __init__(
        self,
        fetch: Callable[[Sequence[Key]], Awaitable[Sequence[Value]]],
        *,
        max_batch: int = 256,  # profiles of 9 KB: 2.3 MB a reply
        max_queued: int = 4096,  # callers; what is further back would be late anyway
    ) -> None:
        self._fetch = fetch
        self._max_batch = max_batch
        self._max_queued = max_queued
        self._queue: dict[Key, list[asyncio.Future[Value]]] = {}
        self._queued = 0
        self._task: asyncio.Task[None] | None = None

    async def get(self, key: Key) -> Value:
        """The value of one key. Raises what `fetch` raised; StoreUnavailableError when the queue is full."""
        if self._queued >= self._max_queued:
            raise StoreUnavailableError(f"{self._queued} reads of the store are waiting already")
        loop = asyncio.get_running_loop()
        # A future a caller: one that gives up takes nothing from those who share its key.
        future: asyncio.Future[Value] = loop.create_future()
        self._queue.setdefault(key, []).append(future)
        self._queued += 1
        if self._task is None:
            self._task = loop.create_task(self._run())
        return await future

    async def close(self) -> None:
        """End the fetch under way; who waits gets StoreUnavailableError."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        batch: dict[Key, list[asyncio.Future[Value]]] = {}
        try:
            while self._queue:
                batch = self._take()
                try:
                    values = await self._fetch(list(batch))
                    for waiting, value in zip(batch.values(), values, strict=True):
                        _resolve(waiting, value)
                except Exception as error:
                    _fail(batch, error)
        finally:
            self._task = None
            self._queued = 0
            for left in (batch, self._queue):
                _fail(left, StoreUnavailableError("shutting down"))
            self._queue = {}

    def _take(self) -> dict[Key, list[asyncio.Future[Value]]]:
        if len(self._queue) <= self._max_batch:
            batch, self._queue = self._queue, {}
        else:
            batch = {key: self._queue.pop(key) for key in list(self._queue)[: self._max_batch]}
        self._queued -= sum(map(len, batch.values()))
        return batch


def _resolve(waiting: list[asyncio.Future[Value]], value: Value) -> None:
    for future in waiting:
        if not future.done():
            future.set_result(value)


def _fail(batch: dict[Key, list[asyncio.Future[Value]]], error: Exception) -> None:
    for waiting in batch.values():
        for future in waiting:
            if not future.done():
                future.set_exception(error)
