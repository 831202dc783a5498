"""`freshet users export` and `freshet users delete`: what is stored about somebody, and forgetting it."""

from __future__ import annotations

import argparse
import asyncio
import time
from typing import Any
from urllib.parse import quote

from services.cli.backend import backend
from services.cli.client import Answer, FreshetClient
from services.cli.failure import EXIT_OK, EXIT_PARTIAL, CommandError
from services.cli.files import client_of
from services.cli.output import print_json, print_line, say
from services.cli.progress import progress
from services.cli.subject_records import Document, Found, Subject, open_document, read_archive, read_log
from services.kernel.ids import IdError, read_id
from services.kernel.position import Position
from services.local.settings import RunSettings
from services.log.open import open_log

_POLL_S = 0.1


def export(arguments: argparse.Namespace) -> int:
    """Write all that is stored about a user."""
    subject = Subject(_checked(arguments.user_id))
    profile = asyncio.run(_asked(arguments, "GET", _path(subject.id, "/export"))).body
    with open_document(arguments.to, whole=arguments.as_json) as document:
        document.profile(profile)
        summary: dict[str, Any] = {"state": profile["state"], "log": None, "archive": None}
        if not arguments.no_log:
            with backend() as settings:
                found = asyncio.run(_from_log(settings, subject, document))
            summary["log"] = found.summary()
        if arguments.archive:
            summary["archive"] = _from_archive(arguments.archive, subject, document).summary()
        document.summary(summary)
    _tell(subject.id, summary, arguments.to)
    return EXIT_OK


def delete(arguments: argparse.Namespace) -> int:
    """Forget a user, and wait until it is so."""
    result = asyncio.run(_delete(arguments, _checked(arguments.user_id)))
    if arguments.as_json:
        print_json(result)
    elif result["applied"]:
        print_line(f"{arguments.user_id} is forgotten (position {result['position']})")
    else:
        print_line(f"the deletion of {arguments.user_id} is on the log (position {result['position']})")
    if not result["applied"]:
        say(f"not applied within {arguments.wait_s:g} s; `freshet doctor` shows whether a profiler runs")
        return EXIT_PARTIAL
    return EXIT_OK


def _checked(user_id: str) -> str:
    try:
        return read_id(user_id)
    except IdError as error:
        raise CommandError(f"user id: {error}", 2) from None


def _path(user_id: str, below: str = "") -> str:
    return f"/users/{quote(user_id, safe='')}{below}"


async def _asked(arguments: argparse.Namespace, method: str, path: str) -> Answer:
    async with client_of(arguments) as client:
        return await _answered(client, method, path)


async def _answered(client: FreshetClient, method: str, path: str) -> Answer:
    answer = await client.call(method, path)
    if not answer.ok:
        raise CommandError(answer.detail())
    return answer


async def _delete(arguments: argparse.Namespace, user_id: str) -> dict[str, Any]:
    async with client_of(arguments) as client:
        position = (await _answered(client, "DELETE", _path(user_id))).body["position"]
        give_up_s = time.monotonic() + arguments.wait_s
        while not (applied := await _is_applied(client, user_id, Position.parse(position))):
            if time.monotonic() >= give_up_s:
                break
            await asyncio.sleep(_POLL_S)
    return {"user_id": user_id, "position": position, "applied": applied}


async def _is_applied(client: FreshetClient, user_id: str, position: Position) -> bool:
    """Whether the profile has passed the deletion; what came after it counts anew."""
    reached = (await _answered(client, "GET", _path(user_id, "/export"))).body.get("position")
    return reached is not None and Position.parse(reached) >= position


async def _from_log(settings: RunSettings, subject: Subject, document: Document) -> Found:
    log = open_log(settings)
    try:
        with progress("reading the log", 1.0) as show:
            return await read_log(
                log,
                subject,
                document,
                lambda done, total: show(done / max(total, 1), f"{done:,} of {total:,} records"),
            )
    finally:
        await log.close()


def _from_archive(url: str, subject: Subject, document: Document) -> Found:
    from services.trainer.archive_place import ArchiveError

    try:
        with progress("reading the archive", 1.0) as show:
            return read_archive(
                url,
                subject,
                document,
                lambda done, total: show(done / max(total, 1), f"{done:,} of {total:,} events"),
            )
    except ArchiveError as error:
        raise CommandError(str(error)) from None


def _tell(user_id: str, summary: dict[str, Any], to: str | None) -> None:
    places = [
        f"{summary[place]['events']:,} event{'' if summary[place]['events'] == 1 else 's'} in the {place}"
        for place in ("log", "archive")
        if summary[place] is not None
    ]
    told = ", ".join([f"profile {summary['state']}", *places])
    say(f"{user_id}: {told}" + (f"; written to {to}" if to else ""))
