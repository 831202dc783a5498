"""The demo shop through the gateway: what a browser is sent, what it may send, and a real browser at it."""

from __future__ import annotations

import gzip
import http.client
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast
from urllib.parse import urlsplit

from services.local.shop_page import MIME_TYPES, PAGES, SECURITY, shop_part
from tests.compose.stack import Stack, check, note
from tests.e2e.running import FreshetProcess

if TYPE_CHECKING:
    from playwright.sync_api import ConsoleMessage

_SERVICES: Final = ("ingest", "profiler", "recommender")
_VISITOR: Final = "/recommend/compose_visitor"
_BROWSERS: Final = ("chromium", "chromium-browser", "google-chrome")
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
    with _following(stack, f"{_VISITOR}/stream?n=8", page) as lists:
        before = next(lists)
        event = {"user_id": "compose_visitor", "event_type": "like", "item_id": before["items"][1]["item_id"]}
        status, posted = stack.call("POST", "/events", event, headers=page)
        check(status == 202, f"POST /events of the page: {status} {posted}", "gateway", "ingest")
        after = next(lists)
    check(after["profile_events"] == before["profile_events"] + 1, f"{before} became {after}", "profiler")
    ids = [[item["item_id"] for item in told["items"]] for told in (before, after)]
    check(ids[0] != ids[1], f"a click left the list at {ids[0]}", "profiler", "recommender")


@contextmanager
def _following(stack: Stack, path: str, headers: dict[str, str]) -> Iterator[Iterator[Any]]:
    """The lists of a stream as they come. StepError for one that a heartbeat overtakes: it was held back."""
    connection = http.client.HTTPConnection(urlsplit(stack.url).netloc, timeout=_TIMEOUT_S)
    key = {"X-API-Key": stack.keys.split(",")[0]} if stack.keys else {}
    try:
        connection.request("GET", path, headers={**headers, **key, "Accept": "text/event-stream"})
        answer = connection.getresponse()
        kind = answer.getheader("content-type", "")
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
    for service in _SERVICES:
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
    check(
        b"//" not in re.sub(rb"^\s*//.*$", b"", page.body, flags=re.MULTILINE),
        "/docs looks elsewhere",
        "gateway",
    )
    for path in re.findall(rb'(?:href|src)="(/[^"]+)"', page.body):
        got = get(stack, path.decode(), **headers)
        check(got.status == 200 and bool(got.body), f"/docs loads {path!r}: {got.status}", "gateway")
    for service in ("ingest", "recommender"):
        check(bool(stack.get(f"/openapi/{service}.json")["paths"]), f"no description of {service}", service)


def _complaint(told: ConsoleMessage) -> str:
    return f"{told.location.get('url')}: {told.text}"


def in_a_browser(stack: Stack) -> bool:
    """A click in Chromium rearranges the row; /pipeline shows three services. False: no Chromium is here."""
    program = os.environ.get("FRESHET_CHROMIUM") or next(filter(None, map(shutil.which, _BROWSERS)), None)
    if program is None:
        note("          no Chromium is installed: the page was not clicked")
        return False
    from playwright.sync_api import expect, sync_playwright

    from tests.browser.shop_visit import Visit

    with sync_playwright() as playwright:
        # Its sandbox needs rights that containers and root do not have; only pages of ours are opened.
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        page = browser.new_page()
        errors: list[str] = []
        page.on("console", lambda told: errors.append(_complaint(told)) if told.type == "error" else None)
        page.on("pageerror", lambda error: errors.append(str(error)))
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        visit = Visit(page, cast(FreshetProcess, stack))  # which speaks to `url` alone
        if stack.keys:
            page.goto(stack.url)
            page.get_by_label("Key", exact=True).fill(stack.keys.split(",")[0])
            page.keyboard.press("Enter")
            errors.clear()  # the 401 that made it ask
        else:
            visit.go()
        before = visit.items("For you")
        visit.cards("For you").nth(1).get_by_role("button", name="Like").click()
        took_ms = visit.followed("Liked")
        visit.becomes_other("For you", before)
        visit.go("/watch")
        expect(visit.page.locator("li.card[data-item]").first).to_be_visible()
        visit.go("/pipeline")
        for service in _SERVICES:
            row = visit.row("Starts").get_by_role("row", name=service)
            expect(row.get_by_role("cell").nth(2)).to_contain_text("ms")
        accepted = visit.row("Events").get_by_role("row", name="accepted").get_by_role("cell").first
        expect(accepted).not_to_have_text("0")
        # How /pipeline finds out that it stands behind a gateway.
        errors = [error for error in errors if not error.startswith(f"{stack.url}/metrics: ")]
        if not stack.keys:  # which a browser cannot send with a page of its own
            page.goto(f"{stack.url}/docs#write")
            expect(page.locator(".opblock-summary-path").first).to_contain_text("/events")
        strangers = [url for url in asked if not url.startswith((f"{stack.url}/", "data:", "blob:"))]
        check(not strangers, f"the page asks {strangers}", "gateway")
        check(not errors, f"the browser's console has errors: {errors}", "gateway")
        browser.close()
    note(f"          a click in Chromium: {', '.join(f'{step} {ms} ms' for step, ms in took_ms.items())}")
    return True
