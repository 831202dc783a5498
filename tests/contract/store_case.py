"""What the store's tests share: a store to run against, and values shaped like profiles."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar

from services.kernel.position import Position
from services.kernel.settings import StoreSettings
from services.store.connection import Connection, connect
from services.store.fence import Fence

Result = TypeVar("Result")
# Only against hanging; a slow machine makes the tests slower, not red.
PATIENCE_S = 60.0


@dataclass(frozen=True)
class StoreCase:
    """A store's URL and a namespace in it."""

    url: str
    namespace: str

    @property
    def is_cluster(self) -> bool:
        """Whether keys live on several nodes."""
        return "+cluster" in self.url

    def settings(self, timeout_ms: int = 20_000) -> StoreSettings:
        """Settings with a patient timeout."""
        return StoreSettings(store_url=self.url, namespace=self.namespace, store_timeout_ms=timeout_ms)

    @asynccontextmanager
    async def connection(self, timeout_ms: int = 20_000) -> AsyncIterator[Connection]:
        """A connection, closed at the end."""
        connection = connect(self.settings(timeout_ms))
        try:
            yield connection
        finally:
            await connection.close()

    def run(self, body: Callable[[Connection], Awaitable[Result]], *, timeout_ms: int = 20_000) -> Result:
        """Run a test's body in an event loop of its own."""

        async def main() -> Result:
            async with self.connection(timeout_ms) as connection:
                return await asyncio.wait_for(body(connection), PATIENCE_S)

        return asyncio.run(main())


def fence(offset: int, partition: int = 0, generation: int = 1, check: int = 2**64 - 1) -> Fence:
    """A fence; the check uses all 64 bits."""
    return Fence(Position(generation, partition, offset), check)


def profile(
    offset: int, counter: int = 1, *, space_epoch: int = 1, version: int = 1, body: bytes = b""
) -> bytes:
    """Bytes with the header of a profile (kernel/profile.py): position, counter, space epoch."""
    header = struct.pack(
        "<BBBBHHIIqQQIHHQQ", version, 0, 6, 0, 64, 0, 1, 0, offset, counter, 7, space_epoch, 0, 0, counter, 0
    )
    assert len(header) == 64
    return header + body


async def wait_until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Poll until it holds; the caller's own timeout ends it."""
    while not await condition():
        await asyncio.sleep(0.01)
