"""The short form of the query string: the same filters as JSON's, and errors that show an example."""

from __future__ import annotations

from typing import Any

import pytest

from services.ranking.filter_json import VALUES_MAX, parse_filter
from services.ranking.filter_text import SHORT_CHARS_MAX, parse_short
from services.ranking.filters import FilterError


@pytest.mark.parametrize(
    ("text", "raw"),
    [
        ("brand:Acme", {"brand": "Acme"}),
        ("brand:Acme,Zenith", {"brand": ["Acme", "Zenith"]}),
        (" brand : Acme , Zenith ; ", {"brand": ["Acme", "Zenith"]}),
        ("!brand:Acme", {"brand": {"ne": "Acme"}}),
        ("!brand:Acme,Zenith", {"brand": {"nin": ["Acme", "Zenith"]}}),
        ("price:5..20", {"price": {"gte": 5, "lte": 20}}),
        ("price:..20", {"price": {"lte": 20}}),
        ("price:4.5..", {"price": {"gte": 4.5}}),
        ("!price:5..20", {"not": {"price": {"gte": 5, "lte": 20}}}),
        ("price:5", {"price": 5}),
        ("price:..5,10..20", {"any": [{"price": {"lte": 5}}, {"price": {"gte": 10, "lte": 20}}]}),
        ("brand:Acme;price:..20", {"brand": "Acme", "price": {"lte": 20}}),
        ("categories:Food > Cheese", {"categories": "Food > Cheese"}),
        ('categories:"Food, fresh > Cheese",Drinks', {"categories": ["Food, fresh > Cheese", "Drinks"]}),
        ('brand:"A;B: \\"C\\" \\\\"', {"brand": 'A;B: "C" \\'}),
        ("available:true", {"available": True}),
        ("published_at:2026-01-01..2026-02-01", {"published_at": {"gte": "2026-01-01", "lte": "2026-02-01"}}),
        ("item_id:gid://shopify/Product/1,7", {"item_id": ["gid://shopify/Product/1", "7"]}),
        ("properties.season:winter", {"properties.season": "winter"}),
        ("properties.size:5", {"properties.size": ["5", 5]}),
        ('properties.size:"5"', {"properties.size": "5"}),
        ("properties.kids:true", {"properties.kids": ["true", True]}),
        ("properties.size:5..8", {"properties.size": {"gte": 5, "lte": 8}}),
        ("properties.range:A..B", {"properties.range": "A..B"}),
        ("brand:$item.brand", {"brand": "$item.brand"}),
        ("price:..$context.most?", {"price": {"lte": "$context.most?"}}),
        ("brand:$$ign", {"brand": "$$ign"}),
        ("brand:*", {"brand": {"exists": True}}),
        ("!brand:*", {"brand": {"exists": False}}),
        ('brand:"*"', {"brand": "*"}),
    ],
)
def test_the_short_form_says_what_json_says(text: str, raw: dict[str, Any]) -> None:
    assert parse_short(text) == parse_filter(raw)


@pytest.mark.parametrize(
    ("text", "code", "where", "said"),
    [
        ("", "invalid_filter", "filter", "is empty; write field:value, such as brand:Acme"),
        (" ; ", "invalid_filter", "filter", "is empty"),
        ("brand=Acme", "invalid_filter", "filter", "'brand=Acme' is no clause; write field:value, such as"),
        ("price:5..9;brand", "invalid_filter", "filter", "'brand' is no clause"),
        ("brand:", "invalid_filter", "filter", "'brand:' is no clause"),
        (":x", "invalid_filter", "filter", "':x' is no clause"),
        ('brand:"A', "invalid_filter", "filter", "close the quote"),
        ('brand:"A"B', "invalid_filter", "filter.brand", "put a comma behind the closing quote"),
        ('brand:A"B"', "invalid_filter", "filter.brand", "put the whole value in quotes"),
        ("brand:A,,B", "invalid_filter", "filter.brand", "take the comma out"),
        ("brnad:A", "unknown_field", "filter.brnad", "did you mean 'brand'?"),
        ("!colour:red", "unknown_field", "filter.colour", "properties.colour"),
        ("price:cheap", "invalid_value", "filter.price", "must be a number such as 5 or 19.99, not 'cheap'"),
        ("price:1_000", "invalid_value", "filter.price", "must be a number"),
        ("price:nan", "invalid_value", "filter.price", "must be a number"),
        ("price:5..x", "invalid_value", "filter.price", "must be a number"),
        ("price:..", "invalid_value", "filter.price", "such as price:5.. or price:..20"),
        ("available:yes", "invalid_value", "filter.available", "must be true or false, not 'yes'"),
        ("published_at:soon..", "invalid_value", "filter.published_at", "RFC 3339 such as"),
        ("brand:$user.x", "invalid_value", "filter.brand", "there are $context.NAME and $item.FIELD"),
        ("price:20..5", "contradictory_filter", "filter.price", "nothing is at least 20 and at most 5"),
        ("brand:A;brand:B", "contradictory_filter", "filter.brand", "cannot be 'A' and 'B'"),
        ("brand:" + "x" * SHORT_CHARS_MAX, "filter_too_large", "filter", "send it by POST"),
        ("price:" + ",".join(map(str, range(VALUES_MAX + 1))), "filter_too_large", "filter.price", "1000 at"),
        (";".join(["tags:a"] * 65), "filter_too_large", "filter", "more than 64 clauses"),
    ],
)  # fmt: skip
def test_errors_show_the_place_and_what_to_write(text: str, code: str, where: str, said: str) -> None:
    with pytest.raises(FilterError) as caught:
        parse_short(text)
    assert (caught.value.code, caught.value.where) == (code, where)
    assert said in str(caught.value)


def test_a_range_of_text_is_text() -> None:
    assert parse_short("brand:A..B") == parse_filter({"brand": "A..B"})
