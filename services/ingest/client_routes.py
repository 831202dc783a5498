"""The routes of clients made for something else: Segment's tracking API, Google's Measurement Protocol."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final

import msgspec
from prometheus_client import Counter
from starlette.requests import Request
from starlette.responses import Response

from services.http.answers import json_answer, problem_answer
from services.http.keys import GA4_PATH, KeyRing
from services.http.raw_route import Endpoint, Router
from services.ingest import ga4, segment
from services.ingest.answers import all_refused, answer_failure
from services.ingest.intake import take_events
from services.ingest.payload import MAX_ENTRIES, read_one
from services.ingest.routes import IngestState
from services.ingest.translation import Call, Tally, Unused, told_all
from services.kernel.ids import json_type
from services.kernel.malformed import explain_json_error
from services.kernel.problem import Problem, ProblemError
from services.log.protocol import Topic

# Segment's own limits. What a client library lets through is never above them.
MAX_MESSAGE_BYTES: Final = 32 << 10
MAX_BATCH_BYTES: Final = 500 << 10
_BATCHES: Final = ("batch", "import", "b")
_BY_LETTER: Final = {kind[0]: kind for kind in segment.KINDS}


def client_router(state: IngestState, keys: KeyRing, calls: Counter) -> Router:
    """The routes over `state`. `keys` judges keys that are in a body; `calls` is INGEST_CALLS."""
    tracking, collecting = _Segment(state, keys, calls), _Ga4(state, calls)
    router = Router(described_in="services.ingest.client_documentation")

    def add(path: str, endpoint: Endpoint, *, described: bool = True) -> None:
        router.add_api_route(path, endpoint, methods=["POST"], include_in_schema=described)

    for kind in segment.KINDS:
        add(f"/v1/{kind}", tracking.single(kind))
    for name in _BATCHES:
        add(f"/v1/{name}", tracking.batch, described=len(name) > 1)
    for letter, kind in _BY_LETTER.items():
        add(f"/v1/{letter}", tracking.single(kind), described=False)
    add(GA4_PATH, collecting.collect)
    return router


class _Intake:
    """What both have: calls become events, events go to the log, and what became of each is counted."""

    def __init__(self, state: IngestState, calls: Counter, api: str) -> None:
        self._state = state
        self._tally = Tally(calls, api)

    async def _append(self, calls: Sequence[Call], received_at_ms: int) -> Response | None:
        """None once the log has acknowledged all events of the calls; 503 when it did not.

        A call whose event ingest refuses gets that as its reason. Raises ProblemError 400 for more events of
        one user than a profile could tell apart if they came again.
        """
        events = [(index, event) for index, call in enumerate(calls) for event in call.events]
        intake = take_events((event for _, event in events), received_at_ms, self._state.types)
        for refusal in intake.refused:
            if refusal.code == "too_many_of_one_user":
                raise ProblemError(Problem(400, refusal.code, _TOO_MANY_OF_ONE))
        appends = (
            await self._state.publisher.publish(Topic.EVENTS, intake.drafts, len(intake))
            if intake.drafts
            else []
        )
        failure = answer_failure(intake, appends, "event_id")
        if failure is not None:
            return failure
        for refusal in all_refused(intake, appends):
            self._state.rejected.labels(refusal.code).inc()
            call = calls[events[refusal.index][0]]
            call.unused = Unused("rejected", refusal.error, refusal.code)
        for call in calls:
            self._tally.count(call.kind, call.unused)
        return None


_TOO_MANY_OF_ONE: Final = (
    "a batch takes at most 128 events of one user, so that none counts twice when it is sent again; make the "
    "client's batches smaller (upload_size in Python, flushAt in JavaScript)"
)


class _Segment(_Intake):
    def __init__(self, state: IngestState, keys: KeyRing, calls: Counter) -> None:
        super().__init__(state, calls, "segment")
        self._keys = keys

    def single(self, kind: str) -> Endpoint:
        """The endpoint of one kind of call."""

        async def endpoint(request: Request) -> Response:
            return await self._answer(request, lambda body: [(kind, body)], MAX_MESSAGE_BYTES)

        endpoint.__name__ = f"segment_{kind}"
        endpoint.__doc__ = f"Segment's {kind} call."
        return endpoint

    async def batch(self, request: Request) -> Response:
        """Segment's batches of calls."""
        return await self._answer(request, _messages, MAX_BATCH_BYTES)

    async def _answer(
        self, request: Request, split: Callable[[dict[str, Any]], list[tuple[Any, Any]]], max_bytes: int
    ) -> Response:
        """As Segment answers: 200 for all that is JSON of an allowed size, 400 for other bodies.

        1. Read the body; ask for the key that may be in it.
        2. Translate each message; one that is too large is left out.
        3. Append. 503 when the log did not take all: the clients send the same again, with the same ids.
        """
        received_at_ms = self._state.now_ms()
        try:
            # 1.
            raw = await self._state.bodies.read(request)
            if len(raw) > max_bytes:
                raise ProblemError(_too_large(max_bytes))
            body = _object(raw)
            refusal = self._keys.refusal_by_body(
                dict(request.scope["headers"]), request.scope["query_string"], body.get("writeKey")
            )
            if refusal is not None:
                raise ProblemError(refusal)
            # 2.
            context = body.get("context")
            envelope = segment.Envelope(
                received_at_ms, body.get("sentAt"), context if isinstance(context, dict) else {}
            )
            few_bytes = len(raw) <= MAX_MESSAGE_BYTES  # then none of its messages is larger
            calls = [
                segment.translate(message, kind, envelope, self._state.types)
                if few_bytes or message_bytes(message, raw) <= MAX_MESSAGE_BYTES
                else Call(
                    "other", unused=Unused("rejected", f"a message of more than {MAX_MESSAGE_BYTES} bytes")
                )
                for kind, message in split(body)
            ]
            # 3.
            failure = await self._append(calls, received_at_ms)
        except ProblemError as error:
            return problem_answer(_as_segment(error.problem))
        if failure is not None:
            return failure
        unused = told_all(calls)
        return json_answer({"success": True, **({"unused": unused} if unused else {})})


class _Ga4(_Intake):
    def __init__(self, state: IngestState, calls: Counter) -> None:
        super().__init__(state, calls, "ga4")

    async def collect(self, request: Request) -> Response:
        """Google's Measurement Protocol for GA4; the write key is its `api_secret`."""
        received_at_ms = self._state.now_ms()
        body = _object(await self._state.bodies.read(request))
        events = body.get("events")
        if not isinstance(events, list):
            raise ProblemError(Problem(400, "missing_events", "events must be a list"))
        _check_count(len(events))
        calls = [ga4.translate(body, event, self._state.types) for event in events]
        failure = await self._append(calls, received_at_ms)
        return failure or Response(status_code=204)


def _messages(body: dict[str, Any]) -> list[tuple[Any, Any]]:
    """(type, message) of each; a body without `batch` is one message, as Segment's webhooks send it."""
    if "batch" not in body and "type" in body:
        return [(body["type"], body)]
    batch = body.get("batch")
    if not isinstance(batch, list):
        raise ProblemError(Problem(400, "missing_batch", "batch must be a list of calls"))
    _check_count(len(batch))
    return [(message.get("type") if isinstance(message, dict) else None, message) for message in batch]


def _check_count(count: int) -> None:
    if count > MAX_ENTRIES:
        raise ProblemError(
            Problem(400, "too_many_entries", f"the body holds {count} entries; send {MAX_ENTRIES} at most")
        )


def _object(raw: bytes) -> dict[str, Any]:
    body = read_one(raw)
    if not isinstance(body, dict):
        raise ProblemError(
            Problem(400, "not_an_object", f"the body must be a JSON object, not {json_type(body)}")
        )
    return body


def message_bytes(message: object, raw: bytes) -> int:
    """How large a message of the body `raw` is as JSON. Raises ProblemError 400."""
    try:
        return len(msgspec.json.encode(message))
    except RecursionError as error:  # not too deep for the reader, and for the writer
        malformed = explain_json_error(error, raw)
        raise ProblemError(Problem(400, malformed.code, malformed.message)) from None


def _too_large(max_bytes: int) -> Problem:
    return Problem(400, "body_too_large", f"the body has more than {max_bytes} bytes (after gunzip too)")


def _as_segment(problem: Problem) -> Problem:
    """The problem with what Segment's clients look for: they know 400 and not 413, and read `message`."""
    extra = {**problem.extra, "success": False, "message": problem.detail}
    return replace(problem, status=400 if problem.status == 413 else problem.status, title="", extra=extra)
