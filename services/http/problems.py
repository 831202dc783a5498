"""The framework's own errors (unknown path, wrong method) as problem details."""

from __future__ import annotations

from typing import Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route

from services.http.answers import problem_answer
from services.kernel.nearest import likely_meant
from services.kernel.problem import Problem

_CODES: Final = {400: "bad_request", 404: "not_found", 405: "method_not_allowed", 413: "body_too_large"}


def answer_with_problems(app: Starlette) -> None:
    """Register the handler."""
    app.add_exception_handler(HTTPException, _http_error)


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = _CODES.get(error.status_code, f"http_{error.status_code}")
    detail, headers = error.detail, dict(error.headers or {})
    if error.status_code == 404:
        detail = f"there is nothing under this path; {_meant(request)}/docs lists what there is"
    elif error.status_code == 405:
        allowed = ", ".join(_methods_of_path(request))
        detail, headers = f"this path takes {allowed}", {"allow": allowed}
    return problem_answer(Problem(error.status_code, code, detail, headers=headers))


def _meant(request: Request) -> str:
    """The path that begins like this one, as a part of the sentence; nothing where none is near."""
    begun = request.url.path.split("/")[1]
    known = {route.path.split("/")[1] for route in request.app.routes if isinstance(route, Route)} - {""}
    meant = likely_meant(begun, sorted(known)) if begun and known else None
    return f"did you mean /{meant}? " if meant is not None and meant != begun else ""


def _methods_of_path(request: Request) -> list[str]:
    """What all routes of this path take together; each route knows only its own."""
    methods: set[str] = set()
    for route in request.app.routes:
        if isinstance(route, Route) and route.matches(request.scope)[0] is not Match.NONE:
            methods |= route.methods or set()
    return sorted(methods)
