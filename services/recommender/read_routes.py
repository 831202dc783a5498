"""What can be read besides recommendations: items, profiles, scenarios, releases."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.responses import Response

from services.http.answers import json_answer
from services.http.raw_path import path_id
from services.http.raw_route import Router
from services.kernel.problem import Problem, ProblemError
from services.recommender.deadline import LateError, within
from services.recommender.item_page import page_of, wanted_of
from services.recommender.profiles import alive
from services.recommender.query import QueryError
from services.recommender.routes import parameters_of, problem_of
from services.recommender.scenario_routes import scenario_router
from services.recommender.state import State, now_ms
from services.recommender.user_export import disposition_of, export_user
from services.recommender.user_profile import consent_of, describe_user
from services.store.errors import StoreError

T = TypeVar("T")

# Reads that have no ladder to fall down: long enough for a slow store, short enough for a person.
READ_S = 1.0
NO_STORE = {"cache-control": "no-store"}


def read_router(state: State) -> Router:
    """GET /items, /items/{item_id}, /users/{user_id}/profile and /export, /releases, and what
    `scenario_routes` has.
    """
    router = Router(described_in="services.recommender.documentation")

    async def get_item(request: Request) -> Response:
        """An item as it stands in the store; while the store is away, as it was last seen."""
        item_id = path_id(request, "item_id")
        raw = await _item(state, item_id)
        if raw is None:
            detail = f"no item {item_id!r} in the catalogue; PUT /items/{{item_id}} adds one"
            raise ProblemError(Problem(404, "unknown_item", detail))
        return Response(raw, headers=NO_STORE, media_type="application/json")

    async def list_items(request: Request) -> Response:
        """Items in the order of their ids, page by page; all of them, or those that a filter lets in."""
        try:
            wanted = wanted_of(parameters_of(request))
        except QueryError as error:
            raise problem_of(error) from None
        await _whole_catalogue(state)
        return json_answer(await page_of(state, wanted), headers=NO_STORE)

    async def get_profile(request: Request) -> Response:
        """What is known about a user. Somebody nobody has heard of has 0 events, so scripts can poll."""
        user_id = path_id(request, "user_id")
        content = await _from_store(_describe(state, user_id))
        return json_answer(content, headers=NO_STORE)

    async def export_of_user(request: Request) -> Response:
        """All that is stored about a user, as a file; where nothing is, `state` says so."""
        user_id = path_id(request, "user_id")
        await _whole_catalogue(state)  # marks without names would be no full answer
        content = await _from_store(_export(state, user_id))
        return json_answer(content, headers={**NO_STORE, "content-disposition": disposition_of(user_id)})

    async def list_releases(_request: Request) -> Response:
        """Which release is in use, which came before, which was refused and why."""
        return json_answer(_releases(state), headers=NO_STORE)

    add = router.add_api_route
    add("/items", list_items, methods=["GET"])
    add("/items/{item_id:path}", get_item, methods=["GET"])
    add("/users/{user_id:path}/profile", get_profile, methods=["GET"])
    add("/users/{user_id:path}/export", export_of_user, methods=["GET"])
    add("/releases", list_releases, methods=["GET"])
    router.routes.extend(scenario_router(state).routes)
    return router


async def _whole_catalogue(state: State) -> None:
    """Wait until all of it is in memory. Raises ProblemError where that takes long."""
    try:
        await within(state.catalogue.whole.wait(), READ_S)
    except LateError:
        detail = "the catalogue is still being loaded; try again"
        raise ProblemError(Problem(503, "not_ready", detail, retry_after_s=1)) from None


async def _item(state: State, item_id: str) -> bytes | None:
    try:
        return (await within(state.catalogue_reader.items(state.live.epoch, [item_id]), READ_S))[0]
    except (StoreError, LateError):
        row = state.catalogue.catalogue.row_of(item_id)
    if row < 0 and not state.catalogue.loaded:
        detail = "the store does not answer and the catalogue is not loaded yet; try again"
        raise ProblemError(Problem(503, "store_unavailable", detail, retry_after_s=1))
    return state.catalogue.catalogue.raw(row) if row >= 0 else None


async def _from_store(work: Awaitable[T]) -> T:
    """What `work` reads about a user. Raises ProblemError where the store does not answer."""
    try:
        return await within(work, READ_S)
    except (StoreError, LateError):
        detail = "the store, where profiles are, does not answer; try again"
        raise ProblemError(Problem(503, "store_unavailable", detail, retry_after_s=1)) from None


async def _describe(state: State, user_id: str) -> dict[str, Any]:
    stored, at_ms = await state.profiles.read(user_id), now_ms()
    consent = consent_of(stored, at_ms, state.ttl_ms)
    return await describe_user(state, user_id, alive(stored, at_ms, state.ttl_ms), consent)


async def _export(state: State, user_id: str) -> dict[str, Any]:
    return await export_user(state, user_id, await state.profiles.read(user_id))


def _releases(state: State) -> dict[str, Any]:
    follower = state.releases
    serving = follower.serving
    loaded = None
    if serving is not None:
        manifest = serving.release.manifest
        loaded = {
            "release": manifest.name,
            "kind": manifest.kind,
            "items": manifest.items,
            "space": manifest.space.name,
            "created_at": manifest.created_at_ms // 1000,
            "loaded_at": serving.loaded_at_ms // 1000,
            "load_ms": round(serving.took_ms, 1),
        }
    return {
        "live": follower.live_name,
        "loaded": loaded,
        "before": [{"release": name, "loaded_at": at_ms // 1000} for name, at_ms in follower.before],
        "refused": [
            {"release": refusal.name, "reason": refusal.reason, "at": refusal.at_ms // 1000}
            for refusal in follower.refused
        ],
        "degraded": state.degraded(),
    }
