"""A real browser at the gateway: the shop is clicked, /pipeline and /docs are looked at."""

from __future__ import annotations

import os
import re
import shutil
from contextlib import suppress
from typing import Final, cast

from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright
from playwright.sync_api import Error as BrowserError

from tests.browser.shop_visit import Visit
from tests.compose.page import SERVICES
from tests.compose.stack import Stack, StepError, check, note
from tests.e2e.running import FreshetProcess

_TIME: Final = re.compile(r"\d (ms|s)$")
_NAMES: Final = ("chromium", "chromium-browser", "google-chrome")
# Chromium breaks off what it loads when an interface comes up, as the engine's do after the containers.
_INTERFACE: Final = "ERR_NETWORK_CHANGED"
_TRIES_MAX: Final = 4
# What the banner says while /pipeline looks three times more; "" while it is hidden.
_WATCH_BANNER: Final = """() => new Promise((resolve) => {
    const banner = document.getElementById("banner");
    const look = () => banner.hidden || resolve(banner.textContent);
    look();
    new MutationObserver(look).observe(banner, { attributes: true });
    setTimeout(() => resolve(""), 3500);
})"""


def installed() -> str | None:
    """The path of a Chromium; None, and a line for people, where there is none."""
    found = os.environ.get("FRESHET_CHROMIUM") or next(filter(None, map(shutil.which, _NAMES)), None)
    if found is None:
        note("          no Chromium is installed: the pages are not clicked")
    return found


def clicked(stack: Stack, program: str) -> None:
    """A click rearranges the row, /pipeline shows three services, /docs their calls; nothing comes from
    elsewhere, and the console stays empty. Raises StepError.
    """
    with sync_playwright() as playwright:
        # Its sandbox needs rights that containers and root do not have; only pages of ours are opened.
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        for left in reversed(range(_TRIES_MAX)):
            errors: list[str] = []
            try:
                _click(stack, browser, errors)
                break
            except (BrowserError, AssertionError) as error:
                if not left or not any(_INTERFACE in told for told in errors):
                    raise StepError(f"in Chromium: {error}; console: {errors}", "gateway") from error
        browser.close()


def _click(stack: Stack, browser: Browser, errors: list[str]) -> None:
    asked: list[str] = []

    def listen(told: ConsoleMessage) -> None:
        url = str(told.location.get("url"))
        # How /pipeline finds out that it stands behind a gateway.
        if told.type == "error" and url != f"{stack.url}/metrics":
            errors.append(f"{url}: {told.text}")

    page = browser.new_context().new_page()
    page.on("console", listen)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    visit = Visit(page, cast(FreshetProcess, stack))  # of which it takes `url` alone
    if stack.keys:
        _unlock(stack, page)
        errors.clear()  # the 401 that made it ask
    else:
        visit.go()
    before = visit.items("For you")
    visit.cards("For you").nth(1).get_by_role("button", name="Like").click()
    took_ms = visit.followed("Liked")
    visit.becomes_other("For you", before)
    visit.go("/watch")
    expect(page.locator("li.card[data-item]").first).to_be_visible()
    visit.go("/pipeline")
    for service in SERVICES:
        row = visit.row("Starts").get_by_role("row", name=service)
        expect(row.get_by_role("cell").nth(2)).to_contain_text(_TIME)
    accepted = visit.row("Events").get_by_role("row", name="accepted").get_by_role("cell").first
    expect(accepted).not_to_have_text("0")
    if not stack.keys:  # which a browser cannot send with an address that is typed
        page.goto(f"{stack.url}/docs")
        expect(page.locator(".opblock-summary-path").first).to_contain_text("/events")
    strangers = [url for url in asked if not url.startswith((f"{stack.url}/", "data:", "blob:"))]
    check(not strangers, f"the page asks {strangers}", "gateway")
    check(not errors, f"the browser's console has errors: {errors}", "gateway")
    note(f"          a click in Chromium: {', '.join(f'{step} {ms} ms' for step, ms in took_ms.items())}")


def one_is_away(stack: Stack, program: str, service: str) -> None:
    """/pipeline says of a service that is stopped that it is not running, and shows the others."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        page = browser.new_page()
        for _ in range(_TRIES_MAX):  # see _INTERFACE
            if stack.keys:
                _unlock(stack, page)
                page.wait_for_function("sessionStorage.length > 0")
            page.goto(f"{stack.url}/pipeline")
            with suppress(BrowserError, AssertionError):
                expect(page.locator("main h1")).to_be_visible(timeout=2000)
                break
        seen = page.evaluate(_WATCH_BANNER)
        starts = page.get_by_role("region", name="Starts", exact=True)
        for name in SERVICES:
            cells = starts.get_by_role("row", name=name).get_by_role("cell")
            expect(cells.first if name == service else cells.nth(2)).to_contain_text(
                "not running" if name == service else _TIME
            )
        browser.close()
    check(not seen, f"without {service}, /pipeline says: {seen}", "gateway")


def _unlock(stack: Stack, page: Page) -> None:
    page.goto(stack.url)
    page.get_by_label("Key", exact=True).fill(stack.keys.split(",")[0])
    page.keyboard.press("Enter")
