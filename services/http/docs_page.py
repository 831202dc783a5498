"""/docs and /openapi.json of every service, without a network: Swagger UI from an installed package. What
they need is loaded when somebody looks.
"""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from services.http.answers import json_answer, takes_gzip
from services.kernel.problem import Problem, ProblemError

DOCS_PATH: Final = "/docs"
SCHEMA_PATH: Final = "/openapi.json"
_PACKAGE: Final = "fastapi_offline"  # only for the files that it carries
_FILES: Final = {"swagger-ui-bundle.js": "text/javascript", "swagger-ui.css": "text/css"}
_ICON: Final = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><rect width="32" height="32" rx="7" '
    'fill="#0b655c"/><path d="M4 20c4-6 8-5 11-1s8 5 13-2v9H4z" fill="#fff"/>'
    '<path d="M4 13c4-6 8-5 11-1s8 5 13-2" '
    'fill="none" stroke="#9be3d6" stroke-width="3" stroke-linecap="round"/></svg>'
)
_CACHE: Final = {"cache-control": "max-age=3600"}  # they change with an installed version only
# A page of somebody else's that shows this one could have "Execute" clicked.
_UNFRAMED: Final = {"content-security-policy": "frame-ancestors 'none'"}
_NOT_INSTALLED: Final = Problem(
    404,
    "docs_not_installed",
    f"the page's files are not installed: pip install fastapi-offline; {SCHEMA_PATH} is there",
)
# On a phone Swagger UI puts a group's name and what it is about side by side, a letter a line.
_PAGE: Final = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Freshet: the HTTP interface</title>
<link rel="icon" href="/docs/icon.svg" type="image/svg+xml">
<link rel="stylesheet" href="/docs/swagger-ui.css">
<style>
body { margin: 0; }
@media (max-width: 640px) {
  .swagger-ui .opblock-tag { flex-wrap: wrap; }
  .swagger-ui .opblock-tag small { flex: 1 0 100%; order: 1; padding: 4px 0 0; }
}
</style>
</head>
<body>
<div id="calls"></div>
<script src="/docs/swagger-ui-bundle.js"></script>
<script>
SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#calls",
  deepLinking: true,
  defaultModelsExpandDepth: 0, // the types, closed, below the calls
  displayRequestDuration: true,
  tryItOutEnabled: true,
  validatorUrl: null, // it would tell swagger.io where this runs
});
</script>
</body>
</html>
"""


def description_routes(describe: Callable[[], dict[str, Any]]) -> list[Route]:
    """The routes. `describe` makes the OpenAPI document; it runs in a thread, since answers must not wait."""

    async def schema(_request: Request) -> Response:
        return json_answer(await asyncio.to_thread(describe))

    async def page(_request: Request) -> Response:
        return HTMLResponse(_PAGE, headers=_UNFRAMED)

    async def icon(_request: Request) -> Response:
        return Response(_ICON, headers=_CACHE, media_type="image/svg+xml")

    async def file(request: Request) -> Response:
        name = request.url.path.rpartition("/")[2]
        zipped = takes_gzip(request.headers.get("accept-encoding", ""))
        return await asyncio.to_thread(_file, name, zipped)

    return [
        Route(SCHEMA_PATH, schema, include_in_schema=False),
        Route(DOCS_PATH, page, include_in_schema=False),
        Route(f"{DOCS_PATH}/icon.svg", icon, include_in_schema=False),
        *(Route(f"{DOCS_PATH}/{name}", file, include_in_schema=False) for name in _FILES),
    ]


def _file(name: str, zipped: bool) -> Response:
    """A file of the page. Images carry them gzipped alone (deploy/image/shrink.py). Raises ProblemError where
    there is none.
    """
    spec = find_spec(_PACKAGE)  # does not import it
    if spec is None or spec.origin is None:
        raise ProblemError(_NOT_INSTALLED)
    plain = Path(spec.origin).parent / "static" / name
    packed = plain.with_name(f"{name}.gz")
    headers = dict(_CACHE)
    if plain.is_file():
        content = plain.read_bytes()
    elif packed.is_file():
        content = packed.read_bytes()
        headers["vary"] = "accept-encoding"
        if zipped:
            headers["content-encoding"] = "gzip"
        else:
            content = gzip.decompress(content)
    else:
        raise ProblemError(_NOT_INSTALLED)
    return Response(content, headers=headers, media_type=_FILES[name])
