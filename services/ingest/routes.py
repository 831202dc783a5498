"""Every write: events, items, the deletion of users."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from prometheus_client import Counter
from starlette.requests import Request
from starlette.responses import Response

from services.http.answers import problem_answer
from services.http.body import BodyReader
from services.http.raw_path import path_id
from services.http.raw_route import Router
from services.ingest.answers import answer_list, answer_one
from services.ingest.cloudevents import BATCHED, STRUCTURED, attributes_in_headers, unwrap, with_attributes
from services.ingest.intake import (
    Intake,
    take_events,
    take_item,
    take_item_deletion,
    take_items,
    take_patch,
    take_user_deletion,
)
from services.ingest.payload import read_entries, read_one
from services.ingest.publisher import Publisher
from services.kernel.event_type import EventTypes
from services.kernel.item import ItemError
from services.kernel.problem import Problem
from services.log.protocol import Draft, Topic


@dataclass(frozen=True, slots=True)
class IngestState:
    """What the routes need. `now_ms` is the clock that stands in every record as `received_at`."""

    publisher: Publisher
    bodies: BodyReader
    types: EventTypes
    rejected: Counter
    now_ms: Callable[[], int]


def ingest_router(state: IngestState) -> Router:
    """The routes over `state`."""
    routes = _Routes(state)
    router = Router(described_in="services.ingest.documentation")
    add = router.add_api_route
    add("/events", routes.post_events, methods=["POST"])
    add("/items", routes.post_items, methods=["POST"])
    item, user = "/items/{item_id:path}", "/users/{user_id:path}"
    add(item, routes.put_item, methods=["PUT"])
    add(item, routes.patch_item, methods=["PATCH"])
    add(item, routes.delete_item, methods=["DELETE"])
    add(user, routes.delete_user, methods=["DELETE"])
    return router


class _Routes:
    def __init__(self, state: IngestState) -> None:
        self._state = state

    async def post_events(self, request: Request) -> Response:
        """Take events: one, a list, NDJSON or CloudEvents. 202 once the log has acknowledged them."""
        # The body is not kept in a name: a waiting request holds its drafts and no more.
        intake, is_list = self._events(request, await self._state.bodies.read(request))
        return await self._append(Topic.EVENTS, intake, "event_id", is_list)

    async def post_items(self, request: Request) -> Response:
        """Take items: one, a list or NDJSON. 202 once the log has acknowledged them."""
        intake, is_list = self._items(request, await self._state.bodies.read(request))
        return await self._append(Topic.ITEMS, intake, "item_id", is_list)

    async def put_item(self, request: Request) -> Response:
        """Set an item as a whole."""
        return await self._change_item(request, take_item)

    async def patch_item(self, request: Request) -> Response:
        """Change some fields of an item by a merge patch (RFC 7396). A patch of no item changes nothing."""
        return await self._change_item(request, take_patch)

    async def delete_item(self, request: Request) -> Response:
        """Take an item out of the catalogue."""
        item_id = path_id(request, "item_id")
        return await self._append_one(
            Topic.ITEMS, item_id, take_item_deletion(item_id, self._state.now_ms()), "item_id"
        )

    async def delete_user(self, request: Request) -> Response:
        """Forget everything known about a user."""
        user_id = path_id(request, "user_id")
        return await self._append_one(
            Topic.EVENTS, user_id, take_user_deletion(user_id, self._state.now_ms()), "user_id"
        )

    def _events(self, request: Request, body: bytes) -> tuple[Intake, bool]:
        media_type = _media_type(request)
        entries, is_list = read_entries(body, media_type)
        if media_type in {STRUCTURED, BATCHED}:
            entries = [unwrap(entry) for entry in entries]
        elif (attributes := attributes_in_headers(request.headers)) is not None:
            entries = [with_attributes(entries if is_list else entries[0], attributes)]
            is_list = False
        return take_events(entries, self._state.now_ms(), self._state.types), is_list

    def _items(self, request: Request, body: bytes) -> tuple[Intake, bool]:
        entries, is_list = read_entries(body, _media_type(request))
        return take_items(entries, self._state.now_ms()), is_list

    async def _change_item(self, request: Request, take: Callable[[str, object, int], Draft]) -> Response:
        item_id = path_id(request, "item_id")
        try:
            draft = take(item_id, read_one(await self._state.bodies.read(request)), self._state.now_ms())
        except ItemError as error:
            self._state.rejected.labels(error.code).inc()
            return problem_answer(Problem(422, error.code, error.message))
        return await self._append_one(Topic.ITEMS, item_id, draft, "item_id")

    async def _append(self, topic: Topic, intake: Intake, id_name: str, is_list: bool) -> Response:
        for refusal in intake.refused:
            self._state.rejected.labels(refusal.code).inc()
        appends = (
            await self._state.publisher.publish(topic, intake.drafts, len(intake)) if intake.drafts else []
        )
        return answer_list(intake, appends, id_name, is_list)

    async def _append_one(self, topic: Topic, entry_id: str, draft: Draft, id_name: str) -> Response:
        appends = await self._state.publisher.publish(topic, [draft])
        return answer_one(entry_id, appends[0], id_name)


def _media_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()
