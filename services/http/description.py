"""What an app says of itself: OpenAPI and its page, made by FastAPI from the routes that Starlette serves.

This module loads FastAPI. Import it inside the function that needs it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.openapi.utils import get_openapi
from starlette.responses import Response
from starlette.routing import BaseRoute

from services.http.raw_route import RawRoute


def schema_of(title: str, version: str, routes: Iterable[BaseRoute]) -> dict[str, Any]:
    """The OpenAPI description, with how keys are sent, so that the page's "Authorize" works."""
    described = FastAPI()
    for route in routes:
        if isinstance(route, RawRoute) and route.include_in_schema:
            described.add_api_route(
                route.path,
                route.endpoint,
                methods=sorted(route.methods or ()),
                tags=[*route.tags],
                status_code=route.status_code,
                openapi_extra=dict(route.openapi_extra or {}),
            )
    schema = get_openapi(title=title, version=version, routes=described.routes)
    schema.setdefault("components", {})["securitySchemes"] = {
        "bearer": {"type": "http", "scheme": "bearer"},
        "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    }
    schema["security"] = [{}, {"bearer": []}, {"header": []}]
    return schema


def page_of(title: str, **options: Any) -> Response:
    """Swagger UI over /openapi.json; `options` are FastAPI's."""
    return get_swagger_ui_html(openapi_url="/openapi.json", title=title, **options)
