"""HTTP to a running Freshet, with errors that say what to do."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Any, Self

import httpx
import msgspec

from services.cli.failure import CommandError
from services.kernel.settings import HttpSettings

_TIMEOUT_S = 30.0  # several times ingest's own longest wait for the log
_PAUSE_MIN_S = 0.2
_PAUSE_MAX_S = 10.0
# Answers that another try may change; everything else is final.
_PASSING = frozenset({429, 502, 503, 504})


class Answer:
    """Status and decoded body of one answer. `date_s`: the server's clock as its Date header has it."""

    def __init__(
        self, status: int, body: Any, retry_after_s: float | None = None, date_s: float | None = None
    ) -> None:
        self.status = status
        self.body = body
        self.retry_after_s = retry_after_s
        self.date_s = date_s

    @property
    def ok(self) -> bool:
        """A 2xx."""
        return 200 <= self.status < 300

    def detail(self) -> str:
        """What the problem details say, in one line."""
        if isinstance(self.body, dict) and "detail" in self.body:
            return f"{self.status} {self.body.get('code', '')}: {self.body['detail']}"
        return f"{self.status}: {str(self.body)[:300]}"


def default_url() -> str:
    """Where `freshet run` listens with this environment."""
    settings = HttpSettings.from_environment()
    host = "127.0.0.1" if settings.host in {"0.0.0.0", "::", ""} else settings.host  # noqa: S104
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.port}"


def default_key() -> str:
    """The first key of this environment, or none."""
    settings = HttpSettings.from_environment()
    keys = sorted(settings.key_set()) or sorted(settings.write_key_set())
    return keys[0] if keys else ""


class FreshetClient:
    """One Freshet. `patience_s`: how long in a row it may be away before a call gives up; `waits` is told
    once when it is."""

    def __init__(
        self,
        url: str,
        key: str,
        *,
        patience_s: float = 0.0,
        connections: int = 16,
        waits: Callable[[str], None] | None = None,
    ) -> None:
        # One name for this machine: how far an import has come is kept by URL.
        self.url = url.rstrip("/").replace("://localhost", "://127.0.0.1")
        self.has_changed = False  # something was taken
        headers = {"authorization": f"Bearer {key}"} if key else {}
        self._patience_s = patience_s
        self._waits = waits
        try:
            self._http = httpx.AsyncClient(
                base_url=self.url,
                headers=headers,
                timeout=_TIMEOUT_S,
                limits=httpx.Limits(max_connections=connections),
                trust_env=not self._is_local(),  # a proxy has no business between two local processes
            )
        except (httpx.InvalidURL, ValueError) as error:
            raise CommandError(f"--url {url}: {error}") from None

    def _is_local(self) -> bool:
        return httpx.URL(self.url).host in {"127.0.0.1", "localhost", "::1"}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()

    async def call(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        *,
        query: Mapping[str, str | list[str]] | None = None,
        content_type: str = "application/json",
    ) -> Answer:
        """One call. What may pass (no connection, 503) is tried again until `patience_s` is over.

        Raises CommandError when nobody answers, when the key is refused, and for what is not a Freshet.
        """
        began_s = time.monotonic()
        pause_s = _PAUSE_MIN_S
        while True:
            answer, trouble = await self._once(method, path, body, query, content_type)
            if answer is not None and answer.status not in _PASSING:
                self.has_changed |= answer.ok and method != "GET"
                return self._allowed(answer)
            if answer is not None:
                trouble = answer.detail()
                pause_s = max(pause_s, min(answer.retry_after_s or 0.0, _PAUSE_MAX_S))
            if time.monotonic() - began_s + pause_s > self._patience_s:
                if answer is not None:
                    return answer
                raise CommandError(
                    f"{self.url} does not answer ({trouble}); is `freshet run` up there? "
                    "--url or FRESHET_PORT names another place"
                )
            if self._waits is not None:
                self._waits(
                    f"{self.url} does not answer ({trouble}); waiting for it, {self._patience_s:g} s at most"
                )
                self._waits = None
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, _PAUSE_MAX_S)

    async def _once(
        self,
        method: str,
        path: str,
        body: bytes | None,
        query: Mapping[str, str | list[str]] | None,
        content_type: str,
    ) -> tuple[Answer | None, str]:
        try:
            response = await self._http.request(
                method,
                path,
                content=body,
                params=query,
                headers={"content-type": content_type} if body else None,
            )
        except httpx.UnsupportedProtocol:
            raise CommandError(f"--url {self.url}: a URL begins with http:// or https://") from None
        except (httpx.TransportError, OSError) as error:
            return None, str(error) or type(error).__name__
        try:
            decoded = msgspec.json.decode(response.content) if response.content else None
        except msgspec.DecodeError:
            decoded = response.text
        retry_after_s = _seconds(response.headers.get("retry-after"))
        return Answer(
            response.status_code, decoded, retry_after_s, _moment_s(response.headers.get("date"))
        ), ""

    def _allowed(self, answer: Answer) -> Answer:
        if answer.status in {401, 403}:
            raise CommandError(
                f"{self.url} refuses the key ({answer.detail()}); give one with --key or FRESHET_KEYS"
            )
        return answer


def _seconds(header: str | None) -> float | None:
    try:
        return float(header) if header else None
    except ValueError:
        return None


def _moment_s(header: str | None) -> float | None:
    try:
        return parsedate_to_datetime(header).timestamp() if header else None
    except ValueError:
        return None


def data_dir() -> str:
    """Where this machine keeps Freshet's files."""
    return os.environ.get("FRESHET_DATA_DIR") or ".freshet"
