"""Closing aiokafka's clients, whose `stop` waits for ever, or ends half-way, while the broker is away."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

# Flushing, or leaving a group, takes milliseconds with a broker, and will not happen without one.
_STOP_TIMEOUT_S = 5.0
_PART_TIMEOUT_S = 1.0


async def close_producer(client: AIOKafkaProducer) -> None:
    """Flush for a bounded time."""
    if not await _ended(client.stop(), _STOP_TIMEOUT_S):
        if client._sender is not None:
            await _ended(client._sender.close(), _PART_TIMEOUT_S)
        await _ended(client.client.close(), _PART_TIMEOUT_S)


async def close_consumer(client: AIOKafkaConsumer) -> None:
    """Leave the group, for a bounded time."""
    if await _ended(client.stop(), _STOP_TIMEOUT_S):
        return
    coordinator = client._coordinator
    for name in ("_stop_heartbeat_task", "_stop_commit_offsets_refresh_task"):
        if hasattr(coordinator, name):
            await _ended(getattr(coordinator, name)(), _PART_TIMEOUT_S)
    if client._fetcher is not None:
        await _ended(client._fetcher.close(), _PART_TIMEOUT_S)
    await _ended(client._client.close(), _PART_TIMEOUT_S)


async def _ended(work: Coroutine[Any, Any, object], timeout_s: float) -> bool:
    """Whether it came to its end in time. In a task of its own: the client lets a cancellation of its inner
    tasks out of `stop`, which must not look like ours."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait([task], timeout=timeout_s)
    finally:
        task.cancel()
    await asyncio.wait([task], timeout=_PART_TIMEOUT_S)
    return task.done() and not task.cancelled() and task.exception() is None
