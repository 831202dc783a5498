"""`freshet events import` and `freshet items import`."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec

from services.cli.client import FreshetClient, data_dir, default_key, default_url
from services.cli.failure import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_OK, EXIT_PARTIAL, CommandError
from services.cli.import_events import EventImport, import_events, preview
from services.cli.import_items import ItemImport, import_items, preview_items
from services.cli.mapping import parse_mapping
from services.cli.output import print_json, print_line, say
from services.cli.rows import open_rows

_PREVIEW_ROWS = 3
_NAMES_SHOWN = 8
_REASONS_SHOWN = 3
_REASONS_READ_BYTES = 16_384  # some ten times as much as three of them need
_RATED_FROM_S = 0.5  # of shorter runs a rate says nothing
_EVENTS_KEPT = "what was sent is kept; the same command goes on from there"
_ITEMS_KEPT = "what was sent is kept; run the same command again, items that are in already do no harm"


def events(arguments: argparse.Namespace) -> int:
    """Import events; the same command continues an import that was stopped."""
    mapping = parse_mapping(
        arguments.map, arguments.set, arguments.timestamp_unit, decimal_comma=arguments.decimal_comma
    )
    source = open_rows(arguments.file, arguments.format, arguments.delimiter)
    try:
        job = EventImport(
            source=source,
            mapping=mapping,
            state_dir=Path(data_dir()) / "imports",
            rejects=Path(arguments.rejects) if arguments.rejects else None,
            restart=arguments.restart,
            quiet=arguments.as_json,
        )
        if arguments.dry_run:
            print_json(preview(job, _PREVIEW_ROWS))
            return EXIT_OK

        result = _resumable(arguments, lambda client: import_events(job, client), _EVENTS_KEPT)
    finally:
        source.discard()
    if not result["rows_this_run"] and not result["rows_before"]:
        say(f"{source.name} has no rows")
    elif not result["rows_this_run"]:
        before = _rows(result["rows_before"])
        say(f"{source.name} was imported before, with {before}; --restart sends all of it again")
    elif result["rows_before"]:
        say(f"continued after {_rows(result['rows_before'])} that an earlier run had sent")
    return _report("events", result, arguments)


def items(arguments: argparse.Namespace) -> int:
    """Import items; doing it twice is the same as once."""
    mapping = parse_mapping(arguments.map, arguments.set, decimal_comma=arguments.decimal_comma)
    if arguments.force and not arguments.replace:
        raise CommandError("--force is for --replace", 2)
    source = open_rows(arguments.file, arguments.format, arguments.delimiter)
    try:
        job = ItemImport(
            source=source,
            mapping=mapping,
            rejects=Path(
                arguments.rejects or f"{data_dir()}/imports/items-{source.content_hash()}.rejects.ndjson"
            ),
            replace=arguments.replace,
            force=arguments.force,
            quiet=arguments.as_json,
        )
        if arguments.dry_run:
            print_json(preview_items(job, _PREVIEW_ROWS))
            return EXIT_OK

        result = _resumable(arguments, lambda client: import_items(job, client), _ITEMS_KEPT)
    finally:
        source.discard()
    status = _report("items", result, arguments)
    if (own := result["properties"]) and not arguments.as_json:
        more = f" and {len(own) - _NAMES_SHOWN} more" if len(own) > _NAMES_SHOWN else ""
        names = ", ".join(own[:_NAMES_SHOWN]) + more
        say(f"no field of an item is called {names}: kept as properties (--map title=COLUMN names a field)")
    return status


def client_of(arguments: argparse.Namespace) -> FreshetClient:
    """The running Freshet that the flags, or else the environment, name."""
    return FreshetClient(
        arguments.url or default_url(),
        arguments.key if arguments.key is not None else default_key(),
        patience_s=getattr(arguments, "patience_s", 0.0),
        waits=None if arguments.as_json else say,
    )


def _resumable(
    arguments: argparse.Namespace,
    work: Callable[[FreshetClient], Awaitable[dict[str, Any]]],
    kept: str,
) -> dict[str, Any]:
    """Run it; where it ends early after something was taken, say that this is not lost."""
    client = client_of(arguments)

    async def connected() -> dict[str, Any]:
        async with client:
            return await work(client)

    try:
        return asyncio.run(connected())
    except (CommandError, KeyboardInterrupt) as error:
        interrupted = isinstance(error, KeyboardInterrupt)
        sentence = "interrupted" if interrupted else str(error)
        raise CommandError(
            f"{sentence}\n{kept}" if client.has_changed else sentence,
            EXIT_INTERRUPTED if interrupted else EXIT_FAILED,
        ) from None


def _report(what: str, result: dict[str, Any], arguments: argparse.Namespace) -> int:
    if arguments.as_json:
        print_json(result)
    else:
        accepted = result.get("accepted_this_run", result["accepted"])
        rated = result.get("events_per_s") and result["seconds"] >= _RATED_FROM_S
        rate = f", {result['events_per_s']:,}/s" if rated else ""
        hidden = f", {result['hidden']:,} hidden" if result.get("hidden") else ""
        in_all = f"; {result['accepted']:,} of this file in all" if accepted != result["accepted"] else ""
        noun = what.removesuffix("s") if accepted == 1 else what
        print_line(f"{accepted:,} {noun} accepted{hidden} in {result['seconds']:.1f} s{rate}{in_all}")
    if result["rejected"]:
        were = "was" if result["rejected"] == 1 else "were"
        told = _first_reasons(Path(result["rejects_file"]))
        file = result["rejects_file"]
        why = f"the reasons stand in {file}" if told else f"{file}, which said why, is gone; see --restart"
        say(f"{_rows(result['rejected'])} {were} rejected; {why}")
        if not arguments.as_json:
            for line in told:
                say(line)
        return EXIT_PARTIAL
    return EXIT_OK


def _first_reasons(path: Path) -> list[str]:
    """The first few lines of a file of rejected rows, for people; none where an earlier run's is gone."""
    try:
        with path.open("rb") as file:
            *lines, _ = file.read(_REASONS_READ_BYTES).split(b"\n")  # the last is empty, or cut
    except FileNotFoundError:
        return []
    told = [msgspec.json.decode(line) for line in lines[:_REASONS_SHOWN]]
    return [f"  row {one['row']}: {one['error']}" for one in sorted(told, key=lambda one: one["row"])]


def _rows(count: int) -> str:
    return f"{count:,} row{'' if count == 1 else 's'}"
