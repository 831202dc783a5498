"""Filters, rules, context and cursors as clients send them, good and bad."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from services.kernel.ids import item_key
from services.ranking.filter_json import parse_filter
from services.ranking.scenario import Boost, Cap, Pin
from services.ranking.scenario_file import Scenarios, built_in, read_scenarios
from services.ranking.state import RankedItem, Ranking, Reason
from services.recommender.cursor import SHOWN_MAX, next_cursor, read_cursor
from services.recommender.parse_query import from_body, from_parameters
from services.recommender.query import Query, QueryError

SCENARIOS: Scenarios = read_scenarios(
    """
[scenarios.sale]
sources = ["trending"]
filter = { tags = "sale" }
pins = [{ item = "hero", slot = 1 }]
caps = [{ field = "brand", most = 3 }, { field = "categories", most = 4 }]

[scenarios.soft]
extends = "sale"
relax = ["price", "tags"]
"""
)
FIELDS = frozenset({"title", "price", "brand"})


def get(*parameters: tuple[str, str], **named: str) -> Query:
    return from_parameters("u", [*parameters, *named.items()], FIELDS, SCENARIOS)


def post(body: Any) -> Query:
    return from_body(msgspec.json.encode(body), FIELDS, SCENARIOS)


def refused(code: str, call: Any) -> str:
    with pytest.raises(QueryError) as error:
        call()
    assert (error.value.status, error.value.code) == (422, code)
    return error.value.detail


def page(*item_ids: str) -> Ranking:
    reason = Reason("catalogue", "")
    return Ranking([RankedItem(one, item_key(one), 0, 1.0, reason) for one in item_ids], "catalogue", None)


def test_a_line_with_all_rules() -> None:
    cursor = next_cursor(frozenset(), page("a", "b"), 2)
    assert cursor is not None
    query = get(
        ("context.genre", "jazz"),
        ("context.genre", "soul"),
        filter="brand:Acme;price:5..20",
        relax="price,brand",
        at_least="4",
        diversity="0.3",
        explain="true",
        cursor=cursor,
        country="PT",
        language="pt",
        device="mobile",
    )
    scenario = query.scenario
    assert scenario.filter == parse_filter({"brand": "Acme", "price": {"gte": 5, "lte": 20}})
    assert (scenario.relax, scenario.at_least, scenario.diversity) == (("price", "brand"), 4, 0.3)
    assert scenario.sources == built_in()["for_you"].sources
    assert query.explain
    assert query.shown == {item_key("a"), item_key("b")}
    assert query.context == {"country": "PT", "language": "pt", "device": "mobile", "genre": ["jazz", "soul"]}


def test_without_rules_the_scenario_is_the_one_that_is_kept() -> None:
    assert get().scenario is SCENARIOS.by_name["for_you"]
    assert post({"n": 5}).scenario is SCENARIOS.by_name["for_you"]


def test_rules_of_a_body_stand_beside_those_of_the_scenario() -> None:
    made = post(
        {
            "scenario": "sale",
            "filter": "price:..20",
            "boosts": [{"filter": {"brand": "Acme"}, "by": -1}],
            "pins": [{"item": "other", "slot": 2}],
            "caps": [{"field": "brand", "most": 1}],
        }
    ).scenario
    assert made.filter == parse_filter({"all": [{"tags": "sale"}, {"price": {"lte": 20}}]})
    assert made.boosts == (Boost(parse_filter({"brand": "Acme"}), -1.0),)
    assert made.pins == (Pin("hero", 1), Pin("other", 2))
    assert made.caps == (Cap("categories", most=4), Cap("brand", most=1))


def test_what_stands_at_the_top_holds_for_every_row() -> None:
    cursor = next_cursor(frozenset(), page("a"), 1)
    query = post(
        {
            "scenario": "sale",
            "item_id": "p",
            "n": 7,
            "diversity": 0.2,
            "filter": {"language": "de"},
            "rows": [
                {"id": "one"},
                {
                    "id": "two",
                    "scenario": "trending",
                    "n": 3,
                    "item_id": "q",
                    "diversity": 0.9,
                    "filter": {"price": {"lt": 5}},
                    "cursor": cursor,
                },
            ],
        }
    )
    one, two = query.lists()
    assert (one.scenario.name, one.n, one.item_id, one.scenario.diversity) == ("sale", 7, "p", 0.2)
    assert one.scenario.filter == parse_filter({"tags": "sale", "language": "de"})
    assert (two.scenario.name, two.n, two.item_id, two.scenario.diversity) == ("trending", 3, "q", 0.9)
    assert two.scenario.filter == parse_filter({"language": "de", "price": {"lt": 5}})
    assert (set(one.shown), set(two.shown)) == (set(), {item_key("a")})
    assert query.kept_out(one) == query.kept_out(two) == {item_key("a")}


@pytest.mark.parametrize(
    ("body", "code", "said"),
    [
        ({"filter": {"brnd": "x"}}, "unknown_field", "filter.brnd: 'brnd' is no field of an item; did you"),
        (
            {"rows": [{}, {"filter": {"price": {"gte": "5"}}}]},
            "invalid_value",
            "rows[1].filter.price.gte:",
        ),
        (
            {"filter": {"price": {"gt": 9, "lt": 5}}},
            "contradictory_filter",
            "filter.price: nothing is",
        ),
        (
            {"filter": {"brand": "A"}, "rows": [{"filter": {"brand": "B"}}]},
            "contradictory_filter",
            "rows[0].filter.brand: an item has one brand, which cannot be 'A' and 'B'",
        ),
        ({"filter": "brand"}, "invalid_filter", "filter: 'brand' is no clause; write field:value"),
        ({"filter": []}, "invalid_filter", "filter: must be an object"),
        (
            {"boosts": [{"filter": {"prize": 1}, "by": 1}]},
            "unknown_field",
            "boosts[0].filter.prize: ",
        ),
        ({"boosts": [{"filter": "brand:A"}]}, "invalid_rule", "boosts[0]: lacks by"),
        (
            {"boosts": [{"filter": "brand:A", "by": 11}]},
            "invalid_rule",
            "boosts[0].by: must be a number",
        ),
        ({"rows": [{"pins": [{"item": "a", "slot": 0}]}]}, "invalid_rule", "rows[0].pins[0].slot: must be a"),
        ({"caps": [{"field": "colour", "most": 1}]}, "invalid_rule", "caps[0].field: 'colour' is no field"),
        ({"diversity": 2}, "invalid_rule", "diversity: must be a number from 0 to 1, not 2"),
        ({"relax": "price"}, "invalid_rule", "relax: must be a list"),
        ({"relax": ["prize"]}, "invalid_rule", "relax[0]: 'prize' is no field"),
        ({"hide": {"bougt": "30d"}}, "invalid_rule", "did you mean 'bought'?"),
        ({"at_least": 0}, "invalid_rule", "at_least: must be a whole number from 1 to 200"),
        ({"explain": "true"}, "invalid_value", "explain: must be true or false"),
        (
            {"cursor": "AAAA"},
            "invalid_cursor",
            "cursor: 'AAAA' is none of ours; send `next_cursor`",
        ),
        ({"rows": [{"cursor": 5}]}, "invalid_cursor", "rows[0].cursor: '5' is none of ours"),
        ({"context": {"tags": ["a", ["b"]]}}, "invalid_value", "context.tags: must be a string"),
        ({"context": {"tags": ["a"] * 65}}, "invalid_value", "context.tags: must be"),
    ],
)
def test_mistakes_name_the_place_and_what_was_meant(body: Any, code: str, said: str) -> None:
    assert said in refused(code, lambda: post(body))


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("filters", "did you mean 'filter'?"),
        ("boost", "did you mean 'boosts'?"),
        ("pin", "did you mean 'pins'?"),
        ("items", "did you mean 'candidates'?"),
        ("page_token", "did you mean 'cursor'?"),
        ("next_cursor", "did you mean 'cursor'?"),
        ("user", "did you mean 'user_id'?"),
        ("country", 'part of `context`: {"context": {"country": …}}'),
        ("brand", 'filter by it, as "brand:value" in `filter`'),
        ("max_price", '"price:5..20"'),
        ("category", '"categories:Grocery > Cheese"'),
    ],
)
def test_other_names_are_told_and_not_taken(name: str, meant: str) -> None:
    assert meant in refused("unknown_field", lambda: post({name: 1}))


def test_other_names_of_a_line() -> None:
    assert 'as "brand:value" in `filter`' in refused("unknown_parameter", lambda: get(brand="Acme"))
    assert "context.NAME=value" in refused("unknown_parameter", lambda: get(context="{}"))
    assert "did you mean 'language'?" in refused("unknown_parameter", lambda: get(lang="de"))


def test_a_request_does_not_drop_what_the_deployment_demands() -> None:
    own = {"scenario": "sale", "filter": {"price": {"lt": 5}}}
    assert post({**own, "relax": ["price"]}).scenario.relax == ("price",)
    said = refused("invalid_rule", lambda: post({**own, "relax": ["price", "tags"]}))
    assert said.startswith("relax: the filter of the scenario 'sale' itself is about 'tags'")
    refused("invalid_rule", lambda: get(scenario="sale", relax="tags"))
    rows: dict[str, Any] = {"rows": [{"scenario": "popular"}, {"scenario": "sale", "relax": ["tags"]}]}
    assert refused("invalid_rule", lambda: post(rows)).startswith("rows[1].relax: ")
    said = refused("invalid_rule", lambda: post({"rows": [{"scenario": "sale"}], "relax": ["tags"]}))
    assert said.startswith("relax: ")
    assert post({"scenario": "soft", "relax": ["tags"]}).scenario.relax == ("tags",)


def test_several_mistakes_are_told_at_once() -> None:
    with pytest.raises(QueryError) as error:
        post({"diversity": -1, "caps": [{"field": "brand"}], "boosts": [{"filter": "prize:1", "by": 1}]})
    problems = error.value.more["problems"]
    assert {problem["where"] for problem in problems} == {"diversity", "caps[0]", "boosts[0].filter.prize"}
    assert {problem["code"] for problem in problems} == {"invalid_rule", "unknown_field"}
    assert error.value.code == "invalid_rule"
    assert error.value.detail.count("\n") == 2


@pytest.mark.parametrize(
    ("named", "code"),
    [
        ({"explain": "yes"}, "invalid_value"),
        ({"diversity": "a lot"}, "invalid_rule"),
        ({"diversity": "nan"}, "invalid_rule"),
        ({"diversity": "1_0"}, "invalid_rule"),
        ({"at_least": "2.5"}, "invalid_rule"),
        ({"relax": "prize"}, "invalid_rule"),
        ({"filter": ""}, "invalid_filter"),
        ({"filter": "price:20..5"}, "contradictory_filter"),
        ({"filter": "prize:5"}, "unknown_field"),
        ({"cursor": "!!"}, "invalid_cursor"),
        ({"country": "PT", "context.country": "ES"}, "repeated_parameter"),
        ({"context.": "x"}, "unknown_parameter"),
        ({"context.a": "x" * 257}, "invalid_value"),
    ],
)
def test_bad_lines(named: dict[str, str], code: str) -> None:
    assert len(refused(code, lambda: get(**named))) < 1000


def test_a_page_that_was_short_is_the_last() -> None:
    assert next_cursor(frozenset(), page("a", "b"), 3) is None
    cursor = next_cursor(frozenset({1, 2**64 - 1}), page("a", "b"), 2)
    assert cursor is not None
    assert read_cursor(cursor) == {1, 2**64 - 1, item_key("a"), item_key("b")}
    assert next_cursor(frozenset(range(SHOWN_MAX)), page("a"), 1) is None
    longest = next_cursor(frozenset(range(SHOWN_MAX - 1)), page("a"), 1)
    assert longest is not None
    assert len(longest) < 8000  # request lines of 8 KB pass everywhere
    assert get(cursor="").shown == frozenset()
