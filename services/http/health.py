"""Liveness, readiness and metrics: the routes that platforms poll."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from services.http.answers import json_answer, problem_answer
from services.http.raw_route import Router
from services.kernel.metrics import Metrics
from services.kernel.problem import Problem

# Knative's probes want an answer within 100 ms; a check that takes longer is a failed one.
_CHECK_TIMEOUT_S: Final = 0.15

ReadyCheck = Callable[[], Awaitable[None]]


def health_router(checks: Mapping[str, ReadyCheck], metrics: Metrics) -> Router:
    """`/healthz`, `/health`: the process answers. `/readyz`, `/ready`: all checks pass. `/metrics`.

    A check raises an exception whose text says what is wrong and what to do.
    """
    router = Router(described_in="services.http.documentation")

    async def health(_request: Request) -> Response:
        """The process is alive."""
        return json_answer({"status": "ok"})

    async def ready(_request: Request) -> Response:
        """The service can do its work now."""
        reasons = await asyncio.gather(*(_reason(check) for check in checks.values()))
        failing = {name: reason for name, reason in zip(checks, reasons, strict=True) if reason}
        if not failing:
            return json_answer({"status": "ready", "checks": dict.fromkeys(checks, "ok")})
        detail = "; ".join(f"{name}: {reason}" for name, reason in failing.items())
        return problem_answer(
            Problem(
                503,
                "not_ready",
                detail,
                retry_after_s=1,
                extra={"checks": {**dict.fromkeys(checks, "ok"), **failing}},
            )
        )

    async def exposition(_request: Request) -> Response:
        """Metrics in Prometheus' text format."""
        return Response(metrics.exposition(), media_type="text/plain; version=0.0.4; charset=utf-8")

    for path in ("/healthz", "/health"):
        router.add_api_route(path, health, methods=["GET"], include_in_schema=path == "/healthz")
        router.add_api_route(path, health, methods=["HEAD"], include_in_schema=False)
    for path in ("/readyz", "/ready"):
        router.add_api_route(path, ready, methods=["GET"], include_in_schema=path == "/readyz")
        router.add_api_route(path, ready, methods=["HEAD"], include_in_schema=False)
    router.add_api_route("/metrics", exposition, methods=["GET"])
    return router


async def _reason(check: ReadyCheck) -> str:
    """Why the check fails; empty when it passes."""
    try:
        async with asyncio.timeout(_CHECK_TIMEOUT_S):
            await check()
    except TimeoutError:
        return f"no answer within {_CHECK_TIMEOUT_S * 1000:.0f} ms"
    except Exception as error:  # a check that breaks is a check that fails
        return str(error) or type(error).__name__
    return ""
