"""What can go wrong. Every error has a stable `code` for programs and a `detail` that says what to change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from freshet_client.sent import Sent


class FreshetError(Exception):
    """Base of all errors of this package."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail


class ApiError(FreshetError):
    """Freshet answered with a problem (RFC 9457): `status`, and all members of it in `problem`."""

    def __init__(self, status: int, problem: Mapping[str, Any]) -> None:
        code = str(problem.get("code") or f"http_{status}")
        super().__init__(code, str(problem.get("detail") or problem.get("title") or f"answered {status}"))
        self.status = status
        self.problem = problem


class RejectedError(ApiError):
    """The one event that was sent is not accepted for what it is; the same again would not be either."""


class UnreachableError(FreshetError):
    """No answer: nobody listens, the connection broke or was too slow, for as long as patience lasted."""


class UnsentError(FreshetError):
    """Patience ran out, or something else ended the sending; `__cause__` is the error that did.

    `sent` is what was answered before; `unsent` are the entries without an answer, with their ids. Some of
    them may be in the log: sending them again as they are is safe. What an iterable still held is in neither.
    """

    def __init__(self, cause: FreshetError, sent: Sent, unsent: Sequence[dict[str, Any]]) -> None:
        super().__init__(cause.code, cause.detail)
        self.sent = sent
        self.unsent = list(unsent)
