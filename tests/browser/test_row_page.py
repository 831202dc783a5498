"""The page of clients/js/README.md, as it stands: a row that reacts to a click."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page

from tests.browser.site import CLIENT, Site
from tests.e2e.running import FreshetProcess, becomes
from tests.processes import scratch_directory

_HTML = re.compile(r"```html\n(.*?)```", re.DOTALL)
_LOCAL = "http://localhost:8080"


@pytest.fixture(scope="module")
def freshet(site: Site) -> Iterator[FreshetProcess]:
    """Without keys, with six items, on another origin than the page."""
    with scratch_directory("row") as directory:
        variables = {"FRESHET_CORS_ORIGINS": site.url}
        with FreshetProcess(Path(directory), ["--empty"], variables) as process:
            process.start()
            items = [{"item_id": f"i{n}", "title": f"Item {n}", "categories": ["Tea"]} for n in range(6)]
            assert process.call("POST", "/items", items)[0] == 202
            becomes(lambda: len(process.get("/recommend?n=6")["items"]), 6)
            yield process


def test_a_click_changes_the_row(page: Page, site: Site, freshet: FreshetProcess) -> None:
    (html,) = _HTML.findall((CLIENT / "README.md").read_text(encoding="utf-8"))
    assert _LOCAL in html
    site.page = html.replace(_LOCAL, freshet.url)
    page.goto(site.url)
    page.wait_for_function("() => document.querySelectorAll('#row button').length === 6")
    assert "You looked at" not in page.inner_text("#row")
    page.click("#row button >> text=Item 4")
    page.wait_for_function("() => /Item 4: You looked at/.test(document.getElementById('row').innerText)")
