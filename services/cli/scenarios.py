"""`freshet scenarios`: check a scenario file before it is used, and list what a running Freshet has."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from services.cli.client import Answer
from services.cli.failure import EXIT_FAILED, EXIT_OK, EXIT_PARTIAL, CommandError
from services.cli.files import client_of
from services.cli.output import print_json, print_line, print_table, say


def check(arguments: argparse.Namespace) -> int:
    """Say what is wrong with a file, here; and beside the catalogue of a running Freshet what is odd."""
    content = _content(arguments.file)
    told = _checked_here(content)
    compared = False
    if told["ok"] and not arguments.offline:
        there = _checked_there(arguments, content)
        if there is not None:
            told, compared = there, True
    if arguments.as_json:
        print_json({**told, "compared_with_catalogue": compared})
    else:
        _show(arguments.file, told)
    if not told["ok"]:
        return EXIT_FAILED
    if not compared and not arguments.offline:
        say("not compared with a catalogue: no Freshet answers here; --url names one")
    return EXIT_PARTIAL if told["warnings"] else EXIT_OK


def listing(arguments: argparse.Namespace) -> int:
    """List the scenarios of a running Freshet."""
    answer = asyncio.run(_call(arguments, "GET", "/scenarios"))
    if not answer.ok:
        raise CommandError(answer.detail())
    if arguments.as_json:
        print_json(answer.body)
        return EXIT_OK
    rows = [
        [one["scenario"], "file" if one["own"] else "Freshet", _name(one["ranker"]), _names(one), one["text"]]
        for one in answer.body["scenarios"]
    ]
    print_table(("scenario", "from", "ranker", "sources", "text"), rows)
    if everywhere := answer.body.get("all"):  # an older recommender does not say
        print_line("\nin all of them:")
        for name, rule in everywhere.items():
            print_line(f"  {name} {json.dumps(rule, ensure_ascii=False)}")
    file = answer.body["file"]
    if file is not None:
        print_line(f"\n{file['path']}, version {file['version']}")
        if file["problem"] is not None:
            say(f"the file as it is now is not in use: {file['problem']}")
    for warning in answer.body["warnings"]:
        say(f"warning: {_line(warning)}")
    return EXIT_PARTIAL if answer.body["warnings"] or (file and file["problem"]) else EXIT_OK


def _content(name: str) -> bytes:
    try:
        return sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
    except OSError as error:
        raise CommandError(f"{name}: cannot be read: {error.strerror or error}") from None


def _checked_here(content: bytes) -> dict[str, Any]:
    """What `POST /scenarios/check` says, without a catalogue."""
    from services.ranking.scenario_file import read_file
    from services.ranking.scenario_json import everywhere_json
    from services.ranking.scenario_problems import ScenarioError

    try:
        made = read_file(content)
    except ScenarioError as error:
        problems = [problem.to_json() for problem in error.problems]
        return {"ok": False, "all": {}, "own": [], "problems": problems, "warnings": []}
    warnings = [warning.to_json() for warning in made.warnings]
    rules = everywhere_json(made.everywhere)
    return {"ok": True, "all": rules, "own": sorted(made.own), "problems": [], "warnings": warnings}


def _checked_there(arguments: argparse.Namespace, content: bytes) -> dict[str, Any] | None:
    """The same from a running Freshet; None where there is none and none was named."""
    try:
        answer = asyncio.run(_call(arguments, "POST", "/scenarios/check", content))
    except CommandError:
        if arguments.url is not None:
            raise
        return None
    if not answer.ok:
        raise CommandError(answer.detail())
    body: dict[str, Any] = answer.body
    return body


async def _call(arguments: argparse.Namespace, method: str, path: str, body: bytes | None = None) -> Answer:
    async with client_of(arguments) as client:
        return await client.call(method, path, body, content_type="application/toml")


def _show(file: str, told: dict[str, Any]) -> None:
    from services.ranking.scenario_problems import MAX_PROBLEMS

    for problem in told["problems"]:
        print_line(f"{file}: {_line(problem)}")
    for warning in told["warnings"]:
        print_line(f"{file}: warning: {_line(warning)}")
    if told["ok"]:
        names = ", ".join(told["own"]) or "none"
        print_line(f"{file}: {_counted(told['own'], 'scenario')}: {names}")
        if everywhere := told.get("all"):
            print_line(f"{file}: in all scenarios: {', '.join(everywhere)}")
    else:
        more = " or more" if len(told["problems"]) >= MAX_PROBLEMS else ""
        print_line(f"{file}: {_counted(told['problems'], 'mistake')}{more}; it would not be used")


def _counted(things: list[Any], noun: str) -> str:
    return f"{len(things)} {noun}{'' if len(things) == 1 else 's'}"


def _line(problem: dict[str, Any]) -> str:
    line = f"line {problem['line']}: " if problem["line"] is not None else ""
    where = f"{problem['where']}: " if problem["where"] else ""
    return f"{line}{where}{problem['message']}"


def _name(use: Any) -> str:
    return str(use["name"] if isinstance(use, dict) else use)


def _names(scenario: dict[str, Any]) -> str:
    return ", ".join(map(_name, scenario["sources"]))
