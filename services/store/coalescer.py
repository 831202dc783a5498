"""Requests in flight share round trips: what queued while one was under way goes into the next."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import Generic, TypeVar

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
        max_batch: int = 256,
        max_queued: int = 4096,
    ) -> None:
        raise NotImplementedError

    async def get(self, key: Key) -> Value:
        """The value of one key. Raises what `fetch` raised; StoreUnavailableError when the queue is full."""
        raise NotImplementedError

    async def close(self) -> None:
        """End the fetch under way; who waits gets StoreUnavailableError."""
        raise NotImplementedError
