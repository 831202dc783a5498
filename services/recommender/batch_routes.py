"""POST /recommend/batch."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from services.http.body import BodyReader
from services.http.raw_route import Router
from services.kernel.problem import Problem, ProblemError
from services.recommender.batch import BATCH_S, lines_of
from services.recommender.parse_batch import Batch, from_batch
from services.recommender.routes import read_beside, refuse_parameters
from services.recommender.state import State
from services.recommender.streamed import Streamed

MAX_HELD_BYTES: Final = 8 << 20  # bodies being read at once; 1,000 users are 20 to 200 KB
MAX_BATCHES: Final = 8  # calls under way: more would only wait for each other
SLOW_CLIENT_S: Final = 30.0  # to read what is left once all is made


def batch_router(state: State) -> Router:
    """POST /recommend/batch."""
    router = Router(described_in="services.recommender.documentation")
    bodies = BodyReader(state.settings.max_body_bytes, MAX_HELD_BYTES)
    under_way: set[object] = set()

    async def recommend_batch(request: Request) -> Response:
        """Lists for up to 1,000 users: a line of JSON each, in the order asked, as they become ready.

        The last line counts them; an answer that lacks it was broken off.
        """
        refuse_parameters(request)
        batch = await read_beside(from_batch, await bodies.read(request), state)
        if len(under_way) >= MAX_BATCHES:
            detail = f"{MAX_BATCHES} batches are under way here; send one after the other"
            raise ProblemError(Problem(503, "too_many_batches", detail, retry_after_s=5))
        return Streamed(
            lambda: _counted(state, batch, under_way),
            "application/x-ndjson",
            {"cache-control": "no-store"},
            BATCH_S + SLOW_CLIENT_S,
        )

    router.add_api_route("/recommend/batch", recommend_batch, methods=["POST"])
    return router


async def _counted(state: State, batch: Batch, under_way: set[object]) -> AsyncGenerator[bytes, None]:
    under_way.add(batch_key := object())
    lines = lines_of(state, batch)
    try:
        async for line in lines:
            yield line
    finally:
        under_way.discard(batch_key)
        await lines.aclose()
