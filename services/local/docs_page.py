"""/docs without a network: Swagger UI from an installed package, where FastAPI's page loads it from a CDN."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from services.http.app import DOCS_PATH, App

_PACKAGE = "fastapi_offline"  # only for the files that it carries
_FILES = ("swagger-ui-bundle.js", "swagger-ui.css", "favicon.png")
_CACHE = {"cache-control": "max-age=3600"}  # they change with an installed version only
# Filled in when somebody tries a call; of what need not be given, only what makes an answer readable.
_EXAMPLES = {"item_id": "p_67890", "user_id": "u_12345", "fields": "title,price"}
_TITLE = "Freshet"
_DESCRIPTION = """\
Post events, and the next recommendation knows them. To see it:

1. `GET /items` shows what there is; copy an `item_id`.
2. `POST /events` with `{"user_id": "ada", "event_type": "view", "item_id": "…"}`.
3. `GET /recommend/ada?n=5&fields=title,price` has changed, and says why in `reason`.

A problem answer (4xx, 5xx) has a stable `code`, and a `detail` that says what to change."""


def serve_docs(app: App) -> None:
    """Put our page in the place of FastAPI's. Without the package its page stays, which needs a network."""
    _introduce(app)
    files = _files()
    if files is None:
        return
    app.router.routes[:] = [route for route in app.router.routes if getattr(route, "path", None) != DOCS_PATH]

    async def page(_request: Request) -> Response:
        from services.http.description import page_of  # FastAPI: not before somebody looks

        return page_of(
            f"{_TITLE}: the HTTP interface",
            swagger_js_url=f"/docs/{_FILES[0]}",
            swagger_css_url=f"/docs/{_FILES[1]}",
            swagger_favicon_url=f"/docs/{_FILES[2]}",
            # Every route's schema is free JSON with examples: the list of models would be empty noise.
            swagger_ui_parameters={
                "defaultModelsExpandDepth": -1,
                "displayRequestDuration": True,
                "validatorUrl": None,  # it would tell swagger.io where this runs
            },
        )

    async def file(request: Request) -> Response:
        return FileResponse(files / request.url.path.rpartition("/")[2], headers=_CACHE)

    app.router.routes.append(Route(DOCS_PATH, page, include_in_schema=False))
    for name in _FILES:
        app.router.routes.append(Route(f"{DOCS_PATH}/{name}", file, include_in_schema=False))


def _introduce(app: App) -> None:
    """Title, first steps and examples, in whatever the app says about itself."""
    described = app.openapi

    def openapi() -> dict[str, Any]:
        schema = described()
        schema["info"] |= {"title": _TITLE, "description": _DESCRIPTION}
        for methods in schema["paths"].values():
            for operation in methods.values():
                for parameter in operation.get("parameters", ()):
                    if parameter["name"] in _EXAMPLES and (
                        parameter.get("required") or parameter["name"] == "fields"
                    ):
                        parameter.setdefault("example", _EXAMPLES[parameter["name"]])
        return schema

    app.openapi = openapi


def _files() -> Path | None:
    """The package's folder of static files, without importing the package."""
    spec = find_spec(_PACKAGE)
    if spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent / "static"
    return folder if all((folder / name).is_file() for name in _FILES) else None
