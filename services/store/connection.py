"""The one way to the servers: by URL, single node or cluster, bounded in time, scripts by their hash."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Sequence
from typing import Any

from redis.exceptions import RedisError

from services.kernel.settings import StoreSettings
from services.store.checks import Memory, check_node, parse_info, parse_memory
from services.store.delivery import RETRY_DELAYS_S, Delivery
from services.store.errors import StoreError
from services.store.explain import explain
from services.store.keys import Keys
from services.store.routing import ClusterRouter, Router, SingleRouter
from services.store.url import read_url


class Connection:
    """A few links to one node, or to each node of a cluster. Safe for many tasks of one event loop.

    Connects on first use, connects again after a loss. Every call ends within `store_timeout_ms`. Raises only
    StoreUnavailableError and StoreMisconfiguredError. A command may run twice when a link breaks, so only
    commands that may are sent here.
    """

    def __init__(self, settings: StoreSettings) -> None:
        self.timeout_s = settings.store_timeout_ms / 1000
        target = read_url(settings.store_url, self.timeout_s)
        self.keys = Keys(settings.namespace)
        self.is_cluster = target.is_cluster
        self.text = target.text
        self._links_opened = 0
        self._identity = ""
        self._identity_at = -1
        self.router: Router = (
            ClusterRouter(target.make, self._opened, self.timeout_s / 4)  # time to ask a second and a third
            if target.is_cluster
            else SingleRouter(target.make, self._opened)
        )

    async def check(self) -> list[str]:
        """Look at version and eviction policy of every primary; answers warnings for people.

        Raises StoreMisconfiguredError (older than Redis 7.2 or Valkey 8, policy other than noeviction) and
        StoreUnavailableError. What a managed server forbids to ask becomes a warning.
        """
        await self.ping()
        warnings: list[str] = []
        for node in self.router.primaries():
            where = f"the store at {self.text}" + (f" (node {node.name})" if self.is_cluster else "")
            try:
                async with asyncio.timeout(self.timeout_s):
                    warnings += await check_node(node, where)
            except (RedisError, OSError, TimeoutError) as error:
                raise self._explain(error) from error
        return warnings

    async def ping(self) -> None:
        """Raise unless the store answers now (readiness)."""
        await self._on_primaries(("PING",))

    async def identity(self) -> str:
        """Which server processes are behind this connection; changes with every restart and failover of a
        primary. Asks the servers only when a link was opened since the last time."""
        while self._identity_at != self._links_opened:
            opened = self._links_opened
            infos = [parse_info(reply) for reply in await self._on_primaries(("INFO", "server"))]
            runs = ",".join(sorted(info.get("run_id", "?") for info in infos))
            self._identity = hashlib.blake2b(runs.encode(), digest_size=8).hexdigest()
            self._identity_at = opened
        return self._identity

    async def memory(self) -> list[Memory]:
        """What each primary uses of what it may; nothing of one that does not tell."""
        return [
            found for reply in await self._on_primaries(("INFO", "memory")) if (found := parse_memory(reply))
        ]

    async def execute(self, *command: Any) -> Any:
        """One command."""
        return (await self.pipeline([command]))[0]

    async def pipeline(self, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Many commands in one round trip (one a node), not atomic. The first error reply is raised.

        What a broken link, a redirection or an unknown script left open is sent again, and only that.
        """
        if not commands:
            return []
        try:
            async with asyncio.timeout(self.timeout_s):
                replies = await Delivery(self.router, commands).run()
        except TimeoutError as error:
            await self.router.mend()  # a server that froze sends no redirection: look for its successor
            raise self._explain(error) from error
        for reply in replies:
            if isinstance(reply, Exception):
                raise self._explain(reply) from reply
        return replies

    async def scan(self, pattern: bytes, batch: int) -> AsyncIterator[list[bytes]]:
        """Keys that match, on all primaries, some `batch` at a time; a key may come twice."""
        await self.ping()
        for node in self.router.primaries():
            cursor = b"0"
            while True:
                try:
                    async with asyncio.timeout(self.timeout_s):
                        command = ("SCAN", cursor, "MATCH", pattern, "COUNT", batch)
                        reply = (await node.exchange([command]))[0]
                except (RedisError, OSError, TimeoutError) as error:
                    raise self._explain(error) from error
                if isinstance(reply, Exception):
                    raise self._explain(reply) from reply
                cursor, keys = reply
                if keys:
                    yield keys
                if cursor == b"0":
                    break

    async def close(self) -> None:
        """Let go of everything."""
        await self.router.mend()

    async def _on_primaries(self, command: tuple[Any, ...]) -> list[Any]:
        """One command without a key on every primary; the replies in the order of the nodes' names."""
        try:
            async with asyncio.timeout(self.timeout_s):
                outcomes = await self._retry_on_primaries(command)
        except (RedisError, OSError, TimeoutError) as error:
            await self.router.mend()
            raise self._explain(error) from error
        for (reply,) in outcomes:
            if isinstance(reply, Exception):
                raise self._explain(reply) from reply
        return [reply for (reply,) in outcomes]

    async def _retry_on_primaries(self, command: tuple[Any, ...]) -> list[list[Any]]:
        for delay_s in RETRY_DELAYS_S:
            try:
                await self.router.ready()
                nodes = self.router.primaries()
                return await asyncio.gather(*(node.exchange([command]) for node in nodes))
            except (RedisError, OSError):
                await self.router.mend()
                await asyncio.sleep(delay_s)
        await self.router.ready()
        return [await node.exchange([command]) for node in self.router.primaries()]

    def _opened(self) -> None:
        self._links_opened += 1

    def _explain(self, error: Exception) -> StoreError:
        return explain(error, self.text, self.is_cluster, self.timeout_s)


def connect(settings: StoreSettings) -> Connection:
    """A connection for `store_url`: valkey://, redis://, rediss://, valkeys://, unix:///path (one node) or
    valkey+cluster://, redis+cluster://, rediss+cluster://. Opens nothing yet.

    Raises StoreMisconfiguredError for a URL that it cannot read.
    """
    return Connection(settings)
