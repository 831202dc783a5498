"""The shop in Chromium where something is missing: the key, the catalogue, the server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.shop_visit import Visit
from tests.e2e.running import FreshetProcess, eventually
from tests.processes import scratch_directory

KEY = {"X-API-Key": "all"}
LONG = "Donaudampfschifffahrtsgesellschaftskapitaensmuetze"


@pytest.fixture(scope="module")
def freshet() -> Iterator[FreshetProcess]:
    with scratch_directory("locked") as directory:
        variables = {"FRESHET_KEYS": "all", "FRESHET_WRITE_KEYS": "browser"}
        with FreshetProcess(Path(directory), ["--empty"], variables) as process:
            process.start()
            yield process


def test_it_asks_for_the_key_then_for_a_catalogue_and_outlives_the_server(
    page: Page, freshet: FreshetProcess, allowed_errors: list[str]
) -> None:
    """1. A wrong key, then the right one. 2. No items, then one. 3. The server goes and comes."""
    allowed_errors += ["401", "403", "ERR_", "502"]
    visit = Visit(page, freshet)
    visit.page.goto(freshet.url)  # 1.
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("asks for a key")
    assert not visit.violations()
    for wrong in ("nonsense", "browser"):
        page.get_by_label("Key", exact=True).fill(wrong)
        page.keyboard.press("Enter")
        expect(dialog).to_contain_text("none of this service")
    page.get_by_label("Key", exact=True).fill("all")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("The catalogue is empty")  # 2.
    expect(page.get_by_text("freshet items import FILE", exact=False)).to_be_visible()
    assert not visit.violations()
    page.goto(f"{freshet.url}/watch")
    expect(page.get_by_role("heading", level=1)).to_have_text("No films in this catalogue")
    page.goto(freshet.url)
    item = {"title": "Rye bread", "categories": ["Bakery > Bread"], "price": 2.4, "currency": "EUR"}
    assert freshet.call("PUT", "/items/gid%3A%2F%2Fshop%2F1", item, KEY)[0] == 202
    expect(visit.cards("For you")).to_have_count(1)
    expect(visit.cards("For you").first).to_contain_text("€2.40")
    visit.cards("For you").first.get_by_role("link").click()
    visit.followed("Viewed: Rye bread")
    assert freshet.call("PUT", f"/items/{LONG}", {"title": f"{LONG} {LONG}"}, KEY)[0] == 202
    eventually(lambda: freshet.call("GET", f"/items/{LONG}", headers=KEY)[0], lambda status: status == 200)
    page.goto(f"{freshet.url}/?item={LONG}")
    expect(page.get_by_role("heading", level=1)).to_have_text(f"{LONG} {LONG}")
    page.get_by_role("button", name="Add to the cart").click()
    page.set_viewport_size({"width": 320, "height": 640})
    visit.fits()
    page.locator(".cart-link").click()
    expect(page.locator(".lines li")).to_contain_text(LONG)
    visit.fits()
    page.goto(f"{freshet.url}/?item=gid%3A%2F%2Fshop%2F1")
    visit.followed("Viewed: Rye bread")
    freshet.kill()  # 3.
    banner = page.locator("#banner")
    expect(banner).to_contain_text("Freshet does not answer")
    page.get_by_role("button", name="Add to the cart").click()
    expect(page.locator("#strip")).to_contain_text("Kept here until Freshet answers")
    freshet.start()
    expect(banner).to_be_hidden()

    def told() -> list[tuple[str, str]]:
        profile = freshet.call("GET", f"/users/{visit.visitor}/profile", headers=KEY)[1]
        return [(entry["event_type"], entry["item_id"]) for entry in profile["recent"]]

    eventually(told, lambda now: ("cart_add", "gid://shop/1") in now)


def test_the_page_itself_needs_no_key_and_says_what_it_may_do(freshet: FreshetProcess) -> None:
    assert freshet.call("GET", "/metrics")[0] == 401
    for path in ("/", "/watch", "/pipeline", "/shop/app.js"):
        assert freshet.call("GET", path)[0] == 200, path
