"""GET /scenarios and POST /scenarios/check."""

from __future__ import annotations

from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from services.http.answers import json_answer
from services.http.body import BodyReader
from services.http.raw_route import Router
from services.recommender.scenario_list import check_scenarios, describe_scenarios
from services.recommender.state import State

MAX_HELD_BYTES: Final = 4 << 20  # scenario files being read at once; one is 256 KB at most
NO_STORE: Final = {"cache-control": "no-store"}


def scenario_router(state: State) -> Router:
    """What lists there are, and whether a file of others could be used."""
    router = Router(described_in="services.recommender.documentation")
    bodies = BodyReader(state.settings.max_body_bytes, MAX_HELD_BYTES)

    async def list_scenarios(_request: Request) -> Response:
        """The lists there are, what each is made of, and what is odd about the deployment's own."""
        return json_answer(await describe_scenarios(state), headers=NO_STORE)

    async def check_scenario_file(request: Request) -> Response:
        """Read a scenario file (TOML) without using it: `problems`, or `warnings` beside this catalogue."""
        return json_answer(await check_scenarios(state, await bodies.read(request)), headers=NO_STORE)

    router.add_api_route("/scenarios", list_scenarios, methods=["GET"])
    router.add_api_route("/scenarios/check", check_scenario_file, methods=["POST"])
    return router
