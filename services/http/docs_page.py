"""/docs and /openapi.json of every service, without a network: Swagger UI from an installed package, where
FastAPI's page loads it from a CDN. What they need is loaded when somebody looks.
"""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from services.http.answers import json_answer
from services.kernel.problem import Problem, ProblemError

DOCS_PATH: Final = "/docs"
SCHEMA_PATH: Final = "/openapi.json"
_PACKAGE: Final = "fastapi_offline"  # only for the files that it carries
_FILES: Final = {
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
    "favicon.png": "image/png",
}
_CACHE: Final = {"cache-control": "max-age=3600"}  # they change with an installed version only
_TITLE: Final = "Freshet: the HTTP interface"
_OPTIONS: Final = {
    "defaultModelsExpandDepth": 0,  # the types, closed, below the calls
    "displayRequestDuration": True,
    "tryItOutEnabled": True,
    "filter": True,
    "persistAuthorization": False,
    "validatorUrl": None,  # it would tell swagger.io where this runs
}


def description_routes(describe: Callable[[], dict[str, Any]]) -> list[Route]:
    """The routes. `describe` makes the OpenAPI document; it runs in a thread, since answers must not wait."""

    async def schema(_request: Request) -> Response:
        return json_answer(await asyncio.to_thread(describe))

    async def page(_request: Request) -> Response:
        return await asyncio.to_thread(_page)

    async def file(request: Request) -> Response:
        name = request.url.path.rpartition("/")[2]
        accepted = request.headers.get("accept-encoding", "")
        return await asyncio.to_thread(_file, name, "gzip" in accepted)

    return [
        Route(SCHEMA_PATH, schema, include_in_schema=False),
        Route(DOCS_PATH, page, include_in_schema=False),
        *(Route(f"{DOCS_PATH}/{name}", file, include_in_schema=False) for name in _FILES),
    ]


def _page() -> Response:
    from services.http.description import page_of  # FastAPI: not before somebody looks

    script, style, icon = (f"{DOCS_PATH}/{name}" for name in _FILES)
    return page_of(
        _TITLE,
        swagger_js_url=script,
        swagger_css_url=style,
        swagger_favicon_url=icon,
        swagger_ui_parameters=_OPTIONS,
    )


def _file(name: str, takes_gzip: bool) -> Response:
    """A file of the page. Images carry them gzipped alone (deploy/image/shrink.py)."""
    folder = _folder()
    plain, packed = folder / name, folder / f"{name}.gz"
    headers, content = dict(_CACHE), b""
    if plain.is_file():
        content = plain.read_bytes()
    elif packed.is_file():
        content = packed.read_bytes()
        headers["vary"] = "accept-encoding"
        if takes_gzip:
            headers["content-encoding"] = "gzip"
        else:
            content = gzip.decompress(content)
    else:
        detail = f"the page's files are not installed: pip install fastapi-offline; {SCHEMA_PATH} is there"
        raise ProblemError(Problem(404, "docs_not_installed", detail))
    return Response(content, headers=headers, media_type=_FILES[name])


def _folder() -> Path:
    """The package's folder of static files, without importing the package."""
    spec = find_spec(_PACKAGE)
    return Path(spec.origin).parent / "static" if spec is not None and spec.origin is not None else Path()
