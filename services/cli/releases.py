"""`freshet release`: build, list, publish, promote and remove. `packing` has the rest."""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from services.cli.backend import backend, release_url
from services.cli.failure import EXIT_OK, EXIT_PARTIAL, CommandError
from services.cli.output import print_json, print_line, print_table, say
from services.kernel.item import Item, decode_item, parse_item
from services.kernel.release import ReleaseError
from services.local.settings import RunSettings
from services.release.place import shown_url


def init(arguments: argparse.Namespace) -> int:
    """Build a day-0 release from the catalogue, publish it, make it the live one."""
    from services.release.repository import promote, publish
    from services.trainer.day0 import build_day0

    url = release_url(arguments.release_url)
    items = items_of_file(arguments.items) if arguments.items else _items_of_backend()
    now_ms = _now_ms()

    with tempfile.TemporaryDirectory(prefix="freshet-release-") as scratch:
        name = publish(build_day0(items, Path(scratch), now_ms=now_ms), url)
    if not arguments.no_promote:
        promote(url, name, now_ms)
    if arguments.as_json:
        print_json({"release": name, "live": not arguments.no_promote, "url": shown_url(url)})
    else:
        print_line(f"{name} {'published' if arguments.no_promote else 'is live'} at {shown_url(url)}")
    return EXIT_OK


def listing(arguments: argparse.Namespace) -> int:
    """List what can be served."""
    from services.release.repository import list_releases, pointer_trouble

    url = release_url(arguments.release_url)
    found, trouble = list_releases(url), pointer_trouble(url)
    if arguments.as_json:
        print_json([entry._asdict() for entry in found])
    elif not found and trouble is None:
        say(f"no releases at {shown_url(url)}; `freshet release init` builds one from the catalogue")
    elif found:
        rows = [
            [
                "*" if entry.live else "",
                entry.name,
                entry.kind,
                f"{entry.items:,}",
                _when(entry.created_at_ms),
            ]
            for entry in found
        ]
        print_table(("live", "name", "kind", "items", "made"), rows)
    if trouble is None:
        return EXIT_OK
    say(f"{trouble}; `freshet release promote NAME` makes another one live")
    return EXIT_PARTIAL


def promote(arguments: argparse.Namespace) -> int:
    """Switch to a published release; services follow within FRESHET_RELEASE_POLL_MS."""
    from services.release.repository import promote as switch

    url = release_url(arguments.release_url)
    switch(url, arguments.name, _now_ms())
    if arguments.as_json:
        print_json({"release": arguments.name, "live": True, "url": shown_url(url)})
    else:
        print_line(f"{arguments.name} is live at {shown_url(url)}")
    return EXIT_OK


def remove(arguments: argparse.Namespace) -> int:
    """Take releases away; never the live one."""
    from services.release.repository import remove as take_away

    url = release_url(arguments.release_url)
    for name in arguments.names:
        take_away(url, name)
        if not arguments.as_json:
            print_line(f"{name} is removed from {shown_url(url)}")
    if arguments.as_json:
        print_json({"removed": arguments.names, "url": shown_url(url)})
    return EXIT_OK


def publish(arguments: argparse.Namespace) -> int:
    """Run a release's graph on every kind of user, then copy its directory to where releases live."""
    from services.ranking.model import OnnxModel
    from services.ranking.probe import require_sound
    from services.release.files import open_release
    from services.release.repository import promote as switch
    from services.release.repository import publish as copy

    url = release_url(arguments.release_url)
    if not Path(arguments.directory).is_dir():
        raise CommandError(f"{arguments.directory}: no such directory")
    require_sound(OnnxModel(open_release(Path(arguments.directory)), warm=False))
    name = copy(Path(arguments.directory), url)
    if arguments.promote:
        switch(url, name, _now_ms())
    if arguments.as_json:
        print_json({"release": name, "live": arguments.promote, "url": shown_url(url)})
    else:
        hint = (
            "is live" if arguments.promote else f"published; `freshet release promote {name}` makes it live;"
        )
        print_line(f"{name} {hint} {shown_url(url)}")
    return EXIT_OK


def items_of_file(name: str) -> Iterable[Item]:
    """Items as the store or POST /items has them, one JSON object a line."""
    from services.cli.rows import open_rows

    found = []
    for row in open_rows(name, "ndjson", None).rows():
        if row.values is None:
            raise CommandError(f"{name}, row {row.number + 1}: {row.error}")
        try:
            found.append(parse_item(row.values))
        except ValueError as error:
            raise CommandError(f"{name}, row {row.number + 1}: {error}") from None
    return found


def _items_of_backend() -> list[Item]:
    with backend() as settings:
        return asyncio.run(items_of_store(settings))


async def items_of_store(settings: RunSettings) -> list[Item]:
    """The catalogue as it stands in the store. Raises ReleaseError for an empty store, StoreError."""
    from services.store.catalogue import CatalogueReader
    from services.store.connection import connect
    from services.store.meta import MetaStore

    connection = connect(settings)
    try:
        meta = await MetaStore(connection).read()
        if meta is None:
            raise ReleaseError("the store is empty: import a catalogue first (`freshet items import`)")
        pages = CatalogueReader(connection).scan(meta.epoch)
        return [decode_item(value) async for page in pages for _, value in page]
    finally:
        await connection.close()


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _when(moment_ms: int) -> str:
    return datetime.fromtimestamp(moment_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")
