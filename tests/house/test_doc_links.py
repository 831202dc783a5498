"""What the pages point at is there: files, headings, targets of make."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
_FENCED = re.compile(r"^ {0,3}(```|~~~).*?^ {0,3}\1[^\n]*$", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"(`+)(?!`).*?(?<!`)\1(?!`)")
_LINK = re.compile(r"\]\(([^)\s]+)(?: \"[^\"]*\")?\)")
_HEADING = re.compile(r"^#{1,6} +(.*?) *#*$", re.MULTILINE)
_ANCHOR = re.compile(r"<a (?:id|name)=\"([^\"]+)\"")
_ELSEWHERE = re.compile(r"[a-z][a-z+.-]*:")
# `make NAME` in code: behind a prompt's indent, in backticks, or after && and settings.
_MAKE = re.compile(r"(?:^|`|&& |(?<=\d )|(?<=0 ))make ([a-z][a-z-]+)", re.MULTILINE)
_TARGET = re.compile(r"^([a-z][a-z-]*):", re.MULTILINE)


@cache
def known_files() -> frozenset[Path]:
    """What git knows, and the folders above it: a link to anything else breaks in a clone."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    files = {ROOT / name for name in listed}
    return frozenset(files | {folder for file in files for folder in file.parents})


def pages() -> list[Path]:
    return sorted(path for path in known_files() if path.suffix == ".md" and path.exists())


def anchors(text: str) -> set[str]:
    """As GitHub makes them: small letters, punctuation dropped, each space a dash, repeats numbered."""
    found: set[str] = set()
    for heading in _HEADING.findall(_FENCED.sub("", text)):
        words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        slug = re.sub(r"[^\w\- ]", "", words.lower()).replace(" ", "-")
        number, name = 0, slug
        while name in found:
            number += 1
            name = f"{slug}-{number}"
        found.add(name)
    return found | set(_ANCHOR.findall(text))


def broken(page: Path, text: str) -> Iterator[str]:
    """Links of a page that lead nowhere, as they stand there."""
    for link in _LINK.findall(_CODE.sub("", _FENCED.sub("", text))):
        if _ELSEWHERE.match(link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if target not in known_files() or (anchor and anchor not in _anchors_of(target, page, text)):
            yield link


def _anchors_of(target: Path, page: Path, text: str) -> set[str]:
    return anchors(text if target == page else target.read_text(encoding="utf-8"))


def targets() -> set[str]:
    """What can be made: the targets by name, and a bench for each program of benchmarks/."""
    named = set(_TARGET.findall((ROOT / "Makefile").read_text(encoding="utf-8")))
    return named | {
        f"bench-{file.stem.replace('_', '-')}" for file in (ROOT / "benchmarks").glob("[a-z]*.py")
    }


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files_and_headings_that_are_there(page: Path) -> None:
    wrong = list(broken(page, page.read_text(encoding="utf-8")))
    assert not wrong, f"{page.relative_to(ROOT)}: mend {wrong}"


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_make_can_make_what_pages_tell_to(page: Path) -> None:
    commands = {
        name
        for line in page.read_text(encoding="utf-8").splitlines()
        for name in _MAKE.findall(line if "`" in line else line.strip())
    }
    assert commands <= targets(), f"{page.relative_to(ROOT)}: {sorted(commands - targets())}"


def test_nobody_is_sent_to_an_index_for_freshet() -> None:
    """On PyPI the name is another project's; Freshet comes from a clone."""
    said = re.compile(
        r"(?:pip|uv|pipx) (?:install|add)[^\n]*?[ '\"](?:freshet(?:\[[\w,]*\])?|freshet-client)['\"\s]"
    )
    wrong = [
        f"{path.relative_to(ROOT)}: {found.group()}"
        for path in sorted(known_files())
        if path.suffix in {".py", ".md"} and path.is_file() and path != Path(__file__).resolve()
        for found in said.finditer(path.read_text(encoding="utf-8"))
    ]
    assert not wrong, wrong
    assert said.search("pip install 'freshet[otel]'")
    assert not said.search("pip install ./freshet/clients/python")


def test_the_check_sees_what_is_wrong() -> None:
    text = (
        "# Two words\n\n[a](#two-words) [b](#three) [c](NOWHERE.md) `[d](e)` [f](docs/API.md#post-events)\n"
    )
    text += "[g](docs/API.md#put)\n"
    assert list(broken(ROOT / "README.md", text)) == ["#three", "NOWHERE.md", "docs/API.md#put"]
    assert anchors("## A\n## A\n```\n## B\n```\n## `c`: d, e\n") == {"a", "a-1", "c-d-e"}
    assert {"run", "train", "bench-freshness"} <= targets()
    assert _MAKE.findall("`make bench-pages` and FRESHET_PORT=8081 make runn, which make sense") == [
        "bench-pages",
        "runn",
    ]
