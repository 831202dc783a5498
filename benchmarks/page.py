"""The demo shop in a real Chromium: weight of the page, time to the first rows, a click's way to the screen.

A visit is a new profile (nothing cached). Times are the browser's own, from the start of the navigation, or
from the click, to the frame that shows the list.
"""

from __future__ import annotations

import argparse
import os
import shutil
from typing import Any

from playwright.sync_api import Browser, Page, Request, ViewportSize, sync_playwright

from benchmarks._measure import emit, machine, note
from benchmarks._system import running

_VIEWPORT: ViewportSize = {"width": 1280, "height": 900}
_STEPS = ("accepted", "written", "shown")
_FIRST_ROWS = "performance.getEntriesByName('first-rows')[0]?.startTime"
_FIRST_PAINT = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime"
_STEP_MS = "(name) => parseFloat(document.querySelector(`[data-step=${name}].done b`)?.textContent)"
_ALL_DONE = "() => document.querySelectorAll('#strip .done').length === 3"


def main() -> None:
    """Visit again and again; in each visit like some items, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--visits", type=int, default=10)
    parser.add_argument("--clicks", type=int, default=5, help="a visit")
    arguments = parser.parse_args()
    program = os.environ.get("FRESHET_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        raise SystemExit("no Chromium is installed (Debian: apt-get install chromium)")
    first_rows: list[float] = []
    first_paint: list[float] = []
    weights: list[float] = []
    ways: dict[str, list[float]] = {step: [] for step in _STEPS}
    with running() as system, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        url = f"http://127.0.0.1:{system.port}/"
        weights.append(_weight(browser, url) / 1000)  # a visit of its own: to look at requests takes time
        for number in range(arguments.visits):
            note(f"visit {number + 1} of {arguments.visits} ...")
            context = browser.new_context(viewport=_VIEWPORT)
            page = context.new_page()
            _arrive(page, url)
            first_rows.append(float(page.evaluate(_FIRST_ROWS)))
            first_paint.append(float(page.evaluate(_FIRST_PAINT)))
            for place in range(arguments.clicks):
                page.wait_for_timeout(300)  # what the last click set going has ended
                page.locator("li.card[data-item] .like").nth(place).click()
                page.wait_for_function(_ALL_DONE)
                for step in _STEPS:
                    ways[step].append(float(page.evaluate(_STEP_MS, step)))
            context.close()
        version = browser.version
        browser.close()
    where: dict[str, Any] = {"machine": machine(), "chromium": version}
    emit("page_weight", weights, "kB", **where)
    emit("page_first_paint", first_paint, "ms", 0, **where)
    emit("page_first_rows", first_rows, "ms", 0, **where)
    for step in _STEPS:
        emit(f"page_click_{step}", ways[step], "ms", 1, **where)


def _weight(browser: Browser, url: str) -> int:
    """Bytes transferred for the page itself, without its answers."""
    bytes_of: dict[str, int] = {}

    def finished(request: Request) -> None:
        if "/shop/" in request.url or request.url == url:
            told = request.sizes()
            bytes_of[request.url] = told["responseBodySize"] + told["responseHeadersSize"]

    with browser.new_context(viewport=_VIEWPORT) as context:
        page = context.new_page()
        page.on("requestfinished", finished)
        _arrive(page, url)
    return sum(bytes_of.values())


def _arrive(page: Page, url: str) -> None:
    page.goto(url)
    page.wait_for_function(f"() => {_FIRST_ROWS} !== undefined")
    page.wait_for_timeout(500)  # and all else that it loads


if __name__ == "__main__":
    main()
