"""A visit to the shop's pages: what a person sees and does there, in words of the screen."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from playwright.sync_api import Locator, Page, expect

from tests.e2e.running import FreshetProcess

WIDE: Final = {"width": 1280, "height": 900}
NARROW: Final = {"width": 390, "height": 844}
# Long waits only bound a hang; a test that passes never comes near them.
WAIT_MS: Final = 30_000


class Visit:
    """`page` at a running Freshet. Everything waits until it is so."""

    def __init__(self, page: Page, freshet: FreshetProcess, viewport: dict[str, int] | None = None) -> None:
        self.page = page
        self.freshet = freshet
        page.set_default_timeout(WAIT_MS)
        expect.set_options(timeout=WAIT_MS)
        page.set_viewport_size(viewport or WIDE)  # type: ignore[arg-type]

    def go(self, path: str = "/") -> None:
        """Open a path, and wait for what it shows first."""
        self.page.goto(self.freshet.url + path)
        expect(self.page.locator("main h1")).to_be_visible()

    def row(self, title: str) -> Locator:
        """The row below a heading."""
        return self.page.get_by_role("region", name=title, exact=True)

    def cards(self, title: str) -> Locator:
        """The cards of a row that show an item."""
        return self.row(title).locator("li.card[data-item]")

    def card(self, title: str, place: int) -> Locator:
        """The card that stands at a place now (0: the first), wherever it goes."""
        item = self.items(title)[place]
        return self.row(title).locator(f"li.card[data-item='{item}']")

    def items(self, title: str) -> list[str]:
        """The ids of the items in a row, as they stand."""
        expect(self.cards(title).first).to_be_visible()
        return [str(card.get_attribute("data-item")) for card in self.cards(title).all()]

    def becomes_other(self, title: str, before: list[str]) -> list[str]:
        """Wait until a row stands otherwise; what it has then."""
        self.page.wait_for_function(
            """([title, before]) => {
                const row = [...document.querySelectorAll("section.row")]
                    .find((one) => one.querySelector("h2").textContent === title);
                const now = [...row.querySelectorAll("li.card[data-item]")].map((one) => one.dataset.item);
                return now.length > 0 && now.join() !== before.join();
            }""",
            arg=[title, before],
        )
        return self.items(title)

    def followed(self, label: str) -> dict[str, float]:
        """Wait until the strip has followed the event `label` to the screen; its milliseconds."""
        strip = self.page.locator("#strip")
        expect(strip).to_contain_text(label)
        for step in ("accepted", "written", "shown"):
            expect(strip.locator(f"[data-step={step}]")).to_have_class("done")
        return {
            step: float(strip.locator(f"[data-step={step}] b").inner_text().removesuffix(" ms"))
            for step in ("accepted", "written", "shown")
        }

    @property
    def visitor(self) -> str:
        """Who looks."""
        return str(self.page.evaluate("JSON.parse(localStorage.getItem('freshet-visitor') ?? "
                                      "localStorage.getItem('freshet-own'))"))  # fmt: skip

    def profile(self) -> Any:
        """What the server knows about them."""
        return self.freshet.get(f"/users/{self.visitor}/profile")

    def fits(self) -> None:
        """Nothing stands out at the side."""
        widths = self.page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
        assert widths[0] <= widths[1], widths

    def violations(self, *rules: str) -> list[str]:
        """What axe-core finds, by all rules or by these: rule, and the first places."""
        self.page.evaluate(_axe())
        told = json.loads(
            self.page.evaluate(
                "(rules) => axe.run(rules.length ? { runOnly: rules } : {}).then(({ violations, passes }) => "
                "JSON.stringify({ violations, passes: passes.length }))",
                list(rules),
            )
        )
        assert told["passes"] >= (len(rules) or 15), "it looked at nothing"
        return [
            f"{one['id']}: {[node['html'][:160] for node in one['nodes'][:3]]}" for one in told["violations"]
        ]


def _axe() -> str:
    spec = find_spec("axe_playwright_python")
    assert spec is not None
    assert spec.origin is not None
    return (Path(spec.origin).parent / "axe.min.js").read_text()
