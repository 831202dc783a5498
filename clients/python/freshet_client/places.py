"""Where Freshet answers, and how a request looks there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import httpx

from freshet_client.flow import Answer, Request

_LONGEST_RETRY_AFTER_S = 60.0  # what a proxy asks beyond that is longer than anybody's patience here


@dataclass(frozen=True, slots=True)
class Places:
    """`url` answers reads, `events_url` takes writes."""

    url: str
    events_url: str
    headers: dict[str, str]

    @classmethod
    def of(cls, url: str, events_url: str | None, key: str | None, version: str) -> Self:
        """Raises ValueError for what is no URL."""
        reads = _base(url)
        writes = _base(events_url).removesuffix("/events") if events_url else reads
        headers = {"user-agent": f"freshet-client/{version}"}
        if key:
            headers["authorization"] = f"Bearer {key}"
        return cls(reads, writes, headers)

    def request(self, request: Request, client: httpx.Client | httpx.AsyncClient) -> httpx.Request:
        """The request as httpx sends it."""
        base = self.events_url if request.to == "ingest" else self.url
        more = {} if request.body is None else {"content-type": "application/json"}
        options: dict[str, Any] = {"params": dict(request.query)} if request.query else {}
        return client.build_request(
            request.method,
            base + request.path,
            content=request.body,
            headers={**self.headers, **more},
            **options,
        )


def answer_of(response: httpx.Response, opened: bool) -> Answer:
    """The answer, its body read unless it is `opened`."""
    wait = response.headers.get("retry-after", "")
    retry_after_s = min(float(wait), _LONGEST_RETRY_AFTER_S) if wait.isdigit() else 0.0
    content = b"" if opened else response.content
    return Answer(response.status_code, content, retry_after_s, response if opened else None)


def reason_of(error: httpx.RequestError, request: httpx.Request) -> str:
    """What to tell about a connection that did not work."""
    return f"{request.url} does not answer: {str(error) or type(error).__name__}"


def _base(url: str) -> str:
    parsed = httpx.URL(url)
    if parsed.scheme not in {"http", "https"} or not parsed.host:
        raise ValueError(f"{url!r} is no URL of a Freshet; one looks like http://127.0.0.1:8080")
    return url.rstrip("/")
