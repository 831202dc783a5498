"""Small calls to a running Freshet: send an event, ask for recommendations, look at a profile."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

import msgspec

from services.cli.client import Answer
from services.cli.failure import EXIT_OK, CommandError
from services.cli.files import client_of
from services.cli.output import print_json, print_line, print_table


def send(arguments: argparse.Namespace) -> int:
    """Post one event, or a list of them."""
    text = sys.stdin.read() if arguments.event == "-" else arguments.event
    answer = _call(arguments, "POST", "/events", body=text.encode("utf-8", "surrogateescape"))
    print_json(answer.body)
    return EXIT_OK


def recommend(arguments: argparse.Namespace) -> int:
    """Ask for a list, with titles."""
    query = _question(arguments)
    path = f"/recommend/{quote(arguments.user_id, safe='')}" if arguments.user_id else "/recommend"
    body = _call(arguments, "GET", path, query).body
    if arguments.as_json:
        print_json(body)
        return EXIT_OK
    rows = [
        [str(item["rank"]), item["item_id"], str(item.get("title") or ""), _reason(item.get("reason"))]
        for item in body["items"]
    ]
    names = ["rank", "item_id", "title", "reason"]
    if arguments.explain:
        names.append("explain")
        for row, item in zip(rows, body["items"], strict=True):
            row.append(msgspec.json.encode(item.get("explain")).decode())
    print_table(names, rows)
    events = body.get("profile_events", 0)
    print_line(
        f"\nstrategy {body.get('strategy')}, {events} {'event' if events == 1 else 'events'} in the profile"
    )
    for line in _about_filter(body.get("filter")):
        print_line(line)
    return EXIT_OK


def _question(arguments: argparse.Namespace) -> dict[str, str | list[str]]:
    """The query string: what was given, by the names of the server."""
    query: dict[str, str | list[str]] = {"n": str(arguments.n), "fields": "title,price"}
    for name in (
        "scenario",
        "item_id",
        "anonymous_id",
        "filter",
        "relax",
        "at_least",
        "exclude",
        "diversity",
    ):
        if (value := getattr(arguments, name)) is not None:
            query[name] = value
    if arguments.explain:
        query["explain"] = "true"
    if arguments.cursor:
        query["cursor"] = arguments.cursor
    context: dict[str, list[str]] = {}
    for pair in arguments.context:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise CommandError(f"--context {pair}: write NAME=VALUE, such as country=PT")
        context.setdefault(f"context.{name}", []).append(value)
    return {**query, **context}


def _about_filter(told: Any) -> Iterator[str]:
    """What the filter did, for people."""
    if not isinstance(told, dict):
        return
    yield f"the filter lets {told.get('matched')} items of the catalogue in"
    if relaxed := told.get("relaxed"):
        yield f"too few of them could be shown: without its conditions on {', '.join(relaxed)}"
    for unknown in told.get("unknown", ()):
        yield str(unknown.get("problem"))
    for name in told.get("missing", ()):
        yield f"${name} has no value; give one with --context"


def profile(arguments: argparse.Namespace) -> int:
    """Show what is known about a user."""
    print_json(_call(arguments, "GET", f"/users/{quote(arguments.user_id, safe='')}/profile").body)
    return EXIT_OK


def _reason(reason: Any) -> str:
    return str(reason.get("text") or reason.get("code", "")) if isinstance(reason, dict) else ""


def _call(
    arguments: argparse.Namespace,
    method: str,
    path: str,
    query: Mapping[str, str | list[str]] | None = None,
    body: bytes | None = None,
) -> Answer:
    async def call() -> Answer:
        async with client_of(arguments) as client:
            return await client.call(method, path, body, query=query)

    answer = asyncio.run(call())
    if not answer.ok:
        raise CommandError(answer.detail())
    return answer
