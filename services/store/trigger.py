"""Hears that a subject's profile has changed: the downstream trigger of `after=` and of streams."""

from __future__ import annotations

from types import TracebackType

from services.kernel.position import Position
from services.store.connection import Connection


class Subscription:
    """One listener. `async with trigger.subscribe(subject) as changes:` then read the profile, then wait.

    Entering returns when the server has confirmed, so a change after that is heard. Raises
    StoreUnavailableError when it does not confirm in time or too many subjects are listened to.
    """

    position: Position | None  # the newest that was announced

    async def __aenter__(self) -> Subscription:
        raise NotImplementedError

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        raise NotImplementedError

    async def wait(self, timeout_s: float) -> bool:
        """Wait for an announcement since the last wait returned (or since entering). False: none came.

        Also True after a lost connection was restored: something may have been announced meanwhile, so read
        the profile again. Never raises for a store that is away.
        """
        raise NotImplementedError


class Trigger:
    """One connection a process (one a node on a cluster), opened on the first subscription. Survives restarts
    and failovers of the store: it connects and subscribes again, and wakes all listeners."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def subscribe(self, subject: str) -> Subscription:
        """A listener for one subject; any number may share a subject."""
        raise NotImplementedError

    async def close(self) -> None:
        """Let go of the connections; listeners wait in vain from now on."""
        raise NotImplementedError
