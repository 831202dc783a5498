"""Queues between the callers of `append` and a log, the same for every adapter.

What queued while one call to the log was under way goes into the next; there is no wait window. A caller that
waits no longer takes back what has not been sent, so that only what the log may have is `unknown`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from typing import Generic, TypeVar

from services.log.protocol import Append, LogError, LogUnavailableError

Payload = TypeVar("Payload")
Row = tuple[int, int, Payload]  # index in the append, partition, what is sent


class Piece(Generic[Payload]):
    """Part of one `append`, small enough for one call to the log."""

    __slots__ = ("bytes", "lane", "outcomes", "partitions", "resolved", "rows", "taken")

    def __init__(self, lane: Lane[Payload], partitions: int) -> None:
        self.lane = lane
        self.partitions = partitions  # of the topic, as the rows were placed
        self.rows: list[Row[Payload]] = []
        self.bytes = 0
        self.taken = False  # by a call that is under way or over
        self.resolved: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.outcomes: list[Append] | None = None  # one a row

    def resolve(self, outcomes: list[Append]) -> None:
        """Tell the caller, unless it has given up."""
        if self.outcomes is None:
            self.outcomes = outcomes
        if not self.resolved.done():
            self.resolved.set_result(None)


class Lane(Generic[Payload]):
    """One queue in order, emptied by one call to the log at a time."""

    def __init__(
        self,
        send: Callable[[list[Piece[Payload]]], Awaitable[list[Append]]],
        records_max: int,
        bytes_max: int,
    ) -> None:
        self._send = send  # one outcome a row, or LogError for all of them
        self.records_max = records_max
        self._bytes_max = bytes_max
        self._queue: deque[Piece[Payload]] = deque()
        self._task: asyncio.Task[None] | None = None
        self.in_flight_bytes = 0
        self.stopped = False

    def put(self, piece: Piece[Payload]) -> None:
        """Queue a piece. Raises LogUnavailableError when stopped."""
        if self.stopped:
            raise LogUnavailableError("the producer is stopped")
        self._queue.append(piece)
        self.in_flight_bytes += piece.bytes
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._empty())

    def withdraw(self, piece: Piece[Payload]) -> None:
        """Take back what was not sent."""
        if not piece.taken:
            self._queue.remove(piece)
            self.in_flight_bytes -= piece.bytes

    async def stop(self, timeout_s: float) -> None:
        """Send what is queued, for `timeout_s` at most."""
        self.stopped = True
        if self._task is not None:
            _, late = await asyncio.wait([self._task], timeout=timeout_s)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        stopped = LogUnavailableError("the producer stopped before this was sent")
        while self._queue:
            piece = self._queue.popleft()
            self.in_flight_bytes -= piece.bytes
            piece.resolve([Append(None, stopped)] * len(piece.rows))

    async def _empty(self) -> None:
        while self._queue:
            batch = self._take()
            error: LogError = LogUnavailableError("the producer stopped", unknown=True)
            outcomes: list[Append] | None = None
            try:
                outcomes = await self._send(batch)
            except LogError as failure:
                error = failure
            finally:
                at = 0
                for piece in batch:
                    end = at + len(piece.rows)
                    self.in_flight_bytes -= piece.bytes
                    piece.resolve(outcomes[at:end] if outcomes else [Append(None, error)] * (end - at))
                    at = end

    def _take(self) -> list[Piece[Payload]]:
        """The next pieces that fit one call, at least one."""
        batch: list[Piece[Payload]] = []
        records = size = 0
        while self._queue:
            piece = self._queue[0]
            records += len(piece.rows)
            size += piece.bytes
            fits = records <= self.records_max and size <= self._bytes_max
            if batch and not (fits and piece.partitions == batch[0].partitions):
                break
            piece.taken = True
            batch.append(self._queue.popleft())
        return batch


def cut(
    rows: Iterable[tuple[Row[Payload], int]],
    lane: Lane[Payload],
    partitions: int,
    records_max: int,
    bytes_max: int,
) -> list[Piece[Payload]]:
    """Rows with their sizes in bytes, cut into pieces of at most that many records and bytes."""
    pieces: list[Piece[Payload]] = []
    piece: Piece[Payload] | None = None
    for row, size in rows:
        if piece is None or len(piece.rows) >= records_max or piece.bytes + size > bytes_max:
            piece = Piece(lane, partitions)
            pieces.append(piece)
        piece.rows.append(row)
        piece.bytes += size
    return pieces


async def append_pieces(
    prepare: Callable[[dict[int, Append]], Awaitable[list[Piece[Payload]]]], count: int, timeout_ms: int
) -> list[Append]:
    """Queue what `prepare` makes and wait; `count` outcomes, in order of the drafts.

    `prepare` answers the pieces and enters outcomes that are known already; a LogError of its own means that
    nothing was queued.
    """
    outcomes: dict[int, Append] = {}
    pieces: list[Piece[Payload]] = []
    late = f"the event log did not answer within {timeout_ms} ms"
    missing = Append(None, LogUnavailableError(late))
    try:
        async with asyncio.timeout(timeout_ms / 1000):
            prepared = await prepare(outcomes)
            for piece in prepared:
                piece.lane.put(piece)
                pieces.append(piece)
            for piece in pieces:
                await piece.resolved
    except TimeoutError:
        pass
    except LogError as error:
        missing = Append(None, error)
    for piece in pieces:
        if piece.outcomes is None:
            piece.lane.withdraw(piece)
            overdue = LogUnavailableError(late, unknown=piece.taken)
            piece.outcomes = [Append(None, overdue)] * len(piece.rows)
        for (index, _, _), outcome in zip(piece.rows, piece.outcomes, strict=True):
            outcomes[index] = outcome
    return [outcomes.get(index, missing) for index in range(count)]
