"""Filters as JSON: what they mean, what they refuse and with which words."""

from __future__ import annotations

from typing import Any

import pytest

from services.ranking.filter_fields import FIELDS
from services.ranking.filter_json import (
    ALL_VALUES_MAX,
    CLAUSES_MAX,
    DEPTH_MAX,
    OPERATORS,
    VALUES_MAX,
    parse_filter,
)
from services.ranking.filters import FilterError, both


def refused(raw: object, where: str = "filter") -> FilterError:
    with pytest.raises(FilterError) as caught:
        parse_filter(raw, where)
    return caught.value


@pytest.mark.parametrize(
    "raw",
    [
        {"brand": "Acme"},
        {"brand": ["Acme", "Zenith"]},
        {"brand": {"ne": "Acme"}},
        {"brand": {"nin": ["Acme", "Zenith"]}},
        {"brand": {"exists": False}},
        {"price": {"gte": 5, "lt": 20}},
        {"price": {"gt": "$context.least", "lte": "$item.price?"}},
        {"categories": "Food > Cheese"},
        {"categories": {"eq": ["Food", "Cheese > Hard"]}},
        {"categories": ["Food", ["Drinks", "Wine > Red"]]},
        {"available": True, "properties.kids": False, "properties.size": 5, "properties.name": "5"},
        {"published_at": {"gte": "2026-01-31T12:00:00Z", "lt": "2026-02-01T00:00:00.250Z"}},
        {"brand": "$$ign"},
        {"any": [{"brand": "Acme"}, {"price": {"lt": 5}}]},
        {"not": {"any": [{"brand": "Acme"}, {"not": {"price": {"lt": 5}}}]}},
        {"all": [{"tags": "a"}, {"tags": "b"}]},
    ],
)
def test_a_filter_comes_back_as_it_was_written(raw: dict[str, Any]) -> None:
    assert parse_filter(raw).to_json() == raw


@pytest.mark.parametrize(
    ("raw", "same"),
    [
        ({"brand": {"eq": "Acme"}}, {"brand": "Acme"}),
        ({"brand": {"in": ["Acme"]}}, {"brand": "Acme"}),
        ({"brand": ["Acme", "Acme"]}, {"brand": "Acme"}),
        ({"categories": {"under": "Food > Cheese"}}, {"categories": "Food > Cheese"}),
        ({"categories": {"under": ["Food", "Cheese"]}}, {"categories": "Food > Cheese"}),
        ({"categories": {"in": ["Food", "Drinks"]}}, {"categories": ["Food", "Drinks"]}),
        ({"currency": "eur"}, {"currency": "EUR"}),
        ({"item_id": 5}, {"item_id": "5"}),
        ({"published_at": 1769860800}, {"published_at": "2026-01-31T12:00:00Z"}),
        ({"published_at": "2026-01-31T13:00:00+01:00"}, {"published_at": 1769860800000}),
        ({"all": [{"brand": "A"}, {"all": [{"price": 1}]}]}, {"brand": "A", "price": 1}),
        ({"brand": {"exists": False}}, {"not": {"brand": {"exists": True}}}),
    ],
)
def test_two_spellings_are_one_filter(raw: dict[str, Any], same: dict[str, Any]) -> None:
    left, right = parse_filter(raw), parse_filter(same)
    assert left == right
    assert len({left, right}) == 1


def test_true_is_not_one() -> None:
    assert len({parse_filter({"properties.x": value}) for value in (True, 1, "1", "true")}) == 4
    assert parse_filter({"properties.x": 1}) == parse_filter({"properties.x": 1.0})


@pytest.mark.parametrize(
    ("raw", "code", "where", "text"),
    [
        ("brand:Acme", "invalid_filter", "filter", "the short form brand:Acme goes in the query string"),
        ([], "invalid_filter", "filter", 'must be an object such as {"brand": "Acme"}, not a list'),
        ({}, "invalid_filter", "filter", "is empty; leave it out where nothing is filtered"),
        ({"brand": {}}, "invalid_filter", "filter.brand", "is empty; the operators are eq, ne"),
        ({"any": []}, "invalid_filter", "filter.any", "must be a list of filters"),
        ({"any": [5]}, "invalid_filter", "filter.any[0]", "not an integer"),
        ({"not": []}, "invalid_filter", "filter.not", "must be an object"),
        ({"brnad": "A"}, "unknown_field", "filter.brnad", "did you mean 'brand'?"),
        ({"colour": "red"}, "unknown_field", "filter.colour", "a field of your own is properties.colour"),
        ({"category": "A"}, "unknown_field", "filter.category", "did you mean 'categories'?"),
        ({"properties": {"a": 1}}, "unknown_field", "filter.properties", "such as properties.season"),
        ({"all": [{"prise": 5}]}, "unknown_field", "filter.all[0].prise", "did you mean 'price'?"),
        ({"price": {"=>": 5}}, "unknown_operator", "filter.price.=>", "'=>' is no operator"),
        ({"price": {">=": 5}}, "unknown_operator", "filter.price.>=", "did you mean 'gte'?"),
        ({"price": {"max": 5}}, "unknown_operator", "filter.price.max", "did you mean 'lte'?"),
        ({"brand": {"exist": True}}, "unknown_operator", "filter.brand.exist", "did you mean 'exists'?"),
        ({"brand": {"gte": "A"}}, "invalid_operator", "filter.brand.gte", "brand is text and has no order"),
        ({"brand": {"under": "A"}}, "invalid_operator", "filter.brand.under", "only categories are paths"),
        ({"price": "cheap"}, "invalid_value", "filter.price", "a number such as 5 or 19.99, not 'cheap'"),
        ({"price": {"gte": True}}, "invalid_value", "filter.price.gte", "not a boolean"),
        ({"price": float("nan")}, "invalid_value", "filter.price", "must be a finite number"),
        ({"price": 10**30}, "invalid_value", "filter.price", "of at most 64 bits"),
        ({"brand": 5}, "invalid_value", "filter.brand", "a string, not an integer; put it in quotes"),
        ({"brand": None}, "invalid_value", "filter.brand", 'write {"exists": false}'),
        ({"brand": ["A", 5]}, "invalid_value", "filter.brand[1]", "must be a string"),
        ({"brand": {"eq": ["A"]}}, "invalid_value", "filter.brand.eq", "for several use in"),
        ({"brand": {"ne": ["A"]}}, "invalid_value", "filter.brand.ne", "for several use nin"),
        ({"brand": {"in": "A"}}, "invalid_value", "filter.brand.in", "for one value use eq or ne"),
        ({"brand": {"exists": 1}}, "invalid_value", "filter.brand.exists", "must be true or false"),
        ({"available": "yes"}, "invalid_value", "filter.available", "true or false, not 'yes'"),
        ({"currency": "euro"}, "invalid_value", "filter.currency", "an ISO 4217 code such as EUR"),
        ({"item_id": ""}, "invalid_value", "filter.item_id", "is empty"),
        ({"categories": 5}, "invalid_value", "filter.categories", 'a path, "Food > Cheese"'),
        ({"categories": "A >  > B"}, "invalid_value", "filter.categories", "a path of 1 to 10 names"),
        ({"published_at": {"gte": "soon"}}, "invalid_value", "filter.published_at.gte", "RFC 3339 such as"),
        ({"properties.a": [{}]}, "invalid_value", "filter.properties.a[0]", "not an object"),
        ({"properties.a": {"gte": "5"}}, "invalid_value", "filter.properties.a.gte", "must be a number"),
        ({"price": {"gt": 1, "gte": 2}}, "invalid_filter", "filter.price", "gives both gt and gte; keep one"),
        ({"brand": "$user.brand"}, "invalid_value", "filter.brand", "is written $$user.brand"),
        ({"brand": "$context."}, "invalid_value", "filter.brand", "there are $context.NAME"),
        ({"brand": "$context.a b"}, "invalid_value", "filter.brand", "a name in the context"),
        ({"brand": "$item.brnad"}, "unknown_field", "filter.brand", "did you mean 'brand'?"),
        ({"brand": "$item.price"}, "invalid_value", "filter.brand", "but $item.price is a number"),
        ({"brand": "x" * 3000}, "invalid_value", "filter.brand", "is longer than 2048 characters"),
    ],
)  # fmt: skip
def test_errors_say_where_and_what_to_change(raw: object, code: str, where: str, text: str) -> None:
    error = refused(raw)
    assert (error.code, error.where) == (code, where)
    assert str(error).startswith(f"{where}: ")
    assert text in str(error)
    assert refused(raw, "rows[2].filter").where == where.replace("filter", "rows[2].filter", 1)


@pytest.mark.parametrize(
    ("raw", "field", "text"),
    [
        ({"price": {"gte": 10, "lt": 5}}, "price", "nothing is at least 10 and below 5"),
        ({"price": {"gt": 5, "lte": 5}}, "price", "nothing is above 5 and at most 5"),
        ({"all": [{"price": {"gte": 10}}, {"price": {"lt": 5}}]}, "price", "both at least 10 and below 5"),
        ({"all": [{"brand": "A"}, {"brand": "B"}]}, "brand", "one brand, which cannot be 'A' and 'B'"),
        ({"all": [{"brand": ["A", "B"]}, {"brand": ["C"]}]}, "brand", "name them in one list"),
        ({"brand": {"in": ["A", "B"], "nin": ["B", "A"]}}, "brand", "asks for 'A', 'B' and excludes it"),
        ({"tags": {"eq": "a", "ne": "a"}}, "tags", "asks for 'a' and excludes it"),
        ({"categories": {"under": "A > B", "ne": "A"}}, "categories", "asks for 'A > B' and excludes it"),
        ({"brand": {"eq": "A", "exists": False}}, "brand", "asks for a brand and for items that have none"),
        ({"price": {"eq": 3, "gte": 5}}, "price", "3 is not at least 5"),
        ({"brand": []}, "brand", "an empty list lets nothing through"),
        ({"brand": {"nin": []}}, "brand", "an empty list"),
        ({"available": {"nin": [True, False]}}, "available", "excludes both true and false"),
        ({"price": {"gte": 10}, "not": {"price": {"gt": 5}}}, "price", "at least 10 and excludes above 5"),
        ({"price": {"gte": 10}, "any": [{"price": {"lt": 5}}, {"price": 7}]}, "price", "and below 5"),
        ({"any": [{"tags": "x"}, {"price": {"gte": 10, "lt": 5}}]}, "price", "at least 10 and below 5"),
        ({"not": {"any": [{"brand": {"ne": "A"}}, {"brand": {"ne": "B"}}]}}, "brand", "'A' and 'B'"),
        ({"published_at": {"gte": "2026-02-01", "lt": "2026-01-01"}}, "published_at", "2026-02-01T00:00:00Z"),
        ({"properties.size": {"gte": 10, "lt": 5}}, "properties.size", "at least 10 and below 5"),
    ],
)  # fmt: skip
def test_what_no_item_can_pass_is_refused(raw: dict[str, Any], field: str, text: str) -> None:
    error = refused(raw)
    assert error.code == "contradictory_filter"
    assert error.where.startswith(f"filter.{field}")
    assert text in str(error)


@pytest.mark.parametrize(
    "raw",
    [
        {"all": [{"tags": "a"}, {"tags": "b"}]},  # an item may have both
        {"all": [{"properties.size": 1}, {"properties.size": 2}]},
        {"all": [{"properties.size": {"gte": 10}}, {"properties.size": {"lt": 5}}]},
        {"all": [{"brand": "A"}, {"brand": "$context.brand"}]},  # nobody knows yet
        {"all": [{"categories": "A"}, {"categories": "A > B"}]},
        {"categories": {"under": "A", "ne": "A > B"}},
        {"price": {"gte": 5, "lte": 5}},
        {"price": {"gte": 5}, "not": {"price": {"gt": 5}}},  # 5 itself
        {"price": {"lte": 5}, "not": {"price": {"lt": 5}}},
        {"price": {"exists": True, "ne": 5}},
        {"brand": {"in": ["A", "B"], "ne": "B"}},
        {"price": {"gte": 10}, "any": [{"price": {"lt": 5}}, {"price": 17}]},
        {"any": [{"brand": "A"}, {"brand": "B"}]},
    ],
)
def test_what_an_item_can_pass_is_taken(raw: dict[str, Any]) -> None:
    assert parse_filter(raw)


def test_bounds() -> None:
    assert parse_filter({"brand": [str(number) for number in range(VALUES_MAX)]})
    many = refused({"brand": [str(number) for number in range(VALUES_MAX + 1)]})
    assert (many.code, many.where) == ("filter_too_large", "filter.brand")
    full = {"brand": [str(number) for number in range(VALUES_MAX)]}
    assert parse_filter({"all": [full] * (ALL_VALUES_MAX // VALUES_MAX)})
    assert "more than 4000 values" in str(
        refused({"all": [*[full] * (ALL_VALUES_MAX // VALUES_MAX), {"tags": "a"}]})
    )
    assert parse_filter({"any": [{"price": number} for number in range(CLAUSES_MAX)]})
    wide = refused({"any": [{"price": number} for number in range(CLAUSES_MAX + 1)]})
    assert wide.code == "filter_too_large"
    assert f"more than {CLAUSES_MAX} clauses" in str(wide)
    deep: dict[str, Any] = {"brand": "A"}
    for _ in range(DEPTH_MAX - 1):
        deep = {"not": deep}
    assert parse_filter(deep)
    assert refused({"not": deep}).code == "filter_too_large"
    for _ in range(100_000):
        deep = {"not": deep}
    assert "flatten it" in str(refused(deep))


def test_fields_needs_and_dropping_a_field() -> None:
    found = parse_filter(
        {
            "brand": {"ne": "$item.brand"},
            "properties.country": ["$context.country", "WORLD"],
            "price": {"lt": "$context.most?"},
            "any": [{"price": {"lt": 5}}, {"tags": "sale"}],
        }
    )
    assert found.fields() == {"brand", "properties.country", "price", "tags"}
    assert found.needs() == {"item.brand", "context.country", "context.most"}
    left = found.without("price")
    assert left is not None
    assert left.to_json() == {
        "brand": {"ne": "$item.brand"},
        "properties.country": ["$context.country", "WORLD"],
        "any": [{"price": {"lt": 5}}, {"tags": "sale"}],  # about more than the price: stays
    }
    assert left.without("tags") == left
    only = parse_filter({"any": [{"price": {"lt": 5}}, {"price": {"gt": 50}}]})
    assert only.without("price") is None
    assert only.without("brand") == only


def test_both_is_every_clause_once() -> None:
    left, right = parse_filter({"brand": "A", "price": 5}), parse_filter({"price": 5, "tags": "x"})
    together = both(left, right)
    assert together is not None
    assert together.to_json() == {"brand": "A", "price": 5, "tags": "x"}
    assert both(left, left) is left
    against = both(left, parse_filter({"brand": "B"}))
    assert against is not None  # lets nothing through, which is for the policy of the scenario to say


def test_a_filter_does_not_change() -> None:
    found = parse_filter({"brand": "A"})
    with pytest.raises(AttributeError):
        found.root = parse_filter({"brand": "B"}).root  # type: ignore[misc]


def test_every_field_of_an_item_but_its_properties_can_be_named() -> None:
    from services.kernel.item import Item

    assert set(FIELDS) | {"properties"} == set(Item.__struct_fields__)
    assert len(set(OPERATORS)) == 10
