"""What an id that the catalogue lacks was likely meant to be, and when nothing is said."""

from __future__ import annotations

import pytest

from services.cli.doctor_items import likely_ids


@pytest.mark.parametrize(
    ("unlisted", "known", "meant"),
    [
        ("SKU-1", ["sku-1", "sku-2"], "sku-1"),
        ("sku1", ["sku-1"], "sku-1"),
        ("00042", ["42", "420"], "42"),
        ("42", ["00042"], "00042"),
        ("gid://shopify/Product/7", ["7", "77"], "7"),
        ("7", ["gid://shopify/Product/7", "gid://shopify/Product/8"], "gid://shopify/Product/7"),
        ("10042", ["prod_10042", "prod_10043"], "prod_10042"),
        ("Crème Brûlée", ["crème-brûlée"], "crème-brûlée"),
        ("aple-juice-500", ["apple-juice-500", "apple-juice-250"], "apple-juice-500"),
        # Several, or none: a guess would only mislead.
        ("7", ["a/7", "b/7"], None),
        ("1000051", ["1000050", "1000052"], None),
        ("sku-15", ["sku-1", "sku-5", "sku-51"], None),
        ("wine", ["cheese"], None),
        ("7", ["red-7"], None),
        ("///", ["a"], None),
        ("", ["a"], None),
    ],
)
def test_a_likely_id(unlisted: str, known: list[str], meant: str | None) -> None:
    assert likely_ids([unlisted], known) == [meant]


def test_each_gets_its_own() -> None:
    known = [f"sku-{number}" for number in range(1000)]
    assert likely_ids(["SKU_3", "nowhere", "sku 999"], known) == ["sku-3", None, "sku-999"]
