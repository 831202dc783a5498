"""Suggestions in error texts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.kernel.nearest import likely_meant, nearest

NAMES = ("title", "price", "categories", "image_urls", "available")


@pytest.mark.parametrize(
    ("word", "name"),
    [("titel", "title"), ("prise", "price"), ("image_url", "image_urls"), ("availabel", "available")],
)
def test_a_typing_mistake_finds_its_name(word: str, name: str) -> None:
    assert nearest(word, NAMES) == likely_meant(word, NAMES) == name


def test_what_is_near_nothing_gets_no_suggestion() -> None:
    assert likely_meant("colour", NAMES) is None
    assert nearest("", NAMES) in NAMES


@given(st.text(max_size=100))
def test_any_word_has_a_nearest_name(word: str) -> None:
    assert nearest(word, NAMES) in NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_nearest_to_itself(name: str) -> None:
    assert nearest(name, NAMES) == name
