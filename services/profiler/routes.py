"""The push endpoints."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from services.http.body import BodyReader
from services.http.raw_route import Router
from services.profiler.cloudevents import read_cloudevents, read_item_cloudevents
from services.profiler.push import PushIntake


def push_router(events: PushIntake, items: PushIntake, bodies: BodyReader, generation: int) -> Router:
    """`POST /` and `POST /items` for two Knative KafkaSources (or any sender that keeps each partition's
    order), one a topic."""

    async def post_records(request: Request) -> Response:
        """Apply records of the events topic, sent as CloudEvents (binary, structured or batched).

        204 when all are applied, or in the dead topic for good; 503 with Retry-After when any is not yet.
        """
        body = await bodies.read(request)
        await events.take(read_cloudevents(request.headers, body, generation))
        return Response(status_code=204)

    async def post_items(request: Request) -> Response:
        """Apply records of the items topic, sent as CloudEvents. Answers as `POST /` does."""
        body = await bodies.read(request)
        await items.take(read_item_cloudevents(request.headers, body, generation))
        return Response(status_code=204)

    router = Router(described_in="services.profiler.documentation")
    router.add_api_route("/", post_records, methods=["POST"])
    router.add_api_route("/items", post_items, methods=["POST"])
    return router
