"""`freshet items import`: a catalogue file into a running Freshet; `--replace` hides what the file lacks.

Putting an item twice is the same as once, so nothing has to be remembered between runs.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec

from services.cli.checkpoint import Checkpoint
from services.cli.client import FreshetClient
from services.cli.failure import CommandError
from services.cli.lanes import LANES, Parcel, Refusal, deliver
from services.cli.mapping import ColumnMapping, check_columns, mapper
from services.cli.progress import progress
from services.cli.refusals import RefusalFile
from services.cli.rows import Row, RowFile
from services.cli.upload import ImportMarks, post
from services.kernel.cells import check_cells
from services.kernel.event_input import ITEM_ID_SPELLINGS
from services.kernel.item import Item

HIDDEN_SHARE_MAX = 0.2  # more is rather a broken export than a changed assortment
NEEDED = (ITEM_ID_SPELLINGS,)  # without it no row of a file can be accepted
_PAGE_ITEMS = 200
_HIDING_AT_ONCE = 8
# titel, categorys, currancy are slips; subtitle, publisher and territories are properties of somebody's own.
_SLIP_LIKENESS = 0.8
_FIELDS = frozenset(Item.__struct_fields__)


@dataclass(frozen=True)
class ItemImport:
    """What the command line said."""

    source: RowFile
    mapping: ColumnMapping
    rejects: Path
    replace: bool = False
    force: bool = False
    quiet: bool = False


async def import_items(job: ItemImport, client: FreshetClient) -> dict[str, Any]:
    """Run the import and answer its figures.

    1. With `replace`, compare the file's ids with the catalogue; too many missing: nothing is done.
    2. Put every item of the file.
    3. With `replace`, hide (`available: false`) what the file lacks.

    `properties` of the figures: columns that no field of an item is called after. Raises CommandError.
    """
    check_names(job.mapping)
    began_s = time.monotonic()
    hidden: list[str] = []
    if job.replace:
        hidden = await _missing(job, client)
    refusals = RefusalFile(job.rejects)
    marks = ImportMarks(Checkpoint("", "", job.source.name, [0] * LANES, []), None, refusals)
    with progress(f"items from {job.source.name}", job.source.size_bytes, quiet=job.quiet) as show:

        async def send(parcels: list[Parcel]) -> list[Refusal]:
            return await post(client, "/items", parcels)

        try:
            await deliver(
                _parcels(job),
                send,
                marks,
                lambda _rows: show(job.source.done_bytes, f"{marks.state.accepted:,} in"),
            )
        finally:
            refusals.close()
    await _hide(client, hidden)
    return {
        "accepted": marks.state.accepted,
        "rejected": marks.state.rejected,
        "rejects_file": str(refusals.path) if marks.state.rejected else None,
        "hidden": len(hidden),
        "properties": own_columns(job.mapping, job.source.columns),
        "seconds": round(time.monotonic() - began_s, 3),
    }


async def _missing(job: ItemImport, client: FreshetClient) -> list[str]:
    """Ids that are shown now and not in the file. Raises CommandError when they are too many, and where some
    may be in rows that nobody can read.
    """
    convert = mapper(job.mapping)
    columns = {job.mapping.columns.get(name, name) for name in ITEM_ID_SPELLINGS}
    kept: set[str] = set()
    unreadable = 0
    for row in job.source.rows():
        if row.number == 0:
            check_columns(job.mapping, job.source.columns, NEEDED)
        if row.values is None:
            unreadable += 1
            continue
        # Of a row that will be refused for another cell too: its item is in the file.
        found = convert(Row(row.number, {name: row.values[name] for name in columns & row.values.keys()}))
        kept.update(str(found[name]) for name in ITEM_ID_SPELLINGS if name in found)
    shown = [entry async for entry in _shown(client)]
    missing = [item_id for item_id in shown if item_id not in kept]
    if missing and unreadable and not job.force:
        raise CommandError(
            f"rows that cannot be read: {unreadable:,}; --replace would hide {len(missing):,} items, which "
            "may be theirs. Nothing was changed. Import without --replace to see the rows, or add --force"
        )
    if len(missing) > HIDDEN_SHARE_MAX * len(shown) and not job.force:
        raise CommandError(
            f"--replace would hide {len(missing):,} of {len(shown):,} items, more than "
            f"{HIDDEN_SHARE_MAX:.0%}; nothing was changed. If the file is complete, add --force"
        )
    return missing


async def _shown(client: FreshetClient) -> Any:
    cursor = ""
    while True:
        query = {"limit": str(_PAGE_ITEMS)} | ({"cursor": cursor} if cursor else {})
        answer = await client.call("GET", "/items", query=query)
        if not answer.ok:
            raise CommandError(f"{client.url}/items answered {answer.detail()}")
        for item in answer.body["items"]:
            if item.get("available", True):
                yield item["item_id"]
        cursor = next((answer.body[name] for name in ("next_cursor", "cursor") if answer.body.get(name)), "")
        if not cursor:
            return


async def _hide(client: FreshetClient, item_ids: list[str]) -> None:
    waiting = iter(item_ids)

    async def work() -> None:
        for item_id in waiting:
            answer = await client.call("PATCH", f"/items/{quote(item_id, safe='')}", b'{"available": false}')
            if not answer.ok:
                raise CommandError(f"hiding {item_id} failed: {answer.detail()}")

    await asyncio.gather(*(work() for _ in range(_HIDING_AT_ONCE)))


def _parcels(job: ItemImport) -> Iterator[Parcel]:
    convert = mapper(job.mapping)
    for row in job.source.rows():
        if row.number == 0:
            check_columns(job.mapping, job.source.columns, NEEDED)
        if row.values is None:
            yield item_parcel(row, None)
            continue
        try:
            found = convert(row)
            check_cells(found, _FIELDS)
        except ValueError as error:
            yield Parcel(row.number, "", b"", Refusal(row.number, "unreadable_row", str(error)))
        else:
            yield item_parcel(row, found)


def preview_items(job: ItemImport, count: int) -> list[dict[str, Any]]:
    """The first items as they would be sent. Raises CommandError for an empty file, and for a row that would
    be refused here."""
    check_names(job.mapping)
    found: list[dict[str, Any]] = []
    for parcel in _parcels(job):
        if parcel.refusal is not None:
            raise CommandError(f"row {parcel.row + 1}: {parcel.refusal.error}")
        found.append(msgspec.json.decode(parcel.body))
        if len(found) == count:
            break
    if not found:
        raise CommandError(f"{job.source.name}: has no rows")
    return found


def check_names(mapping: ColumnMapping) -> None:
    """Raise CommandError where --map or --set name what is nearly a field of an item, but none."""
    known = _FIELDS | set(ITEM_ID_SPELLINGS)
    for name in (*mapping.columns, *mapping.constants):
        meant = () if "." in name or name in known else get_close_matches(name, known, 1, _SLIP_LIKENESS)
        if meant and meant[0][0] == name[0]:
            raise CommandError(
                f"an item has no {name!r}; did you mean {meant[0]!r}? "
                f"Properties of your own may have any name: properties.{name}=…"
            )


def own_columns(mapping: ColumnMapping, columns: Sequence[str]) -> list[str]:
    """Columns that become properties without having been told to; none where rows have no common columns."""
    known = {*_FIELDS, *ITEM_ID_SPELLINGS, *mapping.columns, *mapping.constants}
    used = set(mapping.columns.values())
    return [name for name in columns if name not in used and name.partition(".")[0] not in known]


def item_parcel(row: Row, found: dict[str, Any] | None) -> Parcel:
    """One item on its way. Columns that no item has are kept as properties."""
    if found is None:
        return Parcel(row.number, "", b"", Refusal(row.number, "unreadable_row", row.error))
    item: dict[str, Any] = {}
    properties: dict[str, Any] = {}
    for name, value in found.items():
        (item if name in _FIELDS else properties)[name] = value
    item_id = next((found[name] for name in ITEM_ID_SPELLINGS if name in found), None)
    if item_id is not None:
        item["item_id"] = item_id
        properties = {name: value for name, value in properties.items() if name not in ITEM_ID_SPELLINGS}
    if isinstance(item.get("categories"), str):
        item["categories"] = [item["categories"]]
    if properties:
        given = item.get("properties")
        item["properties"] = properties | (given if isinstance(given, dict) else {})
    subject = str(item_id or "")
    try:
        return Parcel(row.number, subject, msgspec.json.encode(item))
    except (ValueError, TypeError, OverflowError) as error:
        return Parcel(row.number, "", b"", Refusal(row.number, "unreadable_row", str(error)))
