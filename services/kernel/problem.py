"""Errors to clients: RFC 9457 problem details with a stable `code`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final

import msgspec

PROBLEM_MEDIA_TYPE: Final = "application/problem+json"


@dataclass(frozen=True, slots=True)
class Problem:
    """One error answer. `code` never changes once published; `detail` says what to change."""

    status: int
    code: str
    detail: str
    title: str = ""  # default: the status's phrase
    retry_after_s: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)  # further members of the JSON object

    def body(self) -> bytes:
        """The JSON object. `type` is about:blank: the code is what programs look at."""
        return msgspec.json.encode(
            {
                "type": "about:blank",
                "title": self.title or phrase(self.status),
                "status": self.status,
                "code": self.code,
                "detail": self.detail,
                **self.extra,
            }
        )

    def all_headers(self) -> dict[str, str]:
        """Media type, Retry-After when a retry can help, and what the problem brings itself."""
        headers = {"content-type": PROBLEM_MEDIA_TYPE, **self.headers}
        if self.retry_after_s is not None:
            headers["retry-after"] = str(self.retry_after_s)
        return headers


class ProblemError(Exception):
    """Ends a request with a problem."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(f"{problem.status} {problem.code}: {problem.detail}")
        self.problem = problem


# RFC 9110's names where Python before 3.13 has those of RFC 2616: an answer does not hang on its version.
_RENAMED: Final = {413: "Content Too Large", 414: "URI Too Long", 422: "Unprocessable Content"}


def phrase(status: int) -> str:
    """The status in words."""
    try:
        return _RENAMED.get(status) or HTTPStatus(status).phrase
    except ValueError:
        return "Error"
