"""The demo shop through the gateway: what a browser is sent, and what it may send."""

from __future__ import annotations

import gzip
import http.client
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from services.local.shop_page import MIME_TYPES, PAGES, SECURITY, shop_part
from tests.compose.stack import Stack, check

SERVICES: Final = ("ingest", "profiler", "recommender")
_VISITOR: Final = "/recommend/compose_visitor"
_STREAM: Final = {"Accept": "text/event-stream", "Accept-Encoding": "gzip, deflate, br"}
# Bounds a hang alone: a heartbeat comes every 15 s.
_TIMEOUT_S: Final = 40.0


class Got(NamedTuple):
    """An answer as it came."""

    status: int
    headers: dict[str, str]
    body: bytes


def get(stack: Stack, path: str, **headers: str) -> Got:
    """GET without a key; `_` in a header's name is a dash."""
    connection = http.client.HTTPConnection(urlsplit(stack.url).netloc, timeout=_TIMEOUT_S)
    try:
        connection.request("GET", path, headers={n.replace("_", "-"): v for n, v in headers.items()})
        answer = connection.getresponse()
        return Got(answer.status, {n.lower(): v for n, v in answer.getheaders()}, answer.read())
    finally:
        connection.close()


def served(stack: Stack) -> int:
    """Every page and every file behind it, as `freshet run` has them; answers how many. They need no key."""
    routes = shop_part().router.routes
    paths = [path for path in sorted(shop_part().open_paths) if any(one.path == path for one in routes)]
    document = get(stack, "/").body
    for path in paths:
        suffix = ".html" if path in PAGES else f".{path.rpartition('.')[2]}"
        plain, zipped = get(stack, path), get(stack, path, accept_encoding="gzip, br")
        check(plain.status == 200, f"GET {path}: {plain.status}", "gateway")
        expected = {**SECURITY, "cache-control": "no-cache", "content-type": MIME_TYPES[suffix]}
        wrong = {n: plain.headers.get(n) for n, v in expected.items() if plain.headers.get(n) != v}
        check(not wrong, f"GET {path} has {wrong}, not {expected}", "gateway")
        if zipped.headers.get("content-encoding") == "gzip":
            check(gzip.decompress(zipped.body) == plain.body, f"GET {path}, gzipped, is another", "gateway")
        else:
            check(len(plain.body) < 256, f"GET {path} is not compressed", "gateway")
        known = get(stack, path, accept_encoding="gzip", if_none_match=zipped.headers.get("etag", ""))
        check((known.status, known.body) == (304, b""), f"GET {path} again: {known.status}", "gateway")
        if suffix == ".html":
            check(plain.body == document, f"GET {path} is another document", "gateway")
        for name in re.findall(rb'(?:from|import\() ?"\./([\w.]+)"', plain.body):
            check(f"/shop/{name.decode()}" in paths, f"{path} loads {name!r}", "gateway")
    for name in re.findall(rb'(?:href|src)="(/shop/[^"]+)"', document):
        check(name.decode() in paths, f"the page loads {name!r}", "gateway")
    for path in ("/shop/", "/shop/nothing.js", "/shop/../nginx.conf", "/nginx.conf", "/watch/x"):
        check(get(stack, path).status in {401, 404}, f"GET {path} is served", "gateway")
    return len(paths)


def clicked(stack: Stack) -> None:
    """What the page does: a stream held open, an event from its own origin, and the list is another."""
    page = {"Origin": stack.url, "Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors"}
    status, body = stack.call("GET", f"{_VISITOR}?n=8", headers=page)
    check(status == 200, f"GET {_VISITOR} of the page: {status} {body}", "gateway", "recommender")
    with _following(stack, f"{_VISITOR}/stream?n=2", page) as lists:
        before = next(lists)
        disliked = before["items"][0]["item_id"]
        event = {"user_id": "compose_visitor", "event_type": "dislike", "item_id": disliked}
        status, posted = stack.call("POST", "/events", event, headers=page)
        check(status == 202, f"POST /events of the page: {status} {posted}", "gateway", "ingest")
        after = next(lists)
    check(after["profile_events"] == before["profile_events"] + 1, f"{before} became {after}", "profiler")
    ids = [[item["item_id"] for item in told["items"]] for told in (before, after)]
    check(disliked not in ids[1], f"{disliked} was disliked: {ids[0]} became {ids[1]}", "recommender")


@contextmanager
def _following(stack: Stack, path: str, headers: dict[str, str]) -> Iterator[Iterator[Any]]:
    """The lists of a stream as they come. StepError for one that a heartbeat overtakes: it was held back."""
    connection = http.client.HTTPConnection(urlsplit(stack.url).netloc, timeout=_TIMEOUT_S)
    key = {"X-API-Key": stack.keys.split(",")[0]} if stack.keys else {}
    try:
        connection.request("GET", path, headers={**_STREAM, **headers, **key})
        answer = connection.getresponse()
        kind = answer.getheader("content-type", "")
        check(answer.getheader("content-encoding") is None, f"{path} is compressed, which holds it back")
        check(
            (answer.status, kind.partition(";")[0]) == (200, "text/event-stream"), f"{path}: {answer.status}"
        )

        def lists() -> Iterator[Any]:
            while line := answer.readline():
                check(not line.startswith(b": "), f"{path} is held back on the way", "gateway")
                if line.startswith(b"data: "):
                    yield json.loads(line.removeprefix(b"data: "))
            check(False, f"{path} ended", "gateway", "recommender")

        yield lists()
    finally:
        connection.close()


def metered(stack: Stack) -> None:
    """/pipeline gets each service's metrics by its name, with a key where there are keys."""
    check(get(stack, "/metrics").status == 404, "GET /metrics is answered by one service of three", "gateway")
    for service in SERVICES:
        if stack.keys:
            check(
                get(stack, f"/metrics/{service}").status == 401, f"{service}'s metrics need no key", service
            )
        told = stack.get(f"/metrics/{service}")
        wanted = f'freshet_start_seconds{{service="{service}",step="ready"}}'
        check(wanted in told, f"/metrics/{service} has no {wanted}", "gateway", service)


def described(stack: Stack) -> None:
    """/docs shows both services' calls with what is served here: no other host."""
    headers = {"X_API_Key": stack.keys.split(",")[0]} if stack.keys else {}
    page = get(stack, "/docs", **headers)
    check(page.status == 200, f"GET /docs: {page.status}", "gateway", "recommender")
    check(b"://" not in page.body, "/docs looks elsewhere", "gateway")
    for path in re.findall(rb'(?:href|src)="(/[^"]+)"', page.body):
        got = get(stack, path.decode(), **headers)
        check(got.status == 200 and bool(got.body), f"/docs loads {path!r}: {got.status}", "gateway")
    for service in ("ingest", "recommender"):
        check(bool(stack.get(f"/openapi/{service}.json")["paths"]), f"no description of {service}", service)
