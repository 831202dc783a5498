"""`freshet events export`: the events of the log into an archive of Parquet files."""

from __future__ import annotations

import argparse
import asyncio
from typing import Any

import msgspec

from services.cli.backend import backend
from services.cli.failure import EXIT_INTERRUPTED, EXIT_OK, CommandError
from services.cli.output import print_json, print_line, say
from services.cli.progress import progress
from services.local.settings import RunSettings
from services.log.open import open_log
from services.log.protocol import LogError
from services.trainer.archive_place import ArchiveError, ArchivePlace, open_archive_place
from services.trainer.export import Exported, export_events

_RATED_FROM_S = 0.5  # of shorter runs a rate says nothing
_POSITIONS_SHOWN = 8  # of a log with many partitions; --json says all
_KEPT = "what is archived is kept; the same command goes on from there"


def export(arguments: argparse.Namespace) -> int:
    """Bring the archive up to the log's end; the same command continues one that was stopped."""
    try:
        place = open_archive_place(arguments.to)  # a bad URL is told before a log is started
        with backend() as settings:
            done = asyncio.run(_export(settings, place, arguments.allow_gap, quiet=arguments.as_json))
    except ArchiveError as error:
        raise CommandError(str(error)) from None
    except LogError as error:
        raise CommandError(f"{error}\n{_KEPT}") from None
    except KeyboardInterrupt:
        raise CommandError(f"interrupted\n{_KEPT}", EXIT_INTERRUPTED) from None
    if arguments.as_json:
        print_json(_result(done))
    else:
        _print(done)
    return EXIT_OK


async def exported(settings: RunSettings, url: str, *, quiet: bool) -> Exported:
    """Bring the archive at a URL up to the log's end. Raises ArchiveError, LogError."""
    return await _export(settings, open_archive_place(url), allow_gap=False, quiet=quiet)


async def _export(settings: RunSettings, place: ArchivePlace, allow_gap: bool, *, quiet: bool) -> Exported:
    log = open_log(settings)
    try:
        with progress("exporting events", 1.0, quiet=quiet) as show:
            return await export_events(
                place,
                log,
                namespace=settings.namespace,
                allow_gap=allow_gap,
                refusal_days=settings.profile_ttl_days,
                refusals_max=settings.refusals_max,
                progress=lambda done, total: show(done / max(total, 1), f"{done:,} of {total:,} records"),
            )
    finally:
        await log.close()


def _result(done: Exported) -> dict[str, Any]:
    result: dict[str, Any] = msgspec.to_builtins(done)
    result["seconds"] = round(result.pop("took_s"), 3)
    result["events_per_s"] = round(done.events / done.took_s) if done.events else 0
    return result


def _print(done: Exported) -> None:
    rate = f", {done.events / done.took_s:,.0f}/s" if done.took_s >= _RATED_FROM_S and done.events else ""
    forgotten = ""
    if done.deletions or done.events_deleted:
        removed = _count(done.events_deleted, "event")
        forgotten = f"; {_count(done.deletions, 'user deletion')} honoured, {removed} removed"
    if done.events_withheld:
        forgotten += f"; {_count(done.events_withheld, 'event')} without consent left out"
    print_line(
        f"{_count(done.events, 'event')} in {_count(done.parts, 'new part')}{forgotten}, in "
        f"{done.took_s:.1f} s{rate}; {done.url} holds {_count(done.archive_events, 'event')} in "
        f"{_count(done.archive_parts, 'part')}{_up_to(done.positions)}"
    )
    if done.poison:
        say(f"{_count(done.poison, 'record')} could not be read as an event and were left out")
    for gap in done.gaps:
        say(
            f"offsets {gap.first} to {gap.end - 1} of partition {gap.partition} had been trimmed from the "
            "log; the gap is noted in archive.json"
        )


def _up_to(positions: tuple[str, ...]) -> str:
    if not positions:
        return ""
    more = len(positions) - _POSITIONS_SHOWN
    return f", up to {' '.join(positions[:_POSITIONS_SHOWN])}" + (f" and {more} more" if more > 0 else "")


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
