"""The routes under /recommend."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import Response

from services.http.body import BodyReader
from services.http.raw_path import path_id
from services.http.raw_route import Router
from services.kernel.malformed import explain_json_error
from services.kernel.problem import Problem, ProblemError
from services.ranking.scenario_file import Scenarios
from services.recommender.answer import ITEM_FIELDS, answer, to_json
from services.recommender.deadline import Deadline
from services.recommender.parse_query import from_body, from_parameters, refuse_beside_a_body
from services.recommender.query import Query, QueryError
from services.recommender.state import State
from services.recommender.stream import EventStream
from services.recommender.traced import tell_answer

T = TypeVar("T")

# Bodies being read at once; each is 1 MiB at most, and most are some KB.
MAX_HELD_BYTES = 64 << 20
# 5 ms of the event loop at most; 1 MiB of filters takes 0.2 s to read.
READ_HERE_BYTES = 32 << 10
# A GET line fits a few hundred `exclude=`; a server's limit of 64 KB is reached before.
MAX_PARAMETERS = 1000


def recommend_router(state: State) -> Router:
    """GET and POST /recommend, GET /recommend/{user_id} and its stream."""
    router = Router(described_in="services.recommender.documentation")
    bodies = BodyReader(state.settings.max_body_bytes, MAX_HELD_BYTES)

    async def recommend_stream(request: Request) -> Response:
        """Server-sent events: a fresh list at once, and again as soon as the profile changes."""
        user_id = path_id(request, "user_id")
        return EventStream(state, lambda: _query_of(state, request, user_id))

    async def recommend_to_user(request: Request) -> Response:
        """A list for a user, known or not. Always answers; `strategy` says how."""
        return await _answered(state, _query_of(state, request, path_id(request, "user_id")))

    async def recommend_landing(request: Request) -> Response:
        """A list for nobody in particular, or for `anonymous_id`."""
        return await _answered(state, _query_of(state, request, None))

    async def recommend_by_body(request: Request) -> Response:
        """The same with more to say: recent items, candidates to rank, several rows at once."""
        body = await bodies.read(request)
        refuse_parameters(request)
        return await _answered(state, await read_beside(from_body, body, state))

    add = router.add_api_route
    add("/recommend/{user_id:path}/stream", recommend_stream, methods=["GET"])
    add("/recommend/{user_id:path}", recommend_to_user, methods=["GET"])
    add("/recommend", recommend_landing, methods=["GET"])
    add("/recommend", recommend_by_body, methods=["POST"])
    return router


async def read_beside(read: Callable[[bytes, frozenset[str], Scenarios], T], body: bytes, state: State) -> T:
    """What `read` makes of a body, large ones in a thread. Raises ProblemError."""
    try:
        if len(body) <= READ_HERE_BYTES:
            return read(body, ITEM_FIELDS, state.scenarios.current)
        return await asyncio.to_thread(read, body, ITEM_FIELDS, state.scenarios.current)
    except QueryError as error:
        raise problem_of(error) from None
    except RecursionError as error:  # not too deep for the JSON reader, and for what looks into it
        malformed = explain_json_error(error, body)
        raise ProblemError(Problem(400, malformed.code, malformed.message)) from None


async def _answered(state: State, query: Query) -> Response:
    state.turns.enter()
    until = Deadline(state.settings.deadline_ms)
    try:
        answered = await answer(state, query, until)
    except QueryError as error:
        raise problem_of(error) from None
    finally:
        state.turns.leave()
    tell_answer(state.tracer, answered, query, until)
    headers = {"cache-control": "no-store", "server-timing": answered.server_timing}
    return Response(to_json(answered), headers=headers, media_type="application/json")


def _query_of(state: State, request: Request, user_id: str | None) -> Query:
    try:
        return from_parameters(user_id, parameters_of(request), ITEM_FIELDS, state.scenarios.current)
    except QueryError as error:
        raise problem_of(error) from None


def refuse_parameters(request: Request) -> None:
    """Where all is read from the body. Raises ProblemError for what stands in the query string."""
    try:
        refuse_beside_a_body(parameters_of(request))
    except QueryError as error:
        raise problem_of(error) from None


def parameters_of(request: Request) -> list[tuple[str, str]]:
    """The query string, blank values kept. Raises QueryError for what is not UTF-8 or has no end."""
    raw: bytes = request.scope["query_string"]
    if not raw:
        return []
    try:
        return parse_qsl(
            raw.decode("latin-1"), keep_blank_values=True, errors="strict", max_num_fields=MAX_PARAMETERS
        )
    except UnicodeDecodeError:
        raise QueryError(400, "invalid_query", "the query string is not UTF-8, percent-encoded") from None
    except ValueError:
        detail = (
            f"the query string has more than {MAX_PARAMETERS} parameters; POST /recommend takes long lists"
        )
        raise QueryError(400, "invalid_query", detail) from None


def problem_of(error: QueryError) -> ProblemError:
    """A QueryError as clients get it."""
    return ProblemError(Problem(error.status, error.code, error.detail, extra=error.more))
