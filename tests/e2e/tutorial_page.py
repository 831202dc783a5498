"""docs/TUTORIAL.md as steps: what is typed into which terminal, what it prints, what a browser shows.

A fence says what it is by the words behind its three backticks:

- `bash`: typed into the second terminal; the `text` right behind it is all that it prints, and without one it
  prints nothing. `text exit 3`: and ends with that status, else 0.
- `bash terminal-1`: typed into the first terminal, where Ctrl-C has ended what ran there.
- `text terminal-1`: what stands there by now, or in a moment, since the last command.
- `text browser URL`: what a browser shows there by now, or in a moment.

`…` stands for anything within a line, or, alone on its line, for any lines. Any other block is an error, so
nothing on the page can be left out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

SHELL: Final = "terminal-2"
_FENCE: Final = re.compile(r"^```(.*)$")
_ANYTHING: Final = "…"


class PageError(Exception):
    """The page has a block of which nobody knows what to do with it."""


@dataclass(frozen=True)
class Step:
    """One block. `place`: a terminal, or the URL that a browser opens; `typed` is empty where only the output
    is looked at, which is then waited for. `line`: where it stands on the page."""

    line: int
    place: str
    typed: str = ""
    printed: str = ""
    status: int = 0
    is_browser: bool = False


@dataclass
class Section:
    """What stands below one heading."""

    title: str
    steps: list[Step] = field(default_factory=list)


def sections(page: str) -> list[Section]:
    """The sections that have steps, in order. Raises PageError with the line."""
    found = [Section("")]
    lines = iter(enumerate(page.splitlines(), 1))
    for number, line in lines:
        if line.startswith("#"):
            found.append(Section(line.lstrip("# ")))
        elif fence := _FENCE.match(line):
            content: list[str] = []
            for _, inner in lines:
                if inner == "```":
                    break
                content.append(inner)
            else:
                raise PageError(f"line {number}: this block never ends")
            _add(found[-1].steps, number, fence[1].split(), "\n".join(content))
        elif line.startswith("    "):
            raise PageError(f"line {number}: an indented block is run by nobody; put it in a fence")
    return [section for section in found if section.steps]


def _add(steps: list[Step], line: int, words: list[str], content: str) -> None:
    match words:
        case ["bash"]:
            steps.append(Step(line, SHELL, content))
        case ["bash", terminal]:
            steps.append(Step(line, terminal, content))
        case ["text", *rest] if not rest or rest[0] == "exit":
            before = steps.pop() if steps else None
            if before is None or before.place != SHELL or before.printed:
                raise PageError(f"line {line}: no command stands before this output")
            status = int(rest[1]) if rest else 0
            steps.append(Step(before.line, SHELL, before.typed, content, status))
        case ["text", "browser", url]:
            steps.append(Step(line, url, printed=content, is_browser=True))
        case ["text", terminal]:
            steps.append(Step(line, terminal, printed=content))
        case _:
            raise PageError(f"line {line}: ```{' '.join(words)} is neither run nor compared")


def printed_as(expected: str, printed: str) -> bool:
    """Whether this is all that was printed; spaces at the ends of lines do not matter."""
    return re.fullmatch(_pattern(expected), _trimmed(printed)) is not None


def stands_in(expected: str, printed: str) -> bool:
    """Whether these lines stand somewhere in what was printed."""
    return re.search(rf"(?m:^){_pattern(expected)}(?m:$)", _trimmed(printed)) is not None


def _pattern(expected: str) -> str:
    pattern = ""
    lines = _trimmed(expected).split("\n")
    for place, line in enumerate(lines):
        is_last = place == len(lines) - 1
        if line.strip() == _ANYTHING:
            pattern += r"[^\n]*(?:\n[^\n]*)*" if is_last else r"(?:[^\n]*\n)*"
        else:
            pattern += r"[^\n]*".join(re.escape(part) for part in line.split(_ANYTHING))
            pattern += "" if is_last else "\n"
    return pattern


def _trimmed(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.replace("\r\n", "\n").split("\n")).rstrip("\n")
