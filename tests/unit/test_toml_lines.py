"""The line of each value, in TOML as people write it, and in TOML that nobody would write."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ranking.toml_lines import Path, lines_of

SAMPLE = """\
# [scenarios.not] = { a = 1 }
title = "a # no comment [nor] a {table}"

[scenarios.sale]   # a comment [with brackets]
sources = [
  "trending",      # ] no end
  { name = "popular", limit = 5 },
]
text = \"\"\"
several
lines with "quotes" and ''' and # and [[scenarios.wrong]]
\"\"\"
hide.bought = "30d"
hide . "viewed" = 'C:\\no # escape'
caps = [{ field = "brand",
"""


def test_a_file_as_people_write_it() -> None:
    text = SAMPLE.replace('caps = [{ field = "brand",\n', 'caps = [ { field = "brand", most = 2 } ]\n')
    text += (
        '[[scenarios.sale.pins]]\nitem = "a"\n\n[[scenarios.sale.pins]]\nitem = "b"\n[reasons.de]\nnew = "x"'
    )
    tomllib.loads(text)
    lines = lines_of(text)
    assert {path: lines[path] for path in lines if path[:1] == ("title",)} == {("title",): 2}
    sale: Path = ("scenarios", "sale")
    assert lines[sale] == 4
    assert lines[*sale, "sources"] == 5
    assert lines[*sale, "sources", 0] == 6
    assert lines[*sale, "sources", 1, "limit"] == 7
    assert lines[*sale, "text"] == 9
    assert lines[*sale, "hide", "bought"] == 13
    assert lines[*sale, "hide", "viewed"] == 14
    assert lines[*sale, "caps", 0, "most"] == 15
    assert lines[*sale, "pins", 1, "item"] == 20
    assert lines["reasons", "de", "new"] == 22
    assert not any("wrong" in path or "not" in path for path in lines)


@pytest.mark.parametrize("cut", range(0, len(SAMPLE), 7))
def test_of_a_text_that_ends_too_early_the_beginning_is_known(cut: int) -> None:
    lines = lines_of(SAMPLE[:cut])
    assert all(1 <= line <= SAMPLE[:cut].count("\n") + 1 for line in lines.values())


@given(st.text(alphabet="[]{}=.,#\"'\\ \nab1\r", max_size=60))
def test_no_text_makes_it_fail_or_go_on_for_ever(text: str) -> None:
    assert all(1 <= line <= text.count("\n") + 1 for line in lines_of(text).values())


BARE = st.text(alphabet="abz_-9", min_size=1, max_size=3)
# Keys in quotes: with everything in them that means something elsewhere.
QUOTED = st.sampled_from(['"a.b"', "'[c]'", '"d # e"', '"f\\"g"', "'h = {'", '"\\u0041"', '""', "' '"])
STRINGS = st.sampled_from(
    [
        *('"# no comment"', "'[no.table]'", '"a\\\\"', '"\\"]"', "'\\'", '""', "''"),
        *('"""\n[a]\n# b\n"""', "'''\nk = 1\n'''", '"""a\\"""b"""', '"""c"""""', "'''d''''", '"""\\\n  e"""'),
    ]
)
OTHERS = st.sampled_from(["true", "1979-05-27 07:32:00", "1.5e3", "inf", "0x1F", "-7"])


@st.composite
def documents(draw: st.DrawFn) -> str:
    """A TOML text whose integers from 100,000 on stand once each."""
    numbers = count(100_000)

    def gap() -> str:
        return draw(st.sampled_from(["", " ", "\n", " # ] } [x]\n", "\n\n\t"]))

    def value(depth: int) -> str:
        kind = draw(st.integers(0, 5 if depth else 3))
        if kind <= 1:
            return str(next(numbers))
        if kind == 2:
            return draw(STRINGS)
        if kind == 3:
            return draw(OTHERS)
        parts = range(draw(st.integers(0, 3)))
        if kind == 4:
            inner = "".join(f"{gap()}{value(depth - 1)}{gap()}," for _ in parts)
            return f"[{inner if draw(st.booleans()) else inner[:-1]}{gap()}]"
        return "{ " + ", ".join(f"{key(n)} = {value(0)}" for n in parts) + " }"

    def key(number: int) -> str:
        # The number keeps keys apart; a dotted key has it in its first part.
        rest = draw(st.lists(BARE | QUOTED, max_size=2))
        return draw(st.sampled_from([".", " . "])).join([f"k{number}", *rest])

    def pairs() -> Iterator[str]:
        for number in range(draw(st.integers(0, 4))):
            end = draw(st.sampled_from(["", " # [a.b]", "\t", "\n"]))
            yield f"{draw(st.sampled_from(['', '  ']))}{key(number)} = {value(2)}{end}"

    text = list(pairs())
    for number in range(draw(st.integers(0, 4))):
        name = draw(BARE | QUOTED)
        header = f"t{number}.{name}"
        for _ in range(draw(st.integers(1, 3)) if draw(st.booleans()) else 0):
            text += [f"[[ {header} ]] # again", *pairs()]
            if draw(st.booleans()):
                text += [f"[{header}.'sub.table']", *pairs()]
        if text and f"[[ {header} ]] # again" not in text:
            text += [f"[{header}]", *pairs()]
    return draw(st.sampled_from(["\n", "\r\n"])).join(text)


@given(documents())
def test_every_number_stands_on_the_line_that_is_named(text: str) -> None:
    lines, rows = lines_of(text), text.split("\n")
    for path, value in leaves(tomllib.loads(text), ()):
        assert path in lines, f"{path} of\n{text}"
        if isinstance(value, int) and value >= 100_000:
            assert str(value) in rows[lines[path] - 1], f"{path} of\n{text}"


def leaves(value: Any, path: Path) -> Iterator[tuple[Path, Any]]:
    """(path, value) of everything that holds nothing."""
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    if not isinstance(value, dict | list):
        yield path, value
    for name, inner in parts:
        yield from leaves(inner, (*path, name))
