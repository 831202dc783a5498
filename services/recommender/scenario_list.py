"""What GET /scenarios says: the scenarios in use, the file that they are from, and what is odd about it.

POST /scenarios/check says the same of a file that is not in use yet.
"""

from __future__ import annotations

import asyncio
from typing import Any

from services.ranking.rankers import RANKERS
from services.ranking.scenario_file import Scenarios, read_file
from services.ranking.scenario_json import everywhere_json, scenario_json
from services.ranking.scenario_problems import Problem, ScenarioError
from services.ranking.scenario_warnings import MAX_WARNINGS, rules_of_file, warnings_of
from services.ranking.sources import SOURCES
from services.recommender.follow_scenarios import ScenariosFollower
from services.recommender.state import State


async def describe_scenarios(state: State) -> dict[str, Any]:
    """What holds in all scenarios, each of them in JSON as it is written, what they may be made of, the file
    (None: there is none), its warnings.
    """
    follower = state.scenarios
    scenarios = follower.current
    return {
        "all": everywhere_json(scenarios.everywhere),
        "scenarios": [
            {"scenario": name, "own": name in scenarios.own, **scenario_json(scenario)}
            for name, scenario in scenarios.written.items()
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
            "all": {},
            "own": [],
            "problems": [problem.to_json() for problem in error.problems],
            "warnings": [],
        }
    warnings = [warning.to_json() for warning in await warnings_about(state, made)]
    return {
        "ok": True,
        "all": everywhere_json(made.everywhere),
        "own": sorted(made.own),
        "problems": [],
        "warnings": warnings,
    }


async def warnings_about(state: State, scenarios: Scenarios) -> list[Problem]:
    """What is odd about the deployment's own scenarios, by themselves and beside the catalogue.

    Nothing is said about a catalogue that is not there yet. Columns that only these filters need are made
    beside the answers, and other requests come between two scenarios.
    """
    found = list(scenarios.warnings)
    catalogue = state.catalogue.catalogue
    if not state.catalogue.loaded or not len(catalogue):
        return found
    own = list(rules_of_file(scenarios))
    await state.have_columns([scenario for _, scenario in own])
    for root, scenario in own:
        found += warnings_of(root, scenario, scenarios, catalogue)
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
