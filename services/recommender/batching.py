"""Micro-batches without a wait window: what queued during the last model run goes into the next."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

Q = TypeVar("Q")
R = TypeVar("R")

# A batch of 64 users takes the model a few ms, well inside the deadline of each.
MAX_BATCH = 64
# Eight full batches: whoever stands behind more would miss the deadline anyway.
MAX_WAITING = 512


class BusyError(Exception):
    """The queue before the model is full; answer without the model."""


class MicroBatcher(Generic[Q, R]):
    """One worker thread that runs `run` on batches; callers await their own result.

    `run` takes 1 to MAX_BATCH questions and gives one result each, in order. An error of `run` reaches
    every caller of that batch. A caller that was cancelled while it waited costs no model time.
    """

    def __init__(self, run: Callable[[Sequence[Q]], Sequence[R]], *, name: str = "model") -> None:
        self._run = run
        self._waiting: deque[tuple[Q, asyncio.Future[R]]] = deque()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._busy = False
        self._closed = False
        self.batches = 0
        self.answered = 0

    def ask(self, question: Q) -> asyncio.Future[R]:
        """Queue a question. Raises BusyError when MAX_WAITING already stand there, or after `close`."""
        if self._closed or len(self._waiting) >= MAX_WAITING:
            raise BusyError
        answer: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append((question, answer))
        if not self._busy:
            self._next()
        return answer

    def _next(self) -> None:
        batch: list[tuple[Q, asyncio.Future[R]]] = []
        while self._waiting and len(batch) < MAX_BATCH:
            question, answer = self._waiting.popleft()
            if not answer.done():
                batch.append((question, answer))
        self._busy = bool(batch)
        if not batch:
            if self._closed:
                self._thread.shutdown(wait=False)
            return
        loop = asyncio.get_running_loop()
        running = loop.run_in_executor(self._thread, self._run, [question for question, _ in batch])
        running.add_done_callback(lambda done: self._finish(done, [answer for _, answer in batch]))

    def _finish(self, done: asyncio.Future[Sequence[R]], answers: list[asyncio.Future[R]]) -> None:
        self.batches += 1
        self.answered += len(answers)
        error = asyncio.CancelledError() if done.cancelled() else done.exception()
        if error is None and len(done.result()) != len(answers):
            error = ValueError(f"{len(answers)} questions, {len(done.result())} answers")
        for index, answer in enumerate(answers):
            if answer.done():
                continue
            if isinstance(error, Exception):
                answer.set_exception(error)
            elif error is not None:
                answer.cancel()
            else:
                answer.set_result(done.result()[index])
        self._next()

    def close(self) -> None:
        """Take no more questions; what is queued is still answered, then the thread ends."""
        self._closed = True
        if not self._busy:
            self._thread.shutdown(wait=False)
