"""docs/TUTORIAL.md does what it says: each command is typed, and what it prints is compared with the page."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from playwright.sync_api import sync_playwright

from tests.browser.conftest import chromium
from tests.e2e.running import clean_environment, eventually
from tests.e2e.tutorial_page import SHELL, PageError, Section, Step, printed_as, sections, stands_in
from tests.e2e.tutorial_terminals import ROOT, Shell, Terminal, make_clone
from tests.processes import free_ports, scratch_directory

PAGE: Final = (ROOT / "docs/TUTORIAL.md").read_text(encoding="utf-8")
SECTIONS: Final = sections(PAGE)
# Who reads takes longer to the next command than a new release takes to be loaded: it may need another look.
_LOOKS: Final = "freshet recommend"
_LOOK_AGAIN_S: Final = 5.0


class Reader:
    """Somebody who follows the page in a fresh clone, section by section, on ports that are free."""

    def __init__(self, folder: Path) -> None:
        clone = folder / "freshet"
        clone.mkdir()
        make_clone(clone)
        port, site_port = free_ports(2)
        self._places = {":8080": f":{port}", ":8000": f":{site_port}", " 8000": f" {site_port}"}
        environment = {
            **clean_environment(),
            "FRESHET_PORT": str(port),
            "FRESHET_DEADLINE_MS": "10000",  # a busy machine is no failure
            "FRESHET_RELEASE_POLL_MS": "50",
            "PYTHONUNBUFFERED": "1",  # both streams in the order of a terminal
            "COLUMNS": "200",
        }
        self._clone, self._environment = clone, environment
        self._terminals: dict[str, Terminal] = {}
        self._shell = Shell(clone, environment)
        self._done: list[Section] = []
        self._failed = ""
        self._left_out: dict[str, str] = {}  # by section: why

    def follow(self, section: Section) -> None:
        """Whatever stands before this section first, then it. Skips it, whenever it is asked for, where it
        needs a browser and there is none; what comes after does not need it."""
        assert not self._failed, f"the page failed before, in {self._failed!r}"
        for one in SECTIONS[len(self._done) : SECTIONS.index(section) + 1]:
            self._failed = one.title
            try:
                for step in one.steps:
                    self._take(step)
            except pytest.skip.Exception as left_out:
                self._left_out[one.title] = str(left_out)
            self._done.append(one)
            self._failed = ""
        if section.title in self._left_out:
            pytest.skip(self._left_out[section.title])

    def close(self) -> None:
        """Close all terminals."""
        self._shell.close()
        for terminal in self._terminals.values():
            terminal.interrupt()

    def _take(self, step: Step) -> None:
        typed, expected = self._here(step.typed), self._here(step.printed)
        place = f"docs/TUTORIAL.md:{step.line}"
        if step.is_browser:
            shown = seen(self._here(step.place), expected)
            assert stands_in(expected, shown), f"{place}: the page shows\n{shown}"
        elif step.place == SHELL:
            printed, status = self._shell.run(typed)
            give_up_s = time.monotonic() + _LOOK_AGAIN_S
            while (
                typed.startswith(_LOOKS)
                and not printed_as(expected, printed)
                and time.monotonic() < give_up_s
            ):
                printed, status = self._shell.run(typed)
            assert printed_as(expected, printed), f"{place}: {typed}\nprints\n{printed}\nand not\n{expected}"
            assert status == step.status, (
                f"{place}: {typed}\nends with {status}, not {step.status}\n{printed}"
            )
        else:
            terminal = self._terminal(step.place)
            if typed:
                terminal.type(typed)
            else:
                eventually(terminal.printed, lambda printed: stands_in(expected, printed))

    def _terminal(self, name: str) -> Terminal:
        if name not in self._terminals:
            self._terminals[name] = Terminal(self._clone, self._environment, name)
        return self._terminals[name]

    def _here(self, text: str) -> str:
        for there, here in self._places.items():
            text = text.replace(there, here)
        return text


def seen(url: str, expected: str) -> str:
    """What a browser shows of a page, once it is as expected or does not change any more."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        try:
            page = browser.new_page()
            page.goto(url)
            shown: str = eventually(
                lambda: page.locator("body").inner_text(), lambda text: stands_in(expected, text)
            )
            return shown
        finally:
            browser.close()


@pytest.fixture(scope="module")
def reader() -> Iterator[Reader]:
    """One reader for all sections: each begins where the one before ended."""
    with scratch_directory("tutorial") as folder:
        follows = Reader(Path(folder))
        try:
            yield follows
        finally:
            follows.close()


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.title)
def test_the_tutorial(reader: Reader, section: Section) -> None:
    reader.follow(section)


def test_it_leads_through_everything() -> None:
    """A page that lost its commands would pass above."""
    typed = "\n".join(step.typed for section in SECTIONS for step in section.steps)
    for needed in (
        "make run ARGS=--empty",
        "items import",
        "events import",
        "freshet recommend",
        "/events",
        "after=",
        "similar",
        "bought_together",
        "filter",
        "rows",
        "FRESHET_KEYS",
        "FRESHET_WRITE_KEYS",
        "freshet_client",
        "tracker.js",
        "freshet doctor",
        "make train",
        "scenarios check",
    ):
        assert needed in typed, needed


def test_its_links_lead_somewhere() -> None:
    titles = [line.lstrip("# ") for line in PAGE.splitlines() if line.startswith("##")]
    anchors = {re.sub(r"[^a-z0-9 -]", "", title.lower()).replace(" ", "-") for title in titles}
    for target in re.findall(r"\]\(([^)]+)\)", PAGE):
        path, _, anchor = target.partition("#")
        assert (ROOT / "docs" / path).exists(), target
        assert path or anchor in anchors, target


@pytest.mark.parametrize(
    ("expected", "printed", "holds"),
    [
        ("24 items accepted in … s", "24 items accepted in 0.1 s\n", True),
        ("24 items accepted in … s", "23 items accepted in 0.1 s", False),
        ("one\n…\nthree", "one\ntwo\nmore\nthree", True),
        ("one\n…\nthree", "one\nthree", True),
        ("one\n…\nthree", "one\ntwo\nfour", False),
        ("one\n…", "one\ntwo", True),
        ("one", "one\ntwo", False),
        ("one", "and one", False),
        ("a … b", "a\nb", False),
        ("", "", True),
        ("", "anything", False),
        ("a.c", "abc", False),
    ],
)
def test_what_counts_as_the_same(expected: str, printed: str, holds: bool) -> None:
    assert printed_as(expected, printed) is holds


@pytest.mark.parametrize(
    "page",
    [
        "```json\n{}\n```",
        "```text\nx\n```",
        "    indented",
        "```bash\nls",
        "```\nls\n```",
        "```bash a b\n```",
    ],
)
def test_no_block_is_left_out(page: str) -> None:
    with pytest.raises(PageError):
        sections(page)
