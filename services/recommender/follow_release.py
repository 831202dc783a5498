"""Follows the live release: loads and warms the new one beside the old one, then swaps."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

from services.kernel.bank import Space
from services.kernel.event_type import EventTypes
from services.kernel.release import MANIFEST_FILE, NoReleaseError, ReleaseError
from services.ranking.inputs import ModelQuestion
from services.ranking.model import ModelAnswer, OnnxModel
from services.recommender.batching import MicroBatcher
from services.release.files import Release, open_release, verify_files
from services.release.source import ReleaseSource

log = logging.getLogger(__name__)

# A refused release may have been half copied: it is looked at again, but not at every poll.
RETRY_REFUSED_S = 30.0
# A faster model runs on the event loop: a hop to a thread and back takes as much CPU, and adds to latency.
INLINE_BELOW_S = 0.0005
# The request that woke the service is answered first.
PROVE_AFTER_S = 0.5
HISTORY = 20  # what GET /releases tells


@dataclass(frozen=True, slots=True)
class Serving:
    """A release in use: its model, the queue before it, its space and the weights of its events."""

    release: Release
    model: OnnxModel
    batcher: MicroBatcher[ModelQuestion, ModelAnswer]
    space: Space
    types: EventTypes
    loaded_at_ms: int
    took_ms: float


class Refusal(NamedTuple):
    """A release that was not taken, and why."""

    name: str
    reason: str
    at_ms: int


async def _nothing_to_prepare(_release: Release) -> None:
    pass


class ReleaseFollower:
    """`serving` is the release in use, None until the first is loaded.

    `prepare` is awaited before a swap, `swapped` called on the event loop right after it (with None when the
    release is withdrawn), `counted` with "loaded" or "refused".

    The first release is taken as it lies, its sizes checked: whoever promoted or fetched it has hashed it,
    and a start would take twice as long. It is hashed right after, and withdrawn should it be another than
    its manifest says. Every later one is hashed before it is taken.
    """

    def __init__(
        self,
        source: ReleaseSource,
        poll_ms: int,
        *,
        custom_types: str = "",
        prepare: Callable[[Release], Awaitable[None]] = _nothing_to_prepare,
        swapped: Callable[[Serving | None], None] = lambda _: None,
        counted: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._source = source
        self._poll_s = poll_ms / 1000
        self._custom_types = custom_types
        self._prepare = prepare
        self._swapped = swapped
        self._counted = counted
        self._retry_at_s = 0.0
        self._unproven: Serving | None = None  # taken in a hurry: its files are not hashed yet
        self.serving: Serving | None = None
        self.live_name: str | None = None
        self.trouble: str | None = "no release has been looked for yet"
        self.refused: deque[Refusal] = deque(maxlen=HISTORY)
        self.before: deque[tuple[str, int]] = deque(maxlen=HISTORY)

    async def look(self) -> bool:
        """Look once at the live pointer and take what is new there. True: swapped. Never raises for releases.

        1. Read the pointer; nothing to do for the one in use, or for one refused a moment ago.
        2. Fetch, check, load and warm the new one in a thread, beside the old one.
        3. Swap on the event loop; the old one answers what is queued before it, then goes.
        """
        name = "live"  # until the pointer says more
        try:
            # 1.
            name = await asyncio.to_thread(self._source.live_name)
            if name != self.live_name:
                self.live_name, self._retry_at_s = name, 0.0
            if self.serving is not None and self.serving.release.name == name:
                self.trouble = None
                return False
            if time.monotonic() < self._retry_at_s:
                return False
            # 2.
            hurry = self.serving is None and not self.refused
            serving = await asyncio.to_thread(self._load, hurry)
            await self._prepare(serving.release)
        except NoReleaseError as error:
            self._note(str(error))
            return False
        except Exception as error:
            # Anything a broken release can throw (onnxruntime's own errors too) leaves the old one serving.
            self._refuse(name, error)
            return False
        # 3.
        old, self.serving = self.serving, serving
        self._swapped(serving)
        self._unproven = serving if hurry else None
        self.trouble = None
        if old is not None:
            old.batcher.close()
            self.before.append((old.release.name, old.loaded_at_ms))
        self._counted("loaded")
        log.info("release %s is in use, loaded in %.0f ms", serving.release.name, serving.took_ms)
        return True

    def _load(self, hurry: bool) -> Serving:
        started_s = time.perf_counter()
        release = open_release(self._source.live(), verify=not hurry)
        model = OnnxModel(release, self._custom_types, hurry=hurry)
        return Serving(
            release=release,
            model=model,
            batcher=_batcher_of(model),
            space=release.space.at(0),
            types=EventTypes(self._custom_types, release.event_weights),
            loaded_at_ms=time.time_ns() // 1_000_000,
            took_ms=(time.perf_counter() - started_s) * 1000,
        )

    async def _prove(self, serving: Serving) -> None:
        """Do for a release taken in a hurry what is done for all others before."""
        try:
            await asyncio.to_thread(_prove, serving)
        except Exception as error:
            if not (serving.release.path / MANIFEST_FILE).exists():
                log.warning("release %s was removed before it was hashed; it serves on", serving.release.name)
                return
            self._refuse(serving.release.name, error)
            if self.serving is serving:
                self.serving = None
                self._swapped(None)
                serving.batcher.close()
            return
        batcher = _batcher_of(serving.model)
        if self.serving is serving and batcher.inline != serving.batcher.inline:  # it is timed better now
            self.serving = replace(serving, batcher=batcher)
            serving.batcher.close()

    def _refuse(self, name: str, error: Exception) -> None:
        reason = str(error) or type(error).__name__
        self._retry_at_s = time.monotonic() + RETRY_REFUSED_S
        if not self.refused or (self.refused[-1].name, self.refused[-1].reason) != (name, reason):
            self.refused.append(Refusal(name, reason, time.time_ns() // 1_000_000))
            self._counted("refused")
            expected = isinstance(error, ReleaseError | OSError)
            log.error("release %s is refused: %s", name, reason, exc_info=None if expected else error)
        self._note(f"release {name} is refused: {reason}", logged=True)

    def _note(self, trouble: str, *, logged: bool = False) -> None:
        if trouble != self.trouble and not logged:
            log.warning("%s", trouble)
        self.trouble = trouble

    async def run(self) -> None:
        """Look again every poll interval, for ever."""
        while True:
            unproven, self._unproven = self._unproven, None
            if unproven is not None:
                await asyncio.sleep(PROVE_AFTER_S)
                await self._prove(unproven)
            await self.look()
            await asyncio.sleep(self._poll_s)

    def close(self) -> None:
        """Take no more questions."""
        if self.serving is not None:
            self.serving.batcher.close()


def _batcher_of(model: OnnxModel) -> MicroBatcher[ModelQuestion, ModelAnswer]:
    return MicroBatcher(model.run, name=f"model-{model.release.name}", inline=model.run_s < INLINE_BELOW_S)


def _prove(serving: Serving) -> None:
    verify_files(serving.release.path, serving.release.manifest)
    serving.model.complete()
