"""Events of the past as the commands that learn from them read them."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from services.cli.mapping import mapper, parse_mapping
from services.cli.output import say
from services.cli.rows import Row
from services.kernel.event_type import EventTypes
from services.kernel.settings import EventSettings, ProfileSettings, RecommenderLimits, SettingsError

if TYPE_CHECKING:
    from services.ranking.scenario import Scenario
    from services.trainer.event_table import EventTable
    from services.trainer.events import RowMapping
    from services.trainer.replay import ReplayRules


def rules_of_deployment() -> ReplayRules:
    """What profiles keep, the types of events, what lists are made of. Raises SettingsError."""
    from services.trainer.replay import ReplayRules

    profile = ProfileSettings.from_environment()
    types = EventTypes(EventSettings.from_environment().event_types)
    scenarios = _scenarios(RecommenderLimits.from_environment().scenarios)
    return ReplayRules(types, profile.profile_ttl_days, profile.seen_capacity, scenarios)


def _scenarios(path: str) -> Mapping[str, Scenario]:
    """Those of FRESHET_SCENARIOS: what is learned and measured is the list that is served."""
    from services.ranking.scenario_file import built_in, read_file
    from services.ranking.scenario_problems import ScenarioError

    if not path:
        return built_in()
    try:
        return read_file(Path(path).read_bytes()).by_name
    except (OSError, ScenarioError) as error:
        raise SettingsError(f"FRESHET_SCENARIOS={path}: {error}") from None


def read_history(url: str, arguments: argparse.Namespace, types: EventTypes) -> EventTable:
    """Events at a path or URL, columns as --map and --set have them. Raises ArchiveError, CommandError."""
    from services.trainer.events import read_events

    table = read_events(url, event_types=types, mapping=_mapping(arguments))
    reading = table.reading
    if reading.no_events:
        say(
            f"{reading.no_events:,} of {reading.rows:,} rows are no events and were left out, for instance "
            f"{reading.reasons[0] if reading.reasons else 'unreadable ones'}"
        )
    if reading.withheld:
        say(f"{reading.withheld:,} events of people who denied personalisation are left out")
    return table


def _mapping(arguments: argparse.Namespace) -> RowMapping | None:
    """None: columns under their own names."""
    if not (arguments.map or arguments.set or arguments.timestamp_unit):
        return None
    convert = mapper(parse_mapping(arguments.map, arguments.set, arguments.timestamp_unit))
    return lambda values: convert(Row(0, values))
