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
# On the event loop a batch holds up everybody else: some 1 ms at most.
MAX_INLINE_BATCH = 8
# Eight full batches: whoever stands behind more would miss the deadline anyway.
MAX_WAITING = 512


class BusyError(Exception):
    """The queue before the model is full; answer without the model."""


class MicroBatcher(Generic[Q, R]):
    """Runs `run` on batches; callers await their own result. A worker thread runs it, or the event loop.

    On the loop (`inline`) a batch is what was asked in one pass of it: for a `run` so short that a thread is
    not worth its while. `run` takes 1 to MAX_BATCH (MAX_INLINE_BATCH) questions and gives one result each, in
    order. An error of `run` reaches every caller of that batch. A caller that was cancelled while it waited
    costs no model time.
    """

    def __init__(
        self, run: Callable[[Sequence[Q]], Sequence[R]], *, name: str = "model", inline: bool = False
    ) -> None:
        self._run = run
        self._waiting: deque[tuple[Q, asyncio.Future[R]]] = deque()
        self._thread = None if inline else ThreadPoolExecutor(1, thread_name_prefix=name)
        self._busy = False
        self._closed = False
        self.batches = 0
        self.answered = 0

    @property
    def inline(self) -> bool:
        """Whether batches run on the event loop."""
        return self._thread is None

    def ask(self, question: Q) -> asyncio.Future[R]:
        """Queue a question. Raises BusyError when MAX_WAITING already stand there, or after `close`."""
        if self._closed or len(self._waiting) >= MAX_WAITING:
            raise BusyError
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[R] = loop.create_future()
        self._waiting.append((question, answer))
        if not self._busy:
            self._busy = True
            if self._thread is None:
                loop.call_soon(self._next)
            else:
                self._next()
        return answer

    def _next(self) -> None:
        batch: list[tuple[Q, asyncio.Future[R]]] = []
        most = MAX_INLINE_BATCH if self._thread is None else MAX_BATCH
        while self._waiting and len(batch) < most:
            question, answer = self._waiting.popleft()
            if not answer.done():
                batch.append((question, answer))
        self._busy = bool(batch)
        if not batch:
            self._let_go()
            return
        loop = asyncio.get_running_loop()
        questions, answers = [question for question, _ in batch], [answer for _, answer in batch]
        if self._thread is None:
            self._finish(self._run_here(questions), answers)
            loop.call_soon(self._next)
        else:
            running = loop.run_in_executor(self._thread, self._run, questions)
            running.add_done_callback(lambda done: self._finish_and_go_on(done, answers))

    def _run_here(self, questions: list[Q]) -> Sequence[R] | BaseException:
        try:
            return self._run(questions)
        except Exception as error:
            return error

    def _finish_and_go_on(self, done: asyncio.Future[Sequence[R]], answers: list[asyncio.Future[R]]) -> None:
        error = asyncio.CancelledError() if done.cancelled() else done.exception()
        self._finish(error or done.result(), answers)
        self._next()

    def _finish(self, result: Sequence[R] | BaseException, answers: list[asyncio.Future[R]]) -> None:
        self.batches += 1
        self.answered += len(answers)
        if not isinstance(result, BaseException) and len(result) != len(answers):
            result = ValueError(f"{len(answers)} questions, {len(result)} answers")
        for index, answer in enumerate(answers):
            if answer.done():
                continue
            if isinstance(result, Exception):
                answer.set_exception(result)
            elif isinstance(result, BaseException):
                answer.cancel()
            else:
                answer.set_result(result[index])

    def _let_go(self) -> None:
        if self._closed and self._thread is not None:
            self._thread.shutdown(wait=False)

    def close(self) -> None:
        """Take no more questions; what is queued is still answered, then the thread ends."""
        self._closed = True
        if not self._busy:
            self._let_go()
