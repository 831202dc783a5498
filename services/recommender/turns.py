"""Whose turn it is on the one thread that answers: who waits for an answer goes before who sends e-mails."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

# Users of batches being answered, over all calls. One alone leaves the thread idle while it waits for the
# store; of more, who waits for an answer meanwhile waits for what each has to compute, 1 ms or so. Beside 100
# visitors a second four make a batch no faster, and the visitors' p99 twice as long (make bench-batch).
AT_ONCE: Final = 2
# A busy service answers nobody else for long: then a batch goes on with one user in this time.
PATIENCE_S: Final = 0.02


class Turns:
    """Interactive answers begin at once; a user of a batch when none of those is being made."""

    def __init__(self) -> None:
        self._asking = 0
        self._quiet = asyncio.Event()
        self._quiet.set()
        self._places = asyncio.Semaphore(AT_ONCE)

    def enter(self) -> None:
        """Somebody waits for an answer. Once for each, with `leave` after it."""
        self._asking += 1
        self._quiet.clear()

    def leave(self) -> None:
        """The answer is made."""
        self._asking -= 1
        if not self._asking:
            self._quiet.set()

    @asynccontextmanager
    async def of_batch(self) -> AsyncIterator[None]:
        """A turn for one user of a batch."""
        async with self._places:
            await asyncio.sleep(0)  # what has come in meanwhile is seen
            if self._asking:
                try:
                    async with asyncio.timeout(PATIENCE_S):
                        await self._quiet.wait()
                except TimeoutError:
                    pass
            yield
