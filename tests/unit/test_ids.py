"""Identifiers: what is one, how it is hashed, what Freshet makes itself."""

from __future__ import annotations

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.kernel.ids import (
    MAX_ID_BYTES,
    IdError,
    event_hash,
    fingerprint,
    item_key,
    read_id,
    uuid7,
)


@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1, max_size=64))
def test_any_text_without_control_characters_is_an_id(text: str) -> None:
    assert read_id(text) == text


@given(st.integers(-(10**200), 10**200))
def test_integers_are_read_as_their_decimal_string(number: int) -> None:
    assert read_id(number) == str(number)


@pytest.mark.parametrize(
    "bound", ["a" * MAX_ID_BYTES, "é" * (MAX_ID_BYTES // 2), " ", "gid://shopify/Product/1"]
)
def test_the_longest_and_the_odd(bound: str) -> None:
    assert read_id(bound) == bound


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        ("", "empty"),
        ("a" * (MAX_ID_BYTES + 1), "longer than 256"),
        ("é" * 129, "longer than 256"),
        ("a\nb", "control"),
        ("a\x00b", "control"),
        ("a\x7f", "control"),
        ("a\x85", "control"),
        ("\ud800", "surrogate"),
        (10**300, "longer than 256"),
        pytest.param(10**5000, "longer than 256", id="5000 digits"),
        (True, "a boolean"),
        (1.5, "a fraction"),
        (None, "null"),
        (["a"], "a list"),
        ({"a": 1}, "an object"),
    ],
)
def test_what_is_no_id_is_told_why(raw: object, says: str) -> None:
    with pytest.raises(IdError, match=says):
        read_id(raw)


def test_hashes_are_frozen() -> None:
    """They stand in every stored profile."""
    assert item_key("p_67890") == 0x6BCF8D14687076A9
    assert fingerprint(item_key("p_67890")) == item_key("p_67890") % 2**32
    assert event_hash("e") == item_key("e")


@given(st.integers(0, 2**48 - 1))
def test_uuid7_carries_its_time(now_ms: int) -> None:
    made = uuid.UUID(uuid7(now_ms))
    assert (made.version, made.variant) == (7, uuid.RFC_4122)
    assert made.int >> 80 == now_ms
