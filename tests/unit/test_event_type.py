"""Types of events: frozen numbers, spellings, types of a deployment's own."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.kernel.event_type import EventType, EventTypes, UnknownEventTypeError

TYPES = EventTypes()


def test_the_numbers_are_frozen() -> None:
    """They stand in every stored profile: a failure here is a change of the stored layout."""
    assert {kind.name.lower(): kind.value for kind in EventType} == {
        "view": 1, "click": 2, "cart_add": 3, "cart_remove": 4, "purchase": 5, "video_start": 6,
        "video_progress": 7, "video_complete": 8, "share": 9, "like": 10, "dislike": 11, "rating": 12,
        "search": 13, "impression": 14, "identify": 15,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        ("view", "view"), ("product_view", "view"), ("view_item", "view"), ("Product Viewed", "view"),
        ("detail-page-view", "view"), ("add_to_cart", "cart_add"), ("add-to-cart", "cart_add"),
        ("Product Added", "cart_add"), ("Order Completed", "purchase"), ("PURCHASE", "purchase"),
        ("view_item_list", "impression"), ("like", "like"), ("login", "identify"),
    ],
)  # fmt: skip
def test_accepted_spellings(spelling: str, name: str) -> None:
    assert TYPES.canonical(spelling) == name
    assert TYPES.name(TYPES.number(name)) == name


@pytest.mark.parametrize(
    ("typo", "meant"), [("prodct_view", "view"), ("purchse", "purchase"), ("vieww", "view")]
)
def test_an_unknown_type_is_told_the_nearest(typo: str, meant: str) -> None:
    with pytest.raises(UnknownEventTypeError, match=f"the nearest is '{meant}'"):
        TYPES.canonical(typo)


@given(st.text(max_size=100))
def test_any_text_is_a_type_or_an_error_of_bounded_length(text: str) -> None:
    try:
        assert TYPES.canonical(text) in TYPES.names()
    except UnknownEventTypeError as error:
        assert len(str(error)) < 600  # noqa: PT017 - either way is right


def test_types_of_a_deployments_own() -> None:
    types = EventTypes("wishlist:200=2.5, compare:201=-1")
    assert types.canonical("Wishlist") == "wishlist"
    assert (types.number("wishlist"), types.name(201)) == (200, "compare")
    assert (types.weight(200), types.weight(201)) == (2.5, -1.0)
    assert TYPES.name(200) == "type_200"
    assert TYPES.weight(200) == 0.0


@pytest.mark.parametrize(
    "custom",
    ["wishlist", "wishlist:200", "w:1=1", "w:256=1", "w:200=1,v:200=1", "view:200=1", "W:200=1", "w:200=1e9"],
)
def test_what_is_no_type_of_its_own(custom: str) -> None:
    with pytest.raises(ValueError, match=r"name:number=weight|number of your own|there already|weights lie"):
        EventTypes(custom)


def test_a_release_overrides_weights_and_a_rating_scales_its_own() -> None:
    types = EventTypes(weights={"view": 0.5, "not_known_here": 9.0})
    assert types.weight(EventType.VIEW) == 0.5
    assert types.weight(EventType.PURCHASE) == 5.0
    assert [TYPES.weight(EventType.RATING, stars) for stars in (0.0, 2.5, 5.0)] == [-2.0, 0.0, 2.0]
    assert TYPES.weight(EventType.RATING) == 0.0
