"""Server-sent events: a fresh list at once, and again whenever a profile behind it has changed.

A burst of changes is at most one pending computation: what is announced while a list is made is one change.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, suppress

from starlette.types import Receive, Scope, Send

from services.kernel.problem import Problem, ProblemError
from services.recommender.answer import Answer, answer, to_json
from services.recommender.deadline import Deadline, LateError, within
from services.recommender.query import Query
from services.recommender.state import State
from services.recommender.streamed import Streamed
from services.recommender.traced import begin_list, end_list
from services.store.errors import StoreError
from services.store.trigger import Subscription

log = logging.getLogger(__name__)

# Proxies close connections that are silent for 30 to 60 s; a comment keeps them open.
HEARTBEAT_S = 15.0
# How long a browser waits before it connects again; short, since the stream ends on purpose.
RETRY_MS = 500
# While the store is away nothing is announced, and subscribing is tried again.
RESUBSCRIBE_S = 1.0
# The first list does not wait longer than this for a store that is away.
SUBSCRIBE_S = 0.2
HEADERS = {"cache-control": "no-store"}


class EventStream(Streamed):
    """The answer that streams one question.

    Each event is a whole list, so `Last-Event-ID` needs no replay: whoever comes back gets a fresh one.
    """

    def __init__(self, state: State, asked: Callable[[], Query]) -> None:
        """`asked` reads the question by the scenarios as they are then. Raises ProblemError: 503 when as many
        streams are open as are allowed, and what is wrong with the question.
        """
        if state.streams >= state.settings.max_streams:
            detail = f"{state.streams} streams are open here, as many as FRESHET_MAX_STREAMS allows"
            raise ProblemError(Problem(503, "too_many_streams", detail, retry_after_s=5))
        query = asked()
        super().__init__(lambda: _events(state, query, asked), "text/event-stream", HEADERS)
        self._state = state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send events until they end or the client goes, whichever is first."""
        self._state.streams += 1
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._state.streams -= 1


async def _events(state: State, query: Query, asked: Callable[[], Query]) -> AsyncGenerator[bytes, None]:
    """1. Listen. 2. Make a list. 3. Wait for a change, with heartbeats. 4. End, saying how to go on."""
    ends_s = time.monotonic() + state.settings.stream_max_s
    yield f"retry: {RETRY_MS}\n\n".encode()
    event_id = "0"
    async with _Listening(state, query.subjects) as listening:
        while True:
            # 1. and 2.
            await listening.subscribe()
            span = begin_list(state.tracer, listening.take_traces())
            until = Deadline(state.settings.deadline_ms)
            answered = await answer(state, query, until)
            event_id = _event_id(answered)
            yield b"id: %b\ndata: %b\n\n" % (event_id.encode(), to_json(answered))
            end_list(state.tracer, span, answered, query, until)
            # 3.
            while not (changed := await listening.wait(min(HEARTBEAT_S, ends_s - time.monotonic()))):
                if state.stopping.is_set() or time.monotonic() >= ends_s:
                    break
                yield b": still here\n\n"
            # 4.
            if not changed or state.stopping.is_set() or time.monotonic() >= ends_s:
                break
            with suppress(
                ProblemError
            ):  # its scenario has gone from the file: as before, to the stream's end
                query = asked()
    yield f"id: {event_id}\nretry: {RETRY_MS}\nevent: end\ndata: {{}}\n\n".encode()


def _event_id(answered: Answer) -> str:
    return str(answered.position) if answered.position is not None else "0"


class _Listening:
    """The subscriptions of one stream, as far as the store lets it have them."""

    def __init__(self, state: State, subjects: tuple[str, ...]) -> None:
        self._state = state
        self._subjects = subjects
        self._stack = AsyncExitStack()
        self._changes: dict[str, Subscription] = {}

    async def __aenter__(self) -> _Listening:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def subscribe(self) -> None:
        """Subscribe to what is not subscribed to yet; without the store, later."""
        for subject in self._subjects:
            if subject in self._changes:
                continue
            try:
                subscription = self._state.trigger.subscribe(subject)
                entering = self._stack.enter_async_context(subscription)
                self._changes[subject] = await within(entering, SUBSCRIBE_S)
            except (StoreError, LateError) as error:
                log.info("a stream listens to nothing for now: %s", error or "the store is late")

    def take_traces(self) -> list[str]:
        """The `traceparent` of what was announced since they were taken last, the newest last."""
        taken: list[str] = []
        for change in self._changes.values():
            taken += change.traces
            change.traces = []
        return taken

    async def wait(self, timeout_s: float) -> bool:
        """True: something may have changed. False: nothing did, or the service stops."""
        timeout_s = max(0.0, timeout_s)
        if len(self._changes) < len(self._subjects):
            await self._pause(min(RESUBSCRIBE_S, timeout_s))
            return timeout_s > RESUBSCRIBE_S and not self._state.stopping.is_set()
        waiting = [asyncio.create_task(change.wait(timeout_s)) for change in self._changes.values()]
        stopping = asyncio.create_task(self._state.stopping.wait())
        try:
            await asyncio.wait({*waiting, stopping}, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
            return any(task.done() and not task.cancelled() and task.result() for task in waiting)
        finally:
            for task in (*waiting, stopping):
                task.cancel()
            await asyncio.gather(*waiting, stopping, return_exceptions=True)

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._state.stopping.wait()
        except TimeoutError:
            pass
