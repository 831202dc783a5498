"""A real Chromium, headless. Debian: apt-get install chromium; else FRESHET_CHROMIUM names the program."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from tests.browser.site import Site, in_background

_NAMES = ("chromium", "chromium-browser", "google-chrome")


def chromium() -> str:
    """The path of an installed Chromium. Without one the tests are skipped, or, where
    FRESHET_REQUIRE_CHROMIUM=1 is set, fail."""
    found = os.environ.get("FRESHET_CHROMIUM") or next(filter(None, map(shutil.which, _NAMES)), None)
    if found is None:
        why = "no Chromium is installed (Debian: apt-get install chromium)"
        if os.environ.get("FRESHET_REQUIRE_CHROMIUM") == "1":
            pytest.fail(why)
        pytest.skip(why)
    return found


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One browser for the tests of a module; each test makes a context of its own."""
    program = chromium()
    with sync_playwright() as playwright:
        # Its sandbox needs rights that containers and root do not have; only pages of ours are opened.
        running = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        try:
            yield running
        finally:
            running.close()


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """The web server of a shop; its pages have the tracker in them."""
    with in_background(Site()) as started:
        yield started


@pytest.fixture
def allowed_errors() -> list[str]:
    """Regular expressions of console errors that a test provokes (a network that is cut): append them."""
    return []


@pytest.fixture
def context(browser: Browser, allowed_errors: list[str]) -> Iterator[BrowserContext]:
    """A profile of its own (storage, network). What any of its pages complains about fails the test."""
    opened = browser.new_context()
    errors: list[str] = []
    opened.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    opened.on("weberror", lambda error: errors.append(str(error.error)))
    try:
        yield opened
    finally:
        opened.close()
    unexpected = [error for error in errors if not any(re.search(one, error) for one in allowed_errors)]
    assert not unexpected, f"the browser's console has errors: {unexpected}"


@pytest.fixture
def page(context: BrowserContext) -> Page:
    """One page; close to what a visitor has."""
    return context.new_page()
