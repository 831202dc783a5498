"""[all] of a scenario file: what holds in every list, whatever a scenario or a request says."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from services.kernel.event_type import EventType
from services.kernel.profile import SEEN_BOUGHT, SEEN_DISLIKED, SEEN_FINISHED
from services.ranking.filter_json import parse_filter
from services.ranking.rank import rank
from services.ranking.scenario import FOR_EVER_S, NOTHING_MORE, Boost, Cap
from services.ranking.scenario_file import Scenarios, built_in, read_scenarios, with_rules
from services.ranking.scenario_json import everywhere_json, scenario_json
from services.ranking.scenario_problems import ScenarioError
from services.ranking.scenario_warnings import rules_of_file, warnings_of
from services.ranking.state import RankingState, RankRequest
from services.recommender.parse_rules import Rules
from services.recommender.query import QueryError
from tests.unit.films import COMPLETE, PROGRESS, START, films, viewer
from tests.unit.shop import NOW_MS, aggregates_of, state_of

TERRITORIES = '"properties.territories" = ["$context.country?", "WORLD"]'
FILE = f"""\
[all]
filter = {{ {TERRITORIES} }}
hide = {{ bought = "30d", disliked = "12h" }}
caps = [{{ field = "brand", most = 2 }}]
boosts = [{{ filter = {{ tags = "silent" }}, by = 0.5 }}]

[scenarios.for_you]
extends = "for_you"
hide = {{ bought = "7d" }}

[scenarios.horror]
sources = ["trending"]
filter = {{ categories = "Films > Horror" }}
relax = ["categories"]
at_least = 5
fill = ["popular", "catalogue"]
caps = [{{ field = "brand", most = 4 }}]

[scenarios.anything]
extends = "horror"
filter = {{}}
"""
RIGHTS = parse_filter({"properties.territories": ["$context.country?", "WORLD"]})


@pytest.fixture(scope="module")
def made() -> Scenarios:
    return read_scenarios(FILE)


@pytest.fixture(scope="module")
def state() -> RankingState:
    """Each third film may be shown in Portugal, each third in Brazil, each third anywhere."""
    sold = [["PT"], ["BR", "AR"], ["WORLD"]]
    items = [
        msgspec.structs.replace(film, properties={**(film.properties or {}), "territories": sold[at % 3]})
        for at, film in enumerate(films())
    ]
    wanted = {film.item_id: 90.0 - at for at, film in enumerate(items)}
    return state_of(items, None, aggregates_of(wanted, wanted))


def test_it_holds_in_scenarios_of_freshet_and_of_the_file(made: Scenarios) -> None:
    assert made.by_name.keys() == made.written.keys() == built_in().keys() | {"horror", "anything"}
    for name, scenario in made.by_name.items():
        assert scenario.filter is not None, name
        assert "properties.territories" in scenario.filter.fields()
        assert scenario.caps[-1] == Cap("brand", most=2)
        assert scenario.boosts[-1] == Boost(parse_filter({"tags": "silent"}), 0.5)
    assert made.by_name["anything"].filter == RIGHTS, "{} takes away what was extended, and nothing else"
    horror = made.by_name["horror"].filter
    assert horror is not None
    assert horror.fields() == {"properties.territories", "categories"}
    assert made.by_name["horror"].caps == (Cap("brand", most=4), Cap("brand", most=2))


def test_what_is_hidden_is_hidden_for_whichever_is_longer(made: Scenarios) -> None:
    day_s = 86_400.0
    assert made.by_name["for_you"].hide == {SEEN_BOUGHT: 30 * day_s, SEEN_DISLIKED: day_s / 2}
    forever = {SEEN_DISLIKED: FOR_EVER_S, SEEN_BOUGHT: 30 * day_s}
    assert made.by_name["similar"].hide == forever
    asked = with_rules(made.by_name["similar"], {"hide": {"bought": "60d", "finished": "always"}})
    assert asked.hide == {SEEN_BOUGHT: 60 * day_s, SEEN_FINISHED: FOR_EVER_S, SEEN_DISLIKED: day_s / 2}
    assert with_rules(made.by_name["similar"], {"hide": {}}).hide == made.everywhere.hide


def test_no_list_shows_what_may_not_be_shown(made: Scenarios, state: RankingState) -> None:
    someone = viewer(
        ("a-trip-to-the-moon", START),
        *((film.item_id, PROGRESS, 0.3) for film in films()[1:10]),
        *((f"judex-{number:02}", COMPLETE) for number in (1, 4, 6)),
        *((film.item_id, EventType.VIEW) for film in films()[10:20]),
    )
    for context, may in (({"country": "PT"}, {"PT", "WORLD"}), ({}, {"WORLD"})):
        for name, scenario in made.by_name.items():
            pinned = with_rules(scenario, {"pins": [{"item": films()[1].item_id, "slot": 1}]})
            for rules in (scenario, pinned):
                request = RankRequest(NOW_MS, rules, 50, "cabiria", context=context, scenarios=made.by_name)
                shown = rank(state, someone, request, None).items
                sold = [(state.catalogue.item(item.row).properties or {})["territories"] for item in shown]
                assert all(may & set(some) for some in sold), (name, context)
                assert shown or name == "bought_together", name


def test_nothing_relaxes_it(made: Scenarios, state: RankingState) -> None:
    text = FILE.replace('relax = ["categories"]', 'relax = ["properties.territories", "categories"]').replace(
        'filter = { categories = "Films > Horror" }',
        'filter = { categories = "Films > Horror", "properties.territories" = ["PT", "BR", "WORLD"] }',
    )
    eager = read_scenarios(text)
    assert [str(one) for one in eager.warnings] == [
        "line 14: scenarios.horror.relax[0]: has no effect on the filter of [all], which is about "
        "'properties.territories' and always holds"
    ]
    for scenarios in (made, eager):
        request = RankRequest(NOW_MS, scenarios.by_name["horror"], context={"country": "PT"})
        found = rank(state, None, request, None)
        assert len(found.items) == 10
        assert found.filter is not None
        assert found.filter.relaxed[-1] == "categories"
        sold = [(state.catalogue.item(item.row).properties or {})["territories"] for item in found.items]
        assert all({"PT", "WORLD"} & set(some) for some in sold)
    with pytest.raises(QueryError, match="which a request cannot drop"):
        Rules({"relax": ["properties.territories"]}).on(made.by_name["for_you"])


def test_a_request_adds_to_it(made: Scenarios) -> None:
    rules: dict[str, Any] = {
        "filter": {"brand": "Acme"},
        "caps": [{"field": "brand", "most": 9}],
        "boosts": [{"filter": {"tags": "silent"}, "by": -1}],
    }
    asked = with_rules(made.by_name["horror"], rules)
    assert asked.caps == (Cap("brand", most=2), Cap("brand", most=9)), (
        "of the scenario's own it takes the place"
    )
    assert [boost.by for boost in asked.boosts] == [0.5, -1.0]
    assert asked.filter is not None
    assert "properties.territories" in asked.filter.fields()


def test_it_is_shown_once_and_scenarios_as_they_are_written(made: Scenarios) -> None:
    assert everywhere_json(made.everywhere) == {
        "filter": {"properties.territories": ["$context.country?", "WORLD"]},
        "hide": {"bought": "30d", "disliked": "12h"},
        "boosts": [{"filter": {"tags": "silent"}, "by": 0.5}],
        "caps": [{"field": "brand", "most": 2}],
    }
    assert scenario_json(made.written["horror"])["filter"] == {"categories": "Films > Horror"}
    assert made.written["trending"] == built_in()["trending"]
    assert everywhere_json(NOTHING_MORE) == {}
    assert read_scenarios("").by_name == built_in()
    assert read_scenarios("[all]\n").by_name == built_in()


def test_mistakes_in_it_have_their_lines() -> None:
    text = """\
[all]
filter = { prize = 5 }
diversity = 0.3
hide = { bougt = "3d" }
caps = [{ field = "brand" }]
"""
    with pytest.raises(ScenarioError) as caught:
        read_scenarios(text)
    told = [str(problem) for problem in caught.value.problems]
    assert told[0].startswith("line 2: all.filter.prize: 'prize' is no field")
    assert told[1].startswith("line 3: all.diversity: 'diversity' is no key of [all], whose rules hold")
    assert told[2].startswith(
        "line 4: all.hide.bougt: 'bougt' is no way of having seen an item; did you mean"
    )
    assert told[3].startswith("line 5: all.caps[0]: needs either most")
    with pytest.raises(ScenarioError, match=r"line 1: all: must be a table like \[all\] with filter"):
        read_scenarios("all = 3")
    with pytest.raises(ScenarioError, match="'al' is no part of a scenario file; did you mean 'all'"):
        read_scenarios("[al]")


def test_a_scenario_that_nothing_can_pass_beside_it_is_a_mistake() -> None:
    text = """\
[all]
filter = { price = { lt = 10 } }
[scenarios.dear]
sources = ["trending"]
filter = { price = { gte = 50 } }
"""
    with pytest.raises(ScenarioError) as caught:
        read_scenarios(text)
    (problem,) = caught.value.problems
    assert str(problem).startswith("line 5: scenarios.dear.filter: ")
    assert "together with the filter of [all]" in problem.message


def test_what_is_odd_beside_the_catalogue_is_told_once(state: RankingState) -> None:
    made = read_scenarios(FILE.replace('"WORLD"', '"WORDL"').replace('tags = "silent"', 'tags = "silnt"'))
    told = [
        str(one)
        for root, scenario in rules_of_file(made)
        for one in warnings_of(root, scenario, made, state.catalogue)
    ]
    assert len(told) == len(set(told)), told
    assert any(one.startswith("line 2: all.filter: ") and "'WORLD'" in one for one in told), told
    assert any(one.startswith("line 5: all.boosts[0].filter: ") and "'silent'" in one for one in told), told
