"""What GET /scenarios says: the scenarios in use, the file that they are from, and what is odd about it.

POST /scenarios/check says the same of a file that is not in use yet.
"""

from __future__ import annotations

import asyncio
from typing import Any

from services.ranking.rankers import RANKERS
from services.ranking.scenario_file import Scenarios, read_file
from services.ranking.scenario_json import scenario_json
from services.ranking.scenario_problems import Problem, ScenarioError
from services.ranking.scenario_warnings import MAX_WARNINGS, warnings_of
from services.ranking.sources import SOURCES
from services.recommender.follow_scenarios import ScenariosFollower
from services.recommender.state import State


async def describe_scenarios(state: State) -> dict[str, Any]:
    """All scenarios in JSON, what they may be made of, the file (None: there is none), its warnings."""
    follower = state.scenarios
    scenarios = follower.current
    return {
        "scenarios": [
            {"scenario": name, "own": name in scenarios.own, **scenario_json(scenario)}
            for name, scenario in scenarios.by_name.items()
        ],
        "sources": {name: source.text for name, source in SOURCES.items()},
        "rankers": {name: ranker.text for name, ranker in RANKERS.items()},
        "languages": sorted(scenarios.texts.by_language),
        "file": _file(follower) if follower.path else None,
        "warnings": [warning.to_json() for warning in await warnings_about(state, scenarios)],
    }


async def check_scenarios(state: State, content: bytes) -> dict[str, Any]:
    """What would happen to a scenario file: its mistakes, or its warnings beside this catalogue."""
    try:
        made = await asyncio.to_thread(read_file, content)
    except ScenarioError as error:
        return {
            "ok": False,
            "own": [],
            "problems": [problem.to_json() for problem in error.problems],
            "warnings": [],
        }
    warnings = [warning.to_json() for warning in await warnings_about(state, made)]
    return {"ok": True, "own": sorted(made.own), "problems": [], "warnings": warnings}


async def warnings_about(state: State, scenarios: Scenarios) -> list[Problem]:
    """What is odd about the deployment's own scenarios, by themselves and beside the catalogue.

    Nothing is said about a catalogue that is not there yet. Columns that only these filters need are made
    beside the answers, and other requests come between two scenarios.
    """
    found = list(scenarios.warnings)
    catalogue = state.catalogue.catalogue
    if not state.catalogue.loaded or not len(catalogue):
        return found
    own = [scenarios.by_name[name] for name in scenarios.by_name if name in scenarios.own]
    await state.have_columns(own)
    for scenario in own:
        found += warnings_of(scenario, scenarios, catalogue)
        if len(found) >= MAX_WARNINGS:
            return found[:MAX_WARNINGS]
        await asyncio.sleep(0)
    return found


def _file(follower: ScenariosFollower) -> dict[str, Any]:
    return {
        "path": follower.path,
        "version": follower.version,
        "loaded_at": None if follower.loaded_at_ms is None else follower.loaded_at_ms // 1000,
        "problem": follower.trouble,
        "problems": [problem.to_json() for problem in follower.problems],
    }
