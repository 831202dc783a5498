"""`freshet events import` and `freshet items import`."""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path
from typing import Any

from services.cli.client import FreshetClient, data_dir, default_key, default_url
from services.cli.failure import EXIT_OK, EXIT_PARTIAL, CommandError
from services.cli.import_events import EventImport, import_events, preview
from services.cli.import_items import ItemImport, import_items
from services.cli.mapping import parse_mapping
from services.cli.output import print_json, print_line, say
from services.cli.rows import open_rows

_PREVIEW_EVENTS = 3


def events(arguments: argparse.Namespace) -> int:
    """Import events; the same command continues an import that was stopped."""
    mapping = parse_mapping(arguments.map, arguments.set, arguments.timestamp_unit)
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
            print_json(preview(job, _PREVIEW_EVENTS))
            return EXIT_OK

        async def work() -> dict[str, Any]:
            async with client_of(arguments) as client:
                return await import_events(job, client)

        result = _resumable(work)
    finally:
        source.discard()
    if not result["rows_this_run"]:
        say(f"{source.name} was imported before; --restart sends it again ({result['checkpoint']})")
    elif result["rows_before"]:
        say(f"continued after {result['rows_before']:,} rows that an earlier run had sent")
    return _report("events", result, arguments)


def items(arguments: argparse.Namespace) -> int:
    """Import items; doing it twice is the same as once."""
    mapping = parse_mapping(arguments.map, arguments.set)
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

        async def work() -> dict[str, Any]:
            async with client_of(arguments) as client:
                return await import_items(job, client)

        result = _resumable(work)
    finally:
        source.discard()
    return _report("items", result, arguments)


def client_of(arguments: argparse.Namespace) -> FreshetClient:
    """The running Freshet that the flags, or else the environment, name."""
    return FreshetClient(
        arguments.url or default_url(),
        arguments.key if arguments.key is not None else default_key(),
        patience_s=getattr(arguments, "patience_s", 0.0),
    )


def _resumable(work: Any) -> dict[str, Any]:
    try:
        result: dict[str, Any] = asyncio.run(work())
    except (CommandError, KeyboardInterrupt) as error:
        sentence = str(error) or "interrupted"
        raise CommandError(
            f"{sentence}\nwhat was sent is kept; the same command goes on from there",
            error.exit_status if isinstance(error, CommandError) else 130,
        ) from None
    return result


def _report(what: str, result: dict[str, Any], arguments: argparse.Namespace) -> int:
    if arguments.as_json:
        print_json(result)
    else:
        rate = f", {result['events_per_s']:,}/s" if result.get("events_per_s") else ""
        hidden = f", {result['hidden']:,} hidden" if result.get("hidden") else ""
        print_line(f"{result['accepted']:,} {what} accepted{hidden} in {result['seconds']:.1f} s{rate}")
    if result["rejected"]:
        say(f"{result['rejected']:,} rows were rejected; the reasons stand in {result['rejects_file']}")
        return EXIT_PARTIAL
    return EXIT_OK
