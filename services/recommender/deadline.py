"""The time that one answer may take, carried through all of its stages."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from typing import TypeVar

T = TypeVar("T")


class LateError(Exception):
    """The deadline passed before this stage had its result."""


class Deadline:
    """A moment on the monotonic clock, and the marks of the stages that led to it."""

    __slots__ = ("_marked_s", "ends_s", "stages_ms", "started_s")

    def __init__(self, length_ms: float, started_s: float | None = None) -> None:
        self.started_s = time.perf_counter() if started_s is None else started_s
        self.ends_s = self.started_s + length_ms / 1000
        self.stages_ms: dict[str, float] = {}
        self._marked_s = self.started_s

    def left_s(self) -> float:
        """Seconds until the deadline; never negative."""
        return max(0.0, self.ends_s - time.perf_counter())

    def part(self, share: float) -> float:
        """A share (0–1) of the seconds left: what one stage may take, so that the next has time too."""
        return self.left_s() * share

    def mark(self, stage: str) -> None:
        """Add the time since the last mark to a stage."""
        now_s = time.perf_counter()
        self.stages_ms[stage] = self.stages_ms.get(stage, 0.0) + (now_s - self._marked_s) * 1000
        self._marked_s = now_s

    def server_timing(self) -> str:
        """The `Server-Timing` header: `store;dur=…, model;dur=…, rank;dur=…, total;dur=…`, in ms."""
        total_ms = (time.perf_counter() - self.started_s) * 1000
        stages = [f"{stage};dur={ms:.2f}" for stage, ms in self.stages_ms.items()]
        return ", ".join([*stages, f"total;dur={total_ms:.2f}"])


async def within(work: Awaitable[T], seconds: float) -> T:
    """The result of `work`, or LateError (and `work` cancelled) after `seconds`."""
    try:
        async with asyncio.timeout(seconds):
            return await work
    except TimeoutError:
        raise LateError from None
