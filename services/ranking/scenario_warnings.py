"""What a scenario file asks for that this catalogue does not have: no mistake, for catalogues change."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from services.ranking.catalogue import Catalogue
from services.ranking.filter_masks import NO_VARIABLES
from services.ranking.filters import All, Exists, Filter, Node
from services.ranking.scenario import Scenario
from services.ranking.scenario_file import Scenarios
from services.ranking.scenario_problems import Problem

MAX_WARNINGS: Final = 50  # as many as somebody reads


def columns_to_make(scenarios: Iterable[Scenario], catalogue: Catalogue) -> list[str]:
    """The fields of filters and caps whose columns the catalogue has still to make (`Columns.build`)."""
    roots: list[Node] = []
    for scenario in scenarios:
        filters = [scenario.filter, *(boost.filter for boost in scenario.boosts)]
        roots += [one.root for one in filters if one is not None]
        roots += [Exists(cap.field) for cap in scenario.caps]
    return catalogue.columns.absent(Filter(All(tuple(roots)))) if roots else []


def rules_of_file(scenarios: Scenarios) -> Iterator[tuple[str, Scenario]]:
    """(where it stands, its rules): [all], and the deployment's own scenarios as they are written."""
    if scenarios.everywhere.any:
        yield "all", Scenario("all").under(scenarios.everywhere)
    for name, scenario in scenarios.written.items():
        if name in scenarios.own:
            yield f"scenarios.{name}", scenario


def warnings_of(
    root: str, scenario: Scenario, scenarios: Scenarios, catalogue: Catalogue
) -> Iterator[Problem]:
    """Pinned items that are not there, values and properties that no item has, filters that let nothing in.

    On the thread that ranks; a filter takes some tenths of a millisecond at 100,000 items.
    """

    def warning(where: str, message: str) -> Problem:
        return Problem(where, message, scenarios.line(where))

    for place, pin in enumerate(scenario.pins):
        if catalogue.row_of(pin.item_id) < 0:
            yield warning(f"{root}.pins[{place}]", f"no item {pin.item_id!r} is in the catalogue")
    filters = [(f"{root}.filter", scenario.filter)]
    filters += [(f"{root}.boosts[{at}].filter", boost.filter) for at, boost in enumerate(scenario.boosts)]
    for where, asked in filters:
        if asked is not None:
            for message in _of_filter(asked, catalogue):
                yield warning(where, message)
    for place, cap in enumerate(scenario.caps):
        for unknown in catalogue.columns.mask(Filter(Exists(cap.field)), NO_VARIABLES).unknown:
            yield warning(f"{root}.caps[{place}].field", str(unknown))


def _of_filter(asked: Filter, catalogue: Catalogue) -> Iterator[str]:
    masked = catalogue.columns.mask(asked, NO_VARIABLES)
    for unknown in masked.unknown:
        yield str(unknown)
    if not masked.unknown and not masked.count and not asked.needs():
        yield "no item of the catalogue passes it"
