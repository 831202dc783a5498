"""/docs in Chromium: without another host, on a phone too, and a click on "Execute" makes the call."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page

from tests.e2e.running import FreshetProcess, becomes
from tests.processes import scratch_directory


@pytest.fixture(scope="module")
def freshet() -> Iterator[FreshetProcess]:
    with scratch_directory("docs") as directory:
        with FreshetProcess(Path(directory), ["--empty"], {}) as process:
            process.start()
            yield process


def opened(context: BrowserContext, url: str, width: int) -> tuple[Page, list[str]]:
    """The page, and what it has asked for elsewhere."""
    page = context.new_page()
    page.set_viewport_size({"width": width, "height": 900})
    foreign: list[str] = []
    page.on("request", lambda sent: None if sent.url.startswith((url, "data:")) else foreign.append(sent.url))
    page.goto(f"{url}/docs")
    page.wait_for_selector(".opblock")
    return page, foreign


def test_a_call_is_tried_with_a_click(context: BrowserContext, freshet: FreshetProcess) -> None:
    page, foreign = opened(context, freshet.url, 1280)
    groups = page.locator(".opblock-tag a").all_inner_texts()
    assert groups[:2] == ["Events", "Recommendations"]
    page.locator("#operations-Events-postEvents .opblock-summary-control").click()
    page.locator(".execute").click()
    answer = page.locator(".live-responses-table tbody .response-col_status")
    answer.wait_for()
    assert answer.inner_text().startswith("202")
    becomes(lambda: freshet.get("/users/u_12345/export").get("records"), 1)
    assert not foreign


def test_a_phone_shows_what_each_group_is_about(context: BrowserContext, freshet: FreshetProcess) -> None:
    page, foreign = opened(context, freshet.url, 390)
    for about in page.locator(".opblock-tag small").all():
        box = about.bounding_box()
        assert box is not None
        assert box["width"] > 250, about.inner_text()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert not foreign
