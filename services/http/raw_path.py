"""Ids in paths. Routes match the path as it was sent, so that `%2F` belongs to the id; decoded once, here."""

from __future__ import annotations

from urllib.parse import unquote_to_bytes

from starlette.requests import Request
from starlette.types import Scope

from services.kernel.ids import IdError, read_id
from services.kernel.problem import Problem, ProblemError


def keep_raw_path(scope: Scope) -> None:
    """Let routing see the path undecoded: `/recommend/a%2Fstream` is user `a/stream`, no stream of `a`."""
    raw: bytes | None = scope.get("raw_path")
    if raw is not None and b"%" in raw:
        scope["path"] = raw.partition(b"?")[0].decode("latin-1")


def path_id(request: Request, name: str) -> str:
    """The id in path parameter `name` (declared as `{name:path}`). Raises ProblemError 400."""
    raw: str = request.path_params[name]
    try:
        return read_id(unquote_to_bytes(raw).decode() if "%" in raw else raw)
    except UnicodeDecodeError:
        message = "is not UTF-8; percent-encode the bytes of its UTF-8 form"
    except IdError as error:
        message = str(error)
    raise ProblemError(Problem(400, f"invalid_{name}", f"{name} in the path {message}"))
