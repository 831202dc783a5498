"""The one way to the servers: by URL, single node or cluster, bounded in time, scripts by their hash."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from services.kernel.settings import StoreSettings
from services.store.keys import Keys


class Connection:
    """A pool of connections to one node or a cluster. Safe for many tasks of one event loop.

    Connects on first use, connects again after a loss. Every call ends within `store_timeout_ms`. Raises only
    StoreUnavailableError and StoreMisconfiguredError.
    """

    keys: Keys
    is_cluster: bool

    async def check(self) -> list[str]:
        """Look at version and eviction policy of every primary; answers warnings for people.

        Raises StoreMisconfiguredError (older than Redis 7.2 or Valkey 8, policy other than noeviction) and
        StoreUnavailableError. What a managed server forbids to ask becomes a warning.
        """
        raise NotImplementedError

    async def ping(self) -> None:
        """Raise unless the store answers now (readiness)."""
        raise NotImplementedError

    async def identity(self) -> str:
        """Which server processes are behind this connection; changes with every restart and failover of a
        primary. Asks the servers only when a connection was opened since the last time."""
        raise NotImplementedError

    async def execute(self, *command: Any) -> Any:
        """One command."""
        raise NotImplementedError

    async def pipeline(self, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Many commands in one round trip (one a node), not atomic. The first error reply is raised."""
        raise NotImplementedError

    async def close(self) -> None:
        """Let go of everything."""
        raise NotImplementedError


def connect(settings: StoreSettings) -> Connection:
    """A connection for `store_url`: valkey://, redis://, rediss://, valkeys://, unix:///path (all single node)
    or valkey+cluster://, redis+cluster://, rediss+cluster://. Opens nothing yet.

    Raises StoreMisconfiguredError for a URL that it cannot read.
    """
    raise NotImplementedError
