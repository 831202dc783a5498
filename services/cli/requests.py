"""Small calls to a running Freshet: send an event, ask for recommendations, look at a profile."""

from __future__ import annotations

import argparse
import asyncio
import sys
from typing import Any
from urllib.parse import quote

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
    query = {"n": str(arguments.n), "fields": "title,price"}
    if arguments.scenario:
        query["scenario"] = arguments.scenario
    if arguments.item_id:
        query["item_id"] = arguments.item_id
    path = f"/recommend/{quote(arguments.user_id, safe='')}" if arguments.user_id else "/recommend"
    body = _call(arguments, "GET", path, query).body
    if arguments.as_json:
        print_json(body)
        return EXIT_OK
    rows = [
        [str(item["rank"]), item["item_id"], str(item.get("title", "")), _reason(item.get("reason"))]
        for item in body["items"]
    ]
    print_table(("rank", "item_id", "title", "reason"), rows)
    print_line(f"\nstrategy {body.get('strategy')}, {body.get('profile_events', 0)} events in the profile")
    return EXIT_OK


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
    query: dict[str, str] | None = None,
    body: bytes | None = None,
) -> Answer:
    async def call() -> Answer:
        async with client_of(arguments) as client:
            return await client.call(method, path, body, query=query)

    answer = asyncio.run(call())
    if not answer.ok:
        raise CommandError(answer.detail())
    return answer
