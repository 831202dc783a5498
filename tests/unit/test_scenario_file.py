"""Scenario files: what they mean, and that each mistake is named with its line and the nearest right name."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from services.kernel.profile import SEEN_BOUGHT, SEEN_DISLIKED, SEEN_VIEWED
from services.ranking.filter_json import parse_filter
from services.ranking.scenario import FOR_EVER_S, Boost, Cap, Pin, RankerUse, Scenario, SourceUse
from services.ranking.scenario_file import (
    built_in,
    built_in_scenarios,
    known_names,
    read_scenarios,
    with_rules,
)
from services.ranking.scenario_json import scenario_json
from services.ranking.scenario_problems import MAX_PROBLEMS, ScenarioError

SALE = """\
[scenarios.sale]
text = "What is cheaper now."
sources = ["trending", { name = "popular", limit = 50, weight = 2 }]
ranker = "mix"
then = "popular"
fill = ["catalogue"]
fill_when = "empty"
filter = { price = { lt = 20 }, brand = ["Acme", "Bolt"] }
relax = ["brand", "price"]
at_least = 4
hide = { bought = "30d", viewed = "12h", disliked = "always" }
boosts = [{ filter = { tags = "eco" }, by = 0.5 }]
pins = [{ item = "p_1", slot = 1 }]
caps = [{ field = "brand", most = 2 }, { field = "categories", share = 0.4, at_least = 3, soft = true }]
diversity = 0.3
rotate_after = 3
one_per_group = false
"""


def problems_of(text: str) -> list[str]:
    with pytest.raises(ScenarioError) as caught:
        read_scenarios(text)
    return [str(problem) for problem in caught.value.problems]


def test_what_comes_with_freshet_is_read_by_the_same_reader_and_names_what_there_is() -> None:
    assert next(iter(built_in())) == "for_you"
    assert {"similar", "recently_viewed", "continue_watching", "trending", "popular"} <= built_in().keys()
    known = known_names()
    for scenario in built_in().values():
        assert scenario.text
        assert {use.name for use in (*scenario.sources, *scenario.fill)} <= known.sources
        assert scenario.ranker.name in known.rankers
        assert scenario.then is None or scenario.then in built_in()
    assert read_scenarios("").by_name == built_in() == built_in_scenarios().by_name


def test_every_key_is_read() -> None:
    scenarios = read_scenarios(SALE)
    assert scenarios.own == {"sale"}
    assert scenarios.warnings == ()
    assert scenarios.by_name.keys() == {*built_in(), "sale"}
    assert scenarios.by_name["sale"] == Scenario(
        name="sale",
        text="What is cheaper now.",
        sources=(SourceUse("trending"), SourceUse("popular", 50, 2.0)),
        ranker=RankerUse("mix"),
        then="popular",
        fill=(SourceUse("catalogue"),),
        fill_when="empty",
        filter=parse_filter({"price": {"lt": 20}, "brand": ["Acme", "Bolt"]}),
        relax=("brand", "price"),
        at_least=4,
        hide={SEEN_VIEWED: 43_200.0, SEEN_BOUGHT: 2_592_000.0, SEEN_DISLIKED: FOR_EVER_S},
        boosts=(Boost(parse_filter({"tags": "eco"}), 0.5),),
        pins=(Pin("p_1", 1),),
        caps=(Cap("brand", most=2), Cap("categories", share=0.4, at_least=3, soft=True)),
        diversity=0.3,
        rotate_after=3,
        one_per_group=False,
    )


@pytest.mark.parametrize("name", ["sale", *built_in()])
def test_what_is_listed_can_be_written_into_a_file_again(name: str) -> None:
    shown = scenario_json(read_scenarios(SALE).by_name[name])
    assert shown["sources"]
    written = "".join(f"{key} = {toml(value)}\n" for key, value in shown.items())
    again = read_scenarios(f"[scenarios.{name}]\n{written}").by_name[name]
    assert again == read_scenarios(SALE).by_name[name]


def toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f'"{name}" = {toml(inner)}' for name, inner in value.items()) + " }"
    if isinstance(value, list):
        return f"[{', '.join(map(toml, value))}]"
    return str(value).lower() if isinstance(value, bool) else repr(value)


def test_extends_takes_over_everything_and_changes_what_is_named() -> None:
    made = read_scenarios(
        """
        [scenarios.b]
        extends = "a"
        text = "b"
        [scenarios.a]
        extends = "for_you"
        diversity = 0.5
        caps = []
        """
    ).by_name
    assert made["a"] == replace(built_in()["for_you"], name="a", diversity=0.5, caps=())
    assert made["b"] == replace(made["a"], name="b", text="b")


def test_a_scenario_of_freshet_is_changed_a_little_or_replaced() -> None:
    changed = read_scenarios('[scenarios.similar]\nextends = "similar"\nthen = ""').by_name["similar"]
    assert changed == replace(built_in()["similar"], then=None)
    replaced = read_scenarios('[scenarios.similar]\nsources = ["trending"]').by_name["similar"]
    assert replaced == Scenario("similar", sources=(SourceUse("trending"),))


def test_dates_of_toml_are_dates_in_filters() -> None:
    text = '[scenarios.x]\nsources = ["popular"]\nfilter = { published_at = { gte = 2026-01-31T00:00:00Z } }'
    made = read_scenarios(text).by_name["x"]
    assert made.filter == parse_filter({"published_at": {"gte": "2026-01-31T00:00:00Z"}})


def test_properties_may_be_written_as_toml_takes_names_apart() -> None:
    head = '[scenarios.x]\nsources = ["popular"]\n'
    made = [
        read_scenarios(f"{head}{body}").by_name["x"].filter
        for body in (
            'filter = { "properties.season" = "summer", brand = "a" }',
            'filter = { properties.season = "summer", brand = "a" }',
            '[scenarios.x.filter]\nproperties.season = "summer"\nbrand = "a"',
        )
    ]
    assert made[0] is not None
    assert made[0].fields() == {"properties.season", "brand"}
    assert all(one is not None and set(one.parts) == set(made[0].parts) for one in made)
    (problem,) = problems_of(f"{head}[scenarios.x.filter]\nproperties.season = {{ gte = true }}")
    assert problem.startswith("line 4: scenarios.x.filter.properties.season")


def test_all_mistakes_are_told_at_once_each_with_its_line() -> None:
    found = problems_of(
        """
[scenarios.sale]
extend = "for_you"
sources = [
  "trending",
  { name = "populr", limit = 3 },
]
ranker = "blnd"
hide = { bought = 30, viewd = "2h" }
caps = [
  { field = "catgories", most = 2 },
  { field = "brand" },
]
filter = { any = [{ brand = "a" }, { prize = 5 }] }
then = "poplar"
diversity = 1.5

[[scenarios.sale.pins]]
item = "p_1"
slot = 1

[[scenarios.sale.pins]]
item = "p_2"
slot = 0
"""
    )
    begins = {text.split(";")[0].split(", not ")[0] for text in found}
    assert begins == {
        "line 3: scenarios.sale.extend: 'extend' is no key of a scenario",
        "line 6: scenarios.sale.sources[1]: 'populr' is no source",
        "line 8: scenarios.sale.ranker: 'blnd' is no ranker",
        "line 9: scenarios.sale.hide.viewd: 'viewd' is no way of having seen an item",
        'line 9: scenarios.sale.hide.bought: must be a duration like "30d", "12h" or "45m" '
        '(at most "3650d"), or "always"',
        "line 11: scenarios.sale.caps[0].field: 'catgories' is no field that a cap counts",
        "line 12: scenarios.sale.caps[1]: needs either most (items) or share (a part of the list, 0 to 1), "
        "and not both",
        "line 14: scenarios.sale.filter.any[1].prize: 'prize' is no field of an item",
        "line 15: scenarios.sale.then: 'poplar' is no scenario",
        "line 16: scenarios.sale.diversity: must be a number from 0 to 1",
        "line 24: scenarios.sale.pins[1].slot: must be a whole number from 1 to 200",
    }
    text = "\n".join(found)
    for nearest in ("extends", "popular", "blend", "viewed", "categories", "price"):
        assert f"did you mean {nearest!r}?" in text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[scenarios.a", "line 1: is no TOML"),
        ("\n\n[scenarios.a]\nx = ", "line 4: is no TOML"),
        ("[scenarios.a]\n[scenarios.a]", "line 2: is no TOML"),
        ("x = {\n a = 1 }", "a table in { } must stand on one line"),
        ("\na = " + "[" * 9000, "line 2: is nested deeper than 32"),
        ("a." * 100_000 + "b = 1", "line 1: is nested deeper than 32"),
        ("[" + '" ".' * 60_000 + "b]", "line 1: is nested deeper than 32"),
        ("[scenario.a]", "line 1: scenario: 'scenario' is no part of a scenario file; did you"),
        ("scenarios = 3", "line 1: scenarios: must be a table"),
        ("[scenarios]\na = 3", "line 2: scenarios.a: must be a table"),
        ('[scenarios."A b"]\nsources = ["popular"]', "line 1: scenarios.A b: is no name"),
        ("[scenarios.a]", "line 1: scenarios.a: names no source"),
        ('[scenarios.a]\nextends = "for_you"\nsources = []\nfill = []', "scenarios.a: names no source"),
        ('[scenarios.a]\nextends = "for_yu"', "line 2: scenarios.a.extends: 'for_yu' is no scenario; did"),
        ('[scenarios.a]\nextends = "a"', "a extends a"),
        ('[scenarios.a]\nextends = "b"\n[scenarios.b]\nextends = "a"', "goes round in a circle: a extends b"),
        ('[scenarios.popular]\nextends = "popular"\nthen = "similar"\n'
         '[scenarios.for_you]\nextends = "for_you"\nthen = "popular"', "goes round in a circle"),
        ('[scenarios.a]\nsources = ["popular"]\ntext = 5', "line 3: scenarios.a.text: must be a text"),
        ('[scenarios.a]\nsources = ["popular"]\none_per_group = 1', "must be true or false"),
        ('[scenarios.a]\nsources = ["popular"]\nfill_when = "late"', "must be 'short' or 'empty'"),
        ('[scenarios.a]\nsources = ["popular"]\nhide = ["bought"]', "must be a table like { bought"),
        ('[scenarios.a]\nsources = ["popular"]\nhide.bought = "0d"', "must be a duration"),
        ('[scenarios.a]\nsources = ["popular"]\nhide.bought = "9999d"', "must be a duration"),
        ('[scenarios.a]\nsources = "popular"', "line 2: scenarios.a.sources: must be a list, not 'popular'"),
        ('[scenarios.a]\nsources = ["popular", "popular"]', "names the source 'popular' twice"),
        ('[scenarios.a]\nsources = ["popular"]\nranker = { name = "mix", weights = { popularity = 2 } }',
         "the ranker 'mix' has no terms"),
        ('[scenarios.a]\nsources = ["popular"]\nranker = { name = "blend", weights = { popularty = 2 } }',
         "did you mean 'popularity'"),
        ('[scenarios.a]\nsources = ["popular"]\nboosts = [{ by = 1 }]', "boosts[0]: lacks filter"),
        ('[scenarios.a]\nsources = ["popular"]\nboosts = [{ filter = {}, by = 1 }]', "is empty"),
        ('[scenarios.a]\nsources = ["popular"]\npins = [{ item = "x", slot = 1 }, { item = "y", slot = 1 }]',
         "names the slot '1' twice"),
        ('[scenarios.a]\nsources = ["popular"]\ncaps = [{ field = "brand", most = 1, at_least = 2 }]',
         "belongs to share"),
        ('[scenarios.a]\nsources = ["popular"]\nrelax = ["bran"]', "line 3: scenarios.a.relax[0]: 'bran'"),
        ('[scenarios.a]\nsources = [' + '"popular",' * 21 + "]", "holds 21; at most 20"),
        ("".join(f'[scenarios.a{n}]\nsources = ["popular"]\n' for n in range(101)), "at most 100"),
        ('[reasons.german]\npopular = "x"', "line 1: reasons.german: is no language"),
        ('[reasons.de]\npoplar = "x"', "line 2: reasons.de.poplar: 'poplar' is no code of a reason; did"),
        ('[reasons.de]\nsimilar_to_item = "{itm}"', "did you mean '{item}'"),
        ('[reasons.de]\npopular = "{item}"', "this reason has no placeholders"),
        ('[reasons.de]\npopular = "[x"', "has a '[' without its partner"),
        ('[reasons.de]\npopular = "x}"', "has a '}' without its partner"),
        ('[reasons.de]\nwords = { buoght = "x" }', "did you mean 'bought'"),
        ('[reasons.de.recently_viewed]\ncarte = "x"', "did you mean 'carted'"),
        ('[reasons.de.recently_viewed]\nother = "{item}"', "placeholder of this reason"),
        ("[reasons.de]\nrecently_viewed = 3", "must be a table"),
    ],
)  # fmt: skip
def test_a_mistake_is_named(text: str, said: str) -> None:
    assert said in "\n".join(problems_of(text))


def test_no_more_than_twenty_mistakes_are_told() -> None:
    text = "".join(f"[scenarios.a{n}]\nwrong = 1\n" for n in range(30))
    assert len(problems_of(text)) == MAX_PROBLEMS
    with pytest.raises(ScenarioError, match=r"There may be more: 20 mistakes are told at once\.$"):
        read_scenarios(text)


def test_wrong_values_are_written_as_toml_writes_them() -> None:
    text = """
[scenarios.a]
sources = ["trending"]
diversity = true
hide = { bought = false }
at_least = [true, 1979-05-27]
"""
    told = problems_of(text)
    assert told[0] == "line 4: scenarios.a.diversity: must be a number from 0 to 1, not true"
    assert told[1].endswith('a duration like "30d", "12h" or "45m" (at most "3650d"), or "always", not false')
    assert told[2].endswith("must be a whole number from 1 to 200, not [true, 1979-05-27]")


def test_what_can_be_used_but_is_hardly_meant_so_is_a_warning() -> None:
    warnings = read_scenarios(
        """
[scenarios.a]
sources = [{ name = "popular", weight = 2 }]
filter = { brand = "x" }
relax = ["price"]
[scenarios.b]
sources = ["popular"]
at_least = 3
"""
    ).warnings
    assert [(problem.line, problem.where) for problem in warnings] == [
        (3, "scenarios.a.sources"),
        (5, "scenarios.a.relax[0]"),
        (8, "scenarios.b.at_least"),
    ]


def test_rules_of_a_request_narrow_add_and_replace() -> None:
    sale = read_scenarios(SALE).by_name["sale"]
    made = with_rules(
        sale,
        {
            "filter": {"language": "de"},
            "boosts": [{"filter": {"brand": "Acme"}, "by": -1}],
            "pins": [{"item": "p_9", "slot": 1}, {"item": 7, "slot": 2}],
            "caps": [{"field": "brand", "most": 1}],
            "hide": {"bought": "45m"},
            "diversity": 0,
            "relax": ["price"],
            "rotate_after": None,
        },
    )
    assert made.filter is not None
    assert made.filter.fields() == {"price", "brand", "language"}
    assert made.boosts == (*sale.boosts, Boost(parse_filter({"brand": "Acme"}), -1.0))
    assert made.pins == (Pin("p_9", 1), Pin("7", 2))
    assert made.caps == (sale.caps[1], Cap("brand", most=1))
    assert made.hide == {SEEN_BOUGHT: 2700.0}
    assert (made.diversity, made.relax, made.rotate_after) == (0.0, ("price",), sale.rotate_after)
    assert made.sources == sale.sources
    assert with_rules(sale, {}) == sale
    assert with_rules(sale, {"filter": {}, "hide": {}}) == replace(sale, hide={})


@pytest.mark.parametrize(
    ("raw", "where", "said"),
    [
        ({"boost": []}, "", "boost: 'boost' is no rule of a request; did you mean 'boosts'?"),
        ({"sources": []}, "", "sources: 'sources' is no rule of a request"),
        ({"pins": [{"item": "a"}]}, "rows[1]", "rows[1].pins[0]: lacks slot"),
        ({"filter": {"prize": 1}}, "rows[1]", "rows[1].filter.prize: 'prize' is no field"),
        ({"hide": {"bought": 30}}, "", 'hide.bought: must be a duration like "30d"'),
        ({"diversity": True}, "", "diversity: must be a number"),
        ({"caps": {}}, "", "caps: must be a list"),
    ],
)
def test_a_mistake_in_a_request_names_the_field(raw: dict[str, Any], where: str, said: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        with_rules(built_in()["for_you"], raw, where)
    assert said in str(caught.value)
    assert caught.value.problems[0].line is None


def test_texts_of_reasons_are_translated_with_what_is_missing_from_the_wider_language() -> None:
    texts = read_scenarios(
        """
[reasons.de]
popular = "Beliebt"
similar_to_item = "Ähnlich wie {item}[, das {deed}]"
words = { bought = "du gekauft hast" }
recently_viewed = { carted = "Das liegt in deinem Korb" }
[reasons.de-ch]
popular = "Beliebt bei uns"
[reasons.fr]
recently_viewed = "Vu récemment"
[reasons.en]
new = "Just in"
"""
    ).texts
    assert texts.text("popular", "de-CH") == "Beliebt bei uns"
    assert texts.text("popular", "de_AT") == "Beliebt"
    assert texts.text("popular", "fr") == texts.text("popular", None) == "Popular over the last few weeks"
    assert (
        texts.text("similar_to_item", "de-CH", item="A", deed="bought")
        == "Ähnlich wie A, das du gekauft hast"
    )
    assert texts.text("similar_to_item", "de", item="A") == "Ähnlich wie A"
    assert texts.text("similar_to_item", "de", item="A", deed="liked") == "Ähnlich wie A, das you liked"
    assert texts.text("new", "de") == texts.text("new", "en-GB") == "Just in"  # English is what is missing
    assert texts.text("recently_viewed", "en", deed="bought") == "You bought this"
    assert texts.text("recently_viewed", "en", deed="carted") == "You put this into your cart"
    assert texts.text("recently_viewed", "de-CH", deed="carted") == "Das liegt in deinem Korb"
    assert texts.text("recently_viewed", "de-CH", deed="removed") == "You took this out of your cart"
    assert texts.text("recently_viewed", "fr", deed="carted") == texts.text("recently_viewed", "fr")
    assert texts.text("chosen_with_item", "en") == "Chosen together with this item"
    assert texts.text("chosen_with_item", "en", item="{deed} [x]") == "Chosen together with {deed} [x]"


def test_boosts_have_a_bound_on_all_their_conditions() -> None:
    many = {"any": [{"price": {"lt": price}} for price in range(1, 61)]}
    rules = {"boosts": [{"filter": many, "by": 1} for _ in range(3)]}
    assert len(with_rules(built_in()["for_you"], rules).boosts) == 3
    with pytest.raises(ScenarioError, match=r"boosts: holds 240 conditions in all; at most 200"):
        with_rules(built_in()["for_you"], {"boosts": [{"filter": many, "by": 1} for _ in range(4)]})
