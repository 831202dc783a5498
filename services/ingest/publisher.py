"""The way to the log: within bounds of memory and time, whatever the log does."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from time import perf_counter
from typing import Final

from services.ingest.traced import Sending
from services.kernel.metrics import INGEST_ACK, INGEST_IN_FLIGHT_BYTES, INGEST_RECORDS, Metrics
from services.log.drafts import draft_bytes
from services.log.protocol import Append, Draft, LogError, LogUnavailableError, Producer, Topic

_log = logging.getLogger(__name__)

# What a waiting request and each of its entries cost beside the records' own bytes (measured: task, scope and
# connection about 12 KiB; draft, headers and id about 400 B).
_REQUEST_BYTES: Final = 16_384
_ENTRY_BYTES: Final = 512
_FIRST_CONNECT_S: Final = 5.0  # a start waits that long for the log, then goes on without it, not ready
_RECONNECT_MIN_S: Final = 0.1
_RECONNECT_MAX_S: Final = 2.0
_STOP_S: Final = 10.0  # within the server's 20 s to drain


def _nobody_asks() -> None:
    pass


class Publisher:
    """Appends to the log for all requests of a process. `connected` is called when the log is there,
    `acknowledged` whenever it has taken something.
    """

    def __init__(
        self,
        producer: Producer,
        ack_timeout_ms: int,
        max_in_flight_bytes: int,
        metrics: Metrics,
        *,
        connected: Callable[[], None] = _nobody_asks,
        acknowledged: Callable[[], None] = _nobody_asks,
        sending: Sending | None = None,
    ) -> None:
        self._producer = producer
        self._sending = sending  # None: no traces
        self._connected, self._acknowledged = connected, acknowledged
        self._ack_timeout_ms = ack_timeout_ms
        self._max_in_flight_bytes = max_in_flight_bytes
        self._waiting_bytes = 0
        self._connecting: asyncio.Task[None] | None = None
        self._trouble: str | None = "the event log has not been reached yet"
        self._ack = {topic: metrics.histogram(INGEST_ACK).labels(topic.value) for topic in Topic}
        records = metrics.counter(INGEST_RECORDS)
        self._count = {
            (topic, outcome): records.labels(topic.value, outcome)
            for topic in (Topic.EVENTS, Topic.ITEMS)
            for outcome in ("accepted", "refused", "unknown")
        }
        metrics.gauge(INGEST_IN_FLIGHT_BYTES).set_function(lambda: float(producer.in_flight_bytes))

    async def start(self) -> None:
        """Connect; when the log is away, go on and keep trying."""
        self._connecting = asyncio.create_task(self._connect())
        await asyncio.wait({self._connecting}, timeout=_FIRST_CONNECT_S)

    async def _connect(self) -> None:
        pause_s = _RECONNECT_MIN_S
        while True:
            try:
                await self._producer.start()
            except Exception as error:
                told = str(error) or type(error).__name__
                if not isinstance(error, LogError):
                    _log.exception("connecting to the event log failed")
                elif told != self._trouble:  # once, not at every attempt
                    _log.error("no event log: %s", told)
                self._trouble = told
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 2, _RECONNECT_MAX_S)
            else:
                self._trouble = None
                self._connected()
                return

    async def publish(self, topic: Topic, drafts: Sequence[Draft], entries: int = 1) -> list[Append]:
        """One outcome per draft, within the acknowledgement timeout. `entries` counts what the request holds.

        1. Refuse at once while there is no log.
        2. Refuse at once when what waits and what is in flight would pass the bound.
        3. Append, and count the outcomes.
        """
        # 1.
        if self._trouble is not None:
            return self._refuse(topic, drafts, LogUnavailableError(self._trouble))
        # 2.
        size = sum(map(draft_bytes, drafts))
        overhead = _REQUEST_BYTES + _ENTRY_BYTES * entries
        held = self._producer.in_flight_bytes + self._waiting_bytes
        if held + size + overhead > self._max_in_flight_bytes:
            return self._refuse(topic, drafts, LogError("too much waits for the event log; try again"))
        # 3.
        self._waiting_bytes += overhead
        started_s = perf_counter()
        try:
            appends = await self._append(topic, drafts)
        finally:
            self._waiting_bytes -= overhead
        self._ack[topic].observe(perf_counter() - started_s)
        for append in appends:
            self._count[topic, _outcome(append)].inc()
        if appends and appends[0].position is not None:
            self._acknowledged()
        return appends

    async def _append(self, topic: Topic, drafts: Sequence[Draft]) -> list[Append]:
        span = self._sending.begin(topic, len(drafts)) if self._sending is not None else None
        if span is None:
            return await self._producer.append(topic, drafts, self._ack_timeout_ms)
        appends: list[Append] = []
        try:
            carrying = span.carrying(drafts)
            appends = await self._producer.append(topic, carrying, self._ack_timeout_ms)
            return appends
        finally:
            span.end(appends)

    def _refuse(self, topic: Topic, drafts: Sequence[Draft], error: LogError) -> list[Append]:
        self._count[topic, "refused"].inc(len(drafts))
        return [Append(None, error)] * len(drafts)

    async def ready(self) -> None:
        """Raise LogUnavailableError unless an append would work now."""
        if self._trouble is not None:
            raise LogUnavailableError(self._trouble)
        await self._producer.ready()

    async def stop(self) -> None:
        """Flush for a bounded time, then let go."""
        if self._connecting is not None and not self._connecting.done():
            self._connecting.cancel()
            with suppress(asyncio.CancelledError):
                await self._connecting
        try:
            async with asyncio.timeout(_STOP_S):
                await self._producer.stop()
        except TimeoutError:
            _log.warning("the event log did not take leave within %.0f s", _STOP_S)


def _outcome(append: Append) -> str:
    if append.position is not None:
        return "accepted"
    return "unknown" if append.error is not None and append.error.unknown else "refused"
