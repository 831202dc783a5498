"""Calls without input and output: a generator says what to send and how long to pause, and hears the answers.

`Freshet` and `AsyncFreshet` carry that out in two ways; what is sent, tried again and read is written once.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeVar

from freshet_client.errors import ApiError, FreshetError, UnreachableError

_FIRST_PAUSE_S: Final = 0.1  # a request that was refused for being one of many finds room then
_LONGEST_PAUSE_S: Final = 5.0  # how late a server that is back is noticed
_TOO_MANY: Final = 429
_REQUEST_TIMEOUT: Final = 408

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request. `stream`: the body of a 200 is left to be read line by line."""

    method: str
    path: str
    body: bytes | None = None
    query: Mapping[str, str] = field(default_factory=dict)
    to: Literal["ingest", "recommender"] = "recommender"
    stream: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. `opened` is the transport's response where a stream was asked for and is there."""

    status: int
    content: bytes
    retry_after_s: float = 0.0
    opened: Any = None

    @property
    def ok(self) -> bool:
        """A 2xx."""
        return 200 <= self.status < 300

    @property
    def may_pass(self) -> bool:
        """Another try may be answered otherwise. Ids and whole values let every call be made twice."""
        return self.status in {_REQUEST_TIMEOUT, _TOO_MANY} or self.status >= 500

    def members(self) -> dict[str, Any]:
        """The JSON object of the body; what is none (a proxy's page) has no members."""
        try:
            decoded = json.loads(self.content)
        except ValueError:
            return {}
        return decoded if isinstance(decoded, dict) else {}

    def error(self) -> ApiError:
        """The answer as an exception."""
        return ApiError(self.status, self.members())


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """The connection was refused, broke, or took too long."""

    reason: str

    may_pass = True
    retry_after_s = 0.0
    ok = False

    def error(self) -> UnreachableError:
        """The same as an exception."""
        return UnreachableError("unreachable", self.reason)


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait."""

    seconds: float


Told = Answer | NoAnswer | None
Flow = Generator[Request | Pause, Told, T]


class Patience:
    """The pauses between the tries of a call: doubling, with jitter, never shorter than Retry-After asks."""

    def __init__(self, patience_s: float) -> None:
        self._ends_s = time.monotonic() + patience_s
        self._pause_s = _FIRST_PAUSE_S

    def pause(self, told: Answer | NoAnswer) -> Pause | None:
        """How long to wait before the next try; None when patience would be over by then."""
        jitter = 0.5 + random.random() / 2  # noqa: S311 - spreads clients over time, no secret
        pause_s = told.retry_after_s + self._pause_s * jitter
        self._pause_s = min(2 * self._pause_s, _LONGEST_PAUSE_S)
        return Pause(pause_s) if time.monotonic() + pause_s < self._ends_s else None


def answered(request: Request, patience_s: float) -> Flow[Answer]:
    """A 2xx. What may pass is tried again as long as patience lasts. Raises ApiError, UnreachableError."""
    patience = Patience(patience_s)
    while True:
        told = yield request
        assert told is not None
        if isinstance(told, Answer) and told.ok:
            return told
        pause = patience.pause(told) if told.may_pass else None
        if pause is None:
            raise told.error()
        yield pause


def read(request: Request, patience_s: float) -> Flow[dict[str, Any]]:
    """The JSON object of a 2xx. Raises FreshetError."""
    told = yield from answered(request, patience_s)
    members = told.members()
    if not members:
        raise FreshetError("not_freshet", f"{request.path} was answered {told.status} without a JSON object")
    return members
