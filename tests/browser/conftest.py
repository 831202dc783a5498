"""A real Chromium, headless. Debian: apt-get install chromium; elsewhere FRESHET_CHROMIUM names the program."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright

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
