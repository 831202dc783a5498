"""The shop in Chromium: each click changes what is on the screen."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Request, expect

from tests.browser.shop_visit import NARROW, WIDE, Visit
from tests.e2e.running import FreshetProcess, eventually
from tests.processes import scratch_directory

# Made anew only on purpose: FRESHET_SCREENSHOTS=1 make test ARGS=tests/browser/test_shop.py
PICTURES = Path(__file__).resolve().parents[2] / "docs" / "images"
PICTURE_BYTES_MAX = 190_000
FILM_BYTES_MAX = 400_000
PAGE_BYTES_MAX = 150_000
_COUNT_MOVES = """() => {
    const animate = Element.prototype.animate;
    window.moves = 0;
    Element.prototype.animate = function (...how) { window.moves += 1; return animate.apply(this, how); };
}"""
VIEWPORTS = pytest.mark.parametrize("viewport", [WIDE, NARROW], ids=["1280", "390"])


@pytest.fixture(scope="module")
def freshet() -> Iterator[FreshetProcess]:
    with scratch_directory("shop") as directory:
        with FreshetProcess(Path(directory), ["--demo-orders", "600"], {}) as process:
            process.start()
            yield process


def moving_picture(visit: Visit, name: str) -> None:
    """What adding the third of the products moves."""
    if os.environ.get("FRESHET_SCREENSHOTS") == "1":
        from tests.browser.film import film

        path = PICTURES / f"{name}.webp"
        third = visit.card("For you", 2).get_by_role("button", name="Add")
        film(visit.page, third, path, lambda: visit.followed("Added to the cart"))
        assert path.stat().st_size <= FILM_BYTES_MAX


def picture(page: Page, name: str) -> None:
    if os.environ.get("FRESHET_SCREENSHOTS") == "1":
        for card in page.get_by_role("region", name="Trending").locator("li.card").all()[1:5]:
            card.get_by_role("button", name="Like").click()  # a taste of more than one thing
        page.evaluate("scrollTo(0, 0)")
        page.mouse.move(0, 0)
        page.wait_for_timeout(2500)  # movements have ended
        path = PICTURES / f"{name}.png"
        page.screenshot(path=path)
        assert path.stat().st_size <= PICTURE_BYTES_MAX


@VIEWPORTS
def test_a_click_rearranges_the_rows_and_they_say_why(
    page: Page, freshet: FreshetProcess, viewport: dict[str, int]
) -> None:
    visit = Visit(page, freshet, viewport)
    visit.go()
    before = visit.items("For you")
    expect(visit.row("Recently viewed")).to_be_hidden()
    visit.fits()
    second = visit.card("For you", 1)
    viewed, title = second.get_attribute("data-item"), second.get_by_role("link").inner_text()
    second.get_by_role("link").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(title)
    took = visit.followed(f"Viewed: {title}")
    assert 0 < took["accepted"] <= took["shown"]
    after = visit.becomes_other("For you", before)
    expect(visit.row("For you").locator(".row-note")).to_have_text(
        re.compile(rf"(new|moved up|rearranged) after “Viewed: {re.escape(title)}”")
    )
    expect(visit.row("For you").locator(".mark").first).to_be_visible()
    page.get_by_role(
        "button", name="For you: ", exact=False
    ).click()  # it is not in sight: the strip leads there
    expect(visit.row("For you").locator("h2")).to_be_focused()
    expect(visit.row("For you")).to_be_in_viewport()
    for row in ("For you", "Similar"):
        expect(visit.row(row).locator(".reason", has_text=title).first).to_be_visible()
    visit.fits()
    page.get_by_role("link", name="← Shop").click()
    assert visit.items("Recently viewed") == [viewed]
    expect(visit.row("Recently viewed")).to_contain_text("ou looked at this")
    page.evaluate(_COUNT_MOVES)
    liked = visit.card("Trending", 0)
    liked.get_by_role("button", name="Like").click()
    expect(liked.get_by_role("button", name="You like ")).to_be_visible()
    visit.followed("Liked")
    visit.becomes_other("For you", after)
    if viewport is WIDE:  # where the row is in sight
        assert page.evaluate("window.moves") > 0
    expect(page.get_by_role("status").filter(has_text="For you rearranged: now first")).to_be_attached()
    picture(page, f"shop-{viewport['width']}")


def test_cart_purchase_profile(page: Page, freshet: FreshetProcess) -> None:
    visit = Visit(page, freshet)
    visit.go()
    chosen: list[str] = []
    for place in (0, 1):
        chosen.append(next(item for item in visit.items("For you") if item not in chosen))
        page.locator(f"li.card[data-item='{chosen[-1]}'] .add").first.click()
        visit.followed("Added to the cart")
        expect(page.get_by_role("link", name="Cart", exact=False)).to_have_accessible_name(
            f"Cart, {place + 1} {'item' if place == 0 else 'items'}"
        )
    bought, regretted = chosen
    page.locator(".cart-link").click()
    expect(page.locator(".lines li")).to_have_count(2)
    page.locator(".lines li").nth(1).get_by_role("button").click()
    expect(page.locator(".lines li")).to_have_count(1)
    visit.followed("Removed from the cart")
    page.get_by_role("button", name="Check out").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Thank you")
    visit.followed("Bought: 1 product")
    told = [(entry["event_type"], entry["item_id"]) for entry in visit.profile()["recent"]]
    assert told[:2] == [("purchase", bought), ("cart_remove", regretted)]
    assert set(told[2:]) == {("cart_add", bought), ("cart_add", regretted)}
    page.get_by_role("link", name="Back to the shop").click()
    expect(visit.cards("Recently viewed").first).to_contain_text("ou bought this")
    expect(page.get_by_role("region", name="Your profile now")).to_contain_text("What you care about")


def test_a_browser_that_may_keep_nothing_has_a_shop_all_the_same(page: Page, freshet: FreshetProcess) -> None:
    page.add_init_script(
        """for (const name of ["localStorage", "sessionStorage"]) {
            Object.defineProperty(window, name, { get() { throw new DOMException("denied"); } });
        }"""
    )
    visit = Visit(page, freshet)
    visit.go()
    visit.cards("For you").first.get_by_role("button", name="Add").click()
    visit.followed("Added to the cart")
    page.locator(".cart-link").click()
    expect(page.locator(".lines li")).to_have_count(1)


def test_shelves_prices_and_pages(page: Page, freshet: FreshetProcess) -> None:
    visit = Visit(page, freshet)
    visit.go()
    shelves = visit.row("All shelves")
    everything = visit.items("All shelves")
    shelves.get_by_role("button", name="Produce", exact=True).click()
    visit.becomes_other("All shelves", everything)
    some = visit.items("All shelves")
    shelves.get_by_label("Price").select_option("..2")
    cheap = visit.becomes_other("All shelves", some)
    for item_id in cheap:
        item = freshet.get(f"/items/{item_id}")
        assert item["categories"][0][0] == "Produce"
        assert item["price"] <= 2
    shelves.get_by_role("button", name="All", exact=True).click()
    visit.becomes_other("All shelves", cheap)
    first = visit.items("All shelves")
    shelves.get_by_role("button", name="Show more").click()
    more = visit.becomes_other("All shelves", first)
    assert len(set(more)) == len(more) == 2 * len(first)
    assert not [
        one for one in more if freshet.get(f"/items/{one}")["categories"][0][0] in ("Films", "Serials")
    ]


def test_what_was_seen_is_told_and_sinks_after_three_times(page: Page, freshet: FreshetProcess) -> None:
    visit = Visit(page, freshet)
    visit.go()
    first = visit.items("For you")[0]
    for _ in range(3):
        seen = visit.profile()["events"]
        eventually(lambda: visit.profile()["events"], lambda events, seen=seen: events > seen)  # type: ignore[misc]
        page.reload()
        expect(visit.cards("For you").first).to_be_visible()
    eventually(lambda: visit.items("For you")[0], lambda now: now != first)


def test_by_keyboard_alone(page: Page, freshet: FreshetProcess) -> None:
    visit = Visit(page, freshet)
    visit.go()
    visit.items("For you")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the page")).to_be_focused()
    page.keyboard.press("Enter")
    first = visit.card("For you", 0)
    link, title = first.get_by_role("link"), first.get_by_role("link").inner_text()
    for _ in range(10):
        if link.evaluate("(link) => link === document.activeElement"):
            break
        page.keyboard.press("Tab")
    expect(link).to_be_focused()
    page.keyboard.press("Tab")
    add = page.locator(":focus")
    page.keyboard.press("Enter")  # Add; the row rearranges below the focus
    visit.followed(f"Added to the cart: {title}")
    expect(page.locator(":focus")).to_have_accessible_name(f"Add {title} to the cart")
    assert add.evaluate("(one) => one.isConnected")
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_be_focused()
    expect(page.get_by_role("heading", level=1)).to_have_text(title)
    page.locator("summary").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_label("Looking as")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_label("Looking as")).to_be_hidden()
    expect(page.locator("summary")).to_be_focused()


def test_visitors_and_their_context(page: Page, freshet: FreshetProcess) -> None:
    visit = Visit(page, freshet)
    visit.go()
    moving_picture(visit, "shop-rearranges")
    visit.cards("For you").first.get_by_role("button", name="Like").click()
    visit.followed("Liked")
    before, first = visit.items("For you"), visit.visitor
    page.locator("summary").click()
    page.get_by_label("Country").select_option("DE")
    page.get_by_role("button", name="New visitor").click()
    visit.becomes_other("For you", before)
    assert visit.visitor != first
    assert visit.profile()["events"] == 0
    page.locator("summary").press("Escape")
    with page.expect_request("**/events") as sent:
        visit.cards("For you").first.get_by_role("button", name="Like").click()
    assert sent.value.post_data is not None
    (posted,) = json.loads(sent.value.post_data)  # a text, as our tracker sends it
    assert posted["context"] == {"country": "DE"}
    assert posted["recommendation_id"]
    assert "anonymous_id" not in posted, "nobody is joined with whom this browser was before"
    page.locator("summary").click()
    expect(page.get_by_role("option", name="u_2337", exact=False)).to_be_attached()
    page.get_by_label("Looking as").select_option("u_2337")
    expect(visit.row("Recently viewed")).to_contain_text("ou bought this")
    assert visit.visitor == "u_2337"


@pytest.mark.parametrize(
    "path", ["/", "/?item=1029743", "/?cart", "/watch", "/watch?film=judex-01", "/pipeline"]
)
def test_everybody_can_use_it(browser: Browser, freshet: FreshetProcess, path: str) -> None:
    """axe-core in light and dark, wide and narrow; and nothing moves for who wants it calm."""
    for scheme, viewport in (("light", WIDE), ("dark", NARROW)):
        context = browser.new_context(color_scheme=scheme, reduced_motion="reduce")  # type: ignore[arg-type]
        visit = Visit(context.new_page(), freshet, viewport)
        visit.go(path)
        if path != "/pipeline":
            visit.items("For you")
        rules = () if scheme == "light" else ("color-contrast", "aria-hidden-focus")
        assert not visit.violations(*rules), (path, scheme)
        visit.fits()
        assert visit.page.evaluate("document.getAnimations().length") == 0
        visit.page.set_viewport_size({"width": 320, "height": 640})  # 1280 at 400 %
        visit.fits()
        context.close()


def test_a_serial_goes_on_with_its_next_chapter(page: Page, freshet: FreshetProcess) -> None:
    visit = Visit(page, freshet)
    visit.go("/watch")
    going = visit.row("Continue watching")
    expect(going).to_contain_text("Nothing begun")
    visit.items("For you")
    everything = visit.items("All films and serials")
    page.get_by_role("button", name="Show more").click()
    visit.becomes_other("All films and serials", everything)
    visit.row("All films and serials").get_by_role("link", name="Judex 1", exact=False).click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Judex 1")
    page.get_by_label("Speed").select_option("1")
    page.get_by_role("button", name="Play").click()
    visit.followed("Started: Judex 1")
    page.get_by_role("slider", name="Position").focus()
    for _ in range(3):
        page.keyboard.press("PageUp")
    page.get_by_role("button", name="Pause").click()
    visit.followed("Watched to 30 %")
    expect(visit.cards("Continue watching")).to_contain_text(["You have not finished this (30 %)"])
    picture(page, "shop-watch")
    page.get_by_role("link", name="← Watch").click()
    visit.cards("Continue watching").get_by_role("link").click()
    expect(page.get_by_role("slider")).to_have_attribute("aria-valuetext", "6:00 of 20:00")
    page.get_by_label("Speed").select_option("300")
    page.get_by_role("button", name="Resume").click()
    visit.followed("Finished: Judex 1")
    expect(visit.cards("Continue watching")).to_have_count(1)
    expect(visit.cards("Continue watching")).to_contain_text(["Judex 2"])
    expect(going).to_contain_text("Comes after Judex 1")
    page.locator(".following").get_by_role("link").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Judex 2")


def test_the_pipeline_shows_what_is_clicked(browser: Browser, freshet: FreshetProcess) -> None:
    with browser.new_context() as context:
        pipeline, visit = Visit(context.new_page(), freshet), Visit(context.new_page(), freshet)
        pipeline.page.clock.install()
        pipeline.go("/pipeline")
        accepted = pipeline.row("Events").locator("tr", has_text="accepted").locator("td").first
        expect(accepted).not_to_be_empty()
        before = int(accepted.inner_text().replace(",", ""))
        visit.go()
        visit.cards("For you").first.get_by_role("button", name="Like").click()
        visit.followed("Liked")
        pipeline.page.bring_to_front()
        pipeline.page.clock.run_for(1500)
        expect(accepted).not_to_have_text(f"{before:,}")
        pipeline.page.clock.run_for(1500)
        expect(pipeline.row("Freshness")).to_contain_text("since this page is open: p50")
        for strategy in ("model", "trending"):
            expect(pipeline.row("Strategies")).to_contain_text(strategy)
        shown = int(accepted.inner_text().replace(",", ""))
        sent = _sample(
            freshet.get("/metrics"), 'freshet_ingest_records_total{outcome="accepted",topic="events"}'
        )
        assert before < shown <= sent
        metrics = freshet.get("/metrics")
        for service in ("ingest", "profiler", "recommender"):
            cells = pipeline.row("Starts").get_by_role("row", name=service).get_by_role("cell")
            ready_s = _sample(metrics, f'freshet_start_seconds{{service="{service}",step="ready"}}')
            took = f"{ready_s:.1f} s" if ready_s >= 1 else f"{1000 * ready_s:.0f} ms"
            expect(cells.nth(2)).to_have_text(took)
        if os.environ.get("FRESHET_SCREENSHOTS") == "1":
            busy = Visit(context.new_page(), freshet)  # by the clock on the wall
            busy.go("/pipeline")
            for number in range(450):
                event = {"user_id": f"u{number % 30}", "event_type": "view", "item_id": "1029743"}
                freshet.call("POST", "/events", event)
                freshet.get(f"/recommend/u{number % 30}")
                busy.page.wait_for_timeout(50 + 60 * (number // 40 % 3))
            picture(busy.page, "shop-pipeline")


def _sample(metrics: str, name: str) -> float:
    return next(float(line.split()[-1]) for line in metrics.splitlines() if line.startswith(name))


def test_dark(browser: Browser, freshet: FreshetProcess) -> None:
    with browser.new_context(color_scheme="dark") as context:
        visit = Visit(context.new_page(), freshet)
        visit.go()
        visit.items("Trending")
        channels = visit.page.evaluate(
            "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)"
        )
        assert max(channels[:3]) < 60
        visit.cards("For you").nth(2).get_by_role("link").click()
        visit.followed("Viewed")
        picture(visit.page, "shop-dark")


def test_weight_and_stillness(page: Page, freshet: FreshetProcess) -> None:
    sizes: dict[str, int] = {}

    def finished(request: Request) -> None:
        told = request.sizes()
        sizes[request.url] = told["responseBodySize"] + told["responseHeadersSize"]

    page.on("requestfinished", finished)
    visit = Visit(page, freshet)
    page.add_init_script(
        "window.shifts = 0; new PerformanceObserver((list) => list.getEntries().forEach((one) => "
        "window.shifts += one.value)).observe({ type: 'layout-shift', buffered: true });"
    )
    visit.go()
    visit.items("All shelves")
    page.wait_for_load_state("load")
    assert page.evaluate("window.shifts") == 0
    assert all(url.startswith(freshet.url) for url in sizes), "all of it comes from here"
    static = {url: size for url, size in sizes.items() if "/shop/" in url or url == f"{freshet.url}/"}
    assert len(static) > 10
    assert sum(static.values()) <= PAGE_BYTES_MAX
