"""Segment's own browser library (Analytics.js 2), unmodified, from a page of a shop to a running Freshet."""

from __future__ import annotations

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.sync_api import Page

from tests.browser.site import in_background
from tests.e2e.running import FreshetProcess, becomes
from tests.node_packages import node_packages
from tests.processes import scratch_directory

WRITE_KEY = "shop-write-key"
PAGE = b'<!doctype html><title>shop</title><link rel="icon" href="data:,"><script src="/library.js"></script>'
# What docs/SEGMENT.md tells: nothing is loaded from Segment, and calls go to Freshet.
LOAD = """([key, host, deliveryStrategy]) => {
    window.analytics = AnalyticsNext.AnalyticsBrowser.load(
        { writeKey: key, cdnSettings: { integrations: { "Segment.io": { apiKey: key } } } },
        { integrations: { "Segment.io": { apiHost: `${host}/v1`, protocol: "http", deliveryStrategy } } }
    );
}"""


class Site(ThreadingHTTPServer):
    """The shop's own web server: a page, and the library beside it."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        package = node_packages("@segment/analytics-next@1.84.3") / "@segment/analytics-next"
        self.library = (package / "dist/umd/index.js").read_bytes()
        self.url = f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Site

    def do_GET(self) -> None:
        """The page or the library."""
        script = self.path == "/library.js"
        body = self.server.library if script else PAGE
        self.send_response(200)
        self.send_header("content-type", "text/javascript" if script else "text/html")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Silent."""


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with in_background(Site()) as started:
        yield started


@pytest.fixture(scope="module")
def freshet(site: Site) -> Iterator[FreshetProcess]:
    """A Freshet with keys, on another origin than the shop's page."""
    variables = {
        "FRESHET_KEYS": "all",
        "FRESHET_WRITE_KEYS": WRITE_KEY,
        "FRESHET_CORS_ORIGINS": site.url,
    }
    with scratch_directory("segment") as directory:
        with FreshetProcess(Path(directory), ["--empty"], variables) as process:
            process.start()
            yield process


def did(freshet: FreshetProcess, user: str) -> list[tuple[str, str]]:
    status, body = freshet.call("GET", f"/users/{user}/profile", headers={"X-API-Key": "all"})
    recent = body["recent"] if status == 200 else []
    return sorted((entry["event_type"], entry["item_id"]) for entry in recent)


@pytest.mark.parametrize("strategy", ["standard", "batching"])
def test_what_a_visitor_does_is_in_the_profile(
    page: Page, site: Site, freshet: FreshetProcess, strategy: str
) -> None:
    elsewhere: list[str] = []
    page.on(
        "request", lambda request: None if "//127.0.0.1:" in request.url else elsewhere.append(request.url)
    )
    page.goto(site.url)
    delivery = {"strategy": strategy, **({"config": {"size": 4}} if strategy == "batching" else {})}
    page.evaluate(LOAD, [WRITE_KEY, freshet.url.removeprefix("http://"), delivery])
    visitor = page.evaluate(
        """async () => {
            await analytics.page("Product", { product_id: "p1" });
            await analytics.track("Product Added", { product_id: "p2", quantity: 2 });
            await analytics.track("Product List Filtered", { products: [{ product_id: "p3" }] });
            await analytics.track("Order Completed", { order_id: "1", products: [{ product_id: "p2" }] });
            return (await analytics.user()).anonymousId();
        }"""
    )
    expected = [("cart_add", "p2"), ("purchase", "p2"), ("view", "p1")]
    becomes(lambda: did(freshet, visitor), expected)
    assert [url for url in elsewhere if not url.startswith("data:")] == []
