"""A recommendation id carries its own time, scenario, release and arm."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.kernel.recommendation_id import (
    RecommendationId,
    decode_recommendation_id,
    encode_recommendation_id,
)

NAMES = st.text(st.characters(min_codepoint=33, max_codepoint=1000), max_size=25)


@given(st.integers(0, 2**48 - 1), NAMES, NAMES, NAMES)
def test_round_trip(time_ms: int, scenario: str, release: str, arm: str) -> None:
    text = encode_recommendation_id(time_ms, scenario, release, arm)
    assert decode_recommendation_id(text) == RecommendationId(time_ms, scenario, release, arm)
    assert len(text) <= 256
    assert set(text) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


def test_two_answers_have_two_ids() -> None:
    assert encode_recommendation_id(1, "a", "b", "c") != encode_recommendation_id(1, "a", "b", "c")


@given(st.one_of(st.text(max_size=60), st.binary(max_size=60).map(lambda raw: raw.hex())))
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a recommendation id"):
        decode_recommendation_id(text)


def test_names_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="bytes"):
        encode_recommendation_id(1, "a" * 200, "", "")
