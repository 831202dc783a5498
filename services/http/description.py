"""What an app says of itself: OpenAPI, made by FastAPI from the routes that Starlette serves.

This module loads FastAPI. Import it inside the function that needs it.
"""

from __future__ import annotations

from collections.abc import Iterable
from copy import deepcopy
from importlib import import_module
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from starlette.routing import BaseRoute

from services.http.documentation import BODY_PROBLEMS, problem
from services.http.keys import GA4_PATH, OPEN_PATHS, WRITE_PATHS
from services.http.raw_route import RawRoute

TITLE: Final = "Freshet"
SUMMARY: Final = "Real-time recommendations: an event posted now changes the next answer."
DESCRIPTION: Final = """\
Post events, and the next recommendation knows them. To see it, open these and press *Execute*:

1. `POST /events`: `u_12345` looks at some bananas.
2. `GET /recommend/{user_id}`: the list has changed, and says why in `reason`.
3. `GET /users/{user_id}/profile`: what is known about somebody who bought before.

Every example works as it stands on the demo shop (`freshet run`). Without it (`--empty`), begin with
`POST /items`. A problem answer (4xx, 5xx) has a stable `code`, and a `detail` that says what to change.
Without keys only this machine may call; where there are keys, each call says which it takes."""
SERVERS: Final = [
    {"url": "/", "description": "where this description is from"},
    {"url": "http://localhost:8080", "description": "`freshet run` or `docker compose up` on this machine"},
]
# In the order of the page: what somebody tries first comes first.
TAGS: Final = {
    "Events": "What people do: views, carts, orders, playback. Accepted when the log has it; in the next "
    "answer milliseconds later.",
    "Recommendations": "Lists for a user, a visitor or nobody, with reasons: one at a time, a whole page, a "
    "thousand users, or live over server-sent events.",
    "Users": "What is known about a user, readable; all of it as a file; all of it forgotten.",
    "Catalogue": "The items: read page by page, put, changed, taken out.",
    "Scenarios": "Which lists there are, what they are made of, and whether a file of yours could be used.",
    "Segment and GA4": "For clients that people already have: Segment's HTTP tracking API and Google's "
    "Measurement Protocol. docs/SEGMENT.md has the tables of events.",
    "Records": "For Knative KafkaSources: records of the log, pushed. Clients post to ingest instead.",
    "Operations": "For platforms and whoever looks after it: probes, metrics, releases.",
}
SECURITY_SCHEMES: Final = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "any key"},
    "header": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "any key"},
    "basic": {
        "type": "http",
        "scheme": "basic",
        "description": "any key as the user name, no password; a browser asks for it so",
    },
    "query": {
        "type": "apiKey",
        "in": "query",
        "name": "key",
        "description": "write keys only: URLs are logged",
    },
    "api_secret": {
        "type": "apiKey",
        "in": "query",
        "name": "api_secret",
        "description": "GA4's name for the write key",
    },
}
_NO_KEY: Final[list[dict[str, list[str]]]] = []
# The empty one: a Freshet without keys takes calls of this machine as they are.
_ANY: Final[list[dict[str, list[str]]]] = [{}, {"bearer": []}, {"header": []}, {"basic": []}]
_REFUSALS: Final = {
    401: (
        "The key is missing, or not one of this service's.",
        {
            "missing_key": "a key is needed; send it as `Authorization: Bearer KEY`, as `X-API-Key: KEY` "
            "or as the user name of Basic",
            "unknown_key": "the key is not one of this service's",
            "key_in_query": "a query takes write keys only (URLs are logged); send it as `Authorization: "
            "Bearer KEY`, as `X-API-Key: KEY` or as the user name of Basic",
        },
    ),
    403: (
        "Not with this key; or, without keys, not from another machine or a page of one.",
        {
            "write_key_only": "this key may only post events; use one of FRESHET_KEYS",
            "foreign_host": "without keys this service answers to localhost only, not to the host "
            "'shop.example': set FRESHET_KEYS, or FRESHET_INSECURE=1 where something else keeps strangers "
            "out",
            "foreign_origin": "without keys pages of this machine may call, not those of "
            "'https://shop.example': add the origin to FRESHET_CORS_ORIGINS",
        },
    ),
}
_SAYS_OF_BODIES: Final = {
    400: "The body cannot be read.",
    408: "The body came too slowly.",
    413: "The body is too large.",
    415: "The body is in a form that is not read here.",
    503: "Too much at once; try again after `Retry-After`.",
}
_METHODS: Final = ("get", "post", "put", "patch", "delete")
_NAMES: Final = {
    401: "Unauthorized",
    403: "Forbidden",
    400: "BadBody",
    408: "BodyTooSlow",
    413: "BodyTooLarge",
    415: "UnsupportedEncoding",
    503: "Overloaded",
}
_OF_THE_EDGE: Final[dict[int, tuple[str, dict[str, Any]]]] = {
    status: (name, problem(status, says, details)[str(status)])
    for status, name in _NAMES.items()
    for says, details in (
        [_REFUSALS[status]] if status in _REFUSALS else [(_SAYS_OF_BODIES[status], BODY_PROBLEMS[status])]
    )
}


def schema_of(title: str, version: str, routes: Iterable[BaseRoute]) -> dict[str, Any]:
    """The OpenAPI 3.1 document of the routes that are described anywhere.

    1. Take each call as its service tells it, with what the edge adds: keys, bodies.
    2. Sort by group.
    3. Give each type a name of its own, once.
    """
    described = FastAPI()
    order: list[str] = []
    told: dict[str, dict[str, Any]] = {}
    for route in routes:
        if isinstance(route, RawRoute) and route.include_in_schema:
            calls = _calls_of(route)  # 1
            order += calls
            told |= _describe(described, route, calls)
    document = get_openapi(
        title=title.removesuffix(" run"),
        version=version,
        summary=SUMMARY,
        description=DESCRIPTION,
        routes=described.routes,
        servers=deepcopy(SERVERS),
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
    )
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            operation.update(told[f"{method.upper()} {path}"])
    document["paths"] = _in_order(document["paths"], order)  # 2
    used = {
        tag for path in document["paths"].values() for operation in path.values() for tag in operation["tags"]
    }
    document["tags"] = [{"name": tag, "description": says} for tag, says in TAGS.items() if tag in used]
    schemas: dict[str, Any] = {}
    responses = _used(document["paths"])
    document["paths"] = _named(document["paths"], schemas)  # 3
    document["components"] = {
        "schemas": schemas,
        "responses": _named(responses, schemas),
        "securitySchemes": deepcopy(SECURITY_SCHEMES),
    }
    document["components"]["schemas"] = dict(sorted(schemas.items()))
    return document


def _calls_of(route: RawRoute) -> dict[str, dict[str, Any]]:
    """All calls of its service, in the order in which they are told."""
    calls: dict[str, dict[str, Any]] = import_module(route.described_in).CALLS
    return calls


def _describe(
    described: FastAPI, route: RawRoute, calls: dict[str, dict[str, Any]]
) -> dict[str, dict[str, Any]]:
    """Take the route into `described`. What is told of it beside its names, by call, is kept from FastAPI: it
    would leave nulls out of examples."""
    found = {}
    for method in sorted(route.methods or ()):
        call = f"{method} {route.path_format}"
        told = deepcopy(calls[call])
        told["security"] = _security_of(method, route.path)
        told["responses"] = _responses_of(told)
        described.add_api_route(
            route.path,
            route.endpoint,
            methods=[method],
            operation_id=told.pop("operationId"),
            summary=told.pop("summary"),
            description=told.pop("description"),
            tags=told.pop("tags"),
        )
        found[call] = told
    return found


def _in_order(paths: dict[str, Any], calls: list[str]) -> dict[str, Any]:
    """By group; in a group what reads comes first, then as the services tell it."""
    groups, places = list(TAGS), {call: place for place, call in reversed(list(enumerate(calls)))}

    def place_of(path: str) -> tuple[int, bool, int]:
        operations = paths[path]
        group = min(groups.index(operation["tags"][0]) for operation in operations.values())
        return (
            group,
            "get" not in operations,
            min(places[f"{method.upper()} {path}"] for method in operations),
        )

    return {
        path: {method: paths[path][method] for method in _METHODS if method in paths[path]}
        for path in sorted(paths, key=place_of)
    }


def _security_of(method: str, path: str) -> list[dict[str, list[str]]]:
    """The keys that services/http/keys.py takes."""
    if path in OPEN_PATHS:
        return _NO_KEY
    if method == "POST" and path in WRITE_PATHS:
        return [*_ANY, {"api_secret" if path == GA4_PATH else "query": []}]
    return _ANY


def _responses_of(told: dict[str, Any]) -> dict[str, Any]:
    """Its own, and those of the edge; where both have a status, its own stand first. None: it has no such."""
    responses: dict[str, Any] = told["responses"]
    statuses = [401, 403] if told["security"] else []
    if "requestBody" in told:
        statuses += BODY_PROBLEMS
    for status in statuses:
        name, made = _OF_THE_EDGE[status]
        own = responses.setdefault(str(status), {"$ref": f"#/components/responses/{name}"})
        if own is not None and "content" in own:
            _add_examples(own, made)
    return {status: made for status, made in sorted(responses.items()) if made is not None}


def _add_examples(own: dict[str, Any], more: dict[str, Any]) -> None:
    for media_type, content in more["content"].items():
        examples = own["content"][media_type]["examples"]
        for code, example in content["examples"].items():
            examples.setdefault(code, example)


def _used(paths: dict[str, Any]) -> dict[str, Any]:
    """The edge's responses that `paths` point to, by name."""
    found = {
        response.get("$ref", "").rpartition("/")[2]
        for path in paths.values()
        for operation in path.values()
        for response in operation["responses"].values()
    }
    return {name: made for name, made in _OF_THE_EDGE.values() if name in found}


def _named(part: Any, schemas: dict[str, Any]) -> Any:
    """`part` with each schema that has a title put into `schemas`, and pointed to."""
    if isinstance(part, list):
        return [_named(one, schemas) for one in part]
    if not isinstance(part, dict):
        return part
    made = {key: one if key in {"example", "examples"} else _named(one, schemas) for key, one in part.items()}
    name = made.get("title")
    if not (isinstance(name, str) and ("type" in made or "anyOf" in made)):
        return made
    if schemas.setdefault(name, made) != made:
        raise ValueError(f"two schemas are called {name}; give one of them another title")
    return {"$ref": f"#/components/schemas/{name}"}
