"""Requests through Knative's gateway, as a client and as a load of them."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx

from tests.cluster import kubectl, site
from tests.deploy.check import NAMESPACE

_TIMEOUT_S = 60


def host_of(service: str) -> str:
    """The name under which Knative's gateway knows a Service."""
    found = kubectl.read("-n", NAMESPACE, f"services.serving.knative.dev/{service}")
    return urlsplit(found["status"]["url"]).hostname or ""


class Caller:
    """One service behind the gateway."""

    def __init__(self, service: str) -> None:
        self.host = host_of(service)

    def ask(
        self, method: str, path: str, json: Any = None, *, host: str = "", text: str | None = None
    ) -> httpx.Response:
        """One request on a connection of its own, with a body of JSON, given as such or as text.

        Raises httpx.HTTPError.
        """
        headers = {"host": host or self.host, "x-api-key": site.key()}
        if text is not None:
            headers["content-type"] = "application/json"
        with httpx.Client(base_url=site.gateway(), timeout=_TIMEOUT_S, trust_env=False) as client:
            return client.request(method, path, headers=headers, json=json, content=text)

    def timed(self, method: str, path: str, json: Any = None) -> tuple[float, httpx.Response]:
        """(s until the answer, the answer)."""
        began_s = time.monotonic()
        answer = self.ask(method, path, json)
        return time.monotonic() - began_s, answer


@contextlib.contextmanager
def asking(caller: Caller, path: str, *, every_s: float) -> Iterator[Counter[int]]:
    """Ask again and again in the background; what came back, by status (0: no answer at all)."""
    statuses: Counter[int] = Counter()
    stop = threading.Event()

    def run() -> None:
        while not stop.wait(every_s):
            try:
                statuses[caller.ask("GET", path).status_code] += 1
            except httpx.HTTPError:
                statuses[0] += 1

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield statuses
    finally:
        stop.set()
        thread.join(_TIMEOUT_S)
