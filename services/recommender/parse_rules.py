"""What a request says about its lists: the rules of a scenario, for this answer only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from services.ranking.filter_conflicts import refuse_conflicts
from services.ranking.filters import Filter, FilterError, both
from services.ranking.scenario import Scenario
from services.ranking.scenario_problems import ScenarioError
from services.ranking.scenario_rules import RULES, read_rules, with_values
from services.recommender.query import QueryError

_CODE: Final = "invalid_rule"
# In a query string; the others are lists of objects, which a body holds.
TEXT_RULES: Final = frozenset({"filter", "relax", "at_least", "diversity"})


class Rules:
    """The rules of a request, read once and put on as many scenarios as it names."""

    def __init__(self, given: Mapping[str, Any], where: str = "") -> None:
        """`given` may hold other names too. `where` is the part of the body that it is, for complaints.
        Raises QueryError.
        """
        named = {name: given[name] for name in RULES if given.get(name) is not None}
        self._filter = a_filter(named.pop("filter", None), f"{where}.filter" if where else "filter")
        try:
            self._values = read_rules(named, where) if named else {}
        except ScenarioError as error:
            problems = [
                {"where": problem.where, "code": problem.code or _CODE, "message": problem.message}
                for problem in error.problems
            ]
            code = problems[0]["code"] if len(problems) == 1 else _CODE
            raise QueryError(422, code, str(error), {"problems": problems}) from None

    def on(self, scenario: Scenario, where: str = "", more: Rules | None = None) -> Scenario:
        """The scenario under these rules, and under those of a row (`where`) beside them.

        Filters of both hold. Raises QueryError where no item can pass both: what a scenario's own filter
        leaves is not known to whoever asks, and answers say what it was.
        """
        made = with_values(scenario, self._with(self._filter))
        if more is None:
            return _narrowed(scenario, made, "relax")
        together = both(self._filter, more._filter)
        if together is not None:
            try:
                refuse_conflicts(together, f"{where}.filter")
            except FilterError as error:
                detail = f"{error} (together with the filter of the whole request)"
                raise QueryError(422, error.code, detail) from None
        made = with_values(made, more._with(more._filter))
        return _narrowed(scenario, made, f"{where}.relax" if "relax" in more._values else "relax")

    def _with(self, filter: Filter | None) -> dict[str, Any]:
        return self._values if filter is None else {**self._values, "filter": filter}


def _narrowed(scenario: Scenario, made: Scenario, where: str) -> Scenario:
    """`made`. Raises QueryError where it would drop conditions of the scenario's own filter that the scenario
    itself keeps: they may stand for rights, and a request narrows what the deployment allows.
    """
    if scenario.filter is not None and made.relax != scenario.relax:
        for name in made.relax:
            if name in scenario.filter.fields() and name not in scenario.relax:
                detail = (
                    f"{where}: the filter of the scenario {scenario.name!r} itself is about {name!r}, which "
                    "a request cannot drop; leave it out, or let the scenario relax it"
                )
                raise QueryError(422, _CODE, detail)
    return made


def a_filter(raw: object, where: str) -> Filter | None:
    """A filter in JSON, or in the short form as text. Raises QueryError."""
    # Not before there is a filter to read.
    from services.ranking.filter_json import parse_filter
    from services.ranking.filter_text import parse_short

    if raw is None or raw == {}:
        return None
    try:
        return parse_short(raw, where) if isinstance(raw, str) else parse_filter(raw, where)
    except FilterError as error:
        raise QueryError(422, error.code, str(error)) from None


def text_rules(first: Mapping[str, str]) -> Rules:
    """The rules of a query string. Raises QueryError."""
    given: dict[str, Any] = {}
    if "filter" in first:
        given["filter"] = first["filter"]
    if "relax" in first:
        given["relax"] = [name.strip() for name in first["relax"].split(",") if name.strip()]
    for name in ("at_least", "diversity"):
        if name in first:
            given[name] = _number(first[name])
    return Rules(given)


def _number(text: str) -> int | float | str:
    """A number in a query string; what is none stays as it is, and is complained of like one in a body."""
    for kind in (int, float):
        try:
            return kind(text) if "_" not in text and len(text) <= 32 else text
        except ValueError:
            continue
    return text
