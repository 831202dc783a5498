"""Items: canonical form, merge patches, and record keys that survive compaction."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.kernel.event import PoisonError
from services.kernel.item import (
    Item,
    ItemError,
    decode_item,
    decode_patch,
    encode_item,
    encode_patch,
    item_id_of_key,
    key_attribute,
    key_of_attribute,
    merge_patch,
    parse_item,
    parse_patch,
    patch_key,
)


def test_every_field_in_canonical_form() -> None:
    item = parse_item(
        {
            "item_id": 7, "title": "Gouda", "categories": ["Food > Cheese", ["Food", "Dutch"]],
            "tags": ["young"], "price": 4.5, "currency": "eur", "available": False,
            "published_at": "2026-01-31T12:00:00Z", "expires_at": 1_790_000_000,
            "group_id": 9, "group_order": 2, "properties": {"fat": 48},
            "brand": None,
        }
    )  # fmt: skip
    assert (item.item_id, item.currency, item.group_id) == ("7", "EUR", "9")
    assert item.categories == [["Food", "Cheese"], ["Food", "Dutch"]]
    assert (item.published_at, item.expires_at) == (1_769_860_800_000, 1_790_000_000_000)
    assert decode_item(encode_item(item)) == item


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"titel": "x"}, "unknown_field"),
        ({"item_id": True}, "invalid_item_id"),
        ({"item_id": None}, "missing_item_id"),
        ({"title": 5}, "invalid_title"),
        ({"title": "x" * 2000}, "invalid_title"),
        ({"title": "\ud800"}, "invalid_title"),
        ({"categories": "Food"}, "invalid_categories"),
        ({"categories": [["Food", ""]]}, "invalid_categories"),
        ({"categories": [[]]}, "invalid_categories"),
        ({"categories": [["a"]] * 21}, "invalid_categories"),
        ({"tags": "young"}, "invalid_tags"),
        ({"price": -1}, "invalid_price"),
        ({"price": math.nan}, "invalid_price"),
        ({"price": "4.50"}, "invalid_price"),
        ({"currency": "Euro"}, "invalid_currency"),
        ({"available": "yes"}, "invalid_available"),
        ({"published_at": "soon"}, "invalid_published_at"),
        ({"properties": {"a": math.inf}}, "invalid_properties"),
        ({"properties": {"a": "x" * 20_000}}, "invalid_properties"),
        ({"description": "x" * 32_000, "properties": {"a": "x" * 16_000}, "image_urls": ["x" * 2000] * 20},
         "item_too_large"),
    ],
)  # fmt: skip
def test_what_is_wrong_has_a_code(change: dict[str, Any], code: str) -> None:
    with pytest.raises(ItemError) as caught:
        parse_item({"item_id": "i", **change})
    assert caught.value.code == code


def test_the_path_and_the_body_must_agree() -> None:
    assert parse_item({"item_id": 5}, "5").item_id == "5"
    assert parse_item({}, "5").item_id == "5"
    with pytest.raises(ItemError, match="differs"):
        parse_item({"item_id": "6"}, "5")


def test_a_patch_sets_and_removes() -> None:
    item = parse_item(
        {"item_id": "i", "title": "old", "price": 1, "properties": {"a": {"x": 1, "y": 2}, "b": 1}}
    )
    patch = parse_patch({"title": "new", "price": None, "properties": {"a": {"x": None}, "c": [1]}}, "i")
    patched = merge_patch(item, decode_patch(encode_patch(patch)))
    assert patched == parse_item(
        {"item_id": "i", "title": "new", "properties": {"a": {"y": 2}, "b": 1, "c": [1]}}
    )
    assert merge_patch(item, {"available": None}).available is True


@pytest.mark.parametrize(
    "raw", [{}, {"item_id": "i"}, {"properties": {}}, [], None, {"price": "x"}, {"item_id": "j"}]
)
def test_what_is_no_patch(raw: object) -> None:
    with pytest.raises(ItemError):
        parse_patch(raw, "i")


def test_a_patch_that_fits_no_item_is_poison() -> None:
    item = Item(item_id="i", properties={"a": "x" * 16_000})
    with pytest.raises(PoisonError):
        merge_patch(item, {"title": 5})
    with pytest.raises(PoisonError, match="larger"):
        merge_patch(item, {"properties": {str(n): "x" * 16_000 for n in range(4)}})


@pytest.mark.parametrize("value", [b"", b"[]", b"\xff", b"[" * 100_000, b'{"item_id":""}', b'{"title":"x"}'])
def test_poison(value: bytes) -> None:
    with pytest.raises(PoisonError):
        decode_item(value)


def test_keys_name_the_item_and_the_fields() -> None:
    assert patch_key("i", {"price": 1, "brand": None}) == b'i\0"brand","price"'
    assert patch_key("i", {"properties": {"a,b": 1}}) != patch_key("i", {"properties": {"a": 1, "b": 1}})
    assert patch_key("i", {"properties": {"a/b": 1}}) != patch_key("i", {"properties": {"a": {"b": 1}}})
    assert item_id_of_key(patch_key("gid://x/é", {"price": 1})) == "gid://x/é"
    assert item_id_of_key(b"plain") == "plain"
    assert len(patch_key("i", {"properties": {f"property {n}": n for n in range(500)}})) < 100
    with pytest.raises(PoisonError):
        item_id_of_key(b"\xff")


_VALUES = st.recursive(
    st.integers(0, 3) | st.none(),
    lambda inner: st.dictionaries(st.sampled_from("ab"), inner, max_size=2),
    max_leaves=4,
)
_PATCHES = st.builds(
    lambda properties, price: {"properties": properties, **({"price": price} if price else {})},
    st.dictionaries(st.sampled_from("xy"), _VALUES, min_size=1, max_size=2),
    st.none() | st.floats(1, 5),
)


@given(st.lists(_PATCHES, max_size=8))
def test_compaction_of_patches_loses_nothing(patches: list[dict[str, Any]]) -> None:
    """Whatever the log drops because a later record has the same key, the item comes out the same."""
    start = Item(item_id="i", properties={"x": {"a": 9, "b": {"a": 9}}, "y": 9})
    everything = compacted = start
    for patch in patches:
        everything = merge_patch(everything, patch)
    last = {patch_key("i", patch): place for place, patch in enumerate(patches)}
    for place in sorted(last.values()):
        compacted = merge_patch(compacted, patches[place])
    assert compacted == everything


@given(st.binary(max_size=500))
def test_a_key_survives_any_header(key: bytes) -> None:
    attribute = key_attribute(key)
    assert key_of_attribute(attribute) == key
    assert all(character.isascii() and (character.isalnum() or character in "-_") for character in attribute)


@pytest.mark.parametrize("text", ["no base64", "ä", "a", "YQ==="])
def test_what_no_key_became(text: str) -> None:
    with pytest.raises(PoisonError, match="freshetkey"):
        key_of_attribute(text)
