"""Making answers: JSON by msgspec, problems by RFC 9457."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from starlette.responses import Response

from services.kernel.problem import Problem

_encoder: Final = msgspec.json.Encoder()


def json_answer(content: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """`content` as JSON; msgspec's encoder takes dicts, lists, dataclasses and Structs."""
    return Response(_encoder.encode(content), status, headers, media_type="application/json")


def problem_answer(problem: Problem) -> Response:
    """The problem as an answer."""
    return Response(problem.body(), problem.status, problem.all_headers())


def takes_gzip(accepted: str) -> bool:
    """Whether `Accept-Encoding` names gzip, and not with q=0."""
    for part in accepted.lower().split(","):
        name, _, weight = part.partition(";")
        if name.strip() in {"gzip", "*"}:
            return weight.replace(" ", "") not in {"q=0", "q=0.0", "q=0.00", "q=0.000"}
    return False
