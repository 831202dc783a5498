"""POST /recommend/batch: many users, a line each in the order of the body, sent as they become ready."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import AsyncGenerator
from typing import Any, Final

import msgspec

from services.recommender.answer import answer
from services.recommender.deadline import Deadline
from services.recommender.parse_batch import Asked, Batch
from services.recommender.query import QueryError
from services.recommender.state import State
from services.recommender.turns import AT_ONCE

log = logging.getLogger(__name__)

# Of one user. Nobody waits before a screen, so a slow store need not cost the model's list.
USER_MS: Final = 1000.0
# Of a whole call: below the limits of platforms and of the gateway (300 s), as FRESHET_STREAM_MAX_S is.
BATCH_S: Final = 240.0
_encode = msgspec.json.Encoder().encode


async def lines_of(state: State, batch: Batch) -> AsyncGenerator[bytes, None]:
    """The lines of the answer, each with its line break; what goes wrong with a user is told in its line.

    As many users are under way as have a turn, and no line is made much before the one ahead of it is sent:
    a client that reads slowly costs no memory, and one that goes away no more work.
    """
    ends_s = time.monotonic() + BATCH_S
    await state.have_columns([row.scenario for row in batch.query.lists()])
    users = failed = 0
    waiting: deque[asyncio.Task[dict[str, Any]]] = deque()
    left = batch.lines()
    try:
        while True:
            while len(waiting) < AT_ONCE and (asked := next(left, None)) is not None:
                waiting.append(asyncio.create_task(_line(state, asked, ends_s)))
            if not waiting:
                break
            content = await waiting.popleft()
            users += 1
            failed += "error" in content
            yield _encode(content) + b"\n"
    finally:
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
    done = {"done": True, "users": users, "failed": failed, "repeated": batch.repeated}
    yield _encode(done) + b"\n"


async def _line(state: State, asked: Asked, ends_s: float) -> dict[str, Any]:
    query = asked.query
    try:
        if isinstance(query, QueryError):
            raise query
        async with state.turns.of_batch():
            if state.stopping.is_set() or time.monotonic() >= ends_s:
                why = "the service stops" if state.stopping.is_set() else f"the call took {BATCH_S:.0f} s"
                raise QueryError(503, "not_answered", f"{why}; ask for this user again")
            length_ms = max(USER_MS, state.settings.deadline_ms)
            answered = await answer(state, query, Deadline(length_ms))
    except QueryError as error:
        return {**asked.named, "error": _problem(error)}
    except Exception:
        log.exception("a user of a batch could not be answered")
        return {**asked.named, "error": _problem(QueryError(500, "internal_error", "it is logged"))}
    return {**asked.named, **answered.content}


def _problem(error: QueryError) -> dict[str, Any]:
    return {"status": error.status, "code": error.code, "detail": error.detail, **error.more}
